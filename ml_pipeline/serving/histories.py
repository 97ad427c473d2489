"""Account state as bytes: what `online.History` holds, packed, so that it costs nothing to keep and little to move.

A value is a row of 64-bit integers in the machine's order: version, keep, count, the totals; then the times, the payers
and the totals before each payment that is remembered. Millions of small objects instead would stop the service for
seconds whenever garbage is collected.
"""

from __future__ import annotations

from array import array
from typing import Any

from ml_pipeline.online import History, Totals

WIDTH = len(Totals._fields)
HEAD = 3 + WIDTH
MOST = 1 << 62  # what a payment is added to must not overflow


class Corrupt(ValueError):  # noqa: N818 - said of bytes
    """Bytes that are no history."""


class Rows:
    """Totals in a row, as `History.before` needs them: made when asked for."""

    __slots__ = ("cells",)

    def __init__(self, cells: array[int]) -> None:
        self.cells = cells

    def __getitem__(self, place: int) -> Totals:
        return Totals(*self.cells[WIDTH * place : WIDTH * (place + 1)])

    def __delitem__(self, places: slice) -> None:
        del self.cells[: WIDTH * places.stop]

    def append(self, totals: Totals) -> None:
        self.cells.extend(totals)


def packed(history: History, version: int) -> bytes:
    """A history as bytes, with a number that counts its changes; that of a corrupt value may be any, so it wraps."""
    before: Any = history.before
    cells = before.cells if isinstance(before, Rows) else array("q", [each for row in before for each in row])
    whole = array("q", (version % 2**63, history.keep, len(history.times), *history.totals))
    whole.extend(history.times)
    whole.extend(history.payers)
    whole.extend(cells)
    return whole.tobytes()


def unpacked(data: bytes) -> History:
    """The history that was packed. Raises Corrupt."""
    whole = array("q")
    try:
        whole.frombytes(data)
        count = whole[2]
    except (ValueError, IndexError):
        raise Corrupt("a history has another length than it says") from None
    if count < 0 or len(whole) != HEAD + (2 + WIDTH) * count:
        raise Corrupt("a history has another length than it says")
    begin = HEAD + count
    latest = whole[1:HEAD] + whole[begin - 1 : begin]
    if min(latest) <= -MOST or max(latest) >= MOST:
        raise Corrupt("a history has totals or times that no payments come to")
    payers = begin + count
    parts: dict[str, Any] = {
        "times": whole[HEAD:begin], "before": Rows(whole[payers:]), "payers": whole[begin:payers],
    }  # fmt: skip
    return History(whole[1], Totals(*whole[3:HEAD]), **parts)


def version(data: bytes | None) -> int:
    """How often a value was changed; 0 if there is none."""
    return 0 if data is None else int.from_bytes(data[:8], "little")
