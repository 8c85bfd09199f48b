"""Where images come from and in which order: generated pairs, datasets, and the epoch sampler."""
