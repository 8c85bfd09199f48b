"""`copgen doctor`: what this machine offers, and which implementation of each operation runs on it."""

from __future__ import annotations

from typing import Any

from copgen.runtime.errors import EnvironmentFault
from copgen.runtime.sizes import size
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row, answer
from copgen_cli.story import Story


@command("copgen doctor", "copgen doctor --json")
def doctor(report: o.Report) -> None:
    """Show what this machine offers and which kernels run; self-test them."""
    from copgen.doctor.report import examine

    found = examine()
    rows = [*machine_rows(found), *operation_rows(found), *self_test_rows(found)]
    answer(found, rows, as_json=report.as_json)
    if failed := [f"{one['operation']} on {one['device']}" for one in found["self_tests"] if not one["passed"]]:
        raise EnvironmentFault(
            f"The self-test of {' and of '.join(failed)} failed.",
            fix="COPGEN_NATIVE=0 runs the reference of the native operators.",
        )
    Story(quiet=report.quiet).next("copgen", "navigate", "--dry-run")


def machine_rows(found: dict[str, Any]) -> list[Row]:
    """The machine in lines."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return [
        ("python", f"{found['python']} on {found['system']}, {found['threads']} threads"),
        ("versions", versions),
        *((one["device"], device(one)) for one in found["devices"]),
        ("native operators", built(found["native"])),
    ]


def device(one: dict[str, Any]) -> str:
    """A device in words."""
    if "capability" not in one:
        return str(one["name"])
    return f"{one['name']}, compute capability {one['capability']}, {size(one['memory_bytes'])}"


def built(how: dict[str, str]) -> str:
    """How the native operators were built, in words."""
    if not how:
        return "not built, or not wanted"
    cuda = f"CUDA {how['cuda']} for {how['architectures']}" if how["cuda"] else "no CUDA"
    openmp = f"OpenMP {how['openmp']}" if how["openmp"] else "no OpenMP"
    return f"for torch {how['torch']} by {how['compiler']}, {cuda}, {openmp}"


def operation_rows(found: dict[str, Any]) -> list[Row]:
    """What runs, in lines."""
    return [
        (one["operation"], f"{one['device']}: {one['runs']} for {', '.join(one['dtypes'])}: {one['reason']}")
        for one in found["operations"]
    ]


def self_test_rows(found: dict[str, Any]) -> list[Row]:
    """The results of the self-tests, and times, in lines."""
    return [
        (
            f"{one['operation']}, self-test",
            f"{one['device']}: {'within tolerance' if one['passed'] else 'FAILED'}"
            f" (error {one['error']:.1e}, tolerance {one['bound']:.1e});"
            f" {one['shape']} in {one['microseconds']:,.0f} us, reference {one['reference_microseconds']:,.0f} us",
        )
        for one in found["self_tests"]
    ]
