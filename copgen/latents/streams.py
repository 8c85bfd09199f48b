"""The names of the streams of random numbers that latent transforms draw from."""

from __future__ import annotations


def stream_of(name: str, which: int) -> str:
    """The stream that positive number `which` draws from."""
    return f"latents/{name}" if which == 0 else f"latents/{name}/{which}"
