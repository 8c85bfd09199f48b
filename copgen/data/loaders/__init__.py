"""Loaders: they read, decode and augment the samples of an update (the interface is in loader.py)."""
