"""Limits, samples, time, references, volume and changes: how a number becomes a verdict."""

from __future__ import annotations

import datetime
import random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.data_contract import contract, judge, tables, volume
from pytest_pixgates.data_contract.policy import Volume
from pytest_pixgates.data_contract.rules import Bound
from tests.data.conftest import CONTRACT, Repository, payments
from tests.git import Git

SHARE = (
    CONTRACT
    + """\
      - name: note
        logicalType: string
        classification: internal
        description: Seldom null.
        quality:
          - {name: seldom, metric: nullValues, mustBeLessOrEqualTo: 10, unit: percent}
"""
)


def with_nulls(nulls: int, rows: int) -> pl.DataFrame:
    return payments(rows).with_columns(note=pl.Series([None] * nulls + ["x"] * (rows - nulls)))


@pytest.mark.parametrize(
    ("nulls", "complete", "sample"),
    [
        (0, Outcome.PASS, Outcome.PASS),
        (10, Outcome.PASS, Outcome.INCONCLUSIVE),
        (11, Outcome.FAIL, Outcome.INCONCLUSIVE),
        (30, Outcome.FAIL, Outcome.FAIL),
    ],
)
def test_a_share_is_exact_of_all_rows_and_an_interval_of_a_sample(
    repository: Repository, nulls: int, complete: Outcome, sample: Outcome
) -> None:
    repository.contract(SHARE)
    gates, frame = repository.gates(), with_nulls(nulls, 100)
    assert gates("payments", frame).outcome is complete
    assert gates("payments", frame, sample=True).outcome is sample


def test_what_a_sample_does_not_decide_says_so_with_its_interval(repository: Repository) -> None:
    repository.contract(SHARE)
    scan = repository.gates()("payments", with_nulls(10, 100), sample=True)
    assert "10 of 100 rows (10.000%), of all rows 5.526% to 16.372%" in scan.verdict.reason
    assert scan.verdict.needs == "a larger sample, or all rows"


def test_at_the_limit_a_sample_passes_one_time_in_twenty_at_most() -> None:
    """10,000 samples of 500 from a population at the limit of 10 %, with a fixed seed."""
    chance, passed, limit = random.Random(6), 0, 0.1
    verdicts = {failing: judge.interval(failing, 500, 0.05)[1] <= limit for failing in range(501)}
    for _ in range(10_000):
        passed += verdicts[sum(chance.random() < limit for _ in range(500))]
    assert 0.02 <= passed / 10_000 <= 0.05


@given(st.integers(1, 400).flatmap(lambda rows: st.tuples(st.integers(0, rows), st.just(rows))))
def test_an_interval_holds_the_share_it_was_measured_from(counted: tuple[int, int]) -> None:
    failing, rows = counted
    low, high = judge.interval(failing, rows, 0.05)
    assert 0 <= low <= failing / rows <= high <= 1


@pytest.mark.parametrize(
    ("bound", "low", "high", "decided"),
    [
        (Bound("<=", (0.1,), share=True), 0.01, 0.1, True),
        (Bound("<=", (0.1,), share=True), 0.01, 0.2, False),
        (Bound("between", (0.1, 0.2), share=True), 0.05, 0.3, False),
        (Bound("not between", (0.1, 0.2), share=True), 0.05, 0.3, False),
        (Bound("!=", (0.1,), share=True), 0.05, 0.3, False),
        (Bound("!=", (0.1,), share=True), 0.15, 0.3, True),
    ],
)
def test_an_interval_decides_only_if_all_of_it_is_judged_alike(
    bound: Bound, low: float, high: float, decided: bool
) -> None:
    assert judge.decided(bound, low, high) is decided


def test_one_rule_is_judged_or_measured_by_itself(repository: Repository) -> None:
    frame = payments(channel=["app", "fax", "web", "app"], cpf=["x"] * 4)
    gates = repository.gates()
    assert [each.rule for each in gates("payments", frame, only=["id.unique"]).rules] == ["id.unique"]
    failing = gates.failing("payments", "channel.invalidValues", frame)
    assert (failing.value, failing.n, failing.is_exact) == (0.25, 4, True)
    assert not gates.failing("payments", "channel.invalidValues", frame, sample=True).is_exact
    assert failing <= "25%"
    assert not failing <= "24%"
    assert "has no rule id.nuique" in str(gates("payments", frame, only=["id.nuique"]).problems[0])


