"""Residual Flows: invertible generators whose latent has one coordinate per pixel of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.generators.residual_flow.config import FlowConfig
from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.generators.residual_flow.model import ResidualFlow, bits_per_dim

__all__ = ["FlowConfig", "ResidualFlow", "bits_per_dim"]
__getattr__, __dir__ = later.names(__name__, {"model": ["ResidualFlow", "bits_per_dim"]})
