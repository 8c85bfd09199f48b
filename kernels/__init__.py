"""Triton kernels; they know tensors only. Installed as `copgen.kernels`.

They import each other relatively: type checkers know this folder as `kernels` (copgen/kernels.pyi).
"""
