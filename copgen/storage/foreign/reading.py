"""`read_foreign`: what a file from elsewhere holds, whichever of the usual formats it is in, with nothing executed."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from copgen.runtime.errors import DataError, EnvironmentFault
from copgen.storage.foreign import arrays, legacy, zip_archive
from copgen.storage.foreign.opcodes import BadPickle

_AGAIN = "Download it again, and compare its size with the published one."
_GZIP, _LFS = b"\x1f\x8b", b"version https://git-lfs"
_LONGEST_SAFETENSORS_HEADER = 100 * 2**20


def read_foreign(path: Path) -> Any:
    """What a checkpoint of another program holds.

    Args:
        path: a file of `torch.save` (zip or the older format), a safetensors file, or a .npy array.

    Returns:
        Dictionaries, lists, numbers and texts; tensors on the CPU, views of the mapped file where the format allows it
        (writing to them does not reach the file); `Opaque` in place of objects of other classes, `Global` in place of
        classes and functions. A safetensors file is a dictionary of tensors.

    Raises:
        DataError: missing, truncated, damaged, of no known format, or a pickle that asks for something to be called.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder.", fix="Name the file in it.")
    if not path.is_file():
        raise DataError(f"{path} is missing: no file to read.", fix="Name a file that is there.")
    try:
        with open(path, "rb") as stream:
            head = stream.read(1024)
        refuse_what_is_no_checkpoint(path, head)
        if head.startswith(zip_archive.SIGNATURE):
            return zip_archive.read_archive(path)
        if head.startswith(legacy.SIGNATURE):
            return legacy.read_legacy(path)
        if head.startswith(arrays.SIGNATURE):
            return arrays.read_array(path)
        if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _LONGEST_SAFETENSORS_HEADER:
            return read_safetensors(path)
    except BadPickle as error:
        raise DataError(f"{path} cannot be read: {error}.", fix=advice(str(error))) from None
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {error.strerror}.", fix="Check its permissions.") from None
    cut = legacy.SIGNATURE.startswith(head) or zip_archive.SIGNATURE.startswith(head)
    raise DataError(
        f"{path} is {'truncated' if cut else 'of no known format'}: it begins with {head[:8].hex(' ')}.",
        fix=_AGAIN if cut else "Files of torch.save, safetensors and numpy arrays are read.",
    )


def advice(problem: str) -> str:
    """What to do about a file that cannot be read."""
    if "would run code" in problem:
        return "Do not open it with other programs either; get the file from its authors."
    return _AGAIN if "truncated" in problem or "damaged" in problem else ""


def refuse_what_is_no_checkpoint(path: Path, head: bytes) -> None:
    """Refuse what a download often leaves in place of the file that was wanted."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        raise DataError(f"{path} is empty.", fix=_AGAIN)
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise DataError(
            f"{path} is a web page, not a checkpoint.",
            fix="The address gave a page instead of the file (a login, a warning, a missing file); download it again.",
        )
    if head.startswith(_LFS):
        raise DataError(
            f"{path} is a Git LFS pointer, not the file that it stands for.",
            fix="Fetch the file with `git lfs pull`, or download it from the page of the repository.",
        )
    if head.startswith(_GZIP):
        holds = "a compressed file"
        try:
            with gzip.open(path) as stream:
                holds = "a compressed archive" if stream.read(262)[257:] == b"ustar" else holds
        except (OSError, EOFError):
            pass
        raise DataError(f"{path} is {holds}, not a checkpoint.", fix="Unpack it, and name what is inside.")


def read_safetensors(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise BadPickle(f"it is not a whole safetensors file ({error}); it is truncated or damaged") from None
