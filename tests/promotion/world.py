"""A repository with a policy and a key, models that a service can run, and evidence for them: what promotions need."""

from __future__ import annotations

import base64
import contextlib
import datetime
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_pipeline import __main__ as cli
from ml_pipeline.deploy import Place
from ml_pipeline.history import review
from ml_pipeline.ledger import glass
from ml_pipeline.ledger.chain import Ledger
from ml_pipeline.ledger.entries import Evidence, Kind, Release
from ml_pipeline.ledger.history import Generation, History, note, write
from ml_pipeline.promote import Order, promote
from ml_pipeline.targets.local import Local
from pytest_pixgates.core import files, policy
from pytest_pixgates.core.scan import State
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Outcome, Verdict
from pytest_pixgates.evidence import keys
from pytest_pixgates.evidence.sign import Order as SignOrder
from pytest_pixgates.evidence.sign import sign
from pytest_pixgates.latency.service import free_port
from tests.evidence.pipeline import trusted
from tests.git import Git
from tests.unit import example_runs

ROOT = Path(__file__).parents[2]
ORDER = ("dev", "staging", "prod")
PEOPLE = ("ana", "bia")  # who may break the glass, and review
EVALUATION = "ml_pipeline/evaluation/evaluation.json"
POLICY = """\
[environments.dev]
requires = ["infra"]

[environments.staging]
requires = ["infra", "scores/recall"]

[environments.prod]
requires = ["infra", "scores/recall"]
max_age = "4h"
subjects = ["evaluation", "source"]
single_use = true

[infra]
[scores]
"""
WAIVER = """\
[[infra]]
id = "W1"
rule = "CKV_AWS_19"
path = "iac/prod/main.tf"
owner = "infra"
reason = "moves next week"
expires = {expires}
"""


@dataclass(frozen=True)
class Model:
    """A folder as `train` writes it, and one as `evaluate` does."""

    folder: Path
    evaluation: Path

    @property
    def sha256(self) -> str:
        return files.sha256(self.folder / "model.onnx")


