"""Escapes that JSON allows and many readers cannot read, NUL and lone surrogates: found, and removed. Pure.

Nothing is decoded: all other text stays as it came, to the last digit of every number.
"""

import re

SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
"""Whether a text may hold an escape that is to be removed; most texts are done with after this one search."""
_ESCAPE = re.compile(
    # The backslash stands before the alternatives: so the search leaps from one to the next.
    rb"\\(?:(?P<pair>u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?P<unreadable>u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2}))"
    rb"|(?P<other>.))"
)
"""Every escape of a JSON text, one after another, so that an escaped backslash is never taken for the start of one."""


def without_unreadable(text: bytes) -> bytes:
    """Valid JSON without ``\\u0000`` and lone surrogates, in keys and values alike (the contract's section 10.3)."""
    return _ESCAPE.sub(_readable, text)


def _readable(escape: re.Match[bytes]) -> bytes:
    return b"" if escape.lastgroup == "unreadable" else escape[0]
