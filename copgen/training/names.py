"""The names of optimizers, precisions and compilation modes, for settings, which do not import torch."""

from typing import Literal

OptimizerName = Literal["sgd", "lars", "adam", "adamw"]
Precision = Literal["float32", "bfloat16", "float64"]
Compile = Literal["off", "default", "reduce-overhead", "max-autotune"]
