"""Taking named files out of a downloaded .tar.gz: regular files alone, each under a name of our choice.

Nothing is unpacked by the archive's own paths, links and devices are passed over, and sizes are bounded.
"""

from __future__ import annotations

import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from copgen.runtime.errors import DataError
from copgen.storage.files import writing

LARGEST_FILE = 8 * 2**30
MOST_FILES = 1000


def unpack(archive: Path, inside: str, folder: Path) -> Path:
    """Take a file, or the files of a folder, out of an archive.

    Args:
        archive: a .tar.gz.
        inside: the path in it of a file or of a folder.
        folder: where `inside` is put.

    Returns:
        The file or folder, at `folder / inside`.

    Raises:
        DataError: damaged or no archive, without what is wanted, or with a name that leads elsewhere or comes twice.
    """
    wanted = PurePosixPath(inside)
    taken: set[PurePosixPath] = set()
    try:
        with tarfile.open(archive, "r|gz") as stream:
            for member in stream:
                path = PurePosixPath(member.name)
                path = PurePosixPath(*path.parts[1:]) if path.parts[:1] == (".",) else path
                # What lies deeper than the folder's own files is not wanted either.
                if not member.isreg() or wanted not in (path, path.parent) or ".." in path.parts:
                    continue
                if path in taken or len(taken) >= MOST_FILES:
                    raise DataError(f"{archive} holds '{path}' twice, or too many files.")
                if member.size > LARGEST_FILE:
                    raise DataError(
                        f"{archive} holds '{path}' of {member.size:,} bytes; up to {LARGEST_FILE:,} are taken."
                    )
                source = stream.extractfile(member)
                assert source is not None
                with writing(folder / path) as target:
                    shutil.copyfileobj(source, target, 2**20)
                taken.add(path)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{archive} is no whole .tar.gz: {error}.", fix="Fetch it again.") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise DataError(f"{archive} is no whole .tar.gz: {error}.", fix="Fetch it again.") from None
    if not taken:
        raise DataError(f"{archive} does not hold '{inside}'.")
    return folder / inside
