"""The story of `make demo`, tampered with at each hand-over: each time it is refused, and nothing changes anywhere.

What is not tampered with goes on meanwhile, so the refusals are for the tampering. The models are those of the tests
beside this one.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from ml_pipeline import __main__ as cli
from ml_pipeline import folders
from ml_pipeline.demo import models
from ml_pipeline.demo.pipeline import EVALUATION, LEDGER, REGISTRY, Done, Pipeline
from pytest_pixgates.cli.main import main as pixgates
from tests.e2e.conftest import VERSIONS
from tests.e2e.pipeline import Project

RECORDS, EVIDENCE = ".pixgates/records.json", ".pixgates/evidence.dsse.json"


class Line(Pipeline):
    """The pipeline of the demo, with prod alone; what imports much is called in this process."""

    def call(self, words: Sequence[str], env: Mapping[str, str] | None = None) -> Done:
        if words[0] == "pytest":
            return super().call(words, env)
        run = pixgates if words[0] == "pixgates" else cli.main
        arguments = list(words[1:] if words[0] == "pixgates" else words[3:])
        out, err, here = io.StringIO(), io.StringIO(), Path.cwd()
        os.chdir(self.repository)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = run(arguments)
        except SystemExit as end:
            code = int(str(end.code))
        finally:
            os.chdir(here)
        return Done(tuple(words), code, out.getvalue(), err.getvalue(), 0)

    def everything(self) -> tuple[object, ...]:
        """The ledger, MLflow, and the target with what runs on it."""
        place = self.repository / "ml_pipeline" / "deployments"
        kept = {path: path.read_bytes() for path in (self.repository / LEDGER).rglob("*") if path.is_file()}
        released = sorted(str(path) for path in (place / "local").glob("*/0*/**/*") if path.suffix != ".log")
        return kept, released, self.model("prod"), (self.repository / REGISTRY).read_bytes()


@pytest.fixture
def line(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    found = Line(tmp_path, ("prod",))
    for name in set(os.environ) - set(found.env()):
        if not name.startswith("PYTEST_"):  # its own, which it takes back itself
            monkeypatch.delenv(name)
    for name, value in found.env().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{found.repository / REGISTRY}")
    project = Project(found.repository)
    project.registry_of(made)
    project.take(made / "reference")
    project.alias(candidate=VERSIONS["reference"])
    found.begin()
    yield found
    found.stop()


class Hands:
    """Somebody who can change files, on their way from one command to the next."""

    def __init__(self, line: Line) -> None:
        self.line, self.root = line, line.repository

    @contextlib.contextmanager
    def on(self, *names: str) -> Iterator[None]:
        """What is done to the files and folders of these names is undone afterwards."""
        kept = self.line.root / "kept"
        for name in names:
            if (self.root / name).exists():
                (shutil.copytree if (self.root / name).is_dir() else _copy)(self.root / name, kept / name)
        yield
        for name in names:
            _remove(self.root / name)
            if (kept / name).exists():
                (shutil.copytree if (kept / name).is_dir() else _copy)(kept / name, self.root / name)
        shutil.rmtree(kept, ignore_errors=True)

    def refused(
        self, how: str, names: tuple[str, ...], change: Callable[[Path], object], command: Callable[[], Done],
        says: str, codes: tuple[int, ...] = (1,),
    ) -> None:  # fmt: skip
        """After the change the command is refused, says so, and nothing is changed."""
        with self.on(*names):
            change(self.root)
            before = self.line.everything()
            done = command()
            assert done.code in codes, f"{how}: exit code {done.code}\n{done.said}"
            assert says in done.said, f"{how}\n{done.said}"
            assert self.line.everything() == before, how


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def replace(name: str, old: str, new: str) -> Callable[[Path], object]:
    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text, (name, old)
        (root / name).write_text(text.replace(old, new))

    return change


LOOSER = replace("gates/gates.toml", "{ prod = 0.8 }", "{ prod = 0.76 }")


def append(name: str, text: bytes) -> Callable[[Path], object]:
    def change(root: Path) -> None:
        with (root / name).open("ab") as file:
            file.write(text)

    return change


def payload_of(root: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((root / EVIDENCE).read_text())
    return found


def in_the_payload(root: Path) -> None:
    data = payload_of(root)
    changed = base64.b64decode(data["payload"]).replace(b'"outcome":"PASS"', b'"outcome":"FAIL"', 1)
    (root / EVIDENCE).write_text(json.dumps({**data, "payload": base64.b64encode(changed).decode()}))


def signed_by_oneself(root: Path) -> None:
    """With the trusted key's id on it."""
    from pytest_pixgates.evidence import envelope, keys

    data = payload_of(root)
    forged = json.loads(envelope.sealed(base64.b64decode(data["payload"]), [keys.generate()]))
    forged["signatures"][0]["keyid"] = data["signatures"][0]["keyid"]  # type: ignore[index]
    (root / EVIDENCE).write_text(json.dumps(forged))