AGED = CONTRACT + "slaProperties:\n  - {property: latency, element: payments.paid_at, value: 6, unit: h}\n"


@pytest.mark.parametrize(
    ("clock", "outcome"),
    [
        ("2026-08-01T18:00:00+00:00", Outcome.PASS),  # three hours after the newest
        ("2026-08-01T18:00:01-03:00", Outcome.FAIL),
        ("2026-08-01T14:59:59+00:00", Outcome.ERROR),  # before the newest
        ("", Outcome.ERROR),
    ],
)
def test_age_is_judged_at_the_clock_that_is_stated(repository: Repository, clock: str, outcome: Outcome) -> None:
    repository.contract(AGED)
    repository.write("data.parquet", payments())
    gates = repository.gates(f"[data_contract.data.payments]\npath = 'data.parquet'\nclock = '{clock}'\n")
    scan = gates("payments")
    assert scan.outcome is outcome, scan.lines()


def test_data_without_a_moment_has_no_age(repository: Repository) -> None:
    repository.contract(AGED)
    repository.write("data.parquet", payments(paid_at=[None] * 4))
    gates = repository.gates("[data_contract.data.payments]\npath = 'data.parquet'\nclock = 'now'\n")
    assert "paid_at holds no moment" in str(gates("payments").problems)


def test_references_are_counted_and_null_refers_to_nothing(repository: Repository) -> None:
    cpf = "        description: The payer's CPF.\n"
    repository.contract(CONTRACT.replace(cpf, f"{cpf}        relationships: [{{to: people.cpf}}]\n"))
    repository.contract(CONTRACT.replace("name: payments", "name: people"), "people")
    repository.write("people.parquet", payments(2))
    gates = repository.gates("[data_contract.data.people]\npath = 'people.parquet'\n")
    frame = payments(cpf=["00000000001", "00000000003", None, "00000000003"])
    finding = gates("payments", frame).findings[0]
    assert (finding.rule, finding.message) == ("cpf.relationship", "cpf stands in people (cpf): 2 of 4 rows")
    assert gates("payments", payments(2)).outcome is Outcome.PASS
    unknown = repository.gates()("payments", frame)
    assert "the policy has no data set people, which it refers to" in str(unknown.problems)


# Volume


def days(counts: list[int]) -> pl.DataFrame:
    """Payments on consecutive days."""
    start = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
    moments = [start + datetime.timedelta(days=day) for day, count in enumerate(counts) for _ in range(count)]
    return payments(len(moments), paid_at=moments, id=list(range(len(moments))))


WEEK = [100, 105, 98, 102, 110, 60, 40]
SECTION = "[data_contract.data.payments]\npath = 'data.parquet'\nvolume = { column = 'paid_at' }\n"


@pytest.mark.parametrize(
    ("last", "outcome"),
    [(100, Outcome.PASS), (95, Outcome.PASS), (40, Outcome.FAIL), (250, Outcome.FAIL), (0, Outcome.FAIL)],
)
def test_the_newest_day_holds_about_what_such_days_held(repository: Repository, last: int, outcome: Outcome) -> None:
    noisy = [round(count * (1 + 0.03 * ((7 * index) % 5 - 2))) for index, count in enumerate(WEEK * 8)]
    counts = [*noisy, last] if last else [*noisy, *[0] * 6, 1]
    repository.write("data.parquet", days(counts))
    scan = repository.gates(SECTION).volume("payments")
    assert scan.outcome is outcome, scan.lines()


def test_too_few_days_decide_nothing(repository: Repository) -> None:
    repository.write("data.parquet", days(WEEK * 3))
    scan = repository.gates(SECTION).volume("payments")
    assert scan.outcome is Outcome.INCONCLUSIVE
    assert scan.verdict.needs == "57 periods; there are 21"


