"""Published weights: found in the weights directory or in torch's cache of downloads, and checked by their sha256."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from copgen.generators.weights_directory import weights_directory
from copgen.runtime.errors import DataError, EnvironmentFault
from copgen.storage.files import sha256_of


@dataclass(frozen=True)
class PublishedWeights:
    """A file of weights that people download themselves.

    Attributes:
        file: its published name.
        sha256: its published hash.
        address: where it is.
        also: other names under which programs keep the same file.
    """

    file: str
    sha256: str
    address: str
    also: tuple[str, ...] = ()

    def find(self, space: str) -> Path:
        """The file.

        Args:
            space: the feature space that needs it, for messages.

        Raises:
            EnvironmentFault: it is in neither folder.
            DataError: another content than was published.
        """
        folders = (weights_directory(), Path(torch.hub.get_dir()) / "checkpoints")
        found = [folder / name for folder in folders for name in (self.file, *self.also) if (folder / name).is_file()]
        if not found:
            raise EnvironmentFault(
                f"The feature space '{space}' needs {self.file}, which is neither in {folders[0]} nor in {folders[1]}.",
                fix=f"Download {self.address} (sha256 {self.sha256}) into {folders[0]}, or choose another space: "
                "efficientnet-lite0, encoder:PATH, pixels.",
            )
        if (digest := sha256_of(found[0])) != self.sha256:
            raise DataError(
                f"{found[0]} has sha256 {digest}; the published one is {self.sha256}.",
                fix=f"Download it again from {self.address}.",
            )
        return found[0]
