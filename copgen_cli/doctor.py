"""`copgen doctor`: what this machine offers, and which implementation of each operation runs on it."""

from __future__ import annotations

from typing import Any

from copgen_cli import options as o
from copgen_cli.console import Row, answer
from copgen_cli.story import Story
from copgen_cli.wording import size

EPILOG = o.examples("copgen doctor", "copgen doctor --json")


def doctor(as_json: o.Json = False, quiet: o.Quiet = False, debug: o.Debug = False, help: o.Help = False) -> None:
    """Say what this machine offers, and which kernels run, and why."""
    from copgen.stages.doctor import examine

    found = examine()
    answer(found, [*machine_rows(found), *operation_rows(found)], as_json=as_json)
    Story(quiet=quiet).next("copgen", "navigate", "--dry-run")


def machine_rows(found: dict[str, Any]) -> list[Row]:
    """The machine in lines."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return [
        ("python", f"{found['python']} on {found['system']}, {found['threads']} threads"),
        ("versions", versions),
        *((one["device"], device(one)) for one in found["devices"]),
    ]


def device(one: dict[str, Any]) -> str:
    """A device in words."""
    if "capability" not in one:
        return str(one["name"])
    return f"{one['name']}, compute capability {one['capability']}, {size(one['memory_bytes'])}"


def operation_rows(found: dict[str, Any]) -> list[Row]:
    """What runs, in lines."""
    return [
        (one["operation"], f"{one['device']}: {one['runs']} for {', '.join(one['dtypes'])}: {one['reason']}")
        for one in found["operations"]
    ]
