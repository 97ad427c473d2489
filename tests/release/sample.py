"""`python -m tests.release.sample`: keeps a file of each kind as today's version writes it, for all later ones to read.

Once for each schema; what is there is never written anew, for its point is to be old.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path

from pytest_pixgates.core import baseline, files, record, trust
from pytest_pixgates.core.scan import Severity, State
from pytest_pixgates.core.verdict import Figure
from pytest_pixgates.evidence import statement
from tests.evidence.pipeline import Pipeline
from tests.unit.example_runs import FINDING, scan

FOLDER = Path(__file__).with_name("samples")
SCHEMAS = {"records": record.SCHEMA, "evidence": statement.SCHEMA, "baseline": baseline.SCHEMA}


def path(kind: str, schema: int) -> Path:
    return FOLDER / f"{kind}-{schema}.json"


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        pipeline = Pipeline(Path(name))
        infra, scores = pipeline.records()
        figure = Figure("recall", 0.82, 0.8, 0.84, ">=", 0.8, 900, "")
        told = dataclasses.replace(scores.checks[0].verdict, figures=(figure,), cached=True)
        known = dataclasses.replace(FINDING, state=State.KNOWN, excuse="known since then", severity=Severity.WARNING)
        findings = dataclasses.replace(
            infra, checks=(*infra.checks, record.Check.of(scan(FINDING, known))), attempts=2, reason="1 finding(s)"
        )
        red = pipeline.run(records=[findings, dataclasses.replace(scores, checks=(record.Check.of(told),))])
        entry = baseline.Entry.of(FINDING, scan(FINDING), "infra", "prod", count=2, **baseline_dates())
        made = {
            "records": record.dumps(red),
            "evidence": pipeline.sign().text,
            "baseline": baseline.dumps([entry]),
        }
        for kind, text in made.items():
            if files.write_new(path(kind, SCHEMAS[kind]), text) and kind == "evidence":
                path(kind, SCHEMAS[kind]).with_suffix(".key").write_text(trust.encoded(pipeline.key.public) + "\n")
    return 0


def baseline_dates() -> dict[str, object]:
    from pytest_pixgates.core import tolerance

    return {"since": tolerance.today(), "expires": tolerance.today() + tolerance.LONGEST}


if __name__ == "__main__":
    sys.exit(main())
