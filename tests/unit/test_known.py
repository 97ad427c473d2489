"""Which findings are known: those whose entry stood in the baseline where the branch began, and no more of them."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_pixgates.core import baseline, policy, tolerance
from pytest_pixgates.core.baseline import Entry
from pytest_pixgates.core.errors import NotMeasured, PolicyError
from pytest_pixgates.core.known import Known
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.record import Record
from pytest_pixgates.core.scan import INLINE_SKIP, Finding, Problem, Scan, State
from pytest_pixgates.core.verdict import Outcome
from tests.git import Git
from tests.unit import example_runs
from tests.unit.example_runs import CLEAN, FINDING, POLICY

TODAY = tolerance.today()
DAY = datetime.timedelta(days=1)
OTHER = dataclasses.replace(FINDING, resource="aws_s3_bucket.b")


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIXGATES_TARGET", "GITHUB_BASE_REF", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "CHANGE_TARGET"):
        monkeypatch.delenv(name, raising=False)


def entry(finding: Finding = FINDING, scan: Scan = CLEAN, environment: str = "", **changes: Any) -> Entry:
    rest = {"count": 1, "since": TODAY - 10 * DAY, "expires": TODAY + 5 * DAY, **changes}
    return Entry.of(finding, scan, "infra", environment, **rest)


class Repository:
    """A clone with a policy, and its baseline."""

    def __init__(self, path: Path) -> None:
        self.path, self.git = path, Git(path)
        (path / "gates").mkdir()
        (path / "gates/gates.toml").write_text(POLICY)

    def write(self, *entries: Entry) -> None:
        (self.path / "gates/baseline.json").write_text(baseline.dumps(entries))

    def policy(self, **changes: Any) -> Policy:
        return dataclasses.replace(policy.load(self.path / "gates/gates.toml"), **changes)

    def mark(self, *found: Finding, never: tuple[str, ...] = (), **changes: Any) -> Scan:
        return Known(self.policy()).mark("infra", example_runs.scan(*found, **changes), never)

    def judge(self, *found: Finding, partial: bool = False, record: Record | None = None, **changes: Any) -> Record:
        """The record of the baseline after a run that found `found`."""
        known = Known(self.policy(**changes))
        ran = record or example_runs.record(known.mark("infra", example_runs.scan(*found)))
        (judged,) = known.judge({"infra": [ran]}, partial)
        return judged


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "clone")


@pytest.fixture
def adopted(repository: Repository) -> Repository:
    """One finding is known, and merged."""
    repository.write(entry())
    repository.git.merged()
    return repository


def states(scan: Scan) -> list[State]:
    return [each.state for each in scan.findings]


def rules(record: Record) -> list[str]:
    assert (record.outcome is Outcome.PASS) is (not record.findings and not record.scans[0].problems)
    return [each.rule for each in record.findings]


# What it covers


def test_a_known_finding_does_not_block_and_says_since_and_until_when(adopted: Repository) -> None:
    moved = dataclasses.replace(FINDING, line=99)
    scan = adopted.mark(moved)
    assert scan.outcome is Outcome.PASS
    assert scan.findings[0].excuse == f"known since {TODAY - 10 * DAY}, until {TODAY + 5 * DAY}"
    assert scan.verdict.measured.endswith("; 1 known by the baseline")
    assert rules(adopted.judge(moved)) == []


@pytest.mark.parametrize("changes", [{"path": "iac/prod/renamed.tf"}, {"resource": "aws_s3_bucket.b"}, {"rule": "X"}])
def test_what_is_new_blocks_beside_what_is_known(adopted: Repository, changes: dict[str, str]) -> None:
    scan = adopted.mark(FINDING, dataclasses.replace(FINDING, **changes))  # type: ignore[arg-type]
    assert states(scan) == [State.KNOWN, State.OPEN]
    assert scan.outcome is Outcome.FAIL


def test_a_finding_of_another_target_or_environment_is_not_known(adopted: Repository) -> None:
    assert states(adopted.mark(FINDING, target="iac/dev")) == [State.OPEN]
    prod = Known(adopted.policy(environment="prod"))
    assert states(prod.mark("infra", example_runs.scan(FINDING))) == [State.OPEN]
    assert states(prod.mark("latency", example_runs.scan(FINDING))) == [State.OPEN]


def test_of_an_identity_that_grew_nothing_is_known_and_it_says_so(adopted: Repository) -> None:
    scan = adopted.mark(FINDING, dataclasses.replace(FINDING, line=50))
    assert states(scan) == [State.OPEN, State.OPEN]
    assert scan.findings[0].fix == "kms; there are 2 like it, of which the baseline knows 1"
    assert rules(adopted.judge(FINDING, FINDING)) == []  # the file is as it was; the gate is what is red


def test_what_could_not_be_measured_is_never_known(adopted: Repository) -> None:
    scan = adopted.mark(FINDING, problems=(Problem("not parsed", "iac/b.tf"),))
    assert states(scan) == [State.KNOWN]
    assert scan.outcome is Outcome.ERROR


def test_rules_that_can_not_be_switched_off_and_inline_skips_are_never_known(repository: Repository) -> None:
    skip = dataclasses.replace(FINDING, rule=INLINE_SKIP)
    repository.write(entry())
    repository.git.merged()
    assert states(repository.mark(FINDING, never=(FINDING.rule,))) == [State.OPEN]
    assert states(repository.mark(skip)) == [State.OPEN]


@pytest.mark.parametrize("state", [State.WAIVED, State.OFF, State.MINOR])
def test_what_does_not_block_anyway_stays_as_it_is_and_its_entry_is_stale(adopted: Repository, state: State) -> None:
    finding = dataclasses.replace(FINDING, state=state)
    assert states(adopted.mark(finding)) == [state]
    assert rules(adopted.judge(finding)) == ["baseline-stale"]


def test_without_a_baseline_git_is_not_asked(repository: Repository) -> None:
    (repository.path / ".git").rename(repository.path / "gone")
    assert states(repository.mark(FINDING)) == [State.OPEN]
    assert list(Known(repository.policy()).judge({"infra": [example_runs.record(CLEAN)]}, partial=False)) == []


# It may only shrink


def grow(**changes: Any) -> Callable[[Repository], None]:
    return lambda repository: repository.write(entry(**changes))


@pytest.mark.parametrize(
    ("change", "found", "words"),
    [
        (lambda repository: repository.write(entry(), entry(OTHER)), [FINDING, OTHER], "aws_s3_bucket.b"),
        (grow(count=2), [FINDING, FINDING], "count 2 is more than 1"),
        (grow(expires=TODAY + 6 * DAY), [FINDING], f"expires {TODAY + 6 * DAY} is later than {TODAY + 5 * DAY}"),
    ],
    ids=["an entry more", "a higher count", "a later expiry"],
)
def test_a_baseline_that_grew_is_a_finding_and_does_not_count(
    adopted: Repository, change: Callable[[Repository], None], found: list[Finding], words: str
) -> None:
    change(adopted)
    for _ in ("not committed", "committed"):
        record = adopted.judge(*found)
        assert rules(record) == ["baseline-grew"]
        assert words in record.findings[0].message
        assert "where this left origin/HEAD" in record.findings[0].message
        assert record.findings[0].where.startswith("gates/baseline.json:")
        adopted.git.commit()
    later = len(found) == 1
    assert adopted.mark(*found).outcome is (Outcome.PASS if later else Outcome.FAIL)


def test_a_renewed_entry_expires_when_it_was_to(repository: Repository) -> None:
    repository.write(entry(since=TODAY - 50 * DAY, expires=TODAY - DAY))
    repository.git.merged()
    repository.write(entry(since=TODAY, expires=TODAY + 5 * DAY))
    assert states(repository.mark(FINDING)) == [State.OPEN]
    assert rules(repository.judge(FINDING)) == ["baseline-grew"]


def test_a_baseline_that_was_emptied_stays_empty(repository: Repository) -> None:
    repository.write()
    repository.git.merged()
    repository.write(entry())
    repository.git.commit()
    assert states(repository.mark(FINDING)) == [State.OPEN]
    assert rules(repository.judge(FINDING)) == ["baseline-grew"]


def test_a_baseline_that_shrank_counts_as_far_as_it_is_left(repository: Repository) -> None:
    repository.write(entry(count=3), entry(OTHER))
    repository.git.merged()
    repository.write(entry(count=2))
    assert states(repository.mark(FINDING, FINDING, OTHER)) == [State.KNOWN, State.KNOWN, State.OPEN]
    assert rules(repository.judge(FINDING, FINDING)) == []


def test_what_the_target_dropped_since_counts_until_the_branch_takes_it_in(adopted: Repository) -> None:
    adopted.git("checkout", "--quiet", "-b", "change")
    adopted.git.commit()
    adopted.git("checkout", "--quiet", "main")
    adopted.write()
    adopted.git.merged()
    adopted.git("checkout", "--quiet", "change")
    assert states(adopted.mark(FINDING)) == [State.KNOWN]


def test_adoption_counts_once_it_is_committed_and_needs_no_more(repository: Repository) -> None:
    repository.git.merged()
    repository.write(entry())
    record = repository.judge(FINDING)
    assert rules(record) == ["baseline-uncommitted"]
    assert "commit baseline.json" in record.findings[0].fix
    assert states(repository.mark(FINDING)) == [State.OPEN]
    repository.git.commit()
    assert rules(repository.judge(FINDING)) == []
    assert states(repository.mark(FINDING)) == [State.KNOWN]
    repository.write(entry(), entry(OTHER))
    assert rules(repository.judge(FINDING, OTHER)) == ["baseline-uncommitted"]


# The target


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PIXGATES_TARGET", "origin/release"),
        ("GITHUB_BASE_REF", "release"),
        ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "release"),
        ("CHANGE_TARGET", "release"),
    ],
)
def test_ci_names_the_target_and_the_policy_where_it_does_not(
    adopted: Repository, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    adopted.git("update-ref", "refs/remotes/origin/release", "HEAD~0")
    adopted.git("update-ref", "-d", "refs/remotes/origin/main")
    text = f'[pixgates]\ntarget = "{{}}"\n{POLICY}'
    (adopted.path / "gates/gates.toml").write_text(text.format("origin/release"))
    assert states(adopted.mark(FINDING)) == [State.KNOWN]
    (adopted.path / "gates/gates.toml").write_text(text.format("origin/gone"))
    assert adopted.mark(FINDING).outcome is Outcome.ERROR
    monkeypatch.setenv(variable, value)
    assert adopted.mark(FINDING).outcome is Outcome.PASS
    monkeypatch.setenv(variable, "")
    assert adopted.mark(FINDING).outcome is Outcome.ERROR


def test_a_target_that_would_be_an_option_is_refused(repository: Repository) -> None:
    (repository.path / "gates/gates.toml").write_text('[pixgates]\ntarget = "--all"\n')
    with pytest.raises(PolicyError, match="is no branch"):
        repository.policy()


def test_where_git_can_not_tell_a_gate_that_needs_the_baseline_is_an_error(adopted: Repository) -> None:
    adopted.git("symbolic-ref", "--delete", "refs/remotes/origin/HEAD")
    assert adopted.mark(FINDING).outcome is Outcome.PASS, "origin/main says as much"
    adopted.git("update-ref", "-d", "refs/remotes/origin/main")
    scan = adopted.mark(FINDING)
    assert scan.outcome is Outcome.ERROR
    assert "git knows no commit 'origin/HEAD' here" in scan.verdict.reason
    assert "fetch-depth: 0" in scan.verdict.needs
    assert adopted.mark(OTHER).outcome is Outcome.FAIL
    assert adopted.mark().outcome is Outcome.PASS
    assert adopted.judge(FINDING).outcome is Outcome.ERROR


def test_a_baseline_that_could_not_be_read_where_the_branch_began_is_an_error(repository: Repository) -> None:
    (repository.path / "gates/baseline.json").write_text("{")
    commit = repository.git.merged()
    repository.write(entry())
    assert repository.mark(FINDING).outcome is Outcome.ERROR
    assert f"baseline.json of {commit[:12]}" in repository.mark(FINDING).verdict.reason


# Stale and expired


def test_an_entry_that_covers_nothing_or_too_much_is_stale(repository: Repository) -> None:
    repository.write(entry(count=2))
    repository.git.merged()
    assert "nothing of it is found any more" in repository.judge().findings[0].message
    assert "1 of 2 are left" in repository.judge(FINDING).findings[0].message
    assert rules(repository.judge()) == rules(repository.judge(FINDING)) == ["baseline-stale"]
    assert rules(repository.judge(FINDING, FINDING)) == []


def test_whether_an_entry_is_stale_is_judged_only_after_a_whole_run_that_measured_everything(
    adopted: Repository,
) -> None:
    assert rules(adopted.judge()) == ["baseline-stale"]
    assert rules(adopted.judge(partial=True)) == []
    assert rules(adopted.judge(environment="prod")) == []
    unread = example_runs.scan(OTHER, problems=(Problem("not parsed", "iac/b.tf"),))
    for record in (example_runs.record(CLEAN, outcome=Outcome.ERROR), example_runs.record(unread)):
        assert rules(adopted.judge(record=record)) == []


def test_an_expired_entry_is_a_finding_whatever_ran_and_covers_nothing(repository: Repository) -> None:
    repository.write(entry(since=TODAY - 50 * DAY, expires=TODAY - DAY))
    repository.git.merged()
    scan = repository.mark(FINDING)
    assert states(scan) == [State.OPEN]
    assert scan.findings[0].fix == f"kms; the baseline knew it until {TODAY - DAY}"
    for judged in ({}, {"partial": True}, {"environment": "prod"}):
        assert rules(repository.judge(FINDING, **judged)) == ["baseline-expired"]


# What a second process asks


def test_what_is_recorded_as_known_is_looked_up_again(adopted: Repository) -> None:
    record = example_runs.record(adopted.mark(FINDING))
    twice = example_runs.record(example_runs.scan(*adopted.mark(FINDING).findings * 2))
    foreign = example_runs.record(example_runs.scan(dataclasses.replace(OTHER, state=State.KNOWN)))
    known = Known(adopted.policy())
    assert list(known.unknown(record, TODAY + 5 * DAY)) == []
    assert "expired since" in "".join(known.unknown(record, TODAY + 6 * DAY))
    assert "does not cover it" in "".join(known.unknown(twice, TODAY))
    assert "does not cover it" in "".join(known.unknown(foreign, TODAY))
    adopted.git("update-ref", "-d", "refs/remotes/origin/main")
    assert list(Known(adopted.policy()).unknown(example_runs.record(CLEAN), TODAY)) == []
    with pytest.raises(NotMeasured):
        list(Known(adopted.policy()).unknown(record, TODAY))


# What `pixgates baseline` leaves


def run_of(repository: Repository, *found: Finding, **changes: Any) -> Any:
    return example_runs.run(example_runs.record(repository.mark(*found)), **changes)


def test_shrinking_takes_away_what_is_gone_expired_or_does_not_count(repository: Repository) -> None:
    gone = dataclasses.replace(FINDING, rule="gone")
    old = dataclasses.replace(FINDING, rule="old")
    expired = entry(old, since=TODAY - 50 * DAY, expires=TODAY - DAY)
    prod = entry(environment="prod")
    repository.write(entry(count=3), entry(gone), expired, prod)
    repository.git.merged()
    repository.write(entry(count=3), entry(gone), expired, prod, entry(OTHER))
    left = Known(repository.policy()).shrunk(run_of(repository, FINDING, FINDING, old, OTHER))
    assert Counter(left) == Counter([entry(count=2), prod])
    more = Known(repository.policy()).shrunk(run_of(repository, *[FINDING] * 9))
    assert Counter(more) == Counter([entry(count=3), prod])
    other_family = Known(repository.policy()).shrunk(run_of(repository, families=("latency",)))
    assert Counter(other_family) == Counter([entry(count=3), entry(gone), prod])


def test_adopting_takes_what_blocks_and_may_be_known(repository: Repository) -> None:
    repository.git.merged()
    states = [dataclasses.replace(FINDING, state=state, rule=state.value) for state in State if state is not State.OPEN]
    skip = dataclasses.replace(FINDING, rule=INLINE_SKIP)
    invalid = dataclasses.replace(FINDING, rule="terraform-validate")
    run = run_of(repository, FINDING, FINDING, OTHER, skip, invalid, *states)
    dates = {"since": TODAY, "expires": TODAY + DAY}
    new = list(Known(repository.policy()).adopted(run, ("terraform-validate",), **dates))
    assert new == [entry(count=2, **dates), entry(OTHER, **dates)]
    repository.write(*new)
    assert list(Known(repository.policy()).adopted(run, (), **dates)) == []
    other = dataclasses.replace(run, environment="prod")
    (first, *_) = Known(repository.policy(environment="prod")).adopted(other, (), **dates)
    assert first.environment == "prod"
