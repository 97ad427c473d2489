"""The page for people: one file that asks nothing of a network, the verdict first, then what to fix, then everything.

Nothing in it is trusted: text comes in through `element` alone, and a policy in the page lets the browser run no script
and no style but ours. However much a run found, the page stays small, and says what it leaves out and where that is.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import date
from functools import cache
from pathlib import Path

from pytest_pixgates.core.record import Check, Record, Run
from pytest_pixgates.core.scan import Finding, Scan, State
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.history.entry import Entry, complete
from pytest_pixgates.report import picture, proof, told, trends
from pytest_pixgates.report.beside import NOTHING, Beside
from pytest_pixgates.report.element import Html, el, joined, verbatim
from pytest_pixgates.report.text import counted, cut, duration, moment
from pytest_pixgates.report.widgets import SHORT, TEXT, fix, left_out, mark, more, row, table
from pytest_pixgates.report.worklist import Item, worklist

FILE_NAME = "report.html"
MOST_ITEMS, MOST_GATES, MOST_FINDINGS, MOST_OF_A_RULE, MOST_ROWS, MOST_PICTURES = 20, 600, 400, 5, 200, 200
_COLOURS = {"panel": ("#f6f8fa", "#161b22"), "edge": ("#6e7781", "#7d8590"), "link": ("#0550ae", "#79c0ff")}
_MEANS = {
    Outcome.PASS: "measured, and the evidence supports it: the only green",
    Outcome.INCONCLUSIVE: "measured, but the evidence does not decide; the gate says what would",
    Outcome.ERROR: "not measured, which is never green",
    Outcome.FAIL: "measured, and the limit is broken",
}
_EXCUSES = {State.WAIVED: "Waived", State.KNOWN: "Known by the baseline", State.OFF: "Switched off by the policy"}
_FILES = (
    "A number stands with its interval, and the end of the interval that is nearer to the limit decides. Beside this "
    "file lie records.json, which holds everything, results.sarif for code scanning, and summary.md for a comment."
)
_DAY = re.compile(r"\buntil (\d{4}-\d{2}-\d{2})\b")


def render(run: Run, beside: Beside = NOTHING) -> str:
    """`run` as a page, with what there is beside its records."""
    page = _Page(run, beside)
    style, script = _style(), _own("page.js")
    allowed = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    head = el(
        "head",
        el("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{allowed}">'),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"pixgates: {page.word}, {page.sentence}"),
        Html(f"<style>{style}</style>"),
    )
    body = el("body", *page.parts(), Html(f"<script>{script}</script>"))
    return f"<!DOCTYPE html>\n{el('html', head, body, lang='en')}\n"


class _Page:
    """The parts of a page, and how much of it is spent already."""

    def __init__(self, run: Run, beside: Beside) -> None:
        self.run, self.beside = run, beside
        self.items = worklist(run)
        self.records = sorted(run.records, key=lambda each: (-each.outcome.rank, each.gate))
        self._findings, self._pictures = MOST_FINDINGS, MOST_PICTURES

    @property
    def word(self) -> str:
        return "PARTIAL" if self.run.outcome and self.run.partial else self.run.outcome.value

    @property
    def sentence(self) -> str:
        run, total = self.run, len(self.run.records) + len(self.run.missing)
        passed = sum(record.outcome is Outcome.PASS for record in run.records)
        if run.status != "closed":
            return "the run has not ended, so it is no evidence"
        if run.green:
            return f"all {counted(total, 'gate')} passed" if total != 1 else "its one gate passed"
        if run.outcome:
            return f"{counted(total, 'gate')} passed, but only a part ran: not evidence"
        return f"{total - passed} of {counted(total, 'gate')} did not pass"

    def parts(self) -> Iterator[Html]:
        sections = [
            ("fix", "Fix first", self._work()),
            ("gates", "Gates", self._gates()),
            ("tolerated", "Tolerated", self._tolerated()),
            ("history", "History", self._history()),
            ("proof", "What the gates catch", proof.render(self.beside.proof) if self.beside.proof else None),
            ("judged", "What was judged, and by what", self._judged()),
        ]
        there = [(key, title, body) for key, title, body in sections if body]
        yield el("a", "Skip to the gates", href="#gates", class_="skip")
        yield self._header(there)
        main = [el("section", el("h2", title), body, id=key, aria_label=title) for key, title, body in there]
        yield el("main", *main)
        yield _footer()

    # The verdict

    def _header(self, sections: Sequence[tuple[str, str, Html]]) -> Html:
        run = self.run
        began = moment(run.started)
        facts = {
            "run": run.id,
            "environment": run.environment,
            "began": f"{began:%Y-%m-%d %H:%M} UTC",
            "took": duration(run.ended - run.started) if run.status == "closed" else "",
            "policy": f"{run.policy} {run.policy_sha256[:12]}",
        }
        partial = cut(f"PARTIAL, not evidence: {'; '.join(run.partial)}", TEXT) if run.partial else ""
        links = [el("li", el("a", title, href=f"#{key}")) for key, title, _ in sections]
        return el(
            "header",
            el("p", "pixgates", class_="name"),
            el("h1", mark(run.outcome, self.word)),
            el("p", f"{self.sentence[:1].upper()}{self.sentence[1:]}.", class_="said"),
            el("dl", [el("div", el("dt", key), " ", el("dd", cut(fact, 80))) for key, fact in facts.items() if fact],
               class_="facts"),
            el("p", partial, class_="note") if partial else None,
            el("ul", [self._family(name) for name in self._families()], class_="families"),
            el("nav", el("ul", links), aria_label="Sections"),
        )  # fmt: skip

    def _families(self) -> list[str]:
        lost = [self.run.expected[node].partition("/")[0] for node in self.run.missing]
        return list(dict.fromkeys([*self.run.families, *(record.family for record in self.run.records), *lost]))[:40]

    def _family(self, name: str) -> Html:
        records = [record for record in self.run.records if record.family == name]
        missing = sum(self.run.expected[node].partition("/")[0] == name for node in self.run.missing)
        outcome = Outcome.worst([*(record.outcome for record in records), *[Outcome.ERROR] * bool(missing)])
        passed = sum(record.outcome is Outcome.PASS for record in records)
        cached = sum(any(check.cached for check in record.checks) for record in records)
        rest = f"{passed} of {len(records) + missing} passed, {duration(sum(record.seconds for record in records))}"
        return el(
            "li",
            el("p", cut(name, 60), class_="title"),
            el("p", mark(outcome, outcome.value)),
            el("small", rest + f", {cached} kept from before" * bool(cached)),
        )

    # What to fix

    def _work(self) -> Html | None:
        if not self.items:
            return None
        kept = self.items[:MOST_ITEMS]
        left = len(self.items) - len(kept)
        return joined(el("ol", [self._item(item) for item in kept], class_="work"), left_out(left))

    def _item(self, item: Item) -> Html:
        found = item.finding
        at = el("span", cut(found.where, SHORT), class_="mono")
        gate = self._link(item.gate)
        return el(
            "li",
            el("p", mark(item.outcome, item.outcome.value), at, class_="head"),
            el("p", cut(found.message, TEXT), class_="what"),
            el("p", el("small", cut(found.rule, SHORT), ", gate ", gate, more(found))),
            self._excerpt(item.gate.partition("/")[0], found),
            fix(found.fix),
        )

    def _link(self, gate: str) -> Html:
        there = next((record for record in self.records[:MOST_GATES] if record.gate == gate), None)
        return el("a", cut(gate, SHORT), href=f"#{_key(there)}") if there else el("span", cut(gate, SHORT))

    def _excerpt(self, family: str, found: Finding) -> Html | None:
        lines = self.beside.excerpts.get((family, found.path, found.line))
        if not lines:
            return None
        numbered = [
            el(
                "span",
                el("span", str(number), class_="number"),
                verbatim(line),
                class_="at" * (number == at) or None,
            )
            for at in (found.line,)
            for number, line in lines
        ]
        label = f"{found.path} around line {found.line}"
        return el(
            "pre", el("code", numbered), class_="excerpt", tabindex="0", role="group", aria_label=cut(label, SHORT)
        )

    # The gates

    def _gates(self) -> Html | None:
        kept, left = self.records[:MOST_GATES], self.records[MOST_GATES:]
        if not kept:
            return None
        by_family: dict[str, list[Record]] = {}
        for record in kept:
            by_family.setdefault(record.family, []).append(record)
        groups = [
            el("section", el("h3", cut(family, 60)), self._pictures_of(family), [self._gate(each) for each in records],
               class_="family", aria_label=cut(family, 60))
            for family, records in by_family.items()
        ]  # fmt: skip
        worst = f"gates, the worst of them {left[0].outcome.value}" if left else ""
        return joined(_filters(kept), groups, left_out(len(left), worst))

    def _pictures_of(self, family: str) -> Html | None:
        found = self.beside.pictures.get(family, ())
        if not found:
            return None
        figures = [
            el("figure", el("img", src=f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}",
                            alt=f"{family}: {name}, as measured in this run"), el("figcaption", name))
            for name, svg in found
        ]  # fmt: skip
        return el("div", figures, class_="pictures")

    def _gate(self, record: Record) -> Html:
        against = told.against(record, self.beside.target)
        limit, reason = "" if record.scans else told.limit(record), _reason(record)
        held = " · ".join([f"limit {limit}"] * bool(limit) + [f"{self._branch} {against}"] * bool(against))
        figure = [el("span", cut(told.measured(record), SHORT)), el("span", cut(held, SHORT))]
        summary = el(
            "summary",
            mark(record.outcome, record.outcome.value),
            el("span", el("span", cut(record.name or record.gate, SHORT), class_="id"),
               el("span", ": ", cut(reason, SHORT), class_="quiet") if reason else None),
            el("span", figure, class_="figure"),
        )  # fmt: skip
        return el(
            "details",
            summary,
            el("div", list(self._inside(record)), class_="body"),
            class_="gate",
            id=_key(record),
            data_family=record.family,
            data_outcome=record.outcome.value,
            open=not record.outcome,
        )

    @property
    def _branch(self) -> str:
        return cut(self.beside.target.branch, 40) if self.beside.target else "main"

    def _inside(self, record: Record) -> Iterator[Html]:
        if len(_reason(record)) > SHORT:
            yield el("p", cut(record.reason, TEXT))
        if picture.rows(record) and self._pictures:
            self._pictures -= 1
            yield Html(picture.inline(record))
        for check in record.checks[:MOST_ROWS]:
            yield from self._check(record, check)
        facts = [record.gate, record.node, duration(record.seconds)]
        facts += ["kept from an earlier run"] * any(check.cached for check in record.checks)
        facts += [f"{record.attempts} attempts, of which the worst counts"] * (record.attempts > 1)
        yield el("p", el("small", cut(", ".join(facts), TEXT)))

    def _check(self, record: Record, check: Check) -> Iterator[Html]:
        scan, verdict = check.scan, check.verdict
        found = scan is not None and bool(scan.blocking)
        facts = {
            "asked": verdict.check if scan is None else "",
            "measured": verdict.measured,
            "needs": "" if found else verdict.needs,
        }
        rows = [(el("dt", key), el("dd", cut(fact, TEXT))) for key, fact in facts.items() if fact]
        if rows:
            yield el("dl", rows, class_="facts-of")
        if scan is not None:
            yield from self._scan(record, scan)

    def _scan(self, record: Record, scan: Scan) -> Iterator[Html]:
        for problem in (*scan.problems, *scan.undecided)[:MOST_ROWS]:
            yield el("div", el("p", cut(str(problem), TEXT)), fix(problem.fix), class_="finding")
        rules: dict[str, list[Finding]] = {}
        for finding in scan.blocking:
            rules.setdefault(finding.rule, []).append(finding)
        listed = list(rules.items())[:MOST_ROWS]
        for rule, found in listed:
            yield self._rule(record, rule, found)
        yield joined(left_out(len(rules) - len(listed), "rules with findings"))
        if scan.rules:
            yield _judged_rules(scan)

    def _rule(self, record: Record, rule: str, found: Sequence[Finding]) -> Html:
        kept = found[: min(MOST_OF_A_RULE, self._findings)]
        self._findings -= len(kept)
        left = len(found) - len(kept)
        title = el("p", el("span", cut(rule, SHORT)), el("small", counted(len(found), "finding")), class_="title")
        return el(
            "div", title, [self._finding(record, each) for each in kept], left_out(left, "of this rule"), class_="rule"
        )

    def _finding(self, record: Record, found: Finding) -> Html:
        where = [el("span", cut(found.where, SHORT), class_="mono"), el("small", found.severity.value)]
        resource = el("small", cut(found.resource, SHORT)) if found.resource else None
        return el(
            "div",
            el("p", where, resource, class_="head"),
            el("p", cut(found.message, TEXT), more(found), class_="message"),
            self._excerpt(record.family, found),
            fix(found.fix),
            class_="finding",
        )

    # What does not block

    def _tolerated(self) -> Html | None:
        found = [(each, record.gate) for record in self.records for each in record.findings if each.state in _EXCUSES]
        if not found:
            return None
        order = list(_EXCUSES)
        found.sort(key=lambda pair: (order.index(pair[0].state), self._days(pair[0]) or 0, pair[0].where))
        kept = found[:MOST_ROWS]
        rows = [self._excused(each, gate) for each, gate in kept]
        return joined(
            table(("why", "finding", "who, for how long, and why", "days left"), rows), left_out(len(found) - len(kept))
        )

    def _days(self, found: Finding) -> int | None:
        """How many days after this run it is excused still: by the first day that its excuse names."""
        days = []
        for text in _DAY.findall(found.excuse):
            try:
                days.append((date.fromisoformat(text) - moment(self.run.ended or self.run.started).date()).days)
            except ValueError:
                continue
        return min(days, default=None) if found.state is not State.OFF else None

    def _excused(self, found: Finding, gate: str) -> Html:
        days = self._days(found)
        left = (
            "for good"
            if found.state is State.OFF
            else "not said"
            if days is None
            else str(days)
            if days >= 0
            else "expired"
        )
        where, what = el("span", cut(found.where, SHORT), class_="mono"), cut(f"{found.rule}: {found.message}", TEXT)
        return row(
            ("why", _EXCUSES[found.state]),
            ("finding", joined(where, " ", what, " ", el("small", "gate ", self._link(gate)))),
            ("who", cut(": ".join(filter(None, (found.waiver, found.excuse))), TEXT)),
            ("days left", left),
        )

    # History

    def _history(self) -> Html | None:
        beside = self.beside
        entries = [each for each in beside.entries if each.environment == self.run.environment]
        if complete(self.run) and not any(
            (each.run, each.started) == (self.run.id, self.run.started) for each in entries
        ):
            entries.append(Entry.of(self.run))
        parts: list[Html | None] = []
        if beside.problem:
            parts.append(el("p", cut(beside.problem, TEXT), class_="note"))
        if beside.target and beside.target.problem:
            problem = f"Nothing is held against {beside.target.branch}: {beside.target.problem}."
            parts.append(el("p", cut(problem, TEXT), class_="quiet"))
        if len(entries) > 1:
            parts.append(trends.render(entries))
        elif not beside.problem:
            parts.append(el("p", "There is no earlier run to compare with yet.", class_="quiet"))
        return joined(parts)

    # Subjects and tools

    def _judged(self) -> Html | None:
        parts = [*self._tools(), *self._subjects()]
        if versions := ", ".join(f"{name} {version}" for name, version in self.run.versions.items()):
            parts.append(el("p", el("small", cut(versions, TEXT))))
        return joined(parts) if parts else None

    def _tools(self) -> Iterator[Html]:
        used = [tool for record in self.records for scan in record.scans for tool in scan.tools]
        rows = [
            row(("tool", cut(name, 60)), ("version", cut(version, 60)), ("sha256", el("code", sha256[:16])))
            for name, version, sha256 in sorted({(tool.name, tool.version, tool.sha256) for tool in used})[:MOST_ROWS]
        ]
        if rows:
            yield table(("tool", "version", "sha256, its first 16"), rows)

    def _subjects(self) -> Iterator[Html]:
        every = {(each.name, each.kind, each.sha256) for record in self.records for each in record.subjects}
        rows = [
            row(
                ("subject", el("span", cut(name, SHORT), class_="mono")),
                ("kind", kind),
                ("sha256", el("code", digest[:16])),
            )
            for name, kind, digest in sorted(every)[:MOST_ROWS]
        ]
        if rows:
            title = el("summary", counted(len(every), "subject"))
            found = table(("subject", "kind", "sha256, its first 16"), rows)
            yield el("details", title, found, left_out(len(every) - len(rows)), class_="more")


# Pieces


def _reason(record: Record) -> str:
    """Why it is not PASS, unless findings say so."""
    return "" if any(scan.blocking for scan in record.scans) else record.reason


def _filters(records: Sequence[Record]) -> Html:
    families = sorted({record.family for record in records})
    outcomes = [each for each in reversed(Outcome) if any(record.outcome is each for record in records)]
    return el(
        "form",
        el("label", "Family", _select("family", families)),
        el("label", "Verdict", _select("outcome", [each.value for each in outcomes])),
        el("label", "Text", el("input", type="search", name="text", placeholder="gate, rule, path …"), class_="text"),
        el("button", "Clear", type="reset"),
        el("output", "", id="shown", role="status"),
        id="filters",
        class_="filters",
        aria_label="Which gates are shown",
        hidden=True,
    )


def _select(name: str, values: Sequence[str]) -> Html:
    return el(
        "select", el("option", "all", value=""), [el("option", cut(each, 60), value=each) for each in values], name=name
    )


def _judged_rules(scan: Scan) -> Html:
    ordered = sorted(scan.rules, key=lambda each: (-each.outcome.rank, each.rule))
    rows = [
        row(
            ("rule", cut(each.rule, SHORT)),
            ("verdict", mark(each.outcome, each.outcome.value)),
            ("measured", cut(each.measured, SHORT)),
        )
        for each in ordered[:MOST_ROWS]
    ]
    left = len(ordered) - len(rows)
    found = table(("rule", "verdict", "measured"), rows)
    return el(
        "details",
        el("summary", counted(len(ordered), "rule"), " judged one by one"),
        found,
        left_out(left),
        class_="more",
    )


def _footer() -> Html:
    means = [(el("dt", mark(each, each.value)), el("dd", text)) for each, text in _MEANS.items()]
    return el(
        "footer",
        el("h2", "How to read this"),
        el("dl", means, class_="legend"),
        el("p", _FILES),
    )


def _key(record: Record) -> str:
    """The id of the gate's part of the page."""
    return "gate-" + picture.file_name(record)[-16:-4]


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _style() -> str:
    colours = {**picture.PALETTE, **_COLOURS}
    light, dark = (";".join(f"--{name}:{pair[at]}" for name, pair in colours.items()) for at in (0, 1))
    root = f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    return root + picture.style() + _own("page.css")


@cache
def _own(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
