"""Where the history is: beside the records, or wherever it is said to be."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pytest_pixgates.core import environ
from pytest_pixgates.core.errors import UsageError
from pytest_pixgates.history.entry import Entry

FILE_NAME = "history.db"
MLFLOW = "mlflow+"
SHOWN = 50
"""How many runs reports and trends look back."""


class History(Protocol):
    """Entries, kept somewhere that `str` tells without a password."""

    def read(self, most: int) -> list[Entry]:
        """The last `most` runs, oldest first. Raises HistoryError."""

    def append(self, entry: Entry) -> None:
        """Keep `entry`. Raises HistoryError."""


def at(place: str, reports: Path) -> History:
    """The history at `place`: a file, `mlflow+URI`, or "" for `history.db` in `reports`, the folder of the records.

    Raises UsageError for another kind of address.
    """
    if place.startswith(MLFLOW):
        from pytest_pixgates.history.mlflow import MlflowHistory

        return MlflowHistory(place.removeprefix(MLFLOW))
    if "://" in place:
        remedy = f"name a file, or an MLflow server as {MLFLOW}URI"
        raise UsageError(f"{environ.HISTORY}: a history can't be kept at such an address", remedy=remedy)
    from pytest_pixgates.history.sqlite import SqliteHistory

    return SqliteHistory(Path(place) if place else reports / FILE_NAME)
