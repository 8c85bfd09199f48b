"""Triton kernels, which operate on tensors only. Installed as `copgen.kernels`.

Imports between them are relative, as type checkers know this folder as `kernels` (copgen/kernels.pyi).
"""
