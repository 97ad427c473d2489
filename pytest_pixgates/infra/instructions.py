"""Reads a Dockerfile as its instructions: continued lines joined, comments and here-documents left out."""

from __future__ import annotations

import re
from collections.abc import Iterator

_HERE = re.compile(r"<<-?\s*[\"']?(?P<word>\w+)[\"']?")


def parse(text: str) -> Iterator[tuple[str, str, int]]:
    """Each instruction in capitals, the rest of it, and the line on which it begins."""
    joined, start, until = "", 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if until:  # inside a here-document
            until = "" if line.strip() == until else until
            continue
        if line.lstrip().startswith("#") or not (joined or line.strip()):
            continue
        start = start if joined else number
        joined += line.rstrip().removesuffix("\\") + " "
        if not line.rstrip().endswith("\\"):
            word, _, rest = joined.strip().partition(" ")
            yield word.upper(), rest.strip(), start
            opened = _HERE.search(rest) if word.upper() in ("RUN", "COPY", "ADD") else None
            joined, until = "", opened["word"] if opened else ""
    if joined.strip():
        word, _, rest = joined.strip().partition(" ")
        yield word.upper(), rest.strip(), start
