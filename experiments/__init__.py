"""Experiments: whole tables of the paper in small, made by one command each."""
