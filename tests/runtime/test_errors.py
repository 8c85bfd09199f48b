"""Errors carry their exit code, and unknown names get the nearest known one."""

from __future__ import annotations

import random
import string

import pytest

from copgen.runtime.errors import (
    CopgenError,
    DataError,
    Diverged,
    EnvironmentFault,
    ExitCode,
    Stopped,
    UsageError,
    nearest,
    unknown,
)

NAMES = ["temperature", "updates", "batch", "checkpoint_every", "lr_encoder", "lr_navigator", "seed", "stop", "delta"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CopgenError("a"), 2),
        (UsageError("a"), 2),
        (DataError("a"), 3),
        (EnvironmentFault("a"), 4),
        (Diverged("a"), 5),
        (Stopped("a", code=ExitCode.STOPPED), 75),
        (Stopped("a", code=ExitCode.INTERRUPTED), 130),
    ],
)
def test_exit_codes(error: CopgenError, code: int) -> None:
    assert error.code == code


def test_the_message_is_what_and_fix() -> None:
    error = DataError("It is cut.", fix="Make it again.")
    assert (error.what, error.fix, str(error)) == ("It is cut.", "Make it again.", "It is cut. Make it again.")
    assert str(DataError("It is cut.")) == "It is cut."


def mistype(name: str, edits: int, rng: random.Random) -> str:
    for _ in range(edits):
        place = rng.randrange(len(name))
        letter = rng.choice(string.ascii_lowercase)
        dropped, added = name[:place] + name[place + 1 :], name[:place] + letter + name[place:]
        name = rng.choice([dropped, added, name[:place] + letter + name[place + 1 :]])
    return name


@pytest.mark.parametrize("edits", [1, 2])
def test_a_mistyped_name_is_found(edits: int) -> None:
    rng = random.Random(0)
    for name in NAMES:
        for _ in range(50):
            wrong = mistype(name, edits, rng)
            if wrong not in NAMES:
                # Two edits can make 'seed' as near to 'stop', but some name is always offered.
                hint = nearest(wrong, NAMES)
                assert hint.startswith("Did you mean '"), (wrong, hint)
                if edits == 1 or len(name) > 5:
                    assert hint == f"Did you mean '{name}'?", wrong


def test_a_word_of_names_finds_them_all() -> None:
    assert nearest("lr", ["band", "lr_navigator", "lr_encoder"]) == "Did you mean 'lr_encoder' or 'lr_navigator'?"


def test_a_name_like_none_lists_all() -> None:
    assert nearest("qqq", ["b", "a"]) == "Known: a, b."


def test_unknown_names_what_where_and_the_nearest() -> None:
    error = unknown("generator", "digit", ["digits", "mnist"])
    assert isinstance(error, UsageError)
    assert str(error) == "There is no generator 'digit'. Did you mean 'digits'?"
