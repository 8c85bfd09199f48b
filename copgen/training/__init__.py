"""The code shared by all training stages: run folder, loop, metrics, checkpoints, stop rules, estimates."""
