"""Text from outside (names of files and classes, values of options) in a form that is safe to show and to log.

A name may hold line breaks, escape sequences of terminals, and bytes that are not UTF-8, which Python carries as lone
surrogates (PEP 383) and which no encoding accepts.
"""

from __future__ import annotations

import shlex

_BYTES = range(0xDC80, 0xDD00)  # how Python carries the bytes 0x80 to 0xff of a name that is not UTF-8


def printable(text: str) -> str:
    r"""One line of printable characters: others become escapes, such as \n, \x1b, \u202e, and \xff for a raw byte."""
    return text if text.isprintable() else "".join(one if one.isprintable() else escape(one) for one in text)


def escape(character: str) -> str:
    r"""The escape of a character: \n, \x1b; \u00e9 beyond ASCII; \xff for a byte of a name that is not UTF-8."""
    code = ord(character)
    if code in _BYTES:
        return f"\\x{code - 0xDC00:02x}"
    if character.isascii():
        return character.encode("unicode_escape").decode("ascii")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def is_utf8(text: str) -> bool:
    """Whether a text, such as a path, can be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def command_line(*words: str) -> str:
    """A command to copy into a shell; words that are not printable are quoted as $'...' (bash, zsh, POSIX 2024)."""
    return " ".join(shlex.quote(word) if word.isprintable() else f"$'{_quoted(word)}'" for word in words)


def _quoted(word: str) -> str:
    plain = {byte for byte in range(0x20, 0x7F) if byte not in b"\\'"}
    data = b"".join(map(_encoded, word))
    return "".join(chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in data)


def _encoded(character: str) -> bytes:
    code = ord(character)
    return bytes([code - 0xDC00]) if code in _BYTES else character.encode("utf-8", "surrogatepass")
