"""What every training stage does alike: the run folder, the loop, metrics, checkpoints, stop rules, estimates."""
