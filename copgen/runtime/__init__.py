"""Infrastructure below all other packages: errors, events, signals, settings, counts, environment, random numbers."""
