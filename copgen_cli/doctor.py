"""`copgen doctor`: the machine, and which implementation of each operation runs on it."""

from __future__ import annotations

from typing import Any

import typer

from copgen.runtime.errors import EnvironmentFault
from copgen.runtime.sizes import size
from copgen_cli import failures
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row


@command("copgen doctor", "copgen doctor --json")
def doctor(report: o.Report) -> None:
    """Report the machine, which kernels run and why; self-test them."""
    from copgen.doctor.machine_report import examine

    found = examine()
    fault = fault_of(found["self_tests"])
    if fault and report.as_json:  # one document: the report, with the error in the form of all errors
        report.answer({**found, **failures.document(fault)}, [])
        raise typer.Exit(fault.code)
    report.answer(found, [*machine_rows(found), *operation_rows(found), *self_test_rows(found)])
    if fault:
        raise fault
    report.story().next("copgen", "navigate", "--dry-run")


def fault_of(self_tests: list[dict[str, Any]]) -> EnvironmentFault | None:
    """The error that names the failed self-tests; None if all passed."""
    names = [f"{one['operation']} on {one['device']}" for one in self_tests if not one["passed"]]
    if not names:
        return None
    return EnvironmentFault(
        f"The self-test of {' and of '.join(names)} failed.",
        fix="Set COPGEN_NATIVE=0 to run PyTorch instead of the native operators and the Triton kernels.",
    )


def machine_rows(found: dict[str, Any]) -> list[Row]:
    """Python, the versions of packages, the devices and the native operators."""
    return [
        ("python", f"{found['python']} on {found['system']}, {found['threads']} threads"),
        ("versions", ", ".join(f"{name} {version}" for name, version in found["versions"].items())),
        *((one["device"], device(one)) for one in found["devices"]),
        ("native operators", built(found["native"]) if found["native"] else found["native_reason"]),
    ]


def device(one: dict[str, Any]) -> str:
    """Name, compute capability and memory of a device."""
    if "capability" not in one:
        return str(one["name"])
    return f"{one['name']}, compute capability {one['capability']}, {size(one['memory_bytes'])}"


def built(how: dict[str, str]) -> str:
    """How the native operators were built."""
    cuda = f"CUDA {how['cuda']} for {how['architectures']}" if how["cuda"] else "no CUDA"
    return f"by {how['compiler']}, with torch {how['headers']}, {cuda}"


def operation_rows(found: dict[str, Any]) -> list[Row]:
    """The implementation of each operation and the reason for it."""
    return [
        (
            one["operation"],
            f"{one['device']}: {one['runs']} for {', '.join(one['dtypes'])}"
            f"{', layers ' + one['layers'] + ' wide' if 'layers' in one else ''}: {one['reason']}",
        )
        for one in found["operations"]
    ]


def self_test_rows(found: dict[str, Any]) -> list[Row]:
    """The error and the time of each self-test, or what it raised."""
    return [(f"{one['operation']}, self-test", f"{one['device']}: {_result(one)}") for one in found["self_tests"]]


def _result(one: dict[str, Any]) -> str:
    if one["failure"]:
        return f"FAILED: {one['failure']}"
    return (
        f"{'within tolerance' if one['passed'] else 'FAILED'}"
        f" (error {one['error']:.1e}, tolerance {one['bound']:.1e});"
        f" {one['shape']} in {one['microseconds']:,.0f} us, reference {one['reference_microseconds']:,.0f} us"
    )
