"""The ranks of a run, how they are launched, and the assignment of shards to workers."""
