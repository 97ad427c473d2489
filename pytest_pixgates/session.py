"""The guard over a whole run: which gates were expected, which left a record, and what that is worth.

Runs in the process that collects (pytest itself, or each xdist worker) and in the one that reports (pytest itself,
or the xdist controller); the first tells the second what it collected. The records file is opened before the first
gate as "running", so that a run which dies can't leave yesterday's green in place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import pytest_pixgates
from pytest_pixgates import items, recorder, scope
from pytest_pixgates.census import RECORDER, Census, Collection, families_of
from pytest_pixgates.core import decode, environ, process, record, waivers
from pytest_pixgates.core.errors import PolicyError
from pytest_pixgates.core.family import OTHERS, Context, Family, Gate
from pytest_pixgates.core.known import Known
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.record import Record, Run
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.history import remember
from pytest_pixgates.history.remember import Past

_WORKER = "pixgates"
_ALONE_SECONDS = 4 * 3600
_MOST_SLIDES = 3
_UNREMARKABLE = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


class GateSession:
    """Registered as a plugin wherever there is a policy."""

    def __init__(self, config: pytest.Config, policy: Policy, families: dict[str, Family], folder: Path) -> None:
        self.config, self.policy, self.families, self.folder = config, policy, families, folder
        self.settings = {name: policy.settings(name, _settings_type(family)) for name, family in families.items()}
        self.workerinput: dict[str, Any] | None = getattr(config, "workerinput", None)
        self.collection = Collection(config, policy, families, self._declares)
        self.census = self.collection.census
        self.known = Known(policy)
        self.run: Run | None = None
        self.explains = False  # set by `pixgates explain`, which only looks: the records of the last run stay
        self._id = environ.run_id()
        self._records: dict[str, Record] = {}
        self._seen_nodes: set[str] = set()
        self._provided: dict[str, object] = {}
        self._files_collected: set[Path] = set()
        self._tests_collected: set[tuple[Path, str]] = set()
        self._beside_others = contextlib.ExitStack()
        self._notes: list[str] = []
        self._scratch = Path(self.workerinput[_WORKER]) if self.workerinput else None

    # What families and their tests get

    def provide(self, family: Family, item: pytest.Item) -> object:
        """What a test of `family` receives; the asking test is a gate from now on, if it wasn't one already."""
        if RECORDER not in item.stash:
            self.collection.claim(item, frozenset({family.name}))
        if family.alone:
            self._beside_others.close()  # a test that asks for it only now must not wait for itself
        if family.name not in self._provided:
            self._provided[family.name] = family.fixture(self._context(family))
        return self._provided[family.name]

    def _context(self, family: Family) -> Context:
        return Context(
            policy=self.policy,
            settings=self.settings[family.name],
            scratch=self.scratch,
            use_cache=not self.config.getoption("--pixgates-no-cache"),
            progress=self._progress,
            expected=lambda: frozenset(self.census.expected.values()),
            known=partial(self.known.mark, family.name),
            reports=self.folder,
        )

    @property
    def scratch(self) -> Path:
        """A folder that all processes of this run share, gone after it."""
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="pixgates-"))
            self.config.add_cleanup(partial(shutil.rmtree, self._scratch, ignore_errors=True))
        return self._scratch

    @contextmanager
    def _progress(self, text: str) -> Iterator[None]:
        """Show on a terminal what a slow tool is doing, and leave no trace of it."""
        terminal = self.config.pluginmanager.getplugin("terminalreporter")
        capture = self.config.pluginmanager.getplugin("capturemanager")
        if self.workerinput or terminal is None or capture is None or not terminal.isatty:
            yield
            return
        with capture.global_and_fixture_disabled():
            terminal.write(f"\r… {text}", flush=True)
        try:
            yield
        finally:
            with capture.global_and_fixture_disabled():
                terminal.write("\r\x1b[K", flush=True)

    # Collecting

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        if file_path != self.policy.path and file_path.resolve() != self.policy.path.resolve():
            return None
        file: items.PolicyFile = items.PolicyFile.from_parent(parent, path=file_path)
        file.declared, file.provide, file.line_of = self._declared, self.provide, self.policy.line
        return file

    def _declares(self) -> bool:
        return any(gates for _, gates in self._declared())

    def _declared(self) -> Iterator[tuple[Family, tuple[Gate, ...]]]:
        for name, family in self.families.items():
            if name in self.policy.sections:
                try:
                    yield family, tuple(family.gates(self.settings[name], self.policy.root))
                except Exception as error:
                    raise pytest.UsageError(f"{type(family).__qualname__}.gates() failed: {error!r}") from error

    # After whoever shuffles. The same order in each worker, which xdist demands.
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Families that need the machine alone come last."""
        alone = frozenset(name for name, family in self.families.items() if family.alone)
        items.sort(key=lambda item: not alone.isdisjoint(families_of(item)))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.collection.finish(session.items)
        if not self.workerinput and (self.census.expected or self.collection.reach != "none"):
            self._open()
            if self.run is not None:
                self._save(dataclasses.replace(self.run, expected=dict(self.census.expected)))

    # Running

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        from pytest_pixgates.core import recording

        before = recording.use(_LateSink(item))
        try:
            with self._beside_others:
                self._share(item)
                return (yield)
        finally:
            recording.use(before)

    def _share(self, item: pytest.Item) -> None:
        """Hold the lock of the others while `item` runs, so that a family that needs the machine alone can wait."""
        alone = {name for name, family in self.families.items() if family.alone}
        if alone.isdisjoint(self.census.families.values()) or self.census.families.get(item.nodeid) in alone:
            return
        from pytest_pixgates.core.alone import held

        self._beside_others.enter_context(held(self.scratch / OTHERS, alone=False, timeout=_ALONE_SECONDS))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if RECORDER in item.stash:
            item.stash[RECORDER].begin()

    # Outermost, so that what skip, xfail and others make of a report comes before.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if RECORDER in item.stash and not scope.lists_only(self.config):
            item.stash[RECORDER].judge(report, call.excinfo)
        return report

    # Reporting

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        if not self.workerinput and self.collection.reach != "none":
            self._open()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[_WORKER] = str(self.scratch)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        del node
        self._seen_nodes.update(ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        told = getattr(node, "workeroutput", {}).get(_WORKER)
        try:
            self.census.merge(decode.decode(Census, json.loads(told or "")))
        except (TypeError, ValueError):  # nothing was told, or not what our side in the worker tells
            error = error or "it did not say what it collected"
        if error:
            self.census.problems.append(f"worker {node.gateway.id} did not end in an orderly way: {error}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        payload = getattr(report, recorder.ATTRIBUTE, None)
        if self.workerinput or payload is None:
            return
        try:
            arrived = record.load_record(payload, report.nodeid)
        except record.RecordError as error:
            arrived = self._error_record(report.nodeid, str(error))
        self._open()
        known = self._records.get(report.nodeid, arrived)
        # Reported twice (--dist each, duplicates): the worse counts.
        self._records[report.nodeid] = max(arrived, known, key=lambda each: each.outcome.rank)
        self.census.expected.setdefault(report.nodeid, arrived.gate)

    # The innermost wrapper: after other plugins had their say on the exit code, before the terminal's summary.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        result = yield
        if self.workerinput:
            output: dict[str, str] = self.config.workeroutput  # type: ignore[attr-defined]  # set by pytest-xdist
            output[_WORKER] = json.dumps(decode.encode(self.census))
        elif self.run is not None:
            self._close(self.run, int(session.exitstatus))
            # A developer's `-k` that leaves no gate at all is for pytest to judge; it is PARTIAL, so no evidence.
            judged = self.census.expected or not self.census.partial
            listed = scope.lists_only(self.config)
            if judged and not listed and not self.run.outcome and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return result

    def _open(self) -> None:
        """Put a run that is "running" where the last run's records were. Raises UsageError if that can't be done."""
        if self.run is not None or self.explains:
            return
        self.run = Run(
            id=self._id or uuid.uuid4().hex,
            status="running",
            started=time.time(),
            families=tuple(sorted(self.collection.scope & self.policy.sections.keys())),
            policy=_relative(self.policy.path, self.policy.root),
            policy_sha256=self.policy.sha256,
            environment=self.policy.environment,
            versions=_versions(),
            shown=tuple(sorted(name for name, family in self.families.items() if not family.private)),
        )
        fresh = not self.folder.exists()
        self._save(self.run)
        if fresh:
            (self.folder / ".gitignore").write_text("*\n", encoding="utf-8")
        default = self.config.rootpath / environ.REPORTS / record.FILE_NAME
        if self.folder.resolve() != default.parent.resolve():
            default.unlink(missing_ok=True)  # or an older green would answer whoever asks in the usual place

    def _save(self, run: Run, past: Past | None = None) -> None:
        """Make `run` the records and the reports, all of them, so that none of an earlier run stays beside it."""
        from pytest_pixgates import report
        from pytest_pixgates.report.beside import gathered

        self.run = run
        beside = gathered(run, self.policy.root, self.folder, past) if past else None
        try:
            report.write(run, self.folder, beside)
        except OSError as error:
            raise pytest.UsageError(f"{self.folder}: records can't be written: {error.strerror}") from None

    def _close(self, run: Run, exitstatus: int) -> None:
        census = self.census
        for node, gate in census.expected.items():
            if node not in self._records:
                reason = "no record arrived: it did not run to its end"
                self._records[node] = self._error_record(node, reason, gate)
        partial, families = tuple(census.partial), self._by_family()
        found = [
            *self._records.values(),
            *self._run_problems(),
            *waivers.judge(self.policy, families, bool(partial)),
            *self.known.judge(families, bool(partial)),
        ]
        if exitstatus not in _UNREMARKABLE and all(each.outcome for each in found):
            problem = f"pytest ended with exit code {exitstatus} although every gate passed"
            found.append(self._error_record(f"{self.policy.folder.name}::run", problem, "run/exit"))
        closed = dataclasses.replace(
            run,
            status="closed",
            ended=time.time(),
            families=tuple(sorted({*run.families, *census.families.values()})),
            partial=partial,
            expected={each.node: each.gate for each in found},
            records=tuple(sorted(found, key=lambda each: each.gate)),
        )
        self._refuse_another_run(run)
        past = remember.past(closed, self.policy, self.folder)
        self._save(closed, past)
        kept = remember.keep(closed, self.policy, self.folder)
        problems = dict.fromkeys(filter(None, (past.problem, kept)))
        self._notes += [f"no history: {problem}" for problem in problems]
        self._notes += [f"slow slide: {each}" for each in remember.slides(closed, past.entries)[:_MOST_SLIDES]]

    def _refuse_another_run(self, run: Run) -> None:
        """Leave the records of a run alone that started here meanwhile. Raises UsageError."""
        try:
            found = record.load(self.folder / record.FILE_NAME)
            same = (found.id, found.started) == (run.id, run.started)
        except record.RecordError:
            same = False
        if not same:
            raise pytest.UsageError(
                f"{self.folder}: another run put its records here, so those of this run are lost\n"
                "  fix: give runs at the same time a --pixgates-report-dir each"
            )

    def _by_family(self) -> dict[str, list[Record]]:
        families: dict[str, list[Record]] = {name: [] for name in self.run.families} if self.run else {}
        for each in self._records.values():
            families.setdefault(each.family, []).append(each)
        return families

    def _run_problems(self) -> Iterator[Record]:
        """ERRORs of the run as a whole, each as a record so that every report shows it."""
        problems = list(dict.fromkeys(self.census.problems))
        lost = self._seen_nodes - self._records.keys() if not self.census.expected else set()
        if lost:
            problems.append(f"no worker said what it collected; {len(lost)} test(s) may have been gates")
        if not self.census.expected and not self.census.partial:
            problems.append(f"no gate was expected: {self.policy.path.name} declares none and no test uses one")
        for family in sorted(self.collection.scope & self.policy.sections.keys()):
            if self.census.expected and family not in self.census.families.values() and not self.census.partial:
                problems.append(f"[{family}] is in the policy, but no gate of that family was found")
        problems += [
            f"there are gates of {each}, but no [{each}] in the policy"
            for each in sorted(set(self.census.families.values()) - self.policy.sections.keys())
        ]
        for number, problem in enumerate(problems, start=1):
            node = f"{self.policy.folder.name}::run[{number}]"
            yield self._error_record(node, problem, f"run/{number}")

    def _error_record(self, node: str, reason: str, gate: str = "") -> Record:
        gate = gate or self.census.expected.get(node, f"unknown/{node}")
        family = self.census.families.get(node, gate.partition("/")[0])
        return Record(gate, family, node, Outcome.ERROR, process.mask(reason), started=time.time())

    def pytest_report_header(self) -> str:
        families = ", ".join(sorted(self.collection.scope & self.policy.sections.keys())) or "none"
        environment = f", environment: {self.policy.environment}" if self.policy.environment else ""
        return f"pixgates: {_relative(self.policy.path, self.policy.root)}, families: {families}{environment}"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.run is None or self.run.status != "closed":
            return
        from pytest_pixgates.report import terminal
        from pytest_pixgates.report.text import cut, plain

        terminalreporter.section("pixgates")
        width = terminalreporter._tw.fullwidth
        lines = terminal.summary(self.run, color=terminalreporter.hasmarkup, width=width)
        for line in [*lines[:-1], *(cut(plain(note), 3 * width) for note in self._notes), lines[-1]]:
            terminalreporter.line(line)


class _LateSink:
    """Sends checks to the recorder of `item`, which a fixture asked for at run time may only then create."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item

    def note(self, check: object) -> None:
        if RECORDER in self._item.stash:
            self._item.stash[RECORDER].note(check)

    def replace(self, checks: Any, combined: object) -> None:
        if RECORDER in self._item.stash:
            self._item.stash[RECORDER].replace(checks, combined)


def _settings_type(family: Family) -> type:
    kind = family.settings()
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise PolicyError(f"{type(family).__qualname__}.settings() gave {kind!r}", remedy="return a frozen dataclass")
    return kind


def _relative(path: Path, root: Path) -> str:
    with contextlib.suppress(ValueError):
        return path.resolve().relative_to(root.resolve()).as_posix()
    return path.name


def _versions() -> dict[str, str]:
    python = platform.python_version()
    return {
        "pytest-pixgates": pytest_pixgates.__version__,
        "pytest": pytest.__version__,
        "python": python,
        "os": sys.platform,
    }
