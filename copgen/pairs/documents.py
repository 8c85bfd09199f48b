"""The JSON documents of a pairs folder: frozen models with one canonical text each, so that equal means equal bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from copgen.runtime.errors import DataError, EnvironmentFault
from copgen.runtime.files import read_json, write_text

SHA256 = r"^[0-9a-f]{64}$"


class Document(BaseModel):
    """A model that is a file. Unknown names are refused; numbers are finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def text(self) -> str:
        """The canonical JSON text: sorted names, two spaces, a final newline."""
        return json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True, allow_nan=False) + "\n"

    @property
    def digest(self) -> str:
        """The sha256 of the canonical text."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write the canonical text atomically."""
        write_text(path, self.text())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read one back.

        Raises:
            DataError: missing, not JSON, of another format, or with a wrong value; the error names it.
            EnvironmentFault: there, but not readable.
        """
        try:
            value = read_json(path)
        except OSError as error:
            raise EnvironmentFault(f"{path} cannot be read: {error.strerror}.", fix="Check its permissions.") from None
        except RecursionError:
            raise DataError(f"{path} is not a whole JSON document: it is nested too deeply.") from None
        known = cls.model_fields["format"].default if "format" in cls.model_fields else None
        if known is not None and isinstance(value, dict) and isinstance(value.get("format"), int):
            _check_format(path, value, known)
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the document"
            raise DataError(f"{path}: '{where}': {first['msg']}.") from None


def _check_format(path: Path, value: dict[str, Any], known: int) -> None:
    if value["format"] > known:
        raise DataError(f"{path} has format {value['format']}; this copgen reads up to {known}.", fix="Update copgen.")
