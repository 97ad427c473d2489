"""Judges a table by all rules of a contract, and says of each what it counted.

A rule that can't be measured is a problem, which no green hides: its column is missing or of another type, or what it
needs is not there. What a finding says of the data are counts, and samples as far as `redaction` lets them through.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import narwhals as nw

from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.core.scan import Finding, Judged, Problem, Scan, ToolUse
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.data_contract import engine, query
from pytest_pixgates.data_contract.engine import Rows
from pytest_pixgates.data_contract.redaction import Redactor, shown
from pytest_pixgates.data_contract.rules import (
    Bound,
    Contract,
    Expectation,
    Freshness,
    Query,
    Reference,
    Rule,
    Table,
)
from pytest_pixgates.data_contract.tables import Opened

if TYPE_CHECKING:
    from pytest_pixgates.data_contract.databases import Stored

NAME = "data_contract"
SAMPLES = 3


@dataclass(frozen=True)
class Judge:
    """What is needed beside table and contract: `others` opens the data set of a name, `now` is the stated clock."""

    alpha: float = 0.05
    sample: bool = False
    now: datetime.datetime | None = None
    others: Callable[[str], Rows | Stored] | None = None
    redactor: Redactor = field(default_factory=Redactor)

    def scan(self, contract: Contract, table: Table, opened: Opened, label: str, only: Sequence[str] = ()) -> Scan:
        """The table by its rules, or by those named in `only`."""
        rules = [rule for rule in table.rules if not only or rule.name in only]
        numbers, problems = self._numbers(contract, rules, opened)
        count = numbers.pop(ROWS, None)
        if count is not None and count == 0:
            problems = [Problem("has no rows, so nothing was judged", label)]
            numbers = {}
        results = [self._result(rule, numbers[rule.name], int(count or 0)) for rule in rules if rule.name in numbers]
        broken = [each for each in results if each.outcome is Outcome.FAIL]
        samples = self._samples(table, opened.rows, [each.rule for each in broken])
        return Scan(
            NAME,
            label,
            scanned={"rows": int(count or 0), "rules": len(results)},
            findings=(
                *(_finding(contract, table, each, samples.get(each.rule.name, "")) for each in broken),
                *_partitions(contract, table, opened),
            ),
            problems=tuple(problems),
            tools=tools(),
            subjects=self._subjects(opened, label, numbers),
            absent=tuple(f"{name} (for people only)" for name in table.told if not only),
            undecided=tuple(
                Problem(f"{each.rule.asks}: {each.measured}", contract.path, each.rule.line, each.needs)
                for each in results
                if each.outcome is Outcome.INCONCLUSIVE
            ),
            rules=tuple(Judged(each.rule.name, each.outcome, each.measured) for each in results),
        )

    def failing(self, contract: Contract, table: Table, opened: Opened, name: str) -> tuple[int, int]:
        """How many rows break one rule, and of how many. Raises NotMeasured."""
        rules = [rule for rule in table.rules if rule.name == name]
        if not rules or not of_rows(rules[0]):
            raise NotMeasured(f"{contract.path} has no rule {name} on rows")
        numbers, problems = self._numbers(contract, rules, opened)
        if problems:
            raise NotMeasured(str(problems[0]), remedy=problems[0].fix)
        return int(numbers[name]), int(numbers[ROWS])

    # Numbers

    def _numbers(
        self, contract: Contract, rules: Sequence[Rule], opened: Opened
    ) -> tuple[dict[str, float], list[Problem]]:
        """The number of each rule that can be measured (and of ROWS), and why others can't."""
        expected, problems = [], []
        for rule in rules:
            if isinstance(rule.check, Expectation):
                if why := unmeasurable(rule, opened.rows):
                    problems.append(Problem(f"{rule.asks}: not judged, for {why}", contract.path, rule.line))
                else:
                    expected.append(rule)
        numbers, refused = counted(expected, opened.rows)
        problems += [Problem(f"{rule.asks}: {why}", contract.path, rule.line) for rule, why in refused]
        asked: dict[str, Any] = {}
        for rule in rules:
            try:
                if isinstance(rule.check, Query):
                    numbers[rule.name] = query.number(rule.check.sql, opened.rows)
                elif not isinstance(rule.check, Expectation):
                    asked[rule.name] = self._asked(rule, opened.rows)
            except NotMeasured as error:
                problems.append(Problem(f"{rule.asks}: {error.message}", contract.path, rule.line, error.remedy))
        answers = opened.rows.answers(asked) if asked else {}
        for rule in rules:
            if rule.name in answers:
                try:
                    aged = isinstance(rule.check, Freshness)
                    numbers[rule.name] = self._age(rule.columns[0], answers[rule.name]) if aged else answers[rule.name]
                except NotMeasured as error:
                    problems.append(Problem(f"{rule.asks}: {error.message}", contract.path, rule.line, error.remedy))
        return numbers, problems

    def _asked(self, rule: Rule, rows: Rows | Stored) -> Any:
        """What to put to the table for a rule on time or on another table. Raises NotMeasured."""
        check = rule.check
        if missing := [name for name in rule.columns if name not in rows.schema]:
            raise NotMeasured(f"{', '.join(missing)} is missing")
        if isinstance(check, Freshness):
            if self.now is None:
                remedy = 'state `clock` of the data set in the policy, such as "now"'
                raise NotMeasured("no clock is stated", remedy=remedy)
            if not isinstance(rows.schema[check.column], nw.Date | nw.Datetime):
                raise NotMeasured(f"{check.column} holds no moments")
            return rows.newest(check.column)
        assert isinstance(check, Reference)
        if self.others is None:
            raise NotMeasured(f"the data set {check.other} is not at hand")
        other = self.others(check.other)
        if missing := [name for name in check.other_columns if name not in other.schema]:
            raise NotMeasured(f"{check.other} has no {', '.join(missing)}")
        return rows.strangers(check, other)

    def _age(self, column: str, newest: int | datetime.date | None) -> float:
        """Seconds from the newest moment (or microseconds since 1970) to the clock. Raises NotMeasured."""
        assert self.now is not None
        if newest is None:
            raise NotMeasured(f"{column} holds no moment")
        if isinstance(newest, int):
            newest = datetime.datetime.fromtimestamp(0, datetime.UTC) + datetime.timedelta(microseconds=newest)
        if not isinstance(newest, datetime.datetime):
            newest = datetime.datetime.combine(newest, datetime.time())
        age = (self.now - (newest if newest.tzinfo else newest.replace(tzinfo=datetime.UTC))).total_seconds()
        if age < 0:
            raise NotMeasured(f"the newest {column} lies {-age:,.0f} s after the stated clock")
        return age

    # Results

    def _result(self, rule: Rule, number: float, rows: int) -> Result:
        if not of_rows(rule):
            held = rule.bound.holds(number)
            return Result(rule, Outcome.PASS if held else Outcome.FAIL, _number(number))
        measured = f"{int(number):,} of {rows:,} rows"
        if not rule.bound.share:
            return Result(rule, Outcome.PASS if rule.bound.holds(number) else Outcome.FAIL, measured)
        share = number / rows
        measured += f" ({share:.3%})"
        if not self.sample:
            return Result(rule, Outcome.PASS if rule.bound.holds(share) else Outcome.FAIL, measured)
        low, high = interval(int(number), rows, self.alpha)
        measured += f", of all rows {low:.3%} to {high:.3%}"
        if decided(rule.bound, low, high):
            return Result(rule, Outcome.PASS if rule.bound.holds(low) else Outcome.FAIL, measured)
        return Result(rule, Outcome.INCONCLUSIVE, measured, "a larger sample, or all rows")

    def _samples(self, table: Table, rows: Rows | Stored, broken: Sequence[Rule]) -> dict[str, str]:
        """What may be told of some rows that break each rule."""
        keys = [name for name in table.key if name in rows.schema]
        if not isinstance(rows, Rows):
            return {}
        parts = [part for rule in broken if (part := _broken_rows(rule, table, rows, keys)) is not None]
        if not parts:
            return {}
        told: dict[str, list[str]] = {}
        for found in rows.listed(nw.concat(parts, how="vertical")):
            row = f"row {self.redactor.key(found['key'])}" if found["key"] is not None else ""
            words = filter(None, (row, shown(found["value"]) if found["value"] else ""))
            told.setdefault(found["rule"], []).append(" ".join(words))
        return {name: ", ".join(filter(None, each)) for name, each in told.items()}

    def _subjects(self, opened: Opened, label: str, numbers: Mapping[str, float]) -> tuple[Subject, ...]:
        given = opened.subject()
        counted = hashlib.sha256(json.dumps(sorted(numbers.items())).encode()).hexdigest()
        return given or (Subject(label, counted, "content"),)


