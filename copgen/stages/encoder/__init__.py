"""`copgen encoder`: import, inspect and export encoders."""
