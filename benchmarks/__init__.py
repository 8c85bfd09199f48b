"""Benchmarks of copgen against the alternatives; see benchmarks/README.md."""
