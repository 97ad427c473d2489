"""Scores payments from Kafka: `transactions` to `processed_transactions`, and counts to `transactions_aggregated`.

Each payment comes out exactly once to whoever reads what is committed, whenever the process is killed; what can't be
read goes to `transactions_dead_letter` with the reason. How, and what was measured: docs/streaming.md.
"""

from __future__ import annotations

import argparse
import gc
import logging
import signal
import socket
from pathlib import Path
from typing import Any

from ml_pipeline.serve import from_environment, log_level_argument, model_sha256_argument
from ml_pipeline.streaming.kafka import AWS_MSK_IAM, PROTOCOLS, Topics, connection
from ml_pipeline.train import DATA, MODEL

STATE = Path("ml_pipeline/state")


def add_arguments(steps: Any) -> None:
    """The subcommand `stream`."""
    parser = steps.add_parser("stream", help="score payments from Kafka", description=__doc__)
    parser.set_defaults(run=run, step="stream")
    from_environment(parser, "--brokers", "KAFKA_BOOTSTRAP_SERVERS", None, "host:port, with commas")
    from_environment(parser, "--model", "MODEL_URI", str(MODEL), "folder of `train`, or a URL")
    parser.add_argument(
        "--promoted", help="record of the digests to score with (evaluation/evaluation.json beside --model)"
    )
    model_sha256_argument(parser)
    says = "folder, or a URL, whose `accounts/` is the reference data"
    from_environment(parser, "--accounts", "ACCOUNTS_URI", str(DATA), says)
    says = "folder for the account state, of this instance alone"
    from_environment(parser, "--state", "STATE_DIR", str(STATE), says, Path)
    says = "instances of one group share the work"
    from_environment(parser, "--group", "KAFKA_CONSUMER_GROUP", "stream-worker", says)
    parser.add_argument("--instance", default=socket.gethostname(), help="unique within the group")
    parser.add_argument("--grace", type=float, default=1.0, help="seconds to wait for earlier payments at most (1)")
    parser.add_argument("--snapshot-seconds", type=float, default=60.0, help="between two of the account state (60)")
    parser.add_argument("--port", type=int, default=9090, help="of /metrics, /livez and /readyz; 0: any (9090)")
    log_level_argument(parser)
    _kafka_arguments(parser)
    parser.add_argument(
        "--accept-lost-history", action="store_true", help="begin where the topic begins, though older state is lost"
    )


def _kafka_arguments(parser: argparse.ArgumentParser) -> None:
    for topic, name in Topics._field_defaults.items():
        option, variable = f"--topic-{topic.replace('_', '-')}", f"KAFKA_TOPIC_{name.upper()}"
        from_environment(parser, option, variable, name, "name of that topic")
    says = f"one of {', '.join(PROTOCOLS)}"
    from_environment(parser, "--security-protocol", "KAFKA_SECURITY_PROTOCOL", None, says, _protocol)
    says = f"such as SCRAM-SHA-512; {AWS_MSK_IAM}: as the role of this process, in the region $AWS_REGION"
    from_environment(parser, "--sasl-mechanism", "KAFKA_SASL_MECHANISM", None, says)
    parser.add_argument(
        "--kafka", type=Path, help="file of further properties for Kafka's clients, such as those for TLS"
    )


def _protocol(name: str) -> str:
    if name not in PROTOCOLS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(PROTOCOLS)}")
    return name


def run(arguments: argparse.Namespace) -> None:
    """Score until SIGTERM. Raises ValueError or OSError with what to change or to heal."""
    if arguments.grace < 0 or arguments.snapshot_seconds <= 0:
        raise ValueError("--grace must be at least 0, and --snapshot-seconds more than 0")
    if not arguments.brokers:
        raise ValueError("no brokers: name them by --brokers or $KAFKA_BOOTSTRAP_SERVERS")
    from confluent_kafka import KafkaException

    from ml_pipeline.serving.model import load, record_beside
    from ml_pipeline.streaming import metrics, scoring
    from ml_pipeline.streaming.snapshots import Snapshots
    from ml_pipeline.streaming.worker import Settings, Worker

    logging.basicConfig(level=arguments.log_level, format="%(asctime)s %(levelname)s %(message)s")
    topics = Topics(*(getattr(arguments, f"topic_{each}") for each in Topics._fields))
    kafka = connection(arguments.security_protocol, arguments.sasl_mechanism, arguments.kafka)
    settings = Settings(
        arguments.brokers, arguments.group, arguments.instance, arguments.grace, arguments.snapshot_seconds,
        arguments.accept_lost_history, kafka, topics,
    )  # fmt: skip
    model = load(arguments.model, arguments.promoted or record_beside(arguments.model), arguments.model_sha256)
    scores = scoring.Scoring(model, scoring.accounts(arguments.accounts))
    snapshots = Snapshots(arguments.state, topics.transactions)
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
