"""What is written is complete, described by its schema, and closes the run last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings

from pytest_pixgates import report
from pytest_pixgates.core import decode, record
from pytest_pixgates.core.record import Run
from pytest_pixgates.report import html, markdown, sarif, schema
from tests.unit.example_runs import GREEN, RED, runs

VALIDATOR = jsonschema.Draft202012Validator(json.loads(schema.FILE.read_text()))


def test_the_schema_in_the_package_is_the_one_that_the_code_generates() -> None:
    assert schema.FILE.read_text() == schema.dumps(), "run: python -m pytest_pixgates.report.schema"
    jsonschema.Draft202012Validator.check_schema(schema.generate())


@settings(max_examples=50, deadline=None)
@given(runs)
def test_whatever_is_written_is_valid(run: Run) -> None:
    VALIDATOR.validate(json.loads(record.dumps(run)))


@pytest.mark.parametrize(
    "change",
    [
        {"planted": 1},
        {"schema": 2},
        {"status": "done"},
        {"started": "now"},
        {"families": "infra"},
        {"expected": {"node": 1}},
        {"records": [{}]},
    ],
)
def test_what_the_reader_refuses_the_schema_refuses(change: dict[str, Any]) -> None:
    data = decode.encode(RED)
    assert VALIDATOR.is_valid(data)
    assert not VALIDATOR.is_valid({**data, **change})
    with pytest.raises(record.RecordError):
        record.loads(json.dumps({**data, **change}))


def test_unknown_keys_are_refused_at_every_depth() -> None:
    data = decode.encode(RED)
    check = data["records"][0]["checks"][0]
    for place in (data["records"][0], check, check["verdict"], check["scan"], check["scan"]["findings"][0]):
        place["planted"] = 1
        assert not VALIDATOR.is_valid(data)
        del place["planted"]
        assert VALIDATOR.is_valid(data)


def test_the_files_are_written_and_hold_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    written = report.write(RED, folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in written)
    assert [path.name for path in written] == ["records.json", "report.html", "summary.md", "results.sarif"]
    assert record.load(folder / "records.json") == RED
    assert (folder / "report.html").read_text() == html.render(RED)
    assert (folder / "summary.md").read_text() == markdown.render(RED)
    assert json.loads((folder / "results.sarif").read_text()) == sarif.render(RED)


def test_a_run_whose_reports_can_not_be_written_is_not_closed(tmp_path: Path) -> None:
    (tmp_path / "results.sarif").mkdir()
    with pytest.raises(OSError):
        report.write(GREEN, tmp_path)
    assert not (tmp_path / "records.json").exists()
    (tmp_path / "results.sarif").rmdir()
    assert report.write(GREEN, tmp_path)
