"""Which findings are known: the entries of the baseline that count, and what is wrong with those that don't.

An entry counts as far as it stood in the baseline already where the branch left its target, so a change can't excuse
what it adds. Only where no baseline was, one is adopted; then it counts as it is committed.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_pixgates.core import baseline, git, own
from pytest_pixgates.core.baseline import Baseline, Entry
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.record import Record, Run
from pytest_pixgates.core.scan import INLINE_SKIP, Finding, Problem, Scan, State
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Outcome


@dataclass(frozen=True, slots=True)
class Before:
    """The baseline that a change started from. `adopting` if it started without any; then `at` is HEAD."""

    target: str
    at: str
    entries: Mapping[str, Entry]
    adopting: bool

    def __str__(self) -> str:
        short = self.at[:12]
        return f"the commit {short}" if self.adopting else f"{short}, where this left {self.target}"

    def allows(self, entry: Entry) -> Entry | None:
        """As much of `entry` as counts."""
        there = self.entries.get(entry.fingerprint)
        return entry.within(there) if there else None


class Known:
    """What the baseline beside `policy` knows, in the policy's environment. git is asked once, and only if need be."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._baseline = policy.baseline or Baseline()
        self._entries = {entry.fingerprint: entry for entry in self._baseline.entries}
        self._before: Before | None = None

    @property
    def before(self) -> Before:
        """Raises PixgatesError where git can't tell."""
        if self._before is None:
            self._before = _before(self._policy)
        return self._before

    def mark(self, family: str, scan: Scan, never: Collection[str] = ()) -> Scan:
        """`scan` with what the baseline knows marked so; never of a rule in `never`, nor any problem of the scan.

        Of an identity that there is more of than the baseline knows, nothing is: which one is new can't be told.
        """
        if not self._entries:
            return scan
        found = baseline.counted(scan, family, self._policy.environment)
        doubt = ""
        entries: dict[str, Entry | None] = {key: self._entries[key] for key in found.keys() & self._entries.keys()}
        problems = list(scan.problems)
        if entries:
            try:
                entries = {key: self.before.allows(self._entries[key]) for key in entries}
            except PixgatesError as error:
                doubt = f"whether the baseline may excuse what it found can't be told: {error.message}"
                problems.append(Problem(doubt, scan.target, fix=error.remedy))
        findings = []
        for each in scan.findings:
            key = baseline.fingerprint(each, family, scan.check, self._policy.environment)
            takes_part = each.state is State.OPEN and each.rule not in (INLINE_SKIP, *never) and key in entries
            findings.append(self._weighed(each, entries[key], found[key]) if takes_part else each)
        return dataclasses.replace(scan, findings=tuple(findings), problems=tuple(problems))

    def _weighed(self, finding: Finding, entry: Entry | None, found: int) -> Finding:
        if entry is None:
            return _noted(finding, f"its entry in the baseline does not count, for it was not there at {self._before}")
        if entry.expired:
            return _noted(finding, f"the baseline knew it until {entry.expires}")
        if found > entry.count:
            return _noted(finding, f"there are {found} like it, of which the baseline knows {entry.count}")
        return dataclasses.replace(
            finding, state=State.KNOWN, excuse=f"known since {entry.since}, until {entry.expires}"
        )

    def judge(self, ran: Mapping[str, Sequence[Record]], partial: bool) -> Iterator[Record]:  # noqa: FBT001
        """A record for each family in `ran` (its records) that the baseline has entries of.

        Whether an entry still covers something can be told only if the family ran whole and everything was measured.
        """
        for family, records in ran.items():
            if entries := [entry for entry in self._baseline.entries if entry.family == family]:
                whole = bool(records) and not partial and not any(map(unmeasured, records))
                yield self._record(family, entries, self._found(records) if whole else None)

    def _record(self, family: str, entries: list[Entry], found: Counter[str] | None) -> Record:
        subject = Subject.of(self._policy.folder / baseline.FILE, self._policy.root)
        findings, problems, argv = [], list[Problem](), tuple[str, ...]()
        try:
            argv = (f"target={self.before.target}", f"at={self.before.at}")
        except PixgatesError as error:
            problems.append(
                Problem(f"what of it counts can't be told: {error.message}", subject.name, fix=error.remedy)
            )
        for entry in entries:
            if problem := self._problem(entry, found):
                rule, message, fix = problem
                line = self._baseline.line(entry)
                findings.append(Finding(rule, message, subject.name, line, resource=entry.fingerprint, fix=fix))
        return own.record("baseline", family, subject, {"fingerprints": len(entries)}, findings, problems, argv)

    def _problem(self, entry: Entry, found: Counter[str] | None) -> tuple[str, str, str] | None:
        """Rule, message and fix; `found` is None if it can't be told what was found."""
        if self._before is not None and (grown := self._grown(entry, self._before)):
            return grown
        if entry.expired:
            fix = "mend the finding, or register a waiver with an owner; then `pixgates baseline`"
            return "baseline-expired", f"{entry} was known until {entry.expires}", fix
        if found is None or entry.environment != self._policy.environment:
            return None
        if (there := found[entry.fingerprint]) < entry.count:
            left = f"{there} of {entry.count} are left" if there else "nothing of it is found any more"
            return "baseline-stale", f"{entry}: {left}", "run `pixgates baseline`, and commit the file"
        return None

    def _grown(self, entry: Entry, before: Before) -> tuple[str, str, str] | None:
        there = before.entries.get(entry.fingerprint)
        if there is None and before.adopting:
            fix = f"commit {baseline.FILE}, so that it is reviewed"
            return "baseline-uncommitted", f"{entry} is not in the baseline at {before}", fix
        fix = "mend the finding, and restore the file: a baseline may only shrink"
        if there is None:
            return "baseline-grew", f"{entry} is not in the baseline at {before}", fix
        if entry.count > there.count:
            return "baseline-grew", f"{entry}: count {entry.count} is more than {there.count} at {before}", fix
        if entry.expires > there.expires:
            return "baseline-grew", f"{entry}: expires {entry.expires} is later than {there.expires} at {before}", fix
        return None

    def _found(self, records: Iterable[Record]) -> Counter[str]:
        """How often each was found by one check at most."""
        most = Counter[str]()
        for record in records:
            for scan in record.scans:
                most |= baseline.counted(scan, record.family, self._policy.environment)
        return most

    def unknown(self, record: Record, today: datetime.date) -> Iterator[str]:
        """What `record` has as known that isn't on the day `today`. Raises PixgatesError where git can't tell."""
        for scan in record.scans:
            marked = [each for each in scan.findings if each.state is State.KNOWN]
            found = baseline.counted(scan, record.family, self._policy.environment) if marked else Counter()
            for finding in marked:
                key = baseline.fingerprint(finding, record.family, scan.check, self._policy.environment)
                entry = self.before.allows(self._entries[key]) if key in self._entries else None
                if entry is None or found[key] > entry.count or finding.rule == INLINE_SKIP:
                    yield f"{finding.rule} at {finding.where} is recorded as known, but the baseline does not cover it"
                elif entry.expires < today:
                    yield f"the baseline's entry for {finding.rule} at {finding.where} expired since"

    # What `pixgates baseline` makes of it

    def shrunk(self, run: Run) -> list[Entry]:
        """The entries that are left after `run`: those that count, each as far as it is found there."""
        found, kept = self._found(run.records), []
        for entry in self._baseline.entries:
            counts = entry if self.before.adopting else self.before.allows(entry)
            if counts is not None and entry.family in run.families and entry.environment == self._policy.environment:
                there = min(counts.count, found[entry.fingerprint])
                counts = dataclasses.replace(counts, count=there) if there else None
            if counts is not None and not counts.expired:
                kept.append(counts)
        return kept

    def adopted(
        self, run: Run, never: Collection[str], since: datetime.date, expires: datetime.date
    ) -> Iterator[Entry]:
        """An entry for all that `run` found and that may be known, of families that have none in this environment."""
        environment = self._policy.environment
        taken = {entry.family for entry in self._baseline.entries if entry.environment == environment}
        found, seen = self._found(run.records), set[str]()
        for record in run.records:
            for scan in record.scans if record.family not in taken else ():
                for each in scan.findings:
                    key = baseline.fingerprint(each, record.family, scan.check, environment)
                    if each.state is State.OPEN and each.rule not in (INLINE_SKIP, *never) and key not in seen:
                        seen.add(key)
                        dates = {"since": since, "expires": expires}
                        yield Entry.of(each, scan, record.family, environment, count=found[key], **dates)


def unmeasured(record: Record) -> bool:
    """Whether something of it was not measured, so that a finding may be missing."""
    return record.outcome is Outcome.ERROR or any(scan.problems for scan in record.scans)


def _before(policy: Policy) -> Before:
    target = policy.target
    folder, at = policy.folder, git.merge_base(policy.folder, target)
    text = git.file_at(folder, at, baseline.FILE)
    adopting = text is None
    if text is None:
        at = git.commit(folder, git.HEAD)
        text = git.file_at(folder, at, baseline.FILE)
    there = baseline.loads(text, f"{baseline.FILE} of {at[:12]}") if text is not None else Baseline()
    return Before(target, at, {entry.fingerprint: entry for entry in there.entries}, adopting)


def _noted(finding: Finding, why: str) -> Finding:
    return dataclasses.replace(finding, fix="; ".join(filter(None, (finding.fix, why))))
