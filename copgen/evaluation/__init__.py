"""Evaluation of encoders, generators and pairs: tensors in, numbers out."""