def newest(root: Path, environment: str = "prod") -> Path:
    return sorted((root / LEDGER / environment).glob("*.json"))[-1]


def artifact(root: Path, what: Callable[[dict[str, object]], str]) -> Path:
    """The stored file of the release that was promoted last."""
    entries = [json.loads(path.read_text()) for path in sorted((root / LEDGER / "prod").glob("*.json"))]
    promoted = [each for each in entries if each["kind"] == "promoted"][-1]
    return root / LEDGER / "artifacts" / "sha256" / what(promoted)


def stored(what: Callable[[dict[str, object]], str]) -> Callable[[Path], object]:
    return lambda root: artifact(root, what).write_bytes(b"something else")


def test_what_is_tampered_with_at_a_hand_over_is_refused_and_all_else_goes_its_way(line: Line, made: Path) -> None:
    hands, gates = Hands(line), line.gates("prod")
    assert gates.code == 0, gates.said
    between_gates_and_sign(hands)
    assert (signed := line.sign("prod")).code == 0, signed.said
    between_sign_and_promote(hands, made)
    assert (promoted := line.promote("prod")).code == 0, promoted.said
    between_promote_and_deploy(hands)
    assert (deployed := line.deploy("prod")).code == 0, deployed.said
    good = line.model("prod")

    a_bad_model_is_stopped(line, made)
    assert line.model("prod") == good

    better(line, made)
    for step in (line.gates, line.sign, line.promote, line.deploy):
        assert (done := step("prod")).code == 0, done.said
    assert line.model("prod") not in ("", good)
    between_deploy_and_rollback(hands)

    cents = models.largest(line.repository / "ml_pipeline/evaluation")[0]
    with line.watched("prod") as (_, watching):
        while watching.poll() is None:
            line.pay("prod", cents * 3, 10)
        _, said = watching.communicate(timeout=60)
    assert (watching.returncode, "ALERT prod: the error budget burns" in said) == (1, True), said
    assert line.model("prod") == good
    assert line.aliases() == {"champion": VERSIONS["reference"], "prod": VERSIONS["reference"]}


def between_gates_and_sign(hands: Hands) -> None:
    line = hands.line

    def sign() -> Done:
        done = line.sign("prod")
        assert not (hands.root / EVIDENCE).exists(), done.said
        return done

    for how, names, change, says in [
        ("records of a run that never ended", (RECORDS,), replace(RECORDS, '"closed"', '"running"'), "not-closed"),
        ("records for another environment", (RECORDS,), replace(RECORDS, '"prod"', '"dev"'), "other-environment"),
        ("a model that was not judged", (EVALUATION,), append(EVALUATION, b" "), "subject-changed"),
        (
            "a manifest that was not judged",
            ("iac",),
            append("iac/k8s/base/namespace.yaml", b"# x\n"),
            "subject-changed",
        ),
        ("a looser limit", ("gates",), LOOSER, "policy-changed"),
    ]:
        hands.refused(how, (*names, EVIDENCE), change, sign, says)


def between_sign_and_promote(hands: Hands, made: Path) -> None:
    line = hands.line
    database = folders.digest(made / "reference" / "model" / "model.onnx")
    (registered,) = [
        path.relative_to(hands.root).as_posix()
        for path in (hands.root / "ml_pipeline/registry").rglob("model.onnx")
        if folders.digest(path) == database
    ]
    other = (made / "weaker" / "evaluation" / "evaluation.json").read_bytes()
    rendered = "rendered-prod.yaml"
    for how, names, change, says in [
        ("nothing is there", (EVIDENCE,), lambda root: (root / EVIDENCE).write_text("{}"), "malformed"),
        ("a changed payload", (EVIDENCE,), in_the_payload, "altered-payload"),
        ("a signature of one's own", (EVIDENCE,), signed_by_oneself, "bad-signature"),
        ("a model changed in the registry", (registered,), append(registered, b"x"), "is not what was registered"),
        ("another evaluation", (EVALUATION,), lambda root: (root / EVALUATION).write_bytes(other), "is not of"),
        ("another manifest", (rendered,), append(rendered, b"# more\n"), "other-subject"),
        ("a looser policy", ("gates",), LOOSER, "other-policy"),
        ("fewer gates", ("gates",), replace("gates/gates.toml", '"infra", "model_gate"', '"infra"'), "other-policy"),
    ]:
        hands.refused(how, names, change, lambda: line.promote("prod"), says, codes=(1, 2))


