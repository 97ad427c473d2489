"""What people review: `gates/gates.toml`, and beside it the waivers and the baseline; read once, refused if odd.

Paths in them are relative to the repository, which is the folder that holds the policy's own folder.
"""

from __future__ import annotations

import dataclasses
import datetime
import fnmatch
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_pixgates.core import baseline, decode, environ, files, git, limit, quantity, tolerance
from pytest_pixgates.core.baseline import Baseline
from pytest_pixgates.core.errors import PolicyError
from pytest_pixgates.core.scan import INLINE_SKIP, Finding, State
from pytest_pixgates.core.tools import TOOLS
from pytest_pixgates.core.trust import Trust

WAIVERS = "waivers.toml"
DEFAULT_MAX_AGE = "24h"

_WILDCARD = re.compile(r"[*?\[]")
_EXAMPLE_PATH = "iac/prod/*.tf"


@dataclass(frozen=True, slots=True)
class General:
    """`[pixgates]`."""

    alpha: float = 0.05
    """The share of runs in which a gate may pass at the limit itself, one-sided."""
    target: str = ""
    """The branch that changes go to, as git knows it; else what the clone noted as `origin/HEAD`, `origin/main` or
    `origin/master`.
    """

    def __post_init__(self) -> None:
        if self.target.startswith("-"):
            raise ValueError(f"target {self.target!r} is no branch")
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha must lie between 0 and 0.5, not {self.alpha}")


@dataclass(frozen=True, slots=True)
class Environment:
    """`[environments.NAME]`: what must have passed before anything goes there."""

    requires: tuple[str, ...] = ()
    """Families, or gate ids (`infra/checkov[iac/prod]`), that must have passed; the family needs a section here."""
    max_age: str = DEFAULT_MAX_AGE
    """How old the run may be."""
    subjects: tuple[str, ...] = ()
    """Names that `pixgates verify` must be asked for."""
    unjudged: tuple[str, ...] = ()
    """Names of subjects that no gate judges, so that only the signer vouches for them."""
    single_use: bool = False
    """`pixgates verify` must be given a ledger that remembers what was used."""

    def __post_init__(self) -> None:
        quantity.seconds(self.max_age)


