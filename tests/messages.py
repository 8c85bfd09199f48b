"""Every sentence that copgen tells a user, in one list: errors with their remedies, warnings, narration.

    python -m tests.messages > tests/messages.txt

writes the snapshot; what changed then shows in the diff of that file. The sentences are read from the source, so that
none is missed: string arguments of the error classes, of `say`, `warn` and `explain`, and of the raised `ValueError`s
that settings models turn into usage errors. Other tests assert exit code, subject, value and remedy, not the wording.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from copgen.runtime import errors

ROOT = Path(__file__).parents[1]
CLASSES = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
TELLING = {"say": "says", "warn": "warns", "explain": "explains"}
KINDS = {"UsageError": 2, "DataError": 3, "EnvironmentFault": 4, "Diverged": 5}


def text_of(node: ast.expr | None) -> str:
    """The sentence that an expression gives, with {expressions} where values go; empty if it is none."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(part(value) for value in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text_of(node.left) + text_of(node.right)
    if isinstance(node, ast.IfExp):
        return " | ".join(text for text in (text_of(node.body), text_of(node.orelse)) if text)
    return ""


def part(node: ast.expr) -> str:
    """A piece of an f-string."""
    if isinstance(node, ast.FormattedValue):
        return "{" + (text_of(node.value) or ast.unparse(node.value)) + "}"
    return text_of(node)


def error_classes() -> set[str]:
    """The names of all error classes: those of runtime/errors.py, and what is derived from them anywhere."""
    names = set(CLASSES)
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base) in names for base in node.bases):
                names.add(node.name)
    return names


def sources() -> list[Path]:
    """The files whose sentences users read."""
    return sorted(path for package in ("copgen", "copgen_cli") for path in (ROOT / package).rglob("*.py"))


def sentences(tree: ast.AST, classes: set[str]) -> Iterator[tuple[int, str]]:
    """(line, sentence) of each call in a file that tells the user something."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        said = text_of(node.args[0]) if node.args else ""
        if name in classes:
            code = KINDS.get(name, "")
            fix = next((text_of(given.value) for given in node.keywords if given.arg == "fix"), "")
            if said or fix:
                yield node.lineno, f"error {code}: {said}" + (f" -> {fix}" if fix else "")
        elif name in TELLING and said:
            yield node.lineno, f"{TELLING[name]}: {said}"
        elif name == "ValueError" and said:
            yield node.lineno, f"setting: {said}"


def messages() -> str:
    """The snapshot's text: a heading for each file, and its sentences in the order of the source."""
    classes = error_classes()
    lines: list[str] = []
    for path in sources():
        found = sorted(sentences(ast.parse(path.read_text("utf-8")), classes))
        if found:
            lines += [str(path.relative_to(ROOT)), *(f"    {sentence}" for _, sentence in found)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(messages(), end="")
