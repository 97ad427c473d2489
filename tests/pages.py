"""A run worth reading, as the page shows it: something of each kind, in a repository on disk, with runs before it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from random import Random

from pytest_pixgates.core.measurement import Measurement
from pytest_pixgates.core.record import Record, Run
from pytest_pixgates.core.scan import Finding, Judged, Scan, Severity, State, ToolUse
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Outcome, Verdict
from pytest_pixgates.history.entry import Entry
from pytest_pixgates.history.target import Target
from pytest_pixgates.report import excerpt
from pytest_pixgates.report.beside import Beside
from tests.unit import example_runs
from tests.unit.example_runs import NOW

ROOT = Path(__file__).parents[1]
FAMILIES = ("data_contract", "infra", "latency", "model_gate")
TERRAFORM = """\
resource "aws_sns_topic" "fraud_alerts" {
  name = "fraud-alerts"
}

resource "aws_db_instance" "features" {
  identifier        = "features"
  engine            = "postgres"
  password          = "correct-horse-battery"
  storage_encrypted = false
}
"""
_TOOLS = {
    "checkov": ToolUse("checkov", "3.3.30", "3f" * 32, ("checkov",)),
    "tflint": ToolUse("tflint", "0.64.0", "9a" * 32, ("tflint",)),
    "terraform": ToolUse("terraform", "1.11.4", "c0" * 32, ("terraform",)),
    "great-expectations": ToolUse("great-expectations", "1.24.1", "77" * 32),
}
_DATA = Subject("data/transactions", "d1" * 32)


def findings() -> tuple[Finding, ...]:
    path, topic, database = "iac/prod/main.tf", "aws_sns_topic.fraud_alerts", "aws_db_instance.features"
    off = "Nothing reads events of this bucket: the pipeline is fed by Kafka."
    waiver = "platform, until 2027-01-27: the key is made with the next change of the account"
    key = "set kms_master_key_id, or switch the rule off with a reason"
    uri = "https://docs.example.org/sns"
    return (
        Finding("CKV_AWS_26", "All data in the SNS topic is encrypted", path, 1, resource=topic, fix=key, help_uri=uri),
        Finding(
            "CKV_AWS_16", "All data in the RDS instance is encrypted", path, 9, resource=database,
            fix="set storage_encrypted = true",
        ),
        Finding(
            "CKV_AWS_17", "All data in RDS is not publicly accessible", path, 5, Severity.WARNING, database,
            state=State.WAIVED, waiver="W-7", excuse=waiver,
        ),
        Finding(
            "CKV_AWS_353", "RDS instances have performance insights enabled", path, 5, Severity.NOTE, database,
            state=State.KNOWN, excuse="known since 2026-11-02, until 2027-01-31",
        ),
        Finding(
            "CKV2_AWS_62", "S3 buckets have event notifications", "iac/prod/buckets.tf", 3, state=State.OFF, excuse=off,
        ),
    )  # fmt: skip


def repository(root: Path) -> Run:
    """The run, and under `root` what it judged."""
    (root / "iac" / "prod").mkdir(parents=True)
    (root / "iac" / "prod" / "main.tf").write_text(TERRAFORM)
    return run(Subject.of(Path("iac/prod"), root))


def run(stack: Subject) -> Run:
    records = [*_infra(stack), *_data(), *_model(), *_latency()]
    versions = {"pytest-pixgates": "0.1.0", "pytest": "9.2.0", "python": "3.12.8", "os": "linux"}
    changes = {"families": FAMILIES, "versions": versions, "environment": "prod", "id": "4821-1", "ended": NOW + 207}
    return example_runs.run(*records, **changes)


def entries(now: Run, count: int = 24) -> tuple[Entry, ...]:
    """Runs of main before `now`, one a day, in which recall slides."""
    random, found = Random(7), []
    for at in range(count):
        back = count - at
        gates = {each.gate: each.outcome if each.family == "model_gate" else Outcome.PASS for each in now.records}
        points = []
        for point in Entry.of(now).points:
            figure, level = point.figure, point.figure.value
            spread = ((figure.upper or level) - (figure.lower or level)) / 6
            shift = random.gauss(0, spread) + (0.0042 * back if figure.name == "recall" else 0.0)
            moved = {name: getattr(figure, name) + shift for name in ("value", "lower", "upper")}
            points.append(dataclasses.replace(point, figure=dataclasses.replace(figure, **moved)))
        outcome = Outcome.FAIL if at in (5, 6) else Outcome.PASS
        started = now.started - back * 86_400.0
        found.append(
            Entry(
                f"{4821 - back}-1",
                started,
                started + 190,
                outcome,
                now.environment,
                "main",
                "ab" * 20,
                gates,
                tuple(points),
            )
        )
    return tuple(found)


def beside(now: Run, root: Path) -> Beside:
    before = entries(now)
    curves = (ROOT / "docs" / "latency.svg").read_text()
    return Beside(
        excerpts=excerpt.of(now, root, {"infra", "model_gate", "latency"}),
        entries=before,
        target=Target("main", before[-1]),
        pictures={"latency": (("steady-score", curves),)},
    )


def _infra(stack: Subject) -> list[Record]:
    def gate(tool: str, target: str, *found: Finding, count: int = 8) -> Record:
        scanned = {"files": count, "resources": 4 * count, "checks": 30 * count}
        scan = Scan(tool, target, scanned=scanned, findings=found, tools=(_TOOLS[tool],), subjects=(stack,))
        name = f"infra/{tool}[{target}]"
        return example_runs.record(scan, gate=name, node=f"gates/gates.toml::{name}", seconds=9.4)

    targets = [f"iac/terraform/modules/{name}" for name in ("cluster", "network", "storage", "streaming")]
    passed = [gate(tool, target) for tool in ("terraform", "tflint") for target in targets]
    return [gate("checkov", "iac/prod", *findings()), *passed]


def _data() -> list[Record]:
    message = "channel is one of app, web: 12 of 1,000,000 rows; for example row hmac:28b97783e2070e69 'fax'"
    found = Finding(
        "channel.invalidValues",
        message,
        "gates/contracts/transactions.odcs.yaml",
        20,
        fix="mend the rows, or the contract",
    )
    rules = tuple(
        Judged(f"{name}.required", Outcome.PASS, "0 of 1,000,000 rows") for name in ("id", "payer", "payee", "amount")
    )
    scanned = {"rows": 1_000_000, "rules": 41}
    tools = (_TOOLS["great-expectations"],)
    bad = Scan("data_contract", "transactions", scanned, (found,), tools=tools, subjects=(_DATA,), rules=rules)
    good = Scan("data_contract", "accounts", {"rows": 50_000, "rules": 17}, tools=tools, subjects=(_DATA,))
    return [
        example_runs.record(
            scan, gate=f"data_contract/data[{scan.target}]", node=f"gates/gates.toml::{scan.target}", seconds=6.1
        )
        for scan in (bad, good)
    ]


def _model() -> list[Record]:
    rates = {
        "recall": (Measurement("recall", 0.8072, 0.778, 0.834, 718, counted="positives"), ">=", 0.75),
        "false_positive_rate": (Measurement("false_positive_rate", 0.003852, 0.00365, 0.00406, 261_742), "<=", 0.004),
        "roc_auc": (Measurement("roc_auc", 0.9818, 0.9737, 0.9874, 718), ">=", 0.95),
        "calibration_error": (Measurement("calibration_error", 0.000265, 0.000125, 0.000405, 718), "<=", 0.0015),
    }
    limits = [
        _record(f"model_gate/limit[{name}]", _with_subject(each >= limit if sign == ">=" else each <= limit))
        for name, (each, sign, limit) in rates.items()
    ]
    regions = {
        "N": (0.739, 0.5, 0.9, 23),
        "NE": (0.82, 0.76, 0.87, 160),
        "SE": (0.851, 0.81, 0.88, 402),
        "S": (0.84, 0.77, 0.9, 133),
    }
    slices = [Measurement(f"recall of {name}", *values) >= 0.4 for name, values in regions.items()]
    figures = tuple(figure for each in slices for figure in each.figures)
    whole = Verdict(Outcome.PASS, "recall >= 0.4 in each region", "4 regions", figures=figures, subjects=(_DATA,))
    return [*limits, _record("model_gate/slices[recall/region]", whole)]


def _latency() -> list[Record]:
    p95 = Measurement("p95", 0.0276, 0.0245, 0.0338, 5963, "s", counted="requests")
    p99 = Measurement("p99", 0.0514, 0.0405, 0.0796, 5963, "s", counted="requests")
    reason = "the load generator used 71 % of its core, so it was the limit itself"
    errors = Verdict(Outcome.ERROR, "errors <= 1%", reason=reason, needs="a lower rate, or more cores")
    return [
        _record("latency/limit[steady/score/p95]", _with_subject(p95 <= "100ms")),
        _record("latency/limit[steady/score/p99]", _with_subject(p99 <= "500ms")),
        _record("latency/limit[steady/score/errors]", errors),
    ]


def _with_subject(verdict: Verdict) -> Verdict:
    return dataclasses.replace(verdict, subjects=(_DATA,))


def _record(gate: str, verdict: Verdict) -> Record:
    return example_runs.record(verdict, gate=gate, node=f"gates/gates.toml::{gate}", seconds=2.3)
