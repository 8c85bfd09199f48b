"""One thread for all tests: their tensors are so small that several threads only wait for each other."""

import os

import torch

os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
