"""Generated pairs (x, x') = (G(z), G(z')) in a pairs folder of any size, read as they are needed: `EncodedImages`.

Opening it reads names and sizes only: 1.3M pairs take seconds. A shard's index is read when one of its pairs is first
needed, the header of each image is checked as it is read, and a thread hashes every shard once meanwhile.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from copgen.data.pair_classes import classes_of
from copgen.data.positives import positives_at_random
from copgen.pairs import layout
from copgen.pairs.background_hashes import BackgroundHashes
from copgen.pairs.index_reader import opened_shard, read_index, read_member
from copgen.pairs.scan import Members
from copgen.pairs.verification import load_plan, problems
from copgen.runtime.environment import placement
from copgen.storage.kept_files import KeptFiles


class PairsFolder:
    """The pairs of a folder: column 0 is the anchor, 1 to `positives` are its positives.

    Args:
        folder: the pairs folder.
        seed: of the run; selects the positives of each sample index.
        labelled: read the class of every pair from its metadata; kept_classes.py says how long that takes.

    Raises:
        DataError: not a finished pairs folder, or a file that is missing or has another size; the error names it.
    """

    def __init__(self, folder: Path, *, seed: int, labelled: bool = False) -> None:
        for problem in problems(folder, "quick"):
            raise problem.error
        self.folder = folder
        self.plan = load_plan(folder)
        self.seed = seed
        self.channels: int = self.plan.image_shape[0]
        self.size: tuple[int, int] | None = self.plan.image_shape[1:]
        self.inputs = {"pairs": self.plan.digest}
        self._members: dict[int, Members] = {}
        self._files = KeptFiles()
        place = placement()
        # The processes of a machine share the work; another machine may have a copy of its own.
        mine = range(self.plan.shards)[place.local_rank :: place.local_world]
        self.hashes = BackgroundHashes(folder, self.plan, mine)
        self.labels: Tensor | None = None
        self.classes: tuple[str, ...] = ()
        if labelled:
            self.labels, self.classes = classes_of(folder, self.plan)

    def __len__(self) -> int:
        return self.plan.pairs

    def columns(self, samples: range, views: int) -> Tensor:
        """(K, V): the anchor, then distinct positives at random.

        Raises:
            DataError: a shard differs from its recorded hash; the error names it. (Here, once for each batch, and not
                in `encoded`, whose errors may be tolerated as unreadable images.)
            UsageError: there are fewer positives.
        """
        self.hashes.check()
        return positives_at_random(samples, views, self.plan.positives, seed=self.seed)

    def unverified(self) -> str:
        """What of the shards has not been hashed yet, as a sentence; empty if nothing.

        Raises:
            DataError: as `columns`.
        """
        self.hashes.check()
        done, count = self.hashes.done, len(self.hashes)
        if done == count:
            return ""
        return f"{done:,} of {count:,} shards were hashed before the run ended; run copgen verify {self.folder}/"

    def encoded(self, item: int, column: int) -> bytes:
        """The bytes of an image file in its shard; may be called from several threads.

        Raises:
            DataError: the shard cannot be read, or has something else there; the error names shard and image.
        """
        number, row = divmod(item, self.plan.pairs_per_shard)
        if number not in self._members:
            self._members[number] = read_index(self.folder, self.plan, number)
        file = opened_shard(self.folder, number, self._files)
        return read_member(self.folder, number, file, self._members[number], row, column)

    def where(self, item: int, column: int) -> str:
        """How messages name an image: shard and member."""
        path = layout.tar_path(self.folder, item // self.plan.pairs_per_shard)
        return f"{path}: {layout.key(item)}.{self.plan.components[column]}"
