"""The `data_contract` fixture: data against its contract, as scans that the policy has been applied to.

Trouble with data or contract is never an exception here and never a pass: it is a problem of the scan, an ERROR.
"""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest_pixgates
from pytest_pixgates.core import environ, files, git, recording, sources
from pytest_pixgates.core.errors import EXTRA, NotMeasured
from pytest_pixgates.core.family import Context
from pytest_pixgates.core.measurement import Measurement
from pytest_pixgates.core.scan import Finding, Problem, Scan, ToolUse
from pytest_pixgates.data_contract import changes, contract, vocabulary
from pytest_pixgates.data_contract.family import contracts
from pytest_pixgates.data_contract.policy import Data, DataContractPolicy
from pytest_pixgates.data_contract.rules import Contract, Table

if TYPE_CHECKING:
    from pytest_pixgates.data_contract.judge import Judge
    from pytest_pixgates.data_contract.tables import Opened

FAMILY = "data_contract"


class DataContractGates:
    """What `def test_x(data_contract)` receives. Data sets are called as in the policy, or as their contract is."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._settings: DataContractPolicy = context.settings
        self._root = context.root.resolve()

    def __call__(self, name: str, data: Any = None, *, only: Sequence[str] = (), sample: bool | None = None) -> Scan:
        """The data set `name` by its contract: the data that the policy names, or `data`, a path or a frame.

        `only` names the rules to judge ("amount_cents.minimum"); `sample` says that the data is not complete.
        """

        def measure() -> Scan:
            agreed, table = self._table(name)
            if unknown := set(only) - {rule.name for rule in table.rules}:
                raise NotMeasured(f"{agreed.path} has no rule {', '.join(sorted(unknown))}")
            opened = self._open(name, table, data)
            scan: Scan = self._judge(name, sample=sample).scan(agreed, table, opened, name, only)
            return dataclasses.replace(scan, subjects=(self._context.subject(agreed.path), *scan.subjects))

        return self._settled(FAMILY, name, measure)

    def failing(self, name: str, rule: str, data: Any = None, *, sample: bool | None = None) -> Measurement:
        """The share of rows that break one rule, for a limit of one's own. Raises NotMeasured."""
        from pytest_pixgates.data_contract import judge

        agreed, table = self._table(name)
        opened = self._open(name, table, data)
        found = self._judge(name, sample=sample)
        count, rows = found.failing(agreed, table, opened, rule)
        low, high = judge.interval(count, rows, found.alpha) if found.sample else (count / rows, count / rows)
        subjects = (self._context.subject(agreed.path), *opened.subject())
        return Measurement(f"{name}.{rule} failing", count / rows, low, high, rows, subjects=subjects)

    def volume(self, name: str) -> Scan:
        """The newest period of the data set holds about as many rows as those before it."""
        return self._settled("volume", name, lambda: self._volume(name))

    def vocabulary(self) -> Scan:
        """What several contracts name alike is alike in all of them."""

        def measure() -> Scan:
            paths = contracts(self._settings, self._root)
            read = [contract.read(self._root / path, self._root) for path in paths]
            columns = sum(len(table.columns) for each in read for table in each.tables)
            return Scan(
                "vocabulary",
                "contracts",
                scanned={"contracts": len(read), "columns": columns},
                findings=vocabulary.conflicts(read),
                tools=(_own(),),
                subjects=tuple(map(self._context.subject, paths)),
            )

        return self._settled("vocabulary", "contracts", measure)

    def changes(self, path: str) -> Scan:
        """The contract at `path` broke nobody since the branch left its target, or says so by its version."""
        return self._settled("changes", path, lambda: self._changes(path))

    # What is judged

    def _table(self, name: str) -> tuple[Contract, Table]:
        """Raises NotMeasured."""
        data = self._settings.data.get(name)
        path = self._settings.contract_of(name)
        agreed = contract.read(self._root / path, self._root)
        if data is None and len(agreed.tables) == 1:
            return agreed, agreed.tables[0]
        wanted = (data.schema if data else "") or name
        found = [table for table in agreed.tables if table.name == wanted]
        if not found and len(agreed.tables) == 1 and not (data and data.schema):
            found = list(agreed.tables)
        if not found:
            names = ", ".join(table.name for table in agreed.tables)
            raise NotMeasured(f"{path} has no schema {wanted}", remedy=f"name one of {names} in the policy")
        return agreed, found[0]

    def _open(self, name: str, table: Table, data: Any) -> Opened:
        """The data set as it was given, or as the policy names it. Raises NotMeasured."""
        tables = _library()
        declared = self._settings.data.get(name)
        if data is None and declared is None:
            fix = f'declare it: [data_contract.data.{name}] path = "…"'
            raise NotMeasured(f"the policy has no data set {name}, and no data is given", remedy=fix)
        if data is not None and not isinstance(data, str | Path):
            handed: Opened = tables.open_frame(data, table, name)
            return handed
        if data is None and declared is not None and declared.url:
            stored: Opened = _databases().open_table(declared.source, declared.table)
            return stored
        if data is None:
            assert declared is not None
            pattern = declared.path
        else:
            path = Path(data)
            if path.is_absolute() and not path.is_relative_to(self._root):
                raise NotMeasured(f"{path.name} lies outside of the repository", remedy="copy the data into it")
            pattern = sources.name(self._root / path, self._root)
        opened: Opened = tables.open_path(pattern, table, self._root)
        return dataclasses.replace(opened, gaps=(), undated=()) if declared and declared.gaps else opened

    def _judge(self, name: str, *, sample: bool | None) -> Judge:
        from pytest_pixgates.data_contract.judge import Judge

        declared = self._settings.data.get(name)
        return Judge(
            alpha=self._context.policy.general.alpha,
            sample=bool(declared and declared.sample) if sample is None else sample,
            now=declared.now if declared else None,
            others=self._other,
        )

    def _other(self, name: str) -> Any:
        """The rows of another data set, for references to it. Raises NotMeasured."""
        if name not in self._settings.data:
            fix = f'declare it: [data_contract.data.{name}] path = "…"'
            raise NotMeasured(f"the policy has no data set {name}, which it refers to", remedy=fix)
        return self._open(name, self._table(name)[1], None).rows

    def _volume(self, name: str) -> Scan:
        from pytest_pixgates.data_contract import judge, volume

        declared = self._settings.data.get(name, Data(path="-"))
        agreed, table = self._table(name)
        if declared.volume is None:
            raise NotMeasured(f"the policy says nothing of {name}'s volume", remedy="declare `volume` of the data set")
        opened = self._open(name, table, None)
        found = volume.counts(opened.rows, declared.volume)
        period, rows, expected = volume.judged(found, declared.volume)
        findings, undecided = list[Finding](), list[Problem]()
        said = f"{period:%Y-%m-%d %H:%M} has {rows:,} rows"
        if expected is None:
            needs = f"{declared.volume.periods + 1} periods; there are {len(found)}"
            undecided.append(Problem(f"{said}; too few periods before it say what is usual", name, fix=needs))
        elif not expected.low <= rows <= expected.high:
            usual = f"{max(expected.low, 0):,.0f} to {expected.high:,.0f} were to be expected"
            at = agreed.path, table.line
            findings.append(Finding("volume", f"{said}; {usual}", *at, resource=f"{table.name}.volume"))
        return Scan(
            "volume",
            name,
            scanned={"rows": sum(found.values()), "periods": len(found)},
            findings=tuple(findings),
            undecided=tuple(undecided),
            tools=judge.tools(),
            subjects=(self._context.subject(agreed.path), *opened.subject()),
        )

    def _changes(self, path: str) -> Scan:
        new = contract.read(self._root / path, self._root)
        target, base = self._before()
        text = git.file_at(self._root, base, path) if base else None
        before = contract.parse(text, f"{path} at {base[:12]}") if text is not None else None
        return Scan(
            "changes",
            path,
            scanned={"contracts": 1 + (before is not None)},
            findings=changes.judged(before, new) if before else (),
            tools=(_own(f"target={target}", f"at={base}"),),
            subjects=(self._context.subject(path),),
            absent=() if before else (f"{path} at {base[:12] or 'any commit before'}",),
        )

    def _before(self) -> tuple[str, str]:
        """What the change goes to, and the commit where it left that, or "".

        Without any remote it goes nowhere: it is compared with the commit before the last. Raises NotMeasured.
        """
        target = environ.target() or self._context.policy.general.target
        if not target and not git.has_remotes(self._root):
            return "no remote", git.parent(self._root)
        target = target or git.default_target(self._root)
        return target, git.merge_base(self._root, target)

    # How it is said

    def _settled(self, name: str, target: str, measure: Callable[[], Scan]) -> Scan:
        """The recorded scan, with the policy applied."""
        try:
            with self._context.progress(f"{name} {target}"):
                raw = measure()
        except NotMeasured as error:
            problems = getattr(error, "problems", None) or (Problem(error.message, target, fix=error.remedy),)
            raw = Scan(name, target, problems=tuple(problems))
        except OSError as error:  # a file that went away, or may not be read
            raw = Scan(
                name, target, problems=(Problem(f"can't be read: {error.strerror or type(error).__name__}", target),)
            )
        waived = tuple(self._context.policy.waive(FAMILY, finding) for finding in raw.findings)
        settled = self._context.known(dataclasses.replace(raw, findings=waived))
        recording.note(settled)
        return settled


def _library() -> ModuleType:
    try:
        with _undisturbed():
            from pytest_pixgates.data_contract import tables
    except ImportError as error:
        raise NotMeasured(f"data can't be judged: {error}", remedy=EXTRA.format("data")) from None
    return tables


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Great Expectations, when it is imported, warns, and sends all warnings of the process to its log."""
    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
    if warnings.showwarning is not before:
        logging.captureWarnings(capture=False)


def _databases() -> ModuleType:
    try:
        from pytest_pixgates.data_contract import databases
    except ImportError as error:
        raise NotMeasured(f"databases can't be asked: {error}", remedy=EXTRA.format("data-sql")) from None
    return databases


def _own(*arguments: str) -> ToolUse:
    code = files.tree_sha256(Path(__file__).parent)
    return ToolUse("pixgates-contracts", pytest_pixgates.__version__, code, arguments)
