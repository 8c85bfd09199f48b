"""The wording of everything that users read is pinned in one place, tests/messages.txt; other tests leave it alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.messages import error_classes, messages, sentences


def test_messages_are_those_of_the_snapshot() -> None:
    snapshot = Path(__file__).with_name("messages.txt").read_text("utf-8")
    assert messages() == snapshot, "intended? then: python -m tests.messages > tests/messages.txt"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("raise UsageError(f'No {kind} here.', fix='Name one.')", "error 2: No {kind} here. -> Name one."),
        ("raise DataError('a' + f'{b}')", "error 3: a{b}"),
        ("events.warn('slow' if slow else 'fast')", "warns: slow | fast"),
        ("raise ValueError('low > high')", "setting: low > high"),
        ("raise BadMember('b')", "error : b"),
        ("print('text')", ""),
    ],
)
def test_sentences_are_found_in_the_source(source: str, found: str) -> None:
    classes = error_classes() | {"BadMember"}
    assert [sentence for _, sentence in sentences(ast.parse(source), classes)] == ([found] if found else [])


def test_derived_error_classes_are_known() -> None:
    assert {"UsageError", "Unreachable"} <= error_classes()