@dataclass(frozen=True, slots=True)
class Waiver:
    """A finding tolerated for a while: exactly one rule, at a path (see `matches`), of a resource if given."""

    id: str
    """What people call it; no two are called alike."""
    rule: str
    """The one rule that is broken."""
    path: str
    """Where, as findings show it; after the first name it may have `*` (within a part) and `**` (any number of parts).
    """
    owner: str
    """Who answers for it."""
    reason: str
    """Why it is tolerated."""
    expires: datetime.date
    """The last day on which it counts; at most 90 days ahead."""
    resource: str = ""
    """What breaks the rule, if only that is meant; for `inline-skip` the rule that is skipped, and needed."""
    ticket: str = ""
    """Where the work on it is followed."""

    def __post_init__(self) -> None:
        for name in ("id", "rule", "path", "owner", "reason"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} is empty")
        if _WILDCARD.search(self.rule):
            raise ValueError(f"too wide: rule {self.rule!r} must name one rule")
        parts = self.path.split("/")
        if not {"", ".", ".."}.isdisjoint(parts):
            raise ValueError(f"path {self.path!r} must be written as findings show it: relative, and without . or ..")
        if _WILDCARD.search(parts[0]):
            raise ValueError(f"too wide: path {self.path!r} must begin with a name, such as {_EXAMPLE_PATH!r}")
        if self.rule == INLINE_SKIP and not self.resource.strip():
            raise ValueError(f"too wide: a waiver for {INLINE_SKIP} needs `resource`, the rule that is skipped there")
        if self.expires > (latest := tolerance.today() + tolerance.LONGEST):
            days = tolerance.LONGEST.days
            raise ValueError(f"expires {self.expires} is more than {days} days ahead; the latest today is {latest}")

    @property
    def expired(self) -> bool:
        return self.expires < tolerance.today()

    def covers(self, finding: Finding) -> bool:
        return (
            finding.rule == self.rule and matches(finding.path, self.path) and self.resource in ("", finding.resource)
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """The reviewed policy. `sections` are the families' own, still as plain tables.

    `affects` is `[affects]`: patterns of files, and the families whose verdict a change of them can alter.
    """

    path: Path
    root: Path
    text: str
    general: General = field(default_factory=General)
    environments: Mapping[str, Environment] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    waivers: Mapping[str, tuple[Waiver, ...]] = field(default_factory=dict)
    baseline: Baseline | None = None
    environment: str = ""
    trust: Trust = field(default_factory=Trust)
    affects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder of gates, whose every gate is expected to run."""
        return self.path.parent

    @property
    def sha256(self) -> str:
        """The digest of everything reviewed: the whole folder of gates: Python gates, waivers, the baseline."""
        return files.tree_sha256(self.folder)

    @property
    def target(self) -> str:
        """The revision that changes go to. Raises NotMeasured without a repository."""
        return environ.target() or self.general.target or git.default_target(self.folder)

    def settings(self, name: str, kind: type) -> Any:
        """The section of the family `name` as a `kind`, its limits those of the environment. Raises PolicyError."""
        try:
            settings: Any = decode.decode(kind, self.sections.get(name, {}), name)
            return limit.resolved(settings, self.environment, frozenset(self.environments), name)
        except decode.DecodeError as error:
            raise _error(self.path, self.text, error) from None

    def tool_path(self, name: str) -> Path | None:
        """The path that `[tools]` names for the tool, if it does."""
        named = self.tools.get(name)
        return self.root / Path(named).expanduser() if named else None

    def waive(self, family: str, finding: Finding) -> Finding:
        """`finding`, marked as waived if a waiver of its family that has not expired covers it."""
        for waiver in self.waivers.get(family, ()):
            if not waiver.expired and waiver.covers(finding):
                excuse = f"{waiver.owner}, until {waiver.expires}: {waiver.reason}"
                return dataclasses.replace(finding, state=State.WAIVED, waiver=waiver.id, excuse=excuse)
        return finding

    def line(self, key: str) -> int:
        """The line of the dotted `key`, or of the nearest table above it."""
        return line_of(self.text, key)


def matches(path: str, pattern: str) -> bool:
    """Whether `pattern` names `path`, both with `/`: `*` stays within a part, `**` is any number of parts.

    `fnmatch` alone would let `iac/*.tf` reach into every folder below.
    """
    return _matches(path.split("/"), pattern.split("/"))


def _matches(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_matches(parts[begin:], patterns[1:]) for begin in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], patterns[0]) and _matches(parts[1:], patterns[1:])


def load(
    path: Path, *, environment: str = "", families: frozenset[str] | None = None, option: str = "--pixgates-config"
) -> Policy:
    """Read the policy at `path`, and the waivers and the baseline beside it.

    `families` are the names that may be sections; None accepts any, for a reader that has no plugins loaded. `option`
    is what names another policy where this one is asked for. Raises PolicyError.
    """
    path = Path(os.path.normpath(path.absolute()))  # the folder above its own is the repository, wherever we stand
    text, data = _read(path, f"write it, or name another with {option}")
    known = {"pixgates", "environments", "tools", "evidence", "affects"}
    try:
        sections = {name: table for name, table in data.items() if name not in known}
        _refuse_unknown(sections, families, beside=known)
        _refuse_unknown(data.get("tools", {}), frozenset(TOOLS), where="tools")
        policy = Policy(
            path=path,
            root=path.parent.parent,
            text=text,
            general=decode.decode(General, data.get("pixgates", {}), "pixgates"),
            environments=decode.decode(dict[str, Environment], data.get("environments", {}), "environments"),
            tools=decode.decode(dict[str, str], data.get("tools", {}), "tools"),
            sections=decode.decode(dict[str, dict[str, Any]], sections),
            waivers=_load_waivers(path.parent / WAIVERS, families),
            baseline=_load_baseline(path.parent / baseline.FILE, families),
            environment=environment,
            trust=decode.decode(Trust, data.get("evidence", {}), "evidence"),
            affects=decode.decode(dict[str, tuple[str, ...]], data.get("affects", {}), "affects"),
        )
        _refuse_unjudged(policy)
        _refuse_keys_for_nothing(policy)
        _refuse_affecting_nothing(policy)
        if environment and environment not in policy.environments:
            raise decode.unknown_key(environment, policy.environments, "environments")
    except decode.DecodeError as error:
        raise _error(path, text, error) from None
    return policy


def _load_waivers(path: Path, families: frozenset[str] | None) -> dict[str, tuple[Waiver, ...]]:
    if not path.exists():
        return {}
    text, data = _read(path, "make it readable, or remove it")
    try:
        _refuse_unknown(data, families)
        waivers = decode.decode(dict[str, tuple[Waiver, ...]], data)
        _refuse_equal_ids(waivers)
    except decode.DecodeError as error:
        raise _error(path, text, error, _waiver_at(data, error.key)) from None
    return waivers


def _load_baseline(path: Path, families: frozenset[str] | None) -> Baseline | None:
    return baseline.load(path, families) if os.path.lexists(path) else None


def _refuse_equal_ids(waivers: Mapping[str, tuple[Waiver, ...]]) -> None:
    seen = set[str]()
    for family, each in waivers.items():
        for index, waiver in enumerate(each):
            if waiver.id in seen:
                raise decode.DecodeError(f"{family}[{index}].id", f"two waivers are called {waiver.id!r}")
            seen.add(waiver.id)


def _waiver_at(data: Mapping[str, Any], key: str) -> str:
    """Names the waiver that `key` lies in, if that has an id, for the front of a message."""
    found = re.match(r"(.+?)\[(\d+)\]", key)
    waiver = data[found[1]][int(found[2])] if found else None
    return f"waiver {waiver['id']}: " if isinstance(waiver, dict) and waiver.get("id") else ""


def _refuse_unknown(
    names: Iterable[str], valid: frozenset[str] | None, *, beside: Iterable[str] = (), where: str = ""
) -> None:
    """Raise DecodeError for a name that is not `valid`; None accepts any."""
    for name in names:
        if valid is not None and name not in valid:
            raise decode.unknown_key(name, {*valid, *beside}, where)


def _refuse_unjudged(policy: Policy) -> None:
    """Raise DecodeError for an environment that requires a family without a section: no gate could ever meet that."""
    for name, environment in policy.environments.items():
        for index, required in enumerate(environment.requires):
            family = required.partition("/")[0]
            if family not in policy.sections:
                problem = f"{required!r}: no family {family!r} has a section here"
                key = f"environments.{name}.requires[{index}]"
                raise decode.DecodeError(key, f"{problem}; {decode.hint(family, policy.sections)}")


def _refuse_keys_for_nothing(policy: Policy) -> None:
    """Raise DecodeError for a trusted key of an environment that there is not."""
    for group, trusted in (("keys", policy.trust.keys), ("owners", policy.trust.owners)):
        for index, key in enumerate(trusted):
            for name in key.environments:
                if name not in policy.environments:
                    where = f"evidence.{group}[{index}].environments"
                    problem = f"the key {key.name} is for {name!r}; {decode.hint(name, policy.environments)}"
                    raise decode.DecodeError(where, problem)


def _refuse_affecting_nothing(policy: Policy) -> None:
    """Raise DecodeError for a pattern that reaches into every folder, and for a family that there is not."""
    for pattern, families in policy.affects.items():
        where = f"affects.{pattern}"
        parts = pattern.split("/")
        if not {"", ".", ".."}.isdisjoint(parts):
            raise decode.DecodeError(where, "must be written relative to the repository, and without . or ..")
        if parts[0] == "*" or "**" in parts[0]:
            raise decode.DecodeError(where, f"too wide: it must begin with a name, such as {_EXAMPLE_PATH!r}")
        for family in families:
            if family not in policy.sections:
                raise decode.DecodeError(where, f"no family {family!r} here; {decode.hint(family, policy.sections)}")


def _read(path: Path, remedy: str) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}", remedy=remedy) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PolicyError(f"{path}: not valid TOML: {error}") from None


def _error(path: Path, text: str, error: decode.DecodeError, what: str = "") -> PolicyError:
    return PolicyError(f"{path}:{line_of(text, error.key)}: {what}{error}")


_TABLE = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?")
_KEY = re.compile(r"\s*([A-Za-z0-9_\-\".]+)\s*=")


def line_of(text: str, key: str) -> int:
    """The line in TOML `text` that defines the dotted `key` ("infra.rules[1].rule"), or the nearest above it; else 1.

    tomllib keeps no positions; table headers and `key =` at the start of a line are what policies are written in.
    """
    wanted = key.replace('"', "")
    best, best_length, table, counts = 1, 0, "", dict[str, int]()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(line):
            table = header[1].replace('"', "")
            if line.lstrip().startswith("[["):
                counts[table] = counts.get(table, -1) + 1
                table = f"{table}[{counts[table]}]"
            here = table
        elif assignment := _KEY.match(line):
            name = assignment[1].replace('"', "")
            here = f"{table}.{name}" if table else name
        else:
            continue
        if (wanted == here or wanted.startswith((f"{here}.", f"{here}["))) and len(here) > best_length:
            best, best_length = number, len(here)
    return best