ROWS = "\0rows"


@dataclass(frozen=True)
class Result:
    rule: Rule
    outcome: Outcome
    measured: str
    needs: str = ""


def counted(rules: Sequence[Rule], rows: Rows | Stored) -> tuple[dict[str, float], list[tuple[Rule, str]]]:
    """The number of each rule by Great Expectations, with that of ROWS; and what it has no answer for."""
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.validator.validator import Validator

    class Quiet(Validator):
        def _determine_progress_bars(self) -> bool:
            return False

    asked = [Rule(ROWS, "rows", 0, Expectation("expect_table_row_count_to_be_between")), *rules]
    configurations, put, refused = [], [], []
    for rule in asked:
        assert isinstance(rule.check, Expectation)
        try:
            arguments = rows.arguments(rule.check)
        except NotMeasured as error:
            refused.append((rule, error.message))
            continue
        put.append(rule)
        configurations.append(
            ExpectationConfiguration(type=rule.check.type, kwargs=arguments, meta={"rule": rule.name})
        )
    settings = {"result_format": {"result_format": "BASIC"}, "catch_exceptions": False}
    validator = Quiet(execution_engine=rows.execution_engine())
    try:
        answers = validator.graph_validate(configurations, settings)
    except (GreatExpectationsError, NotImplementedError) as error:
        raise NotMeasured(f"the rules can't be judged together ({type(error).__name__})") from None
    except Exception as error:
        why = f"{type(error).__name__}; its words are withheld, for they may hold data"
        raise NotMeasured(f"the table can't be read through ({why})") from None
    numbers: dict[str, float] = {}
    for rule, answer in zip(put, answers, strict=True):
        assert answer.expectation_config is not None
        assert answer.expectation_config.meta == {"rule": rule.name}
        numbers[rule.name] = _answer(answer)
    return numbers, refused


