"""`copgen navigate`: Algorithm 1, and the steering walks that it is compared with."""
