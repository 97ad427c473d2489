"""A repository with a policy, trusted keys and a green run of it: what each test signs, spoils and verifies."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pytest_pixgates.core import files, policy, trust
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.record import Record, Run
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Outcome, Verdict
from pytest_pixgates.evidence import envelope, keys, statement, subjects
from pytest_pixgates.evidence.keys import PrivateKey
from pytest_pixgates.evidence.sign import Order, Signed, sign
from pytest_pixgates.evidence.statement import Statement
from pytest_pixgates.evidence.verify import Answer, Mode, Request, verify
from tests.git import Git
from tests.unit import example_runs
from tests.unit.example_runs import scan

NOW = float(int(time.time()))
TODAY = datetime.datetime.fromtimestamp(NOW, datetime.UTC).date()
DAY = 86400.0
MODEL = "build/model.onnx"
IMAGE = "ab" * 32
POLICY = """\
[environments.dev]
requires = ["infra"]

[environments.prod]
requires = ["infra", "scores/recall"]
max_age = "3d"
subjects = ["model"]
unjudged = ["image"]

[environments.locked]
requires = ["infra"]
single_use = true

[infra]
[scores]
"""


def trusted(key: PrivateKey, called: str = "ci", **changes: str) -> str:
    """What the policy says to trust `key`; `changes` are TOML."""
    rows = {
        "name": f'"{called}"',
        "public": f'"{trust.encoded(key.public)}"',
        "environments": '["dev", "prod", "locked"]',
        "valid_from": str(TODAY - datetime.timedelta(days=30)),
        "valid_until": str(TODAY + datetime.timedelta(days=30)),
        **changes,
    }
    return "[[evidence.keys]]\n" + "".join(f"{row} = {value}\n" for row, value in rows.items())


def _day(days: int) -> str:
    return str(TODAY + datetime.timedelta(days=days))


# Keys that the policy knows, each with what speaks against it.
OTHER_KEYS = {
    "second": {},
    "expired": {"valid_until": _day(-1)},
    "retired": {"valid_until": _day(0)},
    "future": {"valid_from": _day(1)},
    "revoked": {"revoked": _day(5)},
    "dev-only": {"environments": '["dev"]'},
}


class Pipeline:
    """The repository at `root`, and who signs its runs: `key`, and others that the policy knows."""

    def __init__(self, root: Path, text: str = POLICY) -> None:
        self.root, self.git, self.key = root, Git(root), keys.generate()
        self.keys = {name: keys.generate() for name in OTHER_KEYS}
        self._count = 0
        known = [trusted(self.keys[name], name, **changes) for name, changes in OTHER_KEYS.items()]
        for name, content in {
            "gates/gates.toml": text + trusted(self.key) + "".join(known),
            "iac/prod/main.tf": "# empty\n",
            MODEL: "weights\n",
            ".gitignore": ".pixgates\n*.json\n",
        }.items():
            self.write(name, content)
        self.git.commit()

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def policy(self, environment: str = "prod") -> Policy:
        return policy.load(self.root / "gates" / "gates.toml", environment=environment)

    def subject(self, name: str) -> Subject:
        return Subject.of(Path(name), self.root)

    def records(self) -> tuple[Record, Record]:
        """A green scan of `iac/prod` and a green measurement of the model."""
        judged = scan(subjects=(self.subject("iac/prod"), example_runs.RENDERED))
        recall = Verdict(Outcome.PASS, "recall >= 0.8", "0.82 [0.80, 0.84] on 900", subjects=(self.subject(MODEL),))
        return (
            example_runs.record(judged, gate="infra/checkov", node="gates/gates.toml::infra"),
            example_runs.record(recall, gate="scores/recall", node="gates/gates.toml::scores"),
        )

    def run(self, environment: str = "prod", records: Iterable[Record] | None = None, **changes: Any) -> Run:
        made = tuple(self.records() if records is None else records)
        values = {
            "started": NOW - 60,
            "ended": NOW - 30,
            "environment": environment,
            "families": tuple(sorted({each.family for each in made})),
            "policy_sha256": self.policy(environment).sha256,
            **changes,
        }
        return example_runs.run(*made, **values)

    def model(self) -> str:
        return files.sha256(self.root / MODEL)

    def subjects(self) -> dict[str, str]:
        return {"model": self.model(), subjects.SOURCE: subjects.tree(self.root, "HEAD")}

    def sign(
        self, run: Run | None = None, key: PrivateKey | None = None, environment: str = "prod", **order: Any
    ) -> Signed:
        run = run or self.run(environment)
        asked = {"model": self.model()} if any(each.family == "scores" for each in run.records) else {}
        values = {"subjects": asked, "now": NOW, **order}
        return sign(run, self.policy(environment), Order(**values), key or self.key)

    def evidence(self, run: Run | None = None, **changes: Any) -> Path:
        """Signed, in a file. `changes` are of `sign`."""
        signed = self.sign(run, **changes)
        assert signed.text, signed.refusals
        return self.file(signed.text)

    def forged(self, change: Callable[[dict[str, Any]], object], *signers: PrivateKey, run: Run | None = None) -> Path:
        """Evidence whose statement was changed before it was signed, as only who has the key can."""
        signed = self.sign(run)
        data = json.loads(payload(signed.text))
        change(data)
        return self.file(envelope.sealed(json.dumps(data).encode(), signers or [self.key]))

    def file(self, text: str | bytes) -> Path:
        self._count += 1
        path = self.root / ".pixgates" / f"{self._count}.dsse.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def request(self, environment: str = "prod", **changes: Any) -> Request:
        values = {"policy": self.policy(environment), "subjects": self.subjects(), "now": NOW + 60, **changes}
        return Request(**values)

    def verify(self, *paths: Path, environment: str = "prod", **changes: Any) -> Answer:
        return verify(paths, self.request(environment, **changes))

    def reverify(self, *paths: Path, **changes: Any) -> Answer:
        return self.verify(*paths, mode=Mode.REVERIFY, **changes)


def codes(answer: Answer) -> list[str]:
    return [each.rule for each in answer.refusals]


def payload(text: str | bytes) -> bytes:
    return base64.b64decode(json.loads(text)["payload"])


def claims(data: dict[str, Any]) -> dict[str, Any]:
    """The extension of a statement."""
    return data["predicate"][statement.EXTENSION]


def edited(path: Path, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The envelope at `path` with something changed by who has no key."""
    data = json.loads(path.read_bytes())
    change(data)
    return json.dumps(data).encode()


def failing(each: Record) -> Record:
    return dataclasses.replace(each, outcome=Outcome.FAIL, reason="beyond the limit")


def read(path: Path) -> Statement:
    return statement.loads(payload(path.read_bytes()))
