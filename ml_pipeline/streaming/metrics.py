"""What the worker tells of itself: `/metrics` for Prometheus, `/livez` and `/readyz` for Kubernetes, on one port."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SILENT = 60.0  # seconds without a turn of the loop, after which the process is taken for dead


class Metrics:
    """The figures of one worker. Labels are from closed lists."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.ready = False
        self._turned = time.monotonic()

        def counter(name: str, says: str, *labels: str) -> Counter:
            return Counter(f"pix_stream_{name}", says, labels, registry=self.registry)

        def gauge(name: str, says: str, *labels: str) -> Gauge:
            return Gauge(f"pix_stream_{name}", says, labels, registry=self.registry)

        self.read = counter("read", "Records read, of all partitions, those read again too")
        self.payments = counter("payments", "Payments scored and committed", "decision")
        self.dead_letters = counter("dead_letters", "Records refused and committed", "reason")
        self.late = counter("late", "Payments earlier than another of their accounts, taken for as late as that one")
        self.unknown = counter("unknown_accounts", "Payments with an account that has no reference data")
        self.left_out = counter("late_for_window", "Payments too late for their window, left out of it")
        self.unreadable = counter("unreadable_processed", "Records of processed_transactions that could not be read")
        self.transactions = counter("transactions", "Kafka transactions", "outcome")
        self.rewinds = counter("rewinds", "Times that the state was made again from a snapshot")
        self.snapshots = counter("snapshots", "Snapshots written")
        self.snapshot_bytes = gauge("snapshot_bytes", "Size of the newest snapshot")
        self.lag = gauge("lag_records", "Records of own partitions not yet scored", "partition")
        self.windows_lag = gauge("windows_lag_records", "Processed payments not yet in their window, if counted here")
        self.waiting = gauge("waiting_records", "Records that wait for their place in the order of all partitions")
        self.partitions = gauge("partitions", "Partitions that this instance answers for")
        self.model = gauge("model_info", "The model that scores", "version")
        self.batch = Histogram(
            "pix_stream_batch_seconds", "Time to score a batch", registry=self.registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
        )  # fmt: skip
        self.commit = Histogram(
            "pix_stream_commit_seconds", "Time to commit a transaction", registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
        )  # fmt: skip

    def turned(self) -> None:
        """The loop is alive."""
        self._turned = time.monotonic()

    def alive(self) -> bool:
        return time.monotonic() - self._turned < SILENT


def serve(metrics: Metrics, port: int) -> ThreadingHTTPServer:
    """Answer on a port (0: any that is free) in a thread. Raises OSError if the port is taken."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds for a request: whoever connects and says nothing holds a thread

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(metrics.registry), CONTENT_TYPE_LATEST)
            elif self.path in ("/livez", "/readyz"):
                fine = metrics.alive() and (self.path == "/livez" or metrics.ready)
                self._answer(200 if fine else 503, b"ok\n" if fine else b"no\n", "text/plain")
            else:
                self._answer(404, b"there are /metrics, /livez and /readyz\n", "text/plain")

        def _answer(self, code: int, body: bytes, kind: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes and scrapes are no news."""

    server = ThreadingHTTPServer(("", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
