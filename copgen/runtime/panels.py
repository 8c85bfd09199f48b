"""The groups that settings and options are shown in, in the order of a help screen."""

from __future__ import annotations

WHAT, PAIRS, FILTER = "What", "Pairs", "Quality filter: rejected draws are drawn again"
TRAINING, SPEED, WORKERS = "Training", "Speed and memory", "Workers"
SETTINGS, OUTPUT, HOW, REPORT = "Settings", "Output and resuming", "How closely", "Reporting"
PANELS = (WHAT, PAIRS, FILTER, TRAINING, SPEED, WORKERS, SETTINGS, OUTPUT, HOW, REPORT)
