"""Comments that tell a tool to look away."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_pixgates.core.scan import INLINE_SKIP, Finding

# A comment can't be told from a string in all of these languages, and checkov doesn't try to: any line counts.
_RULES = r"(?P<rules>[\w-]+(?:\s*,\s*[\w-]+)*)?"
_SKIPS = {
    "checkov": (
        re.compile(rf"(?:checkov|bridgecrew|cortex):skip=\s*{_RULES}"),
        re.compile(rf"(?:checkov|bridgecrew|cortex)\.io/skip[\w.-]*[\"']?\s*[:=]\s*[\"']?{_RULES}"),
    ),
    "hadolint": (
        re.compile(rf"hadolint\s+(?:global\s+)?ignore\s*=\s*{_RULES}"),
        re.compile(r"hadolint\s+shell\s*=\s*(?P<rules>[\w/.-]+)"),
    ),
    "tflint": (re.compile(rf"tflint-ignore(?:-file)?:\s*{_RULES}"),),
}


def inline_skips(tool: str, text: str, path: str) -> Iterator[Finding]:
    """The comments and annotations that tell `tool` to look away: neither owner nor expiry, so findings."""
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern in _SKIPS[tool]:
            for match in pattern.finditer(line):
                rules = re.split(r"\s*,\s*", match["rules"] or "unnamed")
                yield from (inline_skip(tool, rule, path, number) for rule in rules)


def inline_skip(tool: str, rule: str, path: str, line: int) -> Finding:
    return Finding(
        INLINE_SKIP,
        f"{tool} is told to skip {rule} here, with no owner and no expiry",
        path,
        line,
        resource=rule,
        fix="remove it, or register a waiver in gates/waivers.toml",
    )
