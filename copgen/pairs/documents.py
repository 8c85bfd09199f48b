"""The JSON documents of a pairs folder: frozen models with one canonical text, so equal models give equal bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from copgen.runtime.errors import DataError
from copgen.storage.files import parse_json, read_bytes, write_bytes

SHA256 = r"^[0-9a-f]{64}$"


class Document(BaseModel):
    """A model that is stored as a file. Unknown names are refused; numbers must be finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def text(self) -> str:
        """The canonical JSON text: sorted names, two spaces, a final newline."""
        return json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True, allow_nan=False) + "\n"

    @property
    def digest(self) -> str:
        """The sha256 of the canonical text."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write the canonical text atomically, also while another process writes the same file."""
        write_bytes(path, self.text().encode(), alone=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a document.

        Raises:
            DataError: missing, not JSON, of another format, or with an invalid value; the error names it.
            EnvironmentFault: the file exists but cannot be read.
        """
        return cls.parse(read_bytes(path), str(path))

    @classmethod
    def parse(cls, data: bytes, where: str) -> Self:
        """Parse a document; errors name `where` the bytes come from.

        Raises:
            DataError: not JSON, of another format, or with an invalid value; the error names it.
        """
        value = parse_json(data, where)
        known = cls.model_fields["format"].default if "format" in cls.model_fields else None
        if known is not None and isinstance(value, dict) and isinstance(value.get("format"), int):
            _check_format(where, value, known)
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the document"
            raise DataError(f"{where}: '{place}': {first['msg']}.") from None


def _check_format(where: str, value: dict[str, Any], known: int) -> None:
    if value["format"] > known:
        raise DataError(f"{where} has format {value['format']}; this copgen reads up to {known}.", fix="Update copgen.")
