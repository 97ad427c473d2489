"""SARIF 2.1.0 as GitHub's code scanning wants it, with what could not be measured as visible as what was found.

Waived and known findings stay out: GitHub ignores SARIF's `suppressions` and would show them as open.
"""

from __future__ import annotations

import json
import posixpath
from collections import Counter
from typing import Any
from urllib.parse import quote

from pytest_pixgates.core.record import Run
from pytest_pixgates.core.scan import Finding
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.report.text import cut, moment, plain
from pytest_pixgates.report.worklist import Item, worklist

MOST_RESULTS = 5_000  # GitHub refuses a file with more than 25,000 and shows the first 5,000
_MOST_TEXT = 1_000
_UTC = "%Y-%m-%dT%H:%M:%SZ"


def render(run: Run) -> dict[str, Any]:
    """`run` as a SARIF log with one run in it."""
    items = worklist(run)
    kept = items[:MOST_RESULTS]
    rules = list(dict.fromkeys(item.finding.rule for item in kept))
    driver: dict[str, Any] = {"name": "pixgates", "rules": _rules(kept)}
    if version := run.versions.get("pytest-pixgates"):
        driver["version"] = version
    own = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"pixgates/{'+'.join(run.families) or 'none'}/"},
        "invocations": [_invocation(run, items)],
        "results": _results(kept, rules, run),
    }
    return {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [own]}


def dumps(run: Run) -> str:
    return json.dumps(render(run), indent=1, allow_nan=False) + "\n"


def _results(items: list[Item], rules: list[str], run: Run) -> list[dict[str, Any]]:
    index = {rule: number for number, rule in enumerate(rules)}
    seen = Counter[str]()
    results = []
    for item in items:
        found = item.finding
        seen[found.fingerprint] += 1
        result = {
            "ruleId": found.rule,
            "ruleIndex": index[found.rule],
            "level": found.severity.value,
            "message": {"text": _message(item, run)},
            "locations": [_location(found, run)],
            "partialFingerprints": _fingerprints(found, seen[found.fingerprint]),
            "properties": {"gate": item.gate, "outcome": item.outcome.value},
        }
        results.append(result)
    return results


def _fingerprints(found: Finding, ordinal: int) -> dict[str, str]:
    """Our own under our own name, and GitHub's where its upload action computes none: for a whole file.

    With a line the action hashes that line, and warns of each result that already carries another value.
    """
    own = {"pixgates/v1": f"{found.fingerprint}:{ordinal}"}
    return own if found.line > 0 else {**own, "primaryLocationLineHash": own["pixgates/v1"]}


def _rules(items: list[Item]) -> list[dict[str, Any]]:
    first: dict[str, Item] = {}
    for item in items:
        first.setdefault(item.finding.rule, item)
    return [_rule(rule, item) for rule, item in first.items()]


def _rule(name: str, item: Item) -> dict[str, Any]:
    found = item.finding
    text = _text(found.message) or name
    rule = {
        "id": name,
        "shortDescription": {"text": text},
        "fullDescription": {"text": text},
        "help": {"text": _text(found.fix) or f"See the gate {item.gate} in records.json."},
        "defaultConfiguration": {"level": found.severity.value},
        "properties": {"tags": [item.gate.partition("/")[0]]},
    }
    if found.help_uri.startswith(("https://", "http://")) and found.help_uri.isascii() and found.help_uri.isprintable():
        rule["helpUri"] = quote(found.help_uri, safe="/:?#[]@!$&'()*+,;=%~")
    return rule


def _invocation(run: Run, items: list[Item]) -> dict[str, Any]:
    errors = [item for item in items if item.outcome is Outcome.ERROR]
    notes = [_notification("error", _message(item, run), item.finding, run) for item in errors[:MOST_RESULTS]]
    if len(items) > MOST_RESULTS:
        notes.append(_notification("warning", f"the worst {MOST_RESULTS} of {len(items)} results are in this file"))
    notes += [_notification("warning", f"PARTIAL, not evidence: {reason}") for reason in run.partial]
    invocation = {
        "executionSuccessful": run.outcome is not Outcome.ERROR and not errors,
        "startTimeUtc": f"{moment(run.started):{_UTC}}",
        "toolExecutionNotifications": notes,
    }
    return invocation | ({"endTimeUtc": f"{moment(run.ended):{_UTC}}"} if run.status == "closed" else {})


def _notification(level: str, message: str, found: Finding | None = None, run: Run | None = None) -> dict[str, Any]:
    notification: dict[str, Any] = {"level": level, "message": {"text": _text(message)}}
    if found is not None and run is not None:
        notification["locations"] = [_location(found, run)]
    return notification


def _message(item: Item, run: Run) -> str:
    """What GitHub shows at the line; with the path in it if the path is none of this repository."""
    found = item.finding
    word = "" if item.outcome is Outcome.FAIL else f"{item.outcome.value}: "
    where = "" if _inside(found.path) or found.path == run.policy else f"{found.where}: "
    fix = f" Fix: {found.fix}" if found.fix else ""
    return _text(f"{word}{where}{found.message}{fix}") or found.rule


def _text(text: str) -> str:
    return cut(plain(text), _MOST_TEXT).replace("](", "] (")  # SARIF would read a link into it


def _location(found: Finding, run: Run) -> dict[str, Any]:
    inside = _inside(found.path)
    uri = quote(inside or _inside(run.policy) or "gates/gates.toml", safe="/", errors="replace")
    physical: dict[str, Any] = {"artifactLocation": {"uri": uri}}
    if inside and found.line > 0:
        physical["region"] = {"startLine": found.line}
    return {"physicalLocation": physical}


def _inside(path: str) -> str:
    """`path` in its shortest form, or "" if it is not a path below the repository."""
    short = posixpath.normpath(path) if path else ""
    outside = short in ("", ".", "..") or short.startswith(("/", "../"))
    return "" if outside else short
