"""Scores payments from Kafka: `transactions` to `processed_transactions`, and counts to `transactions_aggregated`.

Each payment comes out exactly once to whoever reads what is committed, whenever the process is killed; what can't be
read goes to `transactions_dead_letter` with the reason. How, and what was measured: docs/streaming.md.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import socket
from pathlib import Path
from typing import Any

from ml_pipeline.serve import model_sha256_argument
from ml_pipeline.train import DATA, MODEL

STATE = Path("ml_pipeline/state")


def add_arguments(steps: Any) -> None:
    """The subcommand `stream`."""
    parser = steps.add_parser("stream", help="score payments from Kafka", description=__doc__)
    parser.set_defaults(run=run, step="stream")
    parser.add_argument("--brokers", required=True, help="host:port, with commas")
    parser.add_argument("--model", default=str(MODEL), help="folder of `train`, or a URL")
    parser.add_argument(
        "--promoted", help="record of the digests to score with (evaluation/evaluation.json beside --model)"
    )
    model_sha256_argument(parser)
    parser.add_argument("--accounts", type=Path, default=DATA, help="folder whose `accounts/` is the reference data")
    parser.add_argument(
        "--state",
        type=Path,
        default=Path(os.environ.get("STATE_DIR") or STATE),
        help="folder for the account state, of this instance alone ($STATE_DIR)",
    )
    parser.add_argument("--group", default="stream-worker", help="instances of one group share the work")
    parser.add_argument("--instance", default=socket.gethostname(), help="unique within the group")
    parser.add_argument("--grace", type=float, default=1.0, help="seconds to wait for earlier payments at most (1)")
    parser.add_argument("--snapshot-seconds", type=float, default=60.0, help="between two of the account state (60)")
    parser.add_argument("--port", type=int, default=9090, help="of /metrics, /livez and /readyz; 0: any (9090)")
    parser.add_argument("--kafka", type=Path, help="file of properties for Kafka's clients, such as those for TLS")
    parser.add_argument(
        "--accept-lost-history", action="store_true", help="begin where the topic begins, though older state is lost"
    )


def run(arguments: argparse.Namespace) -> None:
    """Score until SIGTERM. Raises ValueError or OSError with what to change or to heal."""
    if arguments.grace < 0 or arguments.snapshot_seconds <= 0:
        raise ValueError("--grace must be at least 0, and --snapshot-seconds more than 0")
    from confluent_kafka import KafkaException

    from ml_pipeline.serving.model import load, record_beside
    from ml_pipeline.streaming import metrics, scoring
    from ml_pipeline.streaming.snapshots import Snapshots
    from ml_pipeline.streaming.worker import TRANSACTIONS, Settings, Worker

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = Settings(
        arguments.brokers, arguments.group, arguments.instance, arguments.grace, arguments.snapshot_seconds,
        arguments.accept_lost_history, properties(arguments.kafka) if arguments.kafka else {},
    )  # fmt: skip
    model = load(arguments.model, arguments.promoted or record_beside(arguments.model), arguments.model_sha256)
    scores = scoring.Scoring(model, scoring.accounts(arguments.accounts))
    snapshots = Snapshots(arguments.state, TRANSACTIONS)
    figures = metrics.Metrics()
    figures.model.labels(model.version).set(1)
    # What is remembered of payments is no garbage, and there is much of it: looking through all of it takes a fifth of
    # the time. Young objects are still looked at.
    gc.set_threshold(10_000, 20, 1_000_000)
    try:
        worker = Worker(settings, scores, snapshots, figures)
        server = metrics.serve(figures, arguments.port)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(worker, "stopping", True))
        print(f"scoring with {model.version}; figures on port {server.server_port}", flush=True)
        worker.run()
    except KafkaException as error:
        raise ConnectionError(f"Kafka: {error.args[0].str()} ({error.args[0].name()})") from error
    finally:
        snapshots.close()


def properties(path: Path) -> dict[str, str]:
    """`name=value` by line. Raises ValueError for any other line, or for what the worker must decide itself."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    given = [line.partition("=") for line in lines if line and not line.startswith("#")]
    if wrong := [name for name, equals, _ in given if not equals]:
        raise ValueError(f"{path}: {wrong[0]!r} is no name=value")
    own = {"transactional.id", "group.id", "isolation.level", "enable.auto.commit", "enable.idempotence", "acks"}
    if taken := sorted(own & {name.strip() for name, _, _ in given}):
        raise ValueError(f"{path}: {', '.join(taken)} can't be set: exactly once depends on it")
    return {name.strip(): value.strip() for name, _, value in given}
