"""Triton kernels; they know tensors only. Installed as `copgen.kernels`."""
