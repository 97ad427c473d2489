"""What every user of a Spark frame needs. Spark is never imported here: whoever has a frame has it."""

from __future__ import annotations

from typing import Any


def is_spark(data: object) -> bool:
    """Whether `data` is a frame of Spark, classic or Connect."""
    return type(data).__module__.partition(".")[0] == "pyspark"


def quoted(column: str) -> str:
    """The name of a column as Spark's SQL takes it."""
    return "`" + column.replace("`", "``") + "`"


def micros(moment: str, *, date: bool, zoned: bool) -> str:
    """SQL for a moment in microseconds since 1970; what has no zone is UTC's, whatever the session's zone is."""
    if date:
        return f"unix_date({moment}) * 86400000000L"
    return (
        f"unix_micros({moment})"
        if zoned
        else (f"timestampdiff(MICROSECOND, TIMESTAMP_NTZ'1970-01-01 00:00:00', {moment})")
    )


def collected(frame: Any) -> list[dict[str, Any]]:
    """The rows of a Spark frame. This is one job: Spark is kept from making several of it."""
    settings = {"spark.sql.adaptive.enabled": "false", "spark.sql.autoBroadcastJoinThreshold": "-1"}
    session = frame.sparkSession
    before = {name: session.conf.get(name) for name in settings}
    try:
        for name, value in settings.items():
            session.conf.set(name, value)
        return [row.asDict() for row in frame.collect()]
    finally:
        for name, value in before.items():
            session.conf.set(name, value)