@dataclass
class World:
    """Everything below `root`. `port` is that of the local target."""

    root: Path
    key: keys.PrivateKey = field(default_factory=keys.generate)
    people: Mapping[str, keys.PrivateKey] = field(default_factory=lambda: {name: keys.generate() for name in PEOPLE})
    port: int = 0

    def __post_init__(self) -> None:
        self.repository, self.git = self.root / "repository", Git(self.root / "repository")
        environments = ", ".join(f'"{name}"' for name in ORDER)
        text = POLICY + trusted(self.key, "release", environments=f"[{environments}]")
        for name in PEOPLE:
            person = trusted(self.people[name], name, environments=f"[{environments}]")
            text += person.replace("[[evidence.keys]]", "[[evidence.owners]]")
            secret(self.root / f"{name}.pem", self.people[name])
        for name, content in {
            "gates/gates.toml": text, "iac/prod/main.tf": "# empty\n", ".gitignore": ".pixgates\n/ml_pipeline/\n",
        }.items():  # fmt: skip
            (self.repository / name).parent.mkdir(parents=True, exist_ok=True)
            (self.repository / name).write_text(content)
        self.git.commit()
        self.ledger = Ledger(str(self.root / "ledger"))
        self.port = self.port or free_port()

    @property
    def policy(self) -> Path:
        return self.repository / "gates" / "gates.toml"

    def broken(self, by: str = "ana", reason: str = "fraud wave", key: str = "") -> dict[str, Any]:
        """How an order breaks the glass; `key` is whose key signs, if not that of `by`."""
        return {"owner": by, "reason": reason, "key": ("--key", str(self.root / f"{key or by}.pem"))}

    def review(self, environment: str, number: int, by: str, reason: str = "looked at") -> None:
        key = ("--key", str(self.root / f"{by}.pem"))
        review(self.ledger, environment, number, reason, self.policy, key)

    def evidence(self, model: Model, environment: str, *, tolerated: bool = False, **changes: Any) -> Path:
        """Signed evidence for a model. `tolerated`: by a waiver. `also` are more subjects, `changes` are of the run."""
        target = self.repository / EVALUATION
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((model.evaluation / "evaluation.json").read_bytes())
        reviewed = policy.load(self.policy, environment=environment)
        here = [Subject.of(Path(name), reviewed.root) for name in ("iac/prod", EVALUATION)]
        finding = example_runs.FINDING
        found = (_waived(finding),) if tolerated else ()
        scanned = example_runs.scan(*found, subjects=(here[0], example_runs.RENDERED))
        outcome, also = changes.pop("outcome", Outcome.PASS), changes.pop("also", {})
        recall = Verdict(outcome, "recall >= 0.8", "0.82 [0.80, 0.84] on 900", subjects=(here[1],))
        records = (
            example_runs.record(scanned, gate="infra/checkov", node="gates/gates.toml::infra"),
            example_runs.record(recall, gate="scores/recall", node="gates/gates.toml::scores"),
        )
        now = float(int(time.time()))
        said = {
            "started": now - 60, "ended": now - 30, "environment": environment, "families": ("infra", "scores"),
            "policy_sha256": reviewed.sha256, **changes,
        }  # fmt: skip
        asked = {name: files.sha256(path) for name, path in also.items()} | {"evaluation": files.sha256(target)}
        order = SignOrder(asked, now=said["ended"] + 10)
        signed = sign(example_runs.run(*records, **said), reviewed, order, self.key)
        assert signed.text, signed.refusals
        path = self.root / "evidence" / f"{environment}-{time.monotonic_ns()}.dsse.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(signed.text)
        return path

    def waive(self) -> None:
        """From now on the policy knows a waiver."""
        expires = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=30)
        (self.policy.parent / "waivers.toml").write_text(WAIVER.format(expires=expires))
        self.git.commit()

    def order(self, of: Model, environment: str, *evidence: Path, **changes: Any) -> Order:
        values: dict[str, Any] = {
            "environment": environment, "evidence": evidence, "model": str(of.folder),
            "evaluation": of.evaluation, "commit": self.git("rev-parse", "HEAD"), "policy": self.policy, **changes,
        }  # fmt: skip
        return Order(**values)

    def promote(self, of: Model, environment: str = "dev", **changes: Any) -> Generation:
        """Signed and promoted."""
        made = promote(self.ledger, self.order(of, environment, self.evidence(of, environment), **changes))
        assert made
        return made

    def place(self, environment: str = "dev", **changes: Any) -> Place:
        values: dict[str, Any] = {
            "environment": environment, "ledger": self.ledger, "target": self.target(environment),
            "policy": self.policy, "order": ORDER, "tracking_uri": "sqlite:////nowhere/mlflow.db", **changes,
        }  # fmt: skip
        return Place(**values)

    def target(self, environment: str = "dev") -> Local:
        folder = self.root / "local" / environment
        options = ("--state", str(folder / "state"), "--contracts", str(ROOT / "gates/contracts"))
        return Local(folder, "127.0.0.1", self.port, options)

    def history(self, environment: str = "dev") -> History:
        return glass.read(self.ledger, environment, self.policy)

    def command(self, step: str, *words: str, environment: str = "dev") -> list[str]:
        """A step as it is called, on this world."""
        said = ["--env", environment, "--ledger", self.ledger.url, "--config", str(self.policy)]
        if step == "history":
            return [step, *said]
        if step != "promote":
            said += ["--folder", str(self.root / "local"), "--port", str(self.port)]
            said += ["--contracts", str(ROOT / "gates/contracts")]
        return [step, *said, "--tracking-uri", "sqlite:////nowhere/mlflow.db", *words]

    def run(self, step: str, *words: str, environment: str = "dev") -> subprocess.CompletedProcess[str]:
        return run(self.command(step, *words, environment=environment), cwd=self.repository)

    def call(self, step: str, *words: str, environment: str = "dev") -> subprocess.CompletedProcess[str]:
        """The same in this process, which is faster."""
        return called(self.command(step, *words, environment=environment))

    def named(self, model: Model, environment: str = "dev") -> list[str]:
        """The words that name a model and new evidence for it, to `promote`."""
        return [
            "--model", str(model.folder), "--evaluation", str(model.evaluation),
            "--evidence", str(self.evidence(model, environment)),
        ]  # fmt: skip

    def stop(self) -> None:
        for name in ORDER:
            self.target(name).stop()