def _answer(answer: Any) -> float:
    """The count of unexpected rows, or what was observed; of a yes or no, 0 or 1."""
    for key in ("unexpected_count", "observed_value"):
        value = answer.result.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return 0.0 if answer.success else 1.0


def unmeasurable(rule: Rule, rows: Rows | Stored) -> str:
    """Why a rule can't be put to the table, or ""."""
    check = rule.check
    assert isinstance(check, Expectation)
    if check.type in ("expect_column_to_exist", "expect_table_columns_to_match_set"):
        return ""
    for name in rule.columns:
        if name not in rows.schema:
            return f"{name} is missing"
        if not _suits(check, rows.schema[name]):
            return f"{name} is of type {rows.schema[name]}"
    return ""


_TEXTS = ("expect_column_values_to_match_regex", "expect_column_value_lengths_to_be_between")
_NUMBERS = ("expect_column_values_to_be_finite", "expect_column_values_to_be_multiple_of")
_LISTS = ("expect_column_value_items_to_be_between", "expect_column_value_items_to_be_unique")


def _suits(check: Expectation, dtype: Any) -> bool:
    """Whether values of `dtype` can be asked at all."""
    if check.type in _TEXTS:
        return isinstance(dtype, nw.String | nw.Categorical | nw.Enum)
    if check.type in _NUMBERS:
        return bool(dtype.is_numeric())
    if check.type in _LISTS:
        return isinstance(dtype, nw.List | nw.Array)
    given = (check.arguments.get("min_value"), check.arguments.get("max_value"), *check.arguments.get("value_set", ()))
    return all(_comparable(value, dtype) for value in given if value is not None)


