"""What the gates of each family read and need, and the command that brings what is missing: for `pixgates doctor`.

Only looked for, not judged: whether data is right is for its gate to say.
"""

from __future__ import annotations

import datetime
import importlib.util
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pixgates.cli.needs import MODULES
from pytest_pixgates.core.errors import EXTRA, PixgatesError
from pytest_pixgates.core.policy import Policy

if TYPE_CHECKING:
    from pytest_pixgates.data_contract.policy import DataContractPolicy
    from pytest_pixgates.infra.policy import InfraPolicy
    from pytest_pixgates.latency.policy import LatencyPolicy
    from pytest_pixgates.model_gate.policy import ModelGatePolicy

_REGISTRY = ("mlflow", "onnxruntime", "sqlalchemy")
_DATABASES = ("sqlalchemy", "psycopg")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report. Without `fix` the thing is there."""

    what: str
    detail: str
    fix: str = ""
    required: bool = True

    @property
    def state(self) -> str:
        """ok, missing, or optional for what is missing and may be."""
        if not self.fix:
            return "ok"
        return "missing" if self.required else "optional"


def infra(settings: InfraPolicy, root: Path) -> Iterator[Check]:
    """Libraries, targets, and the lock files of Terraform's roots."""
    from pytest_pixgates.infra.family import matches, targets

    yield _modules("infra", *MODULES["infra"])
    for tool, target, key in targets(settings, root):
        if tool == "consistency" and target.startswith("@"):
            continue
        if not matches(root, target, with_files=True) and not (root / target).exists():
            yield Check(
                f"{tool} {target}", "nothing in the repository has that name", f"correct infra.{key} in the policy"
            )
        elif tool == "terraform" and not (root / target / ".terraform.lock.hcl").exists():
            fix = f"terraform -chdir={target} init -backend=false, and commit .terraform.lock.hcl"
            yield Check(f"{tool} {target}", "has no lock file, so its providers are not pinned", fix)


def data_contract(settings: DataContractPolicy, root: Path) -> Iterator[Check]:
    """Libraries, data sets and their contracts."""
    libraries = _modules("data_contract", *MODULES["data_contract"])
    yield libraries
    if any(each.url for each in settings.data.values()):
        yield _modules("data_contract", "data-sql", _DATABASES)
    for name, data in settings.data.items():
        if data.path:
            yield _path(f"data {name}", data.path, root, f"make it, or correct data_contract.data.{name}.path")
        else:
            yield _tried(f"data {name}", data.table, lambda data=data: data.source)
        path = settings.contract_of(name)
        suggest = f"pixgates contract suggest {data.path or 'DATA'} --name {name} --out {path}"
        if not (root / path).is_file():
            yield Check(f"contract {name}", f"{path} is not there", suggest)
        elif not libraries.fix:
            yield _contract(name, path, root)
    yield _redaction()


def _contract(name: str, path: str, root: Path) -> Check:
    from pytest_pixgates.data_contract import contract

    return _tried(f"contract {name}", path, lambda: contract.read(root / path, root))


def _redaction() -> Check:
    from pytest_pixgates.data_contract.redaction import KEY, Redactor

    return _tried("redaction key", f"this machine's, or {KEY}", lambda: Redactor().key(""))


def model_gate(settings: ModelGatePolicy, root: Path) -> Iterator[Check]:
    """Libraries, and the tables and files that are judged."""
    extra, modules = MODULES["model_gate"]
    registered = settings.registry or settings.model or settings.champion.startswith("models:")
    yield _modules("model_gate", extra, (*modules, *(_REGISTRY if registered else ())))
    reference = settings.drift.reference if settings.drift else ""
    champion = "" if settings.champion.startswith("models:") else settings.champion
    named = {"scores": settings.scores, "test set": settings.test_set, "artifact": settings.artifact}
    for what, path in (named | {"reference": reference, "champion": champion}).items():
        if path:
            yield _path(
                f"model {what}", path, root, settings.made_by or "make it, and say how: `made_by` in the policy"
            )


def latency(settings: LatencyPolicy, root: Path) -> Iterator[Check]:
    """Libraries, the service's program, the requests and what is judged through it."""
    yield _modules("latency", *MODULES["latency"])
    for what, start in (
        ("service", settings.start),
        ("previous", settings.previous.start if settings.previous else ()),
    ):
        if start:
            yield _program(what, start, root)
    named = [*settings.subjects, settings.locustfile, *(each.requests for each in settings.endpoints.values())]
    for path in dict.fromkeys(filter(None, named)):
        yield _path("latency input", path, root, f"make it, or correct {path!r} in [latency]")


def evidence(policy: Policy) -> Iterator[Check]:
    """For each environment that a key is trusted for, whether one is valid today."""
    if not policy.trust.keys:
        return
    yield _modules("evidence", "evidence", ("cryptography",))
    today = datetime.datetime.now(datetime.UTC).date()
    for name in dict.fromkeys(each for key in policy.trust.keys for each in key.environments):
        valid = [
            key
            for key in policy.trust.keys
            if name in key.environments
            and key.valid_from <= today <= key.valid_until
            and not (key.revoked and key.revoked <= today)
        ]
        told = ", ".join(f"{key.name} until {key.valid_until}" for key in valid) or "no key is valid today"
        fix = "" if valid else f"pixgates keygen FILE --name NAME --env {name}, and add what it prints to the policy"
        yield Check(f"key for {name}", told, fix)


def _modules(family: str, extra: str, names: Iterable[str]) -> Check:
    lacking = [name for name in names if not importlib.util.find_spec(name)]
    detail = f"{', '.join(lacking)} can't be imported" if lacking else f"for {family}"
    return Check(f"extra {extra}", detail, EXTRA.format(extra) if lacking else "")


def _path(what: str, pattern: str, root: Path, fix: str) -> Check:
    there = (root / pattern).exists() or any(True for _ in root.glob(pattern))
    return Check(what, pattern if there else f"{pattern} is not there", "" if there else fix)


def _program(what: str, start: tuple[str, ...], root: Path) -> Check:
    """Whether the first word of `start` can be run; of a Python module, whether it is there."""
    first = start[0].replace("{python}", "python")
    if start[:2] == ("{python}", "-m") and start[2:]:
        name = start[2].partition(".")[0]
        there = importlib.util.find_spec(name) or (root / name).exists() or (root / f"{name}.py").exists()
        return Check(what, f"python -m {start[2]}", "" if there else f"pip install what has the module {name}")
    if "{python}" in start[0]:
        return Check(what, first)
    found = shutil.which(str(root / first) if "/" in first else first)
    return Check(what, found or f"{first} can't be run", "" if found else f"install {first}, or correct latency.start")


def _tried(what: str, detail: str, attempt: object) -> Check:
    """`detail` if the attempt does not fail, else why it does and what mends it."""
    assert callable(attempt)
    try:
        attempt()
    except PixgatesError as error:
        return Check(what, error.message, error.remedy or "correct it")
    except OSError as error:
        return Check(what, str(error.strerror or error), "see that it can be read")
    return Check(what, detail)
