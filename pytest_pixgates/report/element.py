"""HTML by construction: whatever is not an element is text, made plain and escaped. There is no other way in."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Literal

from pytest_pixgates.report.text import code, plain

_VOID = frozenset({"meta", "input", "link", "img", "br"})
_NAME = re.compile(r"[a-z][a-z0-9-]*")


class Html(str):
    """Markup that this package made."""

    __slots__ = ()


Child = str | Iterable["Child"] | None


def el(tag: str, /, *children: Child, **attributes: str | bool | None) -> Html:
    """An element. `class_` is the attribute class, `data_x` data-x; one that is None or False is left out."""
    assert _NAME.fullmatch(tag)
    given = ((key, value) for key, value in attributes.items() if value is not None and value is not False)
    told = "".join(_attribute(key, value) for key, value in given)
    return Html(f"<{tag}{told}>" if tag in _VOID else f"<{tag}{told}>{joined(*children)}</{tag}>")


def joined(*children: Child) -> Html:
    """The children one after the other."""
    return Html("".join(map(_child, children)))


def verbatim(line: str) -> Html:
    """A line of a file, whose spaces count."""
    return Html(html.escape(code(line)) + "\n")


def _child(child: Child) -> str:
    if child is None or isinstance(child, Html):
        return child or ""
    if isinstance(child, str):
        bare = html.escape(plain(child))
        # `plain` strips; a space at an edge keeps words of neighbours apart.
        return f"{' ' * child[:1].isspace()}{bare}{' ' * (bool(bare) and child[-1:].isspace())}"
    return "".join(map(_child, child))


def _attribute(key: str, value: str | Literal[True]) -> str:
    name = key.rstrip("_").replace("_", "-")
    assert _NAME.fullmatch(name)
    return f" {name}" if value is True else f' {name}="{html.escape(plain(str(value)))}"'
