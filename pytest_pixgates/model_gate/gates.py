"""The `model_gate` fixture: the candidate's scores as the policy names them, and what the policy says of them.

`model_gate.recall` and its like are those of `Scores`; the gates that the policy declares run the same code.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest_pixgates
from pytest_pixgates.core import cache, decode, files, recording, sources
from pytest_pixgates.core.errors import EXTRA, NotMeasured
from pytest_pixgates.core.family import Context
from pytest_pixgates.core.measurement import Measurement
from pytest_pixgates.core.scan import Finding, Judged, Problem, Scan, Severity, State, ToolUse
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Outcome, Verdict
from pytest_pixgates.model_gate import paths
from pytest_pixgates.model_gate.answers import Answers
from pytest_pixgates.model_gate.policy import FIGURES, Fairness, MetricLimit, ModelGatePolicy, Slice

if TYPE_CHECKING:
    import polars as pl

    from pytest_pixgates.model_gate import registry
    from pytest_pixgates.model_gate.drift import Shift
    from pytest_pixgates.model_gate.scores import Scores
    from pytest_pixgates.model_gate.slices import Slices

FAMILY = "model_gate"


class ModelGates:
    """What `def test_x(model_gate)` receives: the figures of the candidate as attributes and methods."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._settings: ModelGatePolicy = context.settings
        self._root = context.root.resolve()
        self._answers = Answers(self._root, cache.between_runs("model_gate") if context.use_cache else None)
        self._resolved: dict[str, registry.Version | NotMeasured | None] = {}
        self._found: dict[registry.Version, dict[str, str]] = {}
        self._named: dict[str, tuple[Subject, ...]] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.scores, name)

    def __call__(self, source: Any) -> Scores:
        """Other rows than the policy's, with their columns named alike: a path, or a frame."""
        if not isinstance(source, str | Path):
            return self._scores(source, self._policy)
        self._named.pop(str(source), None)  # what is asked for by name may have been written meanwhile
        return self._scores(str(source), self._subjects(str(source)))

    @cached_property
    def scores(self) -> Scores:
        """The candidate's rows. Raises NotMeasured."""
        return self._scores(self._settings.scores, self._subject)

    @cached_property
    def champion(self) -> Scores:
        """The champion's decisions on the candidate's rows. Raises NotMeasured, also if there is no champion yet."""
        found = self._champion()
        if found is None:
            raise NotMeasured(f"there is no champion yet: {self._settings.champion} is not set")
        return found

    # What the policy declares

    def limit(self, name: str) -> Verdict:
        """The limit `name` on all rows."""

        def measure() -> Verdict:
            limit = self._settings.limits[name]
            measured = self._figure(name, limit, self.scores)
            if (limit.metric or name) == "calibration_error":
                self._draw_calibration()
            return _enough(limit, self.scores, limit.judge(measured))

        return self._answered(f"limit[{name}]", measure)

    def sliced(self, name: str, by: str) -> Verdict:
        """The limit `name` on each group of the slice `by`."""

        def measure() -> Verdict:
            limit = self._settings.limits[name]
            parts = self._slices(self._settings.slice_of(by))
            figure = parts.figure(lambda rows: self._figure(name, limit, rows), name)
            return figure.judge(limit.judge, lambda rows: _too_few(limit, rows), low_is_worse=limit.at_most is None)

        return self._answered(f"slices[{name}/{by}]", measure)

    def against_champion(self, name: str) -> Verdict:
        """The figure of the limit `name` is at most the margin worse than the champion's, on the same rows."""
        from pytest_pixgates.model_gate import registry

        limit, named = self._settings.limits[name], self._settings.champion
        margin = limit.vs_champion or 0.0
        try:
            identity = self._champion_identity()
        except NotMeasured as error:
            return self._settled(_unmeasured(f"{name} against the champion", error))
        if identity is None:
            told = f"there is no champion yet ({named} is not set): absolute limits only"
            return self._settled(Verdict(Outcome.PASS, f"{name} against the champion", told, subjects=self._subject))

        also = self._subjects(self._settings.test_set if registry.is_uri(named) else named)

        def measure() -> Verdict:
            own, base = (self._figure(name, limit, rows) for rows in (self.scores, self.champion))
            verdict = own >= base - margin if limit.at_most is None else own <= base + margin
            return dataclasses.replace(_enough(limit, self.scores, verdict), subjects=(*self._subject, *also))

        return self._answered(f"champion[{name}]", measure, identity)

    def fair(self, at: int, columns: tuple[str, ...]) -> Verdict:
        """The `at`th rule of fairness on the groups of `columns`."""

        def measure() -> Verdict:
            from pytest_pixgates.model_gate import fairness

            rule: Fairness = self._settings.fair[at]
            named = self._settings.slice_of(columns[0]).values if len(columns) == 1 else ()
            return fairness.judge(self.scores, columns, rule.metric, rule.ratio, rule.min_group, named)

        return self._answered(f"fairness[{at}/{'x'.join(columns)}]", measure)

    def drift(self) -> Scan:
        """How far the rows are from those that the model was trained on."""
        policy = self._settings.drift
        if policy is None:
            raise NotMeasured("the policy says nothing of drift", remedy="declare [model_gate.drift]")
        subjects = (*self._subject, *self._subjects(self._settings.test_set), *self._subjects(policy.reference))
        return self._answered_scan("drift", policy.reference, lambda: self._drift(subjects), subjects)

    def test_set(self) -> Verdict:
        """How many candidates were tried on this test set: recorded, shown, and capped if the policy says so."""
        check, most = "candidates tried on this test set", self._settings.max_candidates
        try:
            from pytest_pixgates.model_gate import looks

            known, test_set = looks.note(self._ledger, self.scores)
        except NotMeasured as error:
            return self._settled(_unmeasured(check, error))
        count = known.candidates(test_set)
        told = f"{count} on this test set ({test_set[:12]}), {len(known.looks)} on all of {self._settings.scores}"
        if most is None:
            return self._settled(Verdict(Outcome.PASS, check, f"{told}; no cap", subjects=self._subject))
        verdict = Measurement.exact(check, count, n=max(count, 1), subjects=self._subject) <= most
        needs = "" if verdict.outcome else "a fresh test set: each further look is a chance to pass by luck"
        return self._settled(dataclasses.replace(verdict, measured=told, needs=needs))

    def artifact(self) -> Scan:
        """What is registered is what was evaluated, and the scores are the model's own."""
        where = self._settings.artifact
        subjects = (*self._subject, *self._subjects(where), *self._subjects(self._settings.test_set))
        try:
            version = self._version(self._settings.model)
            identity = decode.encode((version, self._digests(version) if version else None))
        except NotMeasured as error:
            return self._noted(Scan("artifact", where, problems=(Problem(error.message, where, fix=error.remedy),)))
        return self._answered_scan("artifact", where, lambda: self._artifact(subjects), subjects, identity)

    # How it is measured

    @property
    def _policy(self) -> tuple[Subject, ...]:
        """What a figure of rows that are no file is about: the gates that made them."""
        return (self._context.subject(sources.name(self._context.policy.path, self._root)),)

    @property
    def _subject(self) -> tuple[Subject, ...]:
        return self._subjects(self._settings.scores)

    def _subjects(self, pattern: str) -> tuple[Subject, ...]:
        """The files that `pattern` names, by digest; none if they are not there, which measuring will say."""
        if pattern and pattern not in self._named:
            path = self._root / pattern
            found = [path] if path.exists() else paths.files(pattern, self._root)
            self._named[pattern] = tuple(self._context.subject(sources.name(each, self._root)) for each in found)
        return self._named.get(pattern, ())

    def _scores(self, source: Any, subjects: tuple[Subject, ...]) -> Scores:
        if isinstance(source, str) and not source:
            raise NotMeasured("the policy names no scores", remedy="set `scores` in [model_gate]")
        read = _library()
        alpha = self._context.policy.general.alpha
        found: Scores = read.scores(source, self._settings, self._root, alpha=alpha, subjects=subjects)
        return found

    def _figure(self, name: str, limit: MetricLimit, rows: Scores) -> Measurement:
        figure = limit.metric or name
        found = getattr(rows, figure)
        if key := FIGURES[figure]:
            found = found(getattr(limit, key))
        measured: Measurement = found
        return measured

    def _slices(self, by: Slice) -> Slices:
        if by.every:
            return self.scores.periods(by.every)
        if by.quantiles:
            return self.scores.quantiles(by.column, by.quantiles)
        parts = self.scores.by(by.column)
        if missing := [value for value in by.values if value not in parts]:
            told = f"no row has {by.column} {', '.join(missing)}, which the policy names"
            raise NotMeasured(told, remedy=f"there are: {', '.join(parts)}")
        return parts

    def _champion_identity(self) -> object:
        """What the champion is, for the cache; None if there is none yet. Raises NotMeasured."""
        from pytest_pixgates.model_gate import registry

        named = self._settings.champion
        if not registry.is_uri(named):
            return decode.encode(self._subjects(named))
        version = self._version(named)
        if version is None:
            return None
        return decode.encode((version, self._digests(version), self._subjects(self._settings.test_set)))

    def _version(self, uri: str) -> registry.Version | None:
        from pytest_pixgates.model_gate import registry

        if uri not in self._resolved:
            try:
                self._resolved[uri] = registry.resolve(uri, self._settings.registry, self._root)
            except NotMeasured as error:  # a registry that does not answer is not waited for again
                self._resolved[uri] = error
        found = self._resolved[uri]
        if isinstance(found, NotMeasured):
            raise found
        return found

    def _champion(self) -> Scores | None:
        from pytest_pixgates.model_gate import champion, registry

        named = self._settings.champion
        if not named:
            raise NotMeasured("the policy names no champion", remedy="set `champion` in [model_gate]")
        if not registry.is_uri(named):
            return champion.aligned(self.scores, self._scores(named, self._subjects(named)))
        version = self._version(named)
        if version is None:
            return None
        digests = self._digests(version)
        if odd := sorted(name for name, digest in version.sha256.items() if digests.get(name) != digest):
            told = f"{version} has other files than were registered: {', '.join(odd[:5])}"
            raise NotMeasured(told, remedy="find out who changed them, and register it again")
        folder = self._files(version)
        return champion.scored(self.scores, folder, self._test_set(), self._settings, str(version))

    def _digests(self, version: registry.Version) -> dict[str, str]:
        """The digests of the registered files as this run found them: a store can change behind its registry's back."""
        if version not in self._found:
            folder = self._files(version)
            paths = sorted(path for path in folder.rglob("*") if path.is_file())
            self._found[version] = {path.relative_to(folder).as_posix(): files.sha256(path) for path in paths}
        return self._found[version]

    def _files(self, version: registry.Version) -> Path:
        """The registered files of `version`, fetched once for all processes of this run."""
        from pytest_pixgates.model_gate import registry

        key = hashlib.sha256(f"{version.name}/{version.version}".encode()).hexdigest()[:16]
        into = self._context.scratch / FAMILY / key
        into.parent.mkdir(parents=True, exist_ok=True)
        with files.locked(into.with_suffix(".lock"), timeout=300, remedy="run again"):
            done = into / "done"
            if not done.exists():
                with self._context.progress(f"fetching {version}"):
                    folder = registry.download(version, self._settings.registry, self._root, into / "files")
                files.write_atomically(done, str(folder))
            return Path(done.read_text())

    def _test_set(self) -> pl.DataFrame:
        """The features of the candidate's rows, by id, in their order. Raises NotMeasured."""
        from pytest_pixgates.model_gate import champion

        if not self._settings.test_set:
            raise NotMeasured("the policy names no test_set", remedy="set `test_set`, the features to score, and `id`")
        rows = _library().table(self._settings.test_set, self._root)
        return champion.features(self.scores, rows, self._settings)

    def _drift(self, subjects: tuple[Subject, ...]) -> Scan:
        from pytest_pixgates.model_gate import drift

        policy = self._settings.drift
        assert policy is not None
        read, score = _library(), self._settings.score
        before = read.table(policy.reference, self._root).collect()
        now = self._test_set() if policy.columns else None
        found: list[Shift] = []
        scores = self.scores.rows.select("score").collect().rename({"score": score})
        for name in dict.fromkeys((*policy.columns, score)):
            rows = scores if name == score or now is None else now
            for table, where in ((before, policy.reference), (rows, self._settings.test_set)):
                if name not in table.columns:
                    raise NotMeasured(f"{where} has no column {name}", remedy="name columns that both tables have")
            found.append(drift.shift(name, rows[name], before[name], self._context.policy.general.alpha))
        judged = [Judged(each.name, _drifted(each, policy), str(each)) for each in found]
        state = State.OPEN if policy.block else State.MINOR
        excuse = "" if policy.block else "the policy shows drift and does not block it"
        severity = Severity.ERROR if policy.block else Severity.WARNING
        findings = tuple(
            Finding("drift", f"{each.measured} is beyond the limit", self._settings.scores, severity=severity,
                    resource=each.rule, state=state, excuse=excuse)
            for each in judged if each.outcome is Outcome.FAIL
        )  # fmt: skip
        undecided = tuple(
            Problem(f"{each.measured} is not surely within the limit", self._settings.scores, fix="more rows")
            for each in judged
            if each.outcome is Outcome.INCONCLUSIVE and policy.block
        )
        return Scan(
            "drift",
            policy.reference,
            scanned={"columns": len(found), "rows": found[0].n if found else 0},
            findings=findings,
            undecided=undecided,
            tools=(_own(), ToolUse.library("scipy")),
            subjects=subjects,
            rules=tuple(judged),
        )

    def _artifact(self, subjects: tuple[Subject, ...]) -> Scan:
        from pytest_pixgates.model_gate import artifact

        where = self._settings.artifact
        evaluation = artifact.read_evaluation(self._root / where, self._root)
        findings = list(self._stale(evaluation))
        version = self._version(self._settings.model)
        if version is None:
            raise NotMeasured(
                f"{self._settings.model} is not set", remedy=self._settings.made_by or "register the model"
            )
        folder = self._files(version)
        findings += artifact.differences(evaluation, folder, where)
        scanned = {"files": len(evaluation.model.sha256)}
        if not findings:
            findings += self._rescored(evaluation, folder / artifact.MODEL)
            scanned["rows"] = self.scores.size
        return Scan(
            "artifact",
            f"{where} as {version}",
            scanned=scanned,
            findings=tuple(findings),
            tools=(_own(), ToolUse.library("onnxruntime")),
            subjects=subjects,
        )

    def _stale(self, evaluation: Any) -> Iterator[Finding]:
        """What the policy names is not what the evaluation was of."""
        where = self._settings.artifact
        for name, path, digest in (
            ("scores", self._settings.scores, evaluation.scores),
            ("test-set", self._settings.test_set, evaluation.test_set),
        ):
            if path and files.sha256(self._root / path) != digest:
                yield Finding(f"{name}-differ", f"{path} is not what was evaluated", where, resource=path)
        if evaluation.label != self._settings.label:
            told = f"it was evaluated by the label {evaluation.label}, the policy judges {self._settings.label}"
            yield Finding("label-differs", told, where, resource=evaluation.label)
        if evaluation.label_delay and self._settings.label_delay not in ("", evaluation.label_delay):
            told = f"labels were final after {evaluation.label_delay}, here after {self._settings.label_delay}"
            yield Finding("label-differs", told, where, resource="label_delay")

    def _rescored(self, evaluation: Any, model: Path) -> Iterator[Finding]:
        from pytest_pixgates.model_gate import artifact

        where = self._settings.artifact
        if artifact.features_of(model) != tuple(evaluation.model.features):
            yield Finding("signature-differs", "the model takes other features than were evaluated", where)
            return
        rows = self.scores.rows.select("score", "decision").collect()
        again = artifact.run(model, self._test_set())
        yield from artifact.rescored(evaluation, rows["score"].to_numpy(), rows["decision"].to_numpy(), again, where)

    def _draw_calibration(self) -> None:
        """Leave the picture for people; no verdict hangs on whether it can be written."""
        from pytest_pixgates.model_gate import calibration

        if self._context.reports is not None:
            with contextlib.suppress(OSError):
                path = self._context.reports / FAMILY / "calibration.svg"
                files.write_atomically(path, calibration.render(self.scores))

    # How it is said

    def _answered(self, gate: str, measure: Callable[[], Verdict], also: object = None) -> Verdict:
        def safely() -> Verdict:
            sink = recording.use(None)  # what is measured on the way is part of one check
            try:
                with self._context.progress(gate):
                    return measure()
            except NotMeasured as error:
                return _unmeasured(gate, error)
            finally:
                recording.use(sink)

        found = self._answers.of(Verdict, self._question(gate, also), self._subject, safely)
        return self._settled(found)

    def _answered_scan(
        self, name: str, target: str, measure: Callable[[], Scan], subjects: tuple[Subject, ...], also: object = None
    ) -> Scan:
        def safely() -> Scan:
            try:
                with self._context.progress(name):
                    return measure()
            except NotMeasured as error:
                return Scan(name, target, problems=(Problem(error.message, target, fix=error.remedy),))
            except OSError as error:
                return Scan(name, target, problems=(Problem(f"can't be read: {error.strerror}", target),))

        return self._noted(self._answers.of(Scan, self._question(name, also), subjects, safely))

    def _noted(self, raw: Scan) -> Scan:
        """The recorded scan, with waivers and the baseline applied."""
        waived = tuple(
            self._context.policy.waive(FAMILY, each) if each.state is State.OPEN else each for each in raw.findings
        )
        settled = self._context.known(dataclasses.replace(raw, findings=waived))
        recording.note(settled)
        return settled

    def _settled(self, verdict: Verdict) -> Verdict:
        recording.note(verdict)
        return verdict

    def _question(self, gate: str, also: object) -> object:
        settings, general = decode.encode(self._settings), self._context.policy.general
        final = self._settings.final_before.isoformat() if self._settings.label_delay else ""
        return [gate, settings, general.alpha, final, also]

    @property
    def _ledger(self) -> Path:
        """Where the looks of this repository are kept: `PIXGATES_LOOKS`, else with this user's data."""
        from platformdirs import user_data_path

        if named := os.environ.get("PIXGATES_LOOKS"):
            return Path(named).absolute()
        key = hashlib.sha256(f"{self._root}\0{self._settings.scores}".encode()).hexdigest()[:16]
        return user_data_path("pixgates") / "looks" / f"{key}.json"


