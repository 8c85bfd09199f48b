"""The names of the loaders."""

from typing import Literal

LoaderName = Literal["auto", "dali", "torch", "torchvision"]
