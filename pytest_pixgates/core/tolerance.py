"""How long a finding may be tolerated, by a waiver or by the baseline."""

from __future__ import annotations

import datetime

LONGEST = datetime.timedelta(days=90)


def today() -> datetime.date:
    """The date in UTC, so that all machines agree on what has expired."""
    return datetime.datetime.now(datetime.UTC).date()
