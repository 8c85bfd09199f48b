"""The contrastive losses as PyTorch operators: schemas, implementations, fake implementations, gradients.

As operators they are opaque single nodes for torch.compile, and autograd saves no logits.
"""
