"""The contrastive losses as PyTorch operators: schema, implementations per device, shapes without data, gradients.

As operators they are single steps for torch.compile, and no saved logit reaches autograd.
"""
