"""Files: atomic writes, folder locks, tensors, downloads, foreign formats."""