def forge(world: World, release: Release, paths: tuple[Path, ...], nonce: str = "") -> None:
    """What somebody who can write to the ledger, and asked nobody, would write: a promotion to dev."""
    evidence = []
    for path in paths:
        found = re.search(rb'"nonce":"([0-9a-f]{32})"', _payload(path.read_bytes()))
        named = nonce or (found[1].decode() if found else "0" * 32)
        evidence.append(Evidence(sha256=world.ledger.keep(path.read_bytes()), nonce=named))
    history = world.history()
    write(world.ledger, history, Kind.PROMOTED, len(history.generations) + 1, release=release, evidence=evidence)


def _payload(envelope: bytes) -> bytes:
    try:
        return base64.b64decode(json.loads(envelope)["payload"])
    except (ValueError, KeyError):
        return envelope


def secret(path: Path, key: keys.PrivateKey) -> None:
    """The private key in a file that nobody else can read."""
    path.touch(0o600)
    path.write_text(key.pem())


def lived(world: World, *models: Model) -> None:
    """Each was live after the other; none runs, for what ran once is ended."""
    for model in models:
        note(world.ledger, "dev", Kind.LIVE, world.promote(model).number)


def run(words: list[str], cwd: Path, code: str = "") -> subprocess.CompletedProcess[str]:
    """`python -m ml_pipeline` in a process of its own; `code` is run first."""
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from ml_pipeline import __main__ as cli; {code}\n"
    command = [sys.executable, "-c", f"{start}sys.exit(cli.main(sys.argv[1:]))", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=180, check=False)


def called(words: list[str]) -> subprocess.CompletedProcess[str]:
    """`python -m ml_pipeline` in this process, with what it said."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(words)
        except SystemExit as end:
            code = int(str(end.code))
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def write_model(root: Path, weight: float, *, fails_above: float | None = None, features: int | None = None) -> Model:
    """A small model for the features of the service. Above a logarithm of the amount it gives no probability."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from ml_pipeline import export
    from ml_pipeline.online import FEATURES

    names = FEATURES[:features]
    weights = np.full((len(names), 1), weight, np.float32) / 1e9
    amount = np.zeros((len(names), 1), np.float32)
    amount[names.index("amount_log")] = 1
    ceiling = np.array([1e9 if fails_above is None else fails_above], np.float32)
    constants = {"w": weights, "a": amount, "top": ceiling, "nan": np.array([np.nan], np.float32)}
    nodes = [
        helper.make_node("MatMul", [export.INPUT, "w"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["fraud"]),
        helper.make_node("MatMul", [export.INPUT, "a"], ["amount"]),
        helper.make_node("Greater", ["amount", "top"], ["fails"]),
        helper.make_node("Where", ["fails", "nan", "fraud"], ["score"]),
        helper.make_node("Concat", ["score", "score"], [export.OUTPUT], axis=1),
    ]
    graph = helper.make_graph(
        nodes, "small",
        [helper.make_tensor_value_info(export.INPUT, TensorProto.FLOAT, [None, len(names)])],
        [helper.make_tensor_value_info(export.OUTPUT, TensorProto.FLOAT, [None, 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    entry = model.metadata_props.add()
    entry.key, entry.value = "features", json.dumps(list(names))
    onnx.checker.check_model(model)
    folder, evaluation = root / "model", root / "evaluation"
    folder.mkdir(parents=True)
    evaluation.mkdir()
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    described = {
        "schema_version": 1, "name": "pix-fraud", "features": list(names), "threshold": 0.9, "label": "is_fraud",
        "data": {"transactions": "1" * 64}, "training_reference": {"typical": dict.fromkeys(names, 0.0)},
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(described))
    digests = {name: files.sha256(folder / name) for name in ("model.onnx", "model.json")}
    (evaluation / "evaluation.json").write_text(json.dumps({"schema_version": 1, "model": {"sha256": digests}}))
    return Model(folder, evaluation)


def _waived(finding: Any) -> Any:
    import dataclasses

    return dataclasses.replace(finding, state=State.WAIVED, waiver="W1")
