"""Ranks of one run, how they are started, and which shards a worker begins with."""
