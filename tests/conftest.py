"""One thread for all tests: their tensors are so small that several threads only wait for each other.

Without a GPU the Triton kernels run in Triton's interpreter, on CPU tensors; it has to be told before it is imported.
"""

import os

import torch

os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