@pytest.mark.parametrize("day", range(7))
def test_healthy_days_are_refused_no_more_often_than_stated(day: int) -> None:
    """1,000 series of Poisson counts by weekday, at alpha = 5 %, a fixed seed: at most 5 % and 2 standard errors."""
    from numpy.random import default_rng

    chance, settings, refused = default_rng(6 + day), Volume("at", alpha=0.05), 0
    for _ in range(1_000):
        *before, newest = chance.poisson((WEEK * 9)[day : 57 + day]).tolist()
        expected = volume.expected(before, settings)
        assert expected is not None
        refused += not expected.low <= newest <= expected.high
    assert refused / 1_000 <= 0.064


def test_days_are_those_of_the_zone() -> None:
    moments = [datetime.datetime(2026, 8, 1, hour, tzinfo=datetime.UTC) for hour in (2, 4)]
    opened = tables.open_frame(payments(2, paid_at=moments), contract.parse(CONTRACT, "c.yaml").tables[0], "x")
    assert list(volume.counts(opened.rows, Volume("paid_at")).values()) == [2]
    assert list(volume.counts(opened.rows, Volume("paid_at", zone="America/Sao_Paulo")).values()) == [1, 1]


# Changes


def test_a_breaking_change_since_the_merge_base_fails(repository: Repository) -> None:
    repository.gates()
    git = Git(repository.root)
    git.merged()
    git("checkout", "-q", "-b", "change")
    path = "gates/contracts/payments.odcs.yaml"
    assert repository.gates().changes(path).outcome is Outcome.PASS
    broken = CONTRACT.replace("classification: restricted", "classification: internal")
    for version, outcome in {"1.0.0": Outcome.FAIL, "1.1.0": Outcome.FAIL, "2.0.0": Outcome.PASS}.items():
        repository.contract(broken.replace("1.0.0", version))
        scan = repository.gates().changes(path)
        assert scan.outcome is outcome, scan.lines()
        repository.write("new", version)
        git.commit()
    repository.contract(CONTRACT, "new")
    assert repository.gates().changes("gates/contracts/new.odcs.yaml").outcome is Outcome.PASS
    repository.contract("a: [", "bad")
    assert repository.gates().changes("gates/contracts/bad.odcs.yaml").outcome is Outcome.ERROR


def test_a_repository_without_a_remote_is_compared_with_the_commit_before_the_last(repository: Repository) -> None:
    path, git = "gates/contracts/payments.odcs.yaml", Git(repository.root)
    git.commit()
    first = repository.gates().changes(path)
    assert first.outcome is Outcome.PASS
    assert first.absent == (f"{path} at any commit before",)
    repository.contract(CONTRACT.replace("classification: restricted", "classification: internal"))
    git.commit()
    assert repository.gates().changes(path).outcome is Outcome.FAIL
    git("update-ref", "refs/remotes/elsewhere/main", "HEAD")
    assert repository.gates().changes(path).outcome is Outcome.ERROR, (
        "with a remote, where the branch left it must be known"
    )


def test_without_a_history_a_change_can_not_be_judged(repository: Repository) -> None:
    assert repository.gates().changes("gates/contracts/payments.odcs.yaml").outcome is Outcome.ERROR


def test_two_contracts_of_one_language_pass_and_others_fail(repository: Repository) -> None:
    other = CONTRACT.replace("name: payments", "name: refunds")
    repository.contract(other, "refunds")
    assert repository.gates().vocabulary().outcome is Outcome.PASS
    repository.contract(other.replace("^[0-9]{11}$", "^[0-9]+$"), "refunds")
    finding = repository.gates().vocabulary().findings[0]
    assert finding.message == "cpf.pattern is asked here, otherwise in gates/contracts/payments.odcs.yaml:14"


def test_contracts_that_are_not_there_are_an_error(repository: Repository) -> None:
    assert repository.gates("contracts = ['none/*.yaml']\n").vocabulary().outcome is Outcome.ERROR
