"""The settings of the evaluations, one file each. None imports torch, as the command line reads them."""
