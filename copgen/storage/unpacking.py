"""Extracts named files from a downloaded .tar.gz safely.

Only regular files are extracted, to paths that copgen chooses, up to a maximum size; links and devices are skipped.
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
    """Extract a file, or the files of a folder, from an archive.

    Args:
        archive: a .tar.gz.
        inside: the path of a file or a folder in the archive.
        folder: the destination of `inside`.

    Returns:
        The file or folder, at `folder / inside`.

    Raises:
        DataError: truncated, corrupt or not an archive; `inside` is missing; or a name is duplicate or leads elsewhere.
    """
    wanted = PurePosixPath(inside)
    taken: set[PurePosixPath] = set()
    try:
        with tarfile.open(archive, "r|gz") as stream:
            for member in stream:
                path = PurePosixPath(member.name)
                path = PurePosixPath(*path.parts[1:]) if path.parts[:1] == (".",) else path
                # Files in subfolders are skipped.
                if not member.isreg() or wanted not in (path, path.parent) or ".." in path.parts:
                    continue
                if path in taken or len(taken) >= MOST_FILES:
                    raise DataError(f"{archive} contains '{path}' twice, or too many files.")
                if member.size > LARGEST_FILE:
                    raise DataError(
                        f"{archive} contains '{path}' with {member.size:,} bytes; the maximum is {LARGEST_FILE:,}."
                    )
                source = stream.extractfile(member)
                assert source is not None
                with writing(folder / path) as target:
                    shutil.copyfileobj(source, target, 2**20)
                taken.add(path)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{archive} is truncated or corrupt: {error}.", fix="Fetch it again.") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise DataError(f"{archive} is truncated or corrupt: {error}.", fix="Fetch it again.") from None
    if not taken:
        raise DataError(f"{archive} does not contain '{inside}'.")
    return folder / inside