def _comparable(value: object, dtype: Any) -> bool:
    moment = engine.moment(value)
    if isinstance(moment, datetime.datetime):
        return isinstance(dtype, nw.Datetime) and (dtype.time_zone is None) == (moment.tzinfo is None)
    if isinstance(moment, datetime.date):
        return isinstance(dtype, nw.Date)
    if isinstance(moment, datetime.time):
        return isinstance(dtype, nw.Time)
    if isinstance(value, bool):
        return isinstance(dtype, nw.Boolean)
    if isinstance(value, int | float):
        return bool(dtype.is_numeric())
    return isinstance(dtype, nw.String | nw.Categorical | nw.Enum)


def of_rows(rule: Rule) -> bool:
    """Whether a rule's number counts rows."""
    check = rule.check
    if isinstance(check, Expectation):
        return not check.type.startswith(("expect_table_", "expect_column_to_"))
    return isinstance(check, Reference)


def interval(failing: int, rows: int, alpha: float) -> tuple[float, float]:
    """Clopper and Pearson's bounds of a share, each one-sided at 1 - alpha."""
    from scipy.stats import beta

    low = float(beta.ppf(alpha, failing, rows - failing + 1)) if failing else 0.0
    high = float(beta.ppf(1 - alpha, failing + 1, rows - failing)) if failing < rows else 1.0
    return low, high


def decided(bound: Bound, low: float, high: float) -> bool:
    """Whether every share from `low` to `high` is judged alike."""
    limits = [low, high, *(value for value in bound.values if low < value < high)]
    between = [(first + last) / 2 for first, last in zip(sorted(limits), sorted(limits)[1:], strict=False)]
    return len({bound.holds(each) for each in (*limits, *between)}) == 1


def tools() -> tuple[ToolUse, ...]:
    return tuple(ToolUse.library(name) for name in ("great-expectations", "polars", "duckdb"))


def _number(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else f"{number:,.6g}"


def _finding(contract: Contract, table: Table, result: Result, sample: str) -> Finding:
    rule = result.rule
    found = f"{rule.asks}: {result.measured}" + (f"; for example {sample}" if sample else "")
    return Finding(rule.name, found, contract.path, rule.line, resource=f"{table.name}.{rule.name}")


def _partitions(contract: Contract, table: Table, opened: Opened) -> Iterator[Finding]:
    """What is wrong with partitions by day."""
    days = "every day from the first partition to the last has one: {} missing ({})"
    data = "all data lies in a partition of a day: {} not ({})"
    for message, found, way in ((days, opened.gaps, "write"), (data, opened.undated, "move")):
        if found:
            named = ", ".join(found[:SAMPLES]) + (f" and {len(found) - SAMPLES} more" if len(found) > SAMPLES else "")
            told, fix = message.format(len(found), named), f"{way} them, or allow them: gaps = true"
            yield Finding("partitions", told, contract.path, table.line, resource=f"{table.name}.partitions", fix=fix)


def _broken_rows(rule: Rule, table: Table, rows: Rows, keys: Sequence[str]) -> nw.LazyFrame[Any] | None:
    """A few rows that break a rule: its name, their key, and the value if it is public."""
    check = rule.check
    if not isinstance(check, Expectation) or not of_rows(rule):
        return None
    public = [name for name in rule.columns if (found := table.column(name)) and found.classification == "public"]
    if not keys and not public:
        return None
    if check.type in ("expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique"):
        frame = engine.repeated(rows, rule.columns)
    else:
        frame = rows.frame.filter(engine.unexpected_by(rows, check.type, check.arguments))
    key = nw.concat_str([nw.col(name).cast(nw.String) for name in keys], separator="\x1f") if keys else nw.lit(None)
    value = nw.col(public[0]).cast(nw.String) if len(public) == len(rule.columns) == 1 else nw.lit(None)
    told = (nw.lit(rule.name).alias("rule"), key.cast(nw.String).alias("key"), value.cast(nw.String).alias("value"))
    return frame.select(*told).head(SAMPLES)
