"""How an encoder learns from views: one file per method, with its heads, its memory and its loss (method.py)."""
