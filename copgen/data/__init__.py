"""Images to learn from and to evaluate on: generated pairs and datasets; the epoch sampler and the loaders."""
