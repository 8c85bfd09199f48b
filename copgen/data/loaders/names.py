"""The names of the loaders, for settings, which do not import torch."""

from typing import Literal

LoaderName = Literal["auto", "dali", "torch", "torchvision"]
