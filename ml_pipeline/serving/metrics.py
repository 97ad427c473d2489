"""What `/metrics` tells. No label holds anything of a request."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0)


class Metrics:
    """The figures of one service."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)

        def counter(name: str, says: str, *labels: str) -> Counter:
            return Counter(f"scoring_{name}", says, labels, registry=registry)

        def gauge(name: str, says: str, *labels: str) -> Gauge:
            return Gauge(f"scoring_{name}", says, labels, registry=registry)

        self.latency = Histogram(
            "scoring_request_seconds", "From the request's head to its answer.", ("endpoint",), buckets=BUCKETS,
            registry=registry,
        )  # fmt: skip
        self.requests = counter("requests", "Answers by status.", "endpoint", "status")
        self.decisions = counter("decisions", "Payments decided.", "decision", "model_version")
        self.model_errors = counter("model_errors", "Payments that the model could not score, so that rules decided.")
        self.repeated = counter("repeated", "Payments that were answered before, and got that answer again.")
        self.late = counter("late", "Payments older than one of the same accounts, taken as if made at its time.")
        self.missing = counter("state_missing", "Reference data of accounts that is not there.", "what")
        self.state_errors = counter("state_errors", "Payments that state could not be read or written for.", "what")
        self.swaps = counter("model_swaps", "Attempts to load a model.", "result")
        self.waiting = gauge("queue_rows", "Payments that wait.")
        self.forgotten = gauge("state_forgotten", "Histories that memory had no room for.")
        self.model = gauge("model_info", "1 for the model that is served.", "version", "sha256")
        self.ready = gauge("ready", "Whether /readyz says so.")

    def show_model(self, version: str, sha256: str) -> None:
        """Say which model is served."""
        self.model.clear()
        self.model.labels(version, sha256).set(1)

    def text(self) -> bytes:
        """All figures in Prometheus's format."""
        return generate_latest(self.registry)
