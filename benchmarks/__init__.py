"""Benchmarks of copgen against what a user would pick instead; benchmarks/README.md says how to run them."""
