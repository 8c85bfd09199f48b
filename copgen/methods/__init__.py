"""Pretraining methods: one file each, with its heads, its memory and its loss (the interface is in method.py)."""
