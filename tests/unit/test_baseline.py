"""The baseline's file: entries are what findings are, not where; whatever was edited by hand is refused by name."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pixgates.core import baseline, tolerance
from pytest_pixgates.core.baseline import Entry
from pytest_pixgates.core.errors import PolicyError
from pytest_pixgates.core.scan import INLINE_SKIP, Finding, Scan, State
from tests.unit import example_runs
from tests.unit.example_runs import CLEAN, FINDING

TODAY = tolerance.today()
SOON = TODAY + datetime.timedelta(days=5)


def entry(finding: Finding = FINDING, scan: Scan = CLEAN, environment: str = "", **changes: Any) -> Entry:
    rest = {"count": 1, "since": TODAY, "expires": SOON, **changes}
    return Entry.of(finding, scan, "infra", environment, **rest)


def key(finding: Finding, check: str = "checkov iac/prod", environment: str = "") -> str:
    return baseline.fingerprint(finding, "infra", check, environment)


def test_a_finding_that_moves_is_the_same(tmp_path: Path) -> None:
    for changes in ({"line": 99}, {"severity": "note"}, {"message": "worded anew"}, {"fix": "otherwise"}):
        assert key(dataclasses.replace(FINDING, **changes)) == key(FINDING)  # type: ignore[arg-type]
    without = dataclasses.replace(FINDING, resource="")
    assert key(dataclasses.replace(without, line=99)) == key(without)


@pytest.mark.parametrize(
    "other",
    [
        key(dataclasses.replace(FINDING, rule="CKV_AWS_18")),
        key(dataclasses.replace(FINDING, path="iac/prod/renamed.tf")),
        key(dataclasses.replace(FINDING, resource="aws_s3_bucket.b")),
        key(FINDING, check="checkov iac/dev"),
        key(FINDING, environment="prod"),
        baseline.fingerprint(FINDING, "latency", "checkov iac/prod", ""),
    ],
    ids=["rule", "path", "resource", "check", "environment", "family"],
)
def test_a_finding_of_anything_else_is_another(other: str) -> None:
    assert other != key(FINDING)


def test_a_message_tells_apart_what_has_no_resource() -> None:
    bare = dataclasses.replace(FINDING, resource="", message="variable a is unused")
    assert key(bare) != key(dataclasses.replace(bare, message="variable b is unused"))
    assert key(bare) != key(dataclasses.replace(bare, resource=bare.message, message=""))


def test_only_what_nothing_else_excuses_is_counted() -> None:
    states = [dataclasses.replace(FINDING, state=state) for state in State]
    assert baseline.counted(example_runs.scan(*states), "infra", "") == {key(FINDING): 2}


def test_the_file_is_sorted_and_holds_an_entry_a_line() -> None:
    first, last = entry(), entry(dataclasses.replace(FINDING, resource="aws_s3_bucket.b"), environment="prod")
    text = baseline.dumps([last, first])
    assert text == baseline.dumps([first, last])
    assert [json.loads(line.strip(" ,")) for line in text.splitlines()[3:5]] == json.loads(text)["entries"]
    read = baseline.loads(text, "b.json")
    assert read.entries == (first, last)
    assert [read.line(each) for each in read.entries] == [4, 5]
    assert baseline.loads(baseline.dumps([]), "b.json").entries == ()


texts = example_runs.texts
entries = st.builds(
    lambda finding, scan, family, environment, count, days: Entry.of(
        finding,
        scan,
        family,
        environment,
        count=count,
        since=TODAY - datetime.timedelta(days=days),
        expires=TODAY + datetime.timedelta(days=90 - days),
    ),
    st.builds(Finding, texts, texts, texts, resource=texts),
    st.builds(Scan, texts, texts),
    texts,
    texts,
    st.integers(1, 9),
    st.integers(0, 400),
)


@given(st.lists(entries, unique_by=lambda each: each.fingerprint))
def test_what_is_written_is_read_again(written: list[Entry]) -> None:
    text = baseline.dumps(written)
    read = baseline.loads(text, "b.json")
    assert sorted(read.entries, key=lambda each: each.identity) == sorted(written, key=lambda each: each.identity)
    assert baseline.dumps(read.entries) == text


@given(entries, entries)
def test_two_findings_share_a_fingerprint_only_if_they_are_one(one: Entry, other: Entry) -> None:
    assert (one.fingerprint == other.fingerprint) is (one.identity == other.identity)


def changed(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["entries"][0].update(changes)


ODD: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "unknown key": (changed(ruel="x"), "unknown key; did you mean 'rule'"),
    "unknown key beside": (lambda document: document.update(entires=[]), "did you mean 'entries'"),
    "other schema": (lambda document: document.update(schema=2), "schema 2 is not 1"),
    "no schema": (lambda document: document.pop("schema"), "schema: is required"),
    "entries of another type": (lambda document: document.update(entries={}), "expected a list"),
    "an entry of another type": (lambda document: document["entries"].append(7), "expected a table"),
    "count of another type": (changed(count="1"), "expected a whole number"),
    "count that is no count": (changed(count=True), "expected a whole number"),
    "no count": (changed(count=0), "count must be at least 1"),
    "no expiry": (lambda document: document["entries"][0].pop("expires"), "expires: is required"),
    "expiry that is no date": (changed(expires="2026-02-30"), "expires"),
    "expiry too far": (changed(expires=str(TODAY + datetime.timedelta(days=91))), "more than 90 days after"),
    "from the future": (changed(since=str(TODAY + datetime.timedelta(days=1))), "lies in the future"),
    "rule changed": (changed(rule="CKV_AWS_18"), "does not fit its fingerprint"),
    "path changed": (changed(path="iac/**"), "does not fit its fingerprint"),
    "check changed": (changed(check="checkov iac/dev"), "does not fit its fingerprint"),
    "resource changed": (changed(resource=""), "does not fit its fingerprint"),
    "environment changed": (changed(environment="prod"), "does not fit its fingerprint"),
    "fingerprint changed": (changed(fingerprint="0" * 32), "does not fit its fingerprint"),
    "twice": (lambda document: document["entries"].append(document["entries"][0]), "it stands twice"),
    "unknown family": (
        lambda document: document["entries"].append(
            json.loads(baseline.dumps([Entry.of(FINDING, CLEAN, "infrra", "", count=1, since=TODAY, expires=SOON)]))[
                "entries"
            ][0]
        ),
        "did you mean 'infra'",
    ),
}


@pytest.mark.parametrize("how", ODD)
def test_what_was_edited_by_hand_is_refused_with_file_and_entry(tmp_path: Path, how: str) -> None:
    spoil, words = ODD[how]
    path = tmp_path / "baseline.json"
    path.write_text(baseline.dumps([entry()]))
    assert baseline.load(path, frozenset({"infra"})).entries == (entry(),)
    document = json.loads(path.read_text())
    spoil(document)
    path.write_text(json.dumps(document))
    with pytest.raises(PolicyError) as caught:
        baseline.load(path, frozenset({"infra"}))
    assert str(path) in caught.value.message
    assert words in caught.value.message
    if "beside" not in how and "schema" not in how and "type" not in how:
        assert " at iac/" in caught.value.message


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "NaN", '{"schema": 1, "schema": 1, "entries": []}', "\udcff"])
def test_what_is_no_json_or_not_whole_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(PolicyError, match=r"baseline\.json"):
        baseline.load(path)
    whole = baseline.dumps([entry()])
    path.write_text(whole.replace('"count": 1', '"count": 1, "count": 2'))
    with pytest.raises(PolicyError, match="'count' stands twice"):
        baseline.load(path)


def test_what_can_not_be_read_is_refused(tmp_path: Path) -> None:
    for make in (Path.mkdir, lambda path: path.symlink_to("nowhere")):
        path = tmp_path / f"{make}.json"
        make(path)
        with pytest.raises(PolicyError, match="json"):
            baseline.load(path)


def test_an_inline_skip_can_not_be_known() -> None:
    with pytest.raises(ValueError, match="can't be known"):
        entry(dataclasses.replace(FINDING, rule=INLINE_SKIP))


def test_an_entry_lasts_to_the_end_of_its_last_day() -> None:
    days = {name: TODAY - datetime.timedelta(days=ago) for name, ago in {"since": 50, "before": 1}.items()}
    assert not entry(since=days["since"], expires=TODAY).expired
    assert entry(since=days["since"], expires=days["before"]).expired
