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
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import pytest_pixgates
from pytest_pixgates import fixtures, items, recorder, scope
from pytest_pixgates.core import decode, environ, process, record, waivers
from pytest_pixgates.core.errors import PolicyError
from pytest_pixgates.core.family import Context, Family, Gate
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.record import Record, Run
from pytest_pixgates.core.verdict import Outcome

_recorder = pytest.StashKey[recorder.ItemRecorder]()
_WORKER = "pixgates"
_UNREMARKABLE = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


@dataclasses.dataclass
class Census:
    """What a process collected: each gate's node with its id, what narrowed it, and what is wrong with it."""

    expected: dict[str, str] = dataclasses.field(default_factory=dict)
    families: dict[str, str] = dataclasses.field(default_factory=dict)
    partial: list[str] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)

    def merge(self, other: Census) -> None:
        self.expected.update(other.expected)
        self.families.update(other.families)
        self.partial += [reason for reason in other.partial if reason not in self.partial]
        self.problems += [problem for problem in other.problems if problem not in self.problems]


class GateSession:
    """Registered as a plugin wherever there is a policy."""

    def __init__(self, config: pytest.Config, policy: Policy, families: dict[str, Family], folder: Path) -> None:
        self.config, self.policy, self.families, self.folder = config, policy, families, folder
        self.settings = {name: policy.settings(name, _settings_type(family)) for name, family in families.items()}
        self.workerinput: dict[str, Any] | None = getattr(config, "workerinput", None)
        self.census = Census()
        self.run: Run | None = None
        self._records: dict[str, Record] = {}
        self._seen_nodes: set[str] = set()
        self._candidates: dict[str, frozenset[str]] = {}
        self._provided: dict[str, object] = {}
        self._files_collected: set[Path] = set()
        self._tests_collected: set[tuple[Path, str]] = set()
        self._scratch = Path(self.workerinput[_WORKER]) if self.workerinput else None
        selected = scope.families_in_scope(config.getoption("markexpr", "") or "", families)
        self.scope = frozenset(families) if selected is None else selected
        self._reach = scope.reach(config, policy.folder)

    # What families and their tests get

    def provide(self, family: Family, item: pytest.Item) -> object:
        """What a test of `family` receives; the asking test is a gate from now on, if it wasn't one already."""
        if _recorder not in item.stash:
            self._claim(item, frozenset({family.name}))
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
        )

    @property
    def scratch(self) -> Path:
        """A folder that all processes of this run share, gone after it."""
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="pixgates-"))
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

    def _declared(self) -> Iterable[tuple[Family, Iterable[Gate]]]:
        for name, family in self.families.items():
            if name in self.policy.sections:
                try:
                    yield family, tuple(family.gates(self.settings[name], self.policy.root))
                except Exception as error:
                    raise pytest.UsageError(f"{type(family).__qualname__}.gates() failed: {error!r}") from error

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        path = self.config.rootpath / report.nodeid.partition("::")[0]
        if not path.is_relative_to(self.policy.folder):
            return
        self._files_collected.add(path)
        if not report.passed:
            how = "was skipped as a whole" if report.skipped else "could not be collected"
            self.census.problems.append(f"{report.nodeid} {how}, so its gates did not run")

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Note every gate, and every test among the gates that is none, before anything can deselect it."""
        marked = self._families_of(item)
        self._tests_collected.add((item.path, _test_name(item)))
        if item.nodeid in self._candidates:
            self.census.problems.append(f"{item.nodeid} was collected twice, so one hides the other")
        if marked:
            self._candidates[item.nodeid] = marked
        elif item.path.is_relative_to(self.policy.folder):
            self.census.problems.append(f"{item.nodeid} is among the gates, but asks for no family's fixture")
        if len(marked) > 1:
            self.census.problems.append(f"{item.nodeid} is a gate of {len(marked)} families; write one for each")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note the gates that are left, and say why the others are gone."""
        for item in session.items:
            if marked := self._families_of(item):
                self._claim(item, marked)
        self._find_narrowing()
        if not self.workerinput and (self.census.expected or self._reach != "none"):
            self._open()
            if self.run is not None:
                self._save(dataclasses.replace(self.run, expected=dict(self.census.expected)))

    def _families_of(self, item: pytest.Item) -> frozenset[str]:
        """The families that `item` is a gate of: by the policy, or by asking for their fixture."""
        if isinstance(item, items.DeclaredGate):
            return frozenset({item.parent.family.name})
        return frozenset(fixtures.families_of(item))

    def _claim(self, item: pytest.Item, families: frozenset[str]) -> None:
        family = sorted(families & self.scope or families)[0]
        gate = _gate_id(item, family)
        twin = next((node for node, known in self.census.expected.items() if known == gate), item.nodeid)
        if twin != item.nodeid:
            self.census.problems.append(f"two gates are called {gate}: {twin} and {item.nodeid}; rename one")
        self.census.expected[item.nodeid] = gate
        self.census.families[item.nodeid] = family
        item.stash[_recorder] = recorder.ItemRecorder(gate, family, item.nodeid)

    def _find_narrowing(self) -> None:
        expression = self.config.getoption("markexpr", "") or ""
        reasons = scope.narrowing_options(self.config)
        if scope.families_in_scope(expression, self.families) is None:
            reasons.append(f"-m {expression!r} selects otherwise than by family")
        if self._reach != "all":
            reasons.append(f"the arguments leave out gates of {self.policy.folder.name}/")
        else:
            written = scope.python_gates(self.config, self.policy.folder, self.families)
            gone = {path for path in written if path not in self._files_collected}
            for path in sorted(written.keys() - gone):
                self.census.problems += self._unseen(path, written[path])
            reasons += [f"{path.name} was not collected" for path in sorted({*gone, *self._policy_if_uncollected()})]
        deselected = [
            node
            for node, marked in self._candidates.items()
            if marked & self.scope and node not in self.census.expected
        ]
        if deselected:
            reasons.append(f"{len(deselected)} gate(s) were deselected, first {deselected[0]}")
        self.census.partial += reasons

    def _unseen(self, path: Path, tests: list[str]) -> Iterator[str]:
        """What was written as a gate in `path` and did not become one."""
        if not any(known == path for known, _ in self._tests_collected):
            yield f"{path.name} holds no test"
        for name in dict.fromkeys(tests):
            if tests.count(name) > 1:
                yield f"{path.name} defines {name} {tests.count(name)} times, so only the last one counts"
            elif (path, name) not in self._tests_collected:
                yield f"{path.name}: {name} asks for a family's fixture, but was not collected as a test"

    def _policy_if_uncollected(self) -> set[Path]:
        declares = any(True for _, gates in self._declared() for _ in gates)
        return {self.policy.path} - self._files_collected if declares else set()

    # Running

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        from pytest_pixgates.core import recording

        before = recording.use(_LateSink(item))
        try:
            return (yield)
        finally:
            recording.use(before)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if _recorder in item.stash:
            item.stash[_recorder].begin()

    # Outermost, so that what skip, xfail and others make of a report comes before.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if _recorder in item.stash and not scope.lists_only(self.config):
            item.stash[_recorder].judge(report, call.excinfo.value if call.excinfo else None)
        return report

    # Reporting

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        if not self.workerinput and self._reach != "none":
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
        if self._scratch is not None and not self.workerinput:
            shutil.rmtree(self._scratch, ignore_errors=True)
        return result

    def _open(self) -> None:
        """Put a run that is "running" where the last run's records were. Raises UsageError if that can't be done."""
        if self.run is not None:
            return
        self.run = Run(
            id=environ.run_id() or uuid.uuid4().hex,
            status="running",
            started=time.time(),
            families=tuple(sorted(self.scope & self.policy.sections.keys())),
            policy=_relative(self.policy.path, self.policy.root),
            policy_sha256=self.policy.sha256,
            environment=self.policy.environment,
            versions=_versions(),
        )
        fresh = not self.folder.exists()
        self._save(self.run)
        if fresh:
            (self.folder / ".gitignore").write_text("*\n", encoding="utf-8")
        default = self.config.rootpath / environ.REPORTS / record.FILE_NAME
        if self.folder.resolve() != default.parent.resolve():
            default.unlink(missing_ok=True)  # or an older green would answer whoever asks in the usual place

    def _save(self, run: Run) -> None:
        """Make `run` the records and the reports, all of them, so that none of an earlier run stays beside it."""
        from pytest_pixgates import report

        self.run = run
        try:
            report.write(run, self.folder)
        except OSError as error:
            raise pytest.UsageError(f"{self.folder}: records can't be written: {error.strerror}") from None

    def _close(self, run: Run, exitstatus: int) -> None:
        census = self.census
        for node, gate in census.expected.items():
            if node not in self._records:
                reason = "no record arrived: it did not run to its end"
                self._records[node] = self._error_record(node, reason, gate)
        partial = tuple(census.partial)
        found = [
            *self._records.values(),
            *self._run_problems(),
            *waivers.judge(self.policy, self._by_family(), bool(partial)),
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
        self._save(closed)

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
        for family in sorted(self.scope & self.policy.sections.keys()):
            if self.census.expected and family not in self.census.families.values() and not self.census.partial:
                problems.append(f"[{family}] is in the policy, but no gate of that family was found")
        used = {family for marked in self._candidates.values() for family in marked}
        problems += [
            f"there are gates of {each}, but no [{each}] in the policy"
            for each in sorted(used - self.policy.sections.keys())
        ]
        for number, problem in enumerate(problems, start=1):
            node = f"{self.policy.folder.name}::run[{number}]"
            yield self._error_record(node, problem, f"run/{number}")

    def _error_record(self, node: str, reason: str, gate: str = "") -> Record:
        gate = gate or self.census.expected.get(node, f"unknown/{node}")
        family = self.census.families.get(node, gate.partition("/")[0])
        return Record(gate, family, node, Outcome.ERROR, process.mask(reason), started=time.time())

    def pytest_report_header(self) -> str:
        families = ", ".join(sorted(self.scope & self.policy.sections.keys())) or "none"
        environment = f", environment: {self.policy.environment}" if self.policy.environment else ""
        return f"pixgates: {_relative(self.policy.path, self.policy.root)}, families: {families}{environment}"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.run is None or self.run.status != "closed":
            return
        from pytest_pixgates.report import terminal

        terminalreporter.section("pixgates")
        width = terminalreporter._tw.fullwidth
        for line in terminal.summary(self.run, color=terminalreporter.hasmarkup, width=width):
            terminalreporter.line(line)


class _LateSink:
    """Sends checks to the recorder of `item`, which a fixture asked for at run time may only then create."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item

    def note(self, check: object) -> None:
        if _recorder in self._item.stash:
            self._item.stash[_recorder].note(check)

    def replace(self, checks: Any, combined: object) -> None:
        if _recorder in self._item.stash:
            self._item.stash[_recorder].replace(checks, combined)


def _settings_type(family: Family) -> type:
    kind = family.settings()
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise PolicyError(f"{type(family).__qualname__}.settings() gave {kind!r}", remedy="return a frozen dataclass")
    return kind


def _test_name(item: pytest.Item) -> str:
    """Class and function of a test, without its parameters."""
    return ".".join([*item.nodeid.split("::")[1:-1], getattr(item, "originalname", None) or item.name])


def _gate_id(item: pytest.Item, family: str) -> str:
    """family/name, with the module's name before it unless the module is the family's own test_<family>.py."""
    if isinstance(item, items.DeclaredGate):
        return f"{family}/{item.name}"
    name = item.nodeid.partition("::")[2].replace("::", ".").removeprefix("test_")
    stem = item.path.stem.removeprefix("test_")
    return f"{family}/{name}" if stem == family else f"{family}/{stem}.{name}"


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
