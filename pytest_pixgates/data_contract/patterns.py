"""Regular expressions that mean the same in Rust, Java, PostgreSQL and Python.

ODCS takes ECMA-262's. Engines differ in what \\d and . cover, where $ holds, and what they support at all; so a pattern
is read as ECMA means it and written out in characters, and what can't be written so is refused.
"""

from __future__ import annotations

import re

_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": " \\t\\n\\r\\f\\v"}
_ANY = b"[^\\n\\r\\u2028\\u2029]".decode("unicode_escape")
_PART = re.compile(r"\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\.|\[\^?\]?|.", re.DOTALL)


def portable(pattern: str) -> str:
    """`pattern` in a form that all engines read alike. Raises ValueError for what has none, or is no pattern."""
    written, inside = [], False
    pieces = _PART.findall(pattern)
    for index, part in enumerate(pieces):
        following = "".join(pieces[index + 1 : index + 3])
        if part[0] == "\\":
            written.append(_escaped(part, inside=inside))
        elif inside:
            if part[0] == "[":
                written.append("\\" + part)  # Rust and Java would nest
            else:
                written.append("\\" + part if part in "&~" else part)
            inside = part != "]"
        elif part[0] == "[":
            if part.endswith("]"):
                raise ValueError("[] and [^] mean different things to different engines; write \\] for the bracket")
            inside = True
            written.append(part)
        elif part == "(" and following.startswith("?") and not following.startswith("?:"):
            raise ValueError(f"({following} is not known to all engines; only (?: is")
        elif part in "*+?}" and following[:1] == "+":
            raise ValueError(f"{part}+ is not known to all engines")
        else:
            written.append(_ANY if part == "." else part)
    result = "".join(written)
    try:
        re.compile(result)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error.msg}") from None
    return result


def _escaped(part: str, *, inside: bool) -> str:
    letter = part[1:2]
    if part[1:2] in "ux" and len(part) > 2:
        return re.escape(chr(int(part[2:], 16)))
    if letter in _CLASSES:
        return _CLASSES[letter] if inside else f"[{_CLASSES[letter]}]"
    if letter.lower() in _CLASSES and not inside:
        return f"[^{_CLASSES[letter.lower()]}]"
    if letter in "nrtfv" or not letter.isalnum():
        return "/" if letter == "/" else part
    raise ValueError(f"{part} is not known to all engines, or means different things to them")


def with_end(pattern: str, end: str) -> str:
    """A portable pattern for an engine whose $ holds before a last line break too; `end` is its word for the end."""
    parts, inside = [], False
    for part in _PART.findall(pattern):
        if part[0] == "[" and not inside:
            inside = True
        elif part == "]":
            inside = False
        parts.append(end if part == "$" and not inside else part)
    return "".join(parts)