def between_promote_and_deploy(hands: Hands) -> None:
    line, ledger = hands.line, LEDGER
    model = stored(lambda entry: entry["release"]["files"]["model.onnx"])  # type: ignore[index]
    evidence = stored(lambda entry: entry["evidence"][0]["sha256"])  # type: ignore[index]
    manifests = stored(lambda entry: entry["release"]["subjects"]["manifests"])  # type: ignore[index]
    for how, change, says in [
        ("the stored model", model, "is not what it was"),
        ("the stored evidence", evidence, "is not what it was"),
        ("the stored manifests", manifests, "is not what it was"),
        ("an entry", lambda root: append(newest(root).relative_to(root).as_posix(), b" ")(root), "restore it"),
        ("an entry that is gone", lambda root: newest(root).unlink(), "is missing"),
    ]:
        hands.refused(how, (ledger,), change, lambda: line.deploy("prod"), says, codes=(1, 2))
    hands.refused("a looser policy", ("gates",), LOOSER, lambda: line.deploy("prod"), "other-policy")


def a_bad_model_is_stopped(line: Line, made: Path) -> None:
    """Also if its records are improved, or those of the good one are put in their place."""
    project, hands = Project(line.repository), Hands(line)
    good = (line.repository / RECORDS).read_text()
    project.take(made / "without_features")
    project.alias(candidate=VERSIONS["without_features"])
    before = line.everything()
    gates = line.gates("prod")
    assert (gates.code, "limit[recall]" in gates.said) == (1, True), gates.said
    for how, change, says in [
        ("FAIL turned into PASS", improved, "contradicted"),
        ("the records of another run", lambda root: (root / RECORDS).write_text(good), "subject-changed"),
    ]:
        hands.refused(how, (RECORDS,), change, lambda: line.sign("prod"), says)
    assert line.sign("prod").code == 3, "signed as FAILED, to be kept"
    promoted = line.promote("prod")
    assert (promoted.code, "gate-not-passed" in promoted.said) == (1, True), promoted.said
    assert line.everything() == before


def improved(root: Path) -> None:
    """The outcome of each gate, but not of the checks behind it."""
    run = json.loads((root / RECORDS).read_text())
    for record in run["records"]:
        record.update(outcome="PASS", reason="")
    (root / RECORDS).write_text(json.dumps(run))


def better(line: Line, made: Path) -> None:
    """The reference, exported anew with a defect that no gate meets."""
    place = line.repository / "ml_pipeline"
    Project(line.repository).take(made / "reference")
    shutil.rmtree(place / "model")
    models.rewritten(made / "reference" / "model", place / "model", models.largest(place / "evaluation")[1])
    for words in (("evaluate", "--data", made / "data"), ("register",)):
        assert (done := line.step(*words)).code == 0, done.said


def between_deploy_and_rollback(hands: Hands) -> None:
    line, first = hands.line, f"{LEDGER}/prod/00000001.json"
    entry = json.loads((hands.root / first).read_text())
    kept = LEDGER + "/artifacts/sha256/"
    for how, change, says in [
        ("an entry of the past", append(first, b" "), "was changed"),
        ("an entry of the past is gone", lambda root: (root / first).unlink(), "is missing"),
        ("the last entry is gone", lambda root: newest(root).unlink(), "is missing"),
        ("the model that worked", append(kept + entry["release"]["files"]["model.onnx"], b" "), "is not what it was"),
        ("its evidence", append(kept + entry["evidence"][0]["sha256"], b" "), "is not what it was"),
        ("its evidence is gone", lambda root: (root / kept / entry["evidence"][0]["sha256"]).unlink(), "lacks"),
    ]:
        hands.refused(how, (LEDGER,), change, lambda: line.rollback("prod"), says, codes=(1, 2))
