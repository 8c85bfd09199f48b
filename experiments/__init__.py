"""Experiments: tables of the paper at small scale, each run by one command."""
