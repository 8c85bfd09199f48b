"""What every stage needs and no science: files, seeds, run folders, checkpoints, signals, events."""
