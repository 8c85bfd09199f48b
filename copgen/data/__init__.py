"""Training data: generated pairs, datasets, and the epoch sampler."""
