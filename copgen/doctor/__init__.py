"""`copgen doctor`: which implementations run on this machine, why, whether they are correct, and how fast they are."""