def _too_few(limit: MetricLimit, rows: Scores) -> str:
    """What `rows` lack that have too few positives to be judged by `limit`, or ""."""
    if rows.positives >= limit.min_positives:
        return ""
    return f"{limit.min_positives:,} positives, the policy's least; there are {rows.positives:,}"


def _enough(limit: MetricLimit, rows: Scores, verdict: Verdict) -> Verdict:
    if verdict.outcome is not Outcome.ERROR and (needs := _too_few(limit, rows)):
        return dataclasses.replace(verdict, outcome=Outcome.INCONCLUSIVE, reason="too few to judge", needs=needs)
    return verdict


def _drifted(shift: Shift, policy: Any) -> Outcome:
    """Whether a column is surely within its limits, surely beyond one, or neither."""
    limits = [(shift.bounds, policy.psi if shift.index == "psi" else policy.js)]
    if shift.index == "psi" and policy.ks is not None:
        limits.append((shift.ks_bounds, policy.ks))
    if any(low > limit for (low, _), limit in limits):
        return Outcome.FAIL
    return Outcome.PASS if all(high <= limit for (_, high), limit in limits) else Outcome.INCONCLUSIVE


def _unmeasured(check: str, error: NotMeasured) -> Verdict:
    return Verdict(Outcome.ERROR, check, reason=error.message, needs=error.remedy)


def _own() -> ToolUse:
    code = files.tree_sha256(Path(__file__).parent)
    return ToolUse("pixgates-model", pytest_pixgates.__version__, code)


def _library() -> ModuleType:
    try:
        from pytest_pixgates.model_gate import read
    except ImportError as error:
        raise NotMeasured(f"models can't be judged: {error}", remedy=EXTRA.format("model")) from None
    return read
