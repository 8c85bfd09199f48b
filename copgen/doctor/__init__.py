"""`copgen doctor`: which implementation runs here, why, whether it is right, and how fast it is."""
