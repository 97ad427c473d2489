"""Text that came from tools and tests, made safe to print: it may hold escape codes that repaint a terminal."""

from __future__ import annotations

import datetime
import math
import re
import unicodedata

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours and cursor movements
    r"|\x1b[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)?"  # window titles and hyperlinks
    r"|\x1b[ -/]*[0-~]?"
)
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})  # controls, direction overrides, lone surrogates


def plain(text: str) -> str:
    """`text` on one line, without escape codes, its other control characters shown as U+FFFD."""
    return _shown(" ".join(_ESCAPES.sub("", text).split()))


def code(line: str) -> str:
    """A line of a file, as `plain` but for its spaces; a tab counts as four."""
    return _shown(_ESCAPES.sub("", line).expandtabs(4).rstrip())


def _shown(bare: str) -> str:
    if bare.isascii() and bare.isprintable():
        return bare
    return "".join("\ufffd" if unicodedata.category(character) in _UNSAFE else character for character in bare)


def cut(text: str, width: int) -> str:
    """`text`, with an ellipsis at its end if it is longer than `width`."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def duration(seconds: float) -> str:
    """Seconds as a person reads them: "0.4 s", "34 s", "5 min 12 s"."""
    if not math.isfinite(seconds):
        return "? s"
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def counted(number: int, thing: str) -> str:
    """ "1 gate", "2 gates"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def moment(seconds: float) -> datetime.datetime:
    """Seconds since the epoch, in UTC; the epoch for what is no date."""
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.datetime.fromtimestamp(0, datetime.UTC)
