"""The groups that settings and options are shown in, in the order of a help screen."""

from __future__ import annotations

INPUT, PAIRS, FILTER = "Input", "Pairs", "Quality filter (rejected pairs are resampled)"
TRAINING, SPEED, WORKERS = "Training", "Speed and memory", "Workers"
SETTINGS, OUTPUT, REPORT = "Settings", "Output", "Reporting"
PANELS = (INPUT, PAIRS, FILTER, TRAINING, SPEED, WORKERS, SETTINGS, OUTPUT, REPORT)
