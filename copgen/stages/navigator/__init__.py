"""`copgen navigator`: import, inspect and show navigators and steering walks."""
