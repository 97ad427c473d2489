"""Lines of code with the values of secret-looking keys masked, all lines of each value.

Nothing is parsed: files of any language, broken ones too, are read by one rule, which in doubt hides a line too many.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise

from pytest_pixgates.core.process import MASK

_WORDS = "(?:password|passwd|passphrase|secret|token|api_?key|access_?key|private_?key|credential)"
_PLAIN = r"(?:true|false|null|(?:var|local)\.[\w.]+|\$\{\{?\s*[\w.-]+\s*\}?\})"
_COMMANDS = r"(?:ONBUILD|ENV|ARG|LABEL|export|setenv|set|-\w+)"
# The line goes on to be shown only where nothing can belong to the value any more.
_AFTER = r"""[\s)\]};,]*(?:$|(?<=[\s,;{])[{"']*[\w.-]+["']?\s*[:=])"""


def _secret(words: str) -> re.Pattern[str]:
    """A secret-looking key, and its value unless it only says where the value is."""
    name = rf"(?>[\w.-]*?{words}[\w.-]*+)"  # read once, or a hostile line would take time by the square of its length
    return re.compile(
        rf"""(?ix)
        (?P<key> (?<![\w.-]) {name} [\\"'\]]* \s* [?+]? [:=>]+ \s*
          | ^\s* (?:{_COMMANDS}\s+)* {name} \s++ (?![?+]?[:=>])  # NAME value
          | (?P<section> ^\s* \[+ [\w. -]*{words}[\w. -]* \]+ \s*$)
          | (?P<flag> (?<![\w.-]) --{name}) (?:[\\"',\s]+ | $))
        (?P<value> (?! ["']?{_PLAIN}["']?,?\s*$)
          (?: (?P<quote>["']) (?:\\. | (?!(?P=quote)).)+ (?=(?P=quote){_AFTER}) | \S.*))?
        """
    )


_SECRET, _NAMED_SECRET = _secret(_WORDS), _secret(rf"(?:{_WORDS}|\b(?:value|default)\b)")
# `name: DB_PASSWORD`, whose `value` stands beside it; `variable "password" {`, whose `default` stands in it.
_NAME = re.compile(r"""(?i)\b(?:name|key)["']?\s*[:=]\s*""")
_NAMING = re.compile(rf"""{_NAME.pattern}["']?[\w./-]*{_WORDS}|^\s*(?P<block>\w+)\s+["'][\w-]*{_WORDS}.*\{{""")
_MARGIN, _COMMENTED = re.compile(r"(\s*)(?:- +)*"), re.compile(r"([\s#/;]*)(?:- +)*")
_FIRST = re.compile(rf"""(?i)(?:{_COMMANDS}\s+)*["'<]?""")
_ESCAPED = re.compile(r"\\.")
_QUOTED = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""")
_HEREDOC = re.compile(r"<<[-~]?\s*\\?[\"']?(\w+)")


def masked(lines: Iterable[str]) -> Iterator[str]:
    """Each line of a whole file, with what belongs to a secret-looking key replaced."""
    value: _Value | None = None
    named_at: int | None = None
    for line, below in pairwise([*lines, ""]):
        if value and value.holds(line):
            yield f"{line[: _columns(line)[0]]}{MASK}" if line.strip() else line
            continue
        named_at = _named_at(line, named_at)
        named_below = _NAMING.search(below) and _columns(below)[0] == _columns(line)[1]
        pattern = _SECRET if named_at is None and not named_below else _NAMED_SECRET
        found = list(pattern.finditer(line))
        value = _Value(line, found) if found else None
        yield pattern.sub(_hidden, line)


def _named_at(line: str, before: int | None) -> int | None:
    """The column from which lines speak of what a line named as secret; None if none did."""
    begins, key = _columns(line)
    if naming := _NAMING.search(line):
        return begins + 1 if naming["block"] else key
    if before is None or not line.strip():
        return before
    return None if begins < before or (begins == before and _NAME.search(line)) else before


def _hidden(found: re.Match[str]) -> str:
    return f"{found['key']}{found['quote'] or ''}{MASK}" if found["value"] else found["key"]


class _Value:
    """What the keys `found` in a line may have begun, and the lines below that belong to it."""

    def __init__(self, line: str, found: list[re.Match[str]]) -> None:
        text = line[found[-1].end("key") :].strip()
        self._margin = _COMMENTED if re.match(r"\s*(?:#|//|;)", line) else _MARGIN
        _, key = _columns(line, self._margin)
        first = _FIRST.fullmatch(line, key, max(key, found[0].start()))
        self._column = key if first else sys.maxsize
        self._section = bool(found[-1]["section"])
        heredoc = _HEREDOC.search(text)
        self._word = heredoc[1] if heredoc else ""
        self._quote = _left_open(text)
        self._depth = _depth(text)
        self._goes_on = text.endswith("\\") or bool(found[-1]["flag"] and not text)

    def holds(self, line: str) -> bool:
        """Whether `line`, the next one, belongs to it."""
        bare = line.strip()
        if self._section:
            return not bare.startswith("[")
        if self._word:
            self._word = "" if bare == self._word else self._word
        elif self._quote:
            self._quote = "" if self._quote in _ESCAPED.sub("", line) else self._quote
        elif self._depth > 0 or self._goes_on:
            self._depth += _depth(bare)
            self._goes_on = bare.endswith("\\")
        else:
            begins, _ = _columns(line, self._margin)
            return not bare or begins > self._column or (begins == self._column and f"{bare} ".startswith("- "))
        return True


def _columns(line: str, margin: re.Pattern[str] = _MARGIN) -> tuple[int, int]:
    """Where the line begins, and where its key does, behind the dashes of a list."""
    found = margin.match(line)
    return (found.end(1), found.end()) if found else (0, 0)


def _left_open(text: str) -> str:
    """The quote that `text` begins with and does not close."""
    begins = re.match(r"""\w{0,2}(\"{3}|'{3}|["'`])""", text)
    return begins[1] if begins and begins[1] not in _ESCAPED.sub("", text[begins.end() :]) else ""


def _depth(text: str) -> int:
    """How many more brackets it opens than it closes, quoted ones aside."""
    bare = _QUOTED.sub("", text)
    return len(re.findall(r"[(\[{]", bare)) - len(re.findall(r"[)\]}]", bare))
