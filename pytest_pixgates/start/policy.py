"""The text of a first `gates/gates.toml`: each section for something that is there, each limit for people to review."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pytest_pixgates.start.look import Found, Service
from pytest_pixgates.start.measure import THRESHOLD, Table

REVIEW = "REVIEW"
"""Marks what people have to decide."""
CONTRACTS = "gates/contracts/{}.odcs.yaml"
REQUESTS = "gates/requests.ndjson"
MOST_DATA = 20

_HEAD = """\
# What must hold before anything of this repository goes out; read by `pytest gates` and `pixgates verdict`.
# `pixgates init` proposed it from what it found. Where it says REVIEW, people have to decide.
"""
# By this nothing passes: a request over a socket takes longer.
_IMPOSSIBLE = "1us"


@dataclass(frozen=True, slots=True)
class Proposed:
    """A policy, and what it judges: each family with a line for people; `data` are the data sets by name."""

    text: str
    families: dict[str, str]
    data: dict[str, str] = field(default_factory=dict)
    requests: str = ""

    def __bool__(self) -> bool:
        return bool(self.families)


def propose(found: Found, scores: Table | None, root: Path) -> Proposed:
    """The policy for what was `found`. False if there is nothing to judge."""
    families: dict[str, str] = {}
    sections: list[list[str]] = []
    data = data_sets(each for each in found.tables if scores is None or each != scores.path)
    post = found.service is not None and _endpoint(found.service)[0] == "POST"
    if lines := list(_infra(found, root)):
        families["infra"] = _infra_told(found)
        sections.append(lines)
    if data:
        families["data_contract"] = _counted(len(data), "table")
        sections.append(list(_data(data)))
    if scores:
        families["model_gate"] = scores.path
        sections.append(list(_model(scores)))
    if found.service:
        families["latency"] = found.service.file
        sections.append(list(_latency(found.service)))
    required = ["[environments.prod]", f"requires = {_list(families)}", 'max_age = "24h"']
    body = "\n\n".join("\n".join(lines) for lines in [required, *sections])
    return Proposed(f"{_HEAD}\n{body}\n", families, data, REQUESTS if post else "")


def data_sets(tables: Iterable[str]) -> dict[str, str]:
    """Each table with a name of its own, that a key of the policy and a file can have."""
    named: dict[str, str] = {}
    for path in list(tables)[:MOST_DATA]:
        parts = [
            re.sub(r"\W+", "_", part, flags=re.ASCII).strip("_").lower()
            for part in PurePosixPath(path).with_suffix("").parts
        ]
        name = next(
            (each for at in range(1, len(parts) + 1) if (each := "_".join(parts[-at:])) and each not in named), ""
        )
        if name:
            named[name] = path
    return named


def _infra(found: Found, root: Path) -> Iterator[str]:
    locked = [each for each in (*found.roots, *found.modules) if each in found.locked]
    unlocked = [each for each in found.roots if each not in found.locked]
    images = list(map(glob.escape, found.dockerfiles))
    keys = {
        "terraform": _globs([*locked, *unlocked], root),
        "tflint": _globs([*found.roots, *found.modules], root),
        "checkov": [
            *_globs(found.roots, root),
            *_globs(found.overlays, root),
            *map(glob.escape, found.manifests),
            *images,
        ],
        "hadolint": images,
        "kubernetes": _globs(found.overlays, root),
    }
    if not any(keys.values()):
        return
    yield "# Infrastructure as code, by the tools of its trade. What does not apply is switched off in [[infra.rules]]."
    yield "[infra]"
    yield from (f"{key} = {_list(value)}" for key, value in keys.items() if value)
    if unlocked:
        yield f"# {', '.join(unlocked)}: `terraform init` there, and commit .terraform.lock.hcl."
    if "." in found.roots:
        yield '# "." is judged with all that is in it: keep virtual environments and what is built elsewhere.'
    if found.overlays:
        yield from ("", "# What the overlays render must hold together: docs/consistency.md.", "[infra.consistency]")
        yield f"overlays = {_list(_globs(found.overlays, root))}"


def _infra_told(found: Found) -> str:
    counts = {
        "Terraform root": found.roots, "Terraform module": found.modules, "overlay": found.overlays,
        "folder of manifests": found.manifests, "Dockerfile": found.dockerfiles,
    }  # fmt: skip
    return ", ".join(_counted(len(each), what) for what, each in counts.items() if each)


def _data(data: dict[str, str]) -> Iterator[str]:
    yield "# Data by its contract. Drafts are in gates/contracts; they are refused until the columns are described."
    for index, (name, path) in enumerate(data.items()):
        yield from ([""] if index else [])
        yield f"[data_contract.data.{name}]"
        yield f"path = {_string(path)}"


def _model(scores: Table) -> Iterator[str]:
    yield "# A model by its labelled test set: limits are judged by intervals, on rows that it has not seen."
    yield "[model_gate]"
    yield f"scores = {_string(scores.path)}"
    yield f"label = {_string(scores.label)}"
    yield f"score = {_string(scores.score)}"
    if scores.decision:
        yield f"decision = {_string(scores.decision)}"
    else:
        yield f"threshold = {THRESHOLD}  # {REVIEW}: from which score on a row is an alert"
    yield '# made_by = "make model"  # the command that makes the table'
    yield ""
    yield f"# {REVIEW}: write what you need. This is what was measured, by which nothing passes: its interval holds it."
    yield "# A limit that the data can show lies beyond the interval's end."
    yield "[model_gate.limits]"
    for each in scores.limits:
        yield f"{each.figure} = {{ {each.bound} = {each.value!r} }}  # {REVIEW}: measured {each.measured}"
    if not scores.limits:
        why = scores.trouble or "nothing was measured yet"
        yield f"recall = {{ at_least = 1.0 }}  # {REVIEW}: {_comment(why)}"


def _latency(service: Service) -> Iterator[str]:
    method, path = _endpoint(service)
    yield "# A service under load, which the gate starts itself. Requests go out when they are due: docs/latency.md."
    yield "[latency]"
    yield f"start = {_list(service.start)}"
    if service.ready:
        yield f"ready = {_string(service.ready)}"
    yield f"subjects = [{_string(service.file)}]"
    yield from ("", "[latency.endpoints.main]", f"path = {_string(path)}")
    if method == "POST":
        yield f"requests = {_string(REQUESTS)}  # {REVIEW}: one body a line, as your customers send them"
    yield from ("", "[latency.stages.steady]", f"rate = 50  # {REVIEW}: requests a second, at your busiest")
    yield 'duration = "40s"'
    yield ""
    yield f"# {REVIEW}: write what your customers need. By this nothing passes; the gate says what it measured."
    yield "[latency.limits]"
    yield f'p99 = "{_IMPOSSIBLE}"  # {REVIEW}'
    yield '# errors = "1%"'


def _endpoint(service: Service) -> tuple[str, str]:
    """The route to put load on: the first that computes something, else the one that says that it is ready."""
    posts = [each for each in service.routes if each[0] == "POST"]
    return next(iter([*posts, *service.routes]), ("GET", service.ready or "/"))


def _globs(folders: Collection[str], root: Path) -> list[str]:
    """`folders`, with a glob where they are all that there is in the folder above."""
    found: dict[str, None] = {}
    for each in folders:
        above = PurePosixPath(each).parent
        beside = set(_below(root / above)) if above != PurePosixPath() else set()
        mine = {PurePosixPath(other).name for other in folders if PurePosixPath(other).parent == above}
        whole = len(mine) > 1 and beside <= mine
        found[f"{glob.escape(above.as_posix())}/*" if whole else glob.escape(each)] = None
    return list(found)


def _below(folder: Path) -> Iterator[str]:
    yield from (each.name for each in folder.iterdir() if each.is_dir() and each.name[0] != ".")


def _counted(count: int, what: str) -> str:
    plural = what.replace("folder", "folders") if what.startswith("folder") else f"{what}s"
    return f"{count} {what if count == 1 else plural}"


def _string(text: str) -> str:
    """A string of TOML; JSON's are."""
    return json.dumps(text, ensure_ascii=False)


def _list(texts: Iterable[str]) -> str:
    listed = list(map(_string, texts))
    line = f"[{', '.join(listed)}]"
    return line if len(line) < 100 else "[\n" + "".join(f"  {each},\n" for each in listed) + "]"


def _comment(text: str) -> str:
    return " ".join(text.split())
