"""`copgen navigator`: import, inspect and show what moves latents."""
