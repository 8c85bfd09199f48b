"""Residual Flows: invertible generators whose latent has as many coordinates as the image has pixels."""

from copgen.generators.residual_flow.model import FlowConfig, ResidualFlow, bits_per_dim

__all__ = ["FlowConfig", "ResidualFlow", "bits_per_dim"]
