"""The history in an MLflow experiment, for teams that watch their figures there anyway.

Each run is one of MLflow's: its metrics are for people and MLflow's charts; what is read back stands in tags, for a
metric's name can't hold a gate's, and tags come with one request for many runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pytest_pixgates.core import decode
from pytest_pixgates.core.errors import EXTRA
from pytest_pixgates.history.entry import Entry, HistoryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "pixgates"
_TAG = "pixgates.entry"
_PART = 4_000  # characters: MLflow refuses longer tags than 8,000 bytes
_UNFIT = re.compile(r"[^\w./ -]", re.ASCII)
_REQUESTS = {  # or a server that is away would hold up the end of a run for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class MlflowHistory:
    """The experiment `pixgates` of the tracking server or database at `uri`."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def __str__(self) -> str:
        parts = urlsplit(self._uri)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # without a password

    def read(self, most: int) -> list[Entry]:
        """The last `most` runs, oldest first. Raises HistoryError."""
        with self._client() as client:
            experiment = client.get_experiment_by_name(EXPERIMENT)
            if experiment is None:
                return []
            runs = client.search_runs([experiment.experiment_id], max_results=most, order_by=["start_time DESC"])
            entries = [_entry(run.data.tags) for run in runs]
        unique = {(each.run, each.started): each for each in entries}
        return sorted(unique.values(), key=lambda each: each.started)

    def append(self, entry: Entry) -> None:
        """Keep `entry`. Raises HistoryError."""
        text = json.dumps(decode.encode(entry), allow_nan=False)
        parts = {f"{_TAG}.{at // _PART}": text[at : at + _PART] for at in range(0, len(text), _PART)}
        tags = {
            "mlflow.runName": entry.run,
            "mlflow.source.git.commit": entry.commit,
            "pixgates.branch": entry.branch,
            "pixgates.environment": entry.environment,
            "pixgates.outcome": entry.outcome.value,
            **parts,
        }
        with self._client() as client:
            experiment = client.get_experiment_by_name(EXPERIMENT)
            key = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT)
            run = client.create_run(key, start_time=int(entry.started * 1000), tags=tags)
            for name, value in _metrics(entry).items():
                client.log_metric(run.info.run_id, name, value)
            client.set_terminated(run.info.run_id, end_time=int(entry.ended * 1000))

    @contextlib.contextmanager
    def _client(self) -> Iterator[MlflowClient]:
        unset = {name: value for name, value in _REQUESTS.items() if name not in os.environ}
        os.environ.update(unset)
        try:
            from mlflow import MlflowClient

            yield MlflowClient(tracking_uri=self._uri)
        except ImportError as error:
            raise HistoryError(f"the history {self} can't be used: {error}", remedy=EXTRA.format("model")) from None
        except HistoryError:
            raise
        except Exception as error:  # of the client, its database or its connection: each has errors of its own
            first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            told = first.replace(self._uri, str(self))
            raise HistoryError(f"the history {self} can't be used: {told}", remedy="see that it is there") from None
        finally:
            for name in unset:
                os.environ.pop(name, None)


def _metrics(entry: Entry) -> dict[str, float]:
    return {_UNFIT.sub("_", f"{point.gate} {point.figure.name}")[:250]: point.figure.value for point in entry.points}


def _entry(tags: dict[str, Any]) -> Entry:
    text = ""
    while (part := tags.get(f"{_TAG}.{len(text) // _PART}")) is not None:
        text += part
        if len(part) < _PART:
            break
    try:
        return decode.decode(Entry, decode.strict_json(text))
    except ValueError as error:
        raise HistoryError(f"a run in it is none of this version's: {error}", remedy="remove that run") from None
