"""What a tool found, on how much, and whether that is evidence.

A scan passes only if the tool ran, is known by version and digest, looked at something, read every file, and
found nothing that blocks. Everything else has a reason that its reader can act on.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_pixgates.core import recording
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Outcome, Verdict

INLINE_SKIP = "inline-skip"
"""The rule of a comment that tells a tool to look away; the resource of its findings is the rule skipped."""


class Severity(enum.Enum):
    """How much a finding weighs, in SARIF's words: note < warning < error."""

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class State(enum.Enum):
    """Whether a finding blocks (`open`), or why not: it is tolerated for a while (`waived`), was there before the gates
    came (`known`), its rule does not apply there by the policy (`off`), or it weighs too little (`minor`).
    """

    OPEN = "open"
    WAIVED = "waived"
    KNOWN = "known"
    OFF = "off"
    MINOR = "minor"


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect: `rule` broken at `path`:`line` (relative to the repository; line 0 if unknown).

    `resource` is what broke it (a Terraform address, Kind/name), `fix` what to do, `help_uri` where to read more,
    `excuse` who says for how long or why it does not block.
    """

    rule: str
    message: str
    path: str
    line: int = 0
    severity: Severity = Severity.ERROR
    resource: str = ""
    fix: str = ""
    help_uri: str = ""
    state: State = State.OPEN
    waiver: str = ""
    excuse: str = ""

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path

    @property
    def fingerprint(self) -> str:
        """Stable over edits elsewhere in the file: rule, path and resource (or the message), not the line."""
        identity = "\0".join((self.rule, self.path, self.resource or self.message))
        return hashlib.sha256(identity.encode(errors="surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool as it was used: `sha256` is that of the real binary, behind any shim."""

    name: str
    version: str
    sha256: str
    argv: tuple[str, ...] = ()

    @classmethod
    def library(cls, name: str, *arguments: str) -> ToolUse:
        """An installed Python package; its digest is that of the list of its files' digests."""
        import importlib.metadata

        distribution = importlib.metadata.distribution(name)
        record = distribution.read_text("RECORD") or ""
        return cls(name, distribution.version, hashlib.sha256(record.encode()).hexdigest() if record else "", arguments)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something could not be measured. Any problem makes the scan an ERROR; none can be waived or known."""

    message: str
    path: str = ""
    line: int = 0
    fix: str = ""

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.path else self.message


@dataclass(frozen=True, slots=True)
class Judged:
    """One rule of several that a scan judged: what it measured, and how that came out."""

    rule: str
    outcome: Outcome
    measured: str


@dataclass(frozen=True, slots=True)
class Scan:
    """The result of one tool on one target. Truthy only for PASS; asking for its truth records it.

    `scanned` counts what was looked at by kind ({"files": 4, "resources": 31}); none may be zero, so a kind that may
    rightly be absent is left out, and what went unjudged for that is named in `absent`. `undecided` is what the data
    does not decide, with what would; `rules` lists each rule that was judged, where they are known one by one.
    """

    name: str
    target: str
    scanned: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    problems: tuple[Problem, ...] = ()
    tools: tuple[ToolUse, ...] = ()
    subjects: tuple[Subject, ...] = ()
    cached: bool = False
    absent: tuple[str, ...] = ()
    undecided: tuple[Problem, ...] = ()
    rules: tuple[Judged, ...] = ()

    @property
    def blocking(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.state is State.OPEN)

    @property
    def known(self) -> int:
        """How many findings only the baseline keeps from blocking."""
        return sum(finding.state is State.KNOWN for finding in self.findings)

    @property
    def check(self) -> str:
        """What was asked ("checkov iac/prod")."""
        return f"{self.name} {self.target}"

    @property
    def outcome(self) -> Outcome:
        return self.verdict.outcome

    @property
    def verdict(self) -> Verdict:
        check, measured = self.check, self._measured()
        problems = self.problems or self._nothing_looked_at()
        if self.blocking:
            first = self.blocking[0]
            reason = f"{len(self.blocking)} finding(s), first {first.rule} at {first.where}: {first.message}"
            return Verdict(Outcome.FAIL, check, measured, reason, first.fix)
        if problems:
            return Verdict(Outcome.ERROR, check, measured, "; ".join(map(str, problems[:3])), problems[0].fix)
        if self.undecided:
            reason, needs = "; ".join(map(str, self.undecided[:3])), self.undecided[0].fix
            return Verdict(Outcome.INCONCLUSIVE, check, measured, reason, needs=needs)
        return Verdict(Outcome.PASS, check, measured)

    def __bool__(self) -> bool:
        recording.note(self)
        return bool(self.outcome)

    def __repr__(self) -> str:
        verdict = self.verdict
        return f"<{verdict.outcome.value}: {verdict.check}: {verdict.reason or verdict.measured}>"

    def lines(self, most: int = 20) -> list[str]:
        """The failure text: the verdict, then what to mend, `most` findings at most."""
        known = not self.findings and len(self.problems) == 1  # the verdict says it all
        listed = [
            *(
                f"  {problem}" + (f" (fix: {problem.fix})" if problem.fix else "")
                for problem in self.problems * (not known)
            ),
            *(f"  {each.where}: {each.severity.value} {each.rule}: {each.message}" for each in self.blocking),
        ]
        left_out = [f"  and {len(listed) - most} more"] if len(listed) > most else []
        return [*self.verdict.lines(), *listed[:most], *left_out]

    def _measured(self) -> str:
        counts = ", ".join(_counted(kind, count) for kind, count in self.scanned.items()) or "nothing"
        tools = ", ".join(f"{tool.name} {tool.version}" for tool in self.tools)
        known = f"; {self.known} known by the baseline" if self.known else ""
        absent = f"; not present: {', '.join(self.absent)}" if self.absent else ""
        return counts + (f" by {tools}" if tools else "") + (" (cached)" if self.cached else "") + absent + known

    def _nothing_looked_at(self) -> tuple[Problem, ...]:
        if not self.tools or not all(tool.version and tool.sha256 for tool in self.tools):
            return (Problem("no tool of known version ran", self.target),)
        if not self.scanned or any(count <= 0 for count in self.scanned.values()):
            return (Problem("nothing was scanned", self.target, fix="check the path in the policy"),)
        if not self.subjects:
            return (Problem("it names no subject, so a change to what was judged would go unseen", self.target),)
        return ()


def _counted(kind: str, count: int) -> str:
    return f"{count} {kind.removesuffix('s') if count == 1 else kind}"
