"""Where a run comes from: inputs by hash, versions, licences, settings, its log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from copgen.generators.registry import entry
from copgen.report.page.html import escaped, missing, table, tag
from copgen.report.page.navigating import generator_of
from copgen.report.page.record import Record
from copgen.report.page.values import table as table_of
from copgen.runtime.errors import CopgenError
from copgen.runtime.settings import flatten

LAST_LINES = 200


def provenance_html(record: Record) -> str:
    """Licence, inputs, machine and versions; settings and log to unfold."""
    facts: list[tuple[str, str]] = []
    if generator := generator_of(record):
        facts.append(("generator", escaped(generator)))
        facts.append(("licence of its weights", escaped(licence_of(generator))))
    for name, digest in table_of(record.environment, "inputs").items():
        facts.append((f"{escaped(name)}, sha256", f"<code>{escaped(digest)}</code>"))
    versions = table_of(record.environment, "versions")
    if versions:
        facts.append(("versions", escaped(", ".join(f"{name} {number}" for name, number in versions.items()))))
    for name in ("python", "system", "device", "threads"):
        if name in record.environment:
            facts.append((name, escaped(record.environment[name])))
    listed = "".join(tag("dt", name) + tag("dd", value) for name, value in facts)
    told = tag("dl", listed) if facts else ""
    if not record.environment:
        told += missing("environment.json is missing or damaged, so inputs and versions are not known.")
    settings = table(("setting", "value"), ((escaped(name), _value(value)) for name, value in _flat(record)), texts=2)
    folded = tag("details", tag("summary", "Settings") + settings)
    if record.messages:
        lines = "\n".join(map(escaped, record.messages[-LAST_LINES:]))
        folded += tag("details", tag("summary", "Log") + tag("pre", lines))
    return told + folded


def licence_of(generator: str) -> str:
    """The terms of a generator's weights, as far as they are registered."""
    try:
        return entry(generator).licence or "not recorded"
    except CopgenError:
        return "not known: this generator is not installed here"


def _flat(record: Record) -> Iterable[tuple[str, Any]]:
    return flatten(dict(record.config)).items()


def _value(value: Any) -> str:
    return f"<code>{escaped(value)}</code>"
