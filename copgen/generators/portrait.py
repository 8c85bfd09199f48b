"""A generator's portrait: what it is, some of its images, and what they cost, in a file beside its embedded weights.

With it a run is planned and estimated without torch and without the generator. It is of the weights whose sha256 it
names, loaded as they are unless one chooses otherwise; `python -m benchmarks.portrait` makes it anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.numpy import load_file

from copgen.generators.catalogue import KNOWN, packaged
from copgen.generators.description import Description
from copgen.runtime.errors import DataError
from copgen.storage.files import sha256_of
from copgen.storage.tensor_header import read_header

KIND, IMAGES = "portrait", "images"


class Portrait(BaseModel):
    """The header of the file; its one tensor, `images`, is uint8 (N, C, H, W)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    of: Description
    batch: int = Field(ge=1, description="pairs through the generator at once, when it was measured")
    seconds: float = Field(gt=0, description="of one CPU core for an image, with its part in making a pair")
    memory_bytes: int = Field(ge=1, description="resident at the peak of a process that makes and writes pairs")
    machine: str = Field(description="where it was measured")

    def images(self) -> NDArray[np.uint8]:
        """Some of its images, (N, C, H, W)."""
        images: NDArray[np.uint8] = load_file(file_of(self.of.name))[IMAGES]
        return images

    @classmethod
    def load(cls, name: str) -> Self | None:
        """The portrait of a generator whose weights come with copgen; None where there is none of these weights.

        Raises:
            DataError: the file is damaged.
        """
        known = KNOWN.get(name)
        if known is None or known.embedded is None:
            return None
        path = file_of(name)
        try:
            portrait = cls.model_validate(read_header(path, kind=KIND))
        except ValidationError as error:
            raise DataError(f"{path}: its header is no portrait: {error.errors()[0]['msg']}.") from None
        return portrait if portrait.of.weights_sha256 == sha256_of(packaged(known.embedded)) else None


def file_of(name: str) -> Path:
    """Where the portrait of a generator belongs whose weights come with copgen."""
    return packaged(f"{name}-portrait.safetensors")
