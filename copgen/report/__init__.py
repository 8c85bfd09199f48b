"""Figures and tables from generators, pairs and run folders."""
