"""What there is for checkov to look at, counted and parsed by us.

Its own counts can't tell an empty folder from a file that it could not read, so nothing of them is trusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pytest_pixgates.core import documents, files, sources
from pytest_pixgates.core.documents import Document
from pytest_pixgates.core.scan import Problem
from pytest_pixgates.core.sources import Unreadable
from pytest_pixgates.infra import hcl, instructions

_DOCKERFILE = re.compile(r"(?:.+\.)?[Dd]ocker[Ff]ile(?:\..+)?")
_TERRAFORM = (".tf", ".tfvars", ".tftest.hcl")
_WORKLOADS = frozenset({"Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"})
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


@dataclass
class Inputs:
    """The sources of one target. `resources` counts by framework what checks could apply to.

    `visible` are the files that a working checkov must mention, for some check applies to each of them.
    """

    texts: dict[str, str] = field(default_factory=dict)
    frameworks: dict[str, set[str]] = field(default_factory=dict)
    resources: dict[str, int] = field(default_factory=dict)
    visible: set[str] = field(default_factory=set)
    folders: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add(self, framework: str, name: str, resources: int) -> None:
        self.frameworks.setdefault(framework, set()).add(name)
        self.resources[framework] = self.resources.get(framework, 0) + resources


def read(target: Path, root: Path, frameworks: tuple[str, ...]) -> Inputs:
    """Read what checkov would see of `target` (a file or folder) with `frameworks`."""
    inputs = Inputs(folders=[target])
    if not target.exists() or not sources.inside(target, root):
        inputs.problems.append(Problem("does not exist in the repository", sources.name(target, root)))
        return inputs
    for path in files.walk(target):
        if path.is_symlink() and not sources.inside(path, root):
            inputs.problems.append(
                Problem("leads out of the repository", sources.name(path, root), fix="remove the link")
            )
    for path in [target] if target.is_file() else sources.visible(target):
        if framework := framework_of(path, frameworks):
            _read(path, root, framework, inputs)
    for name in (".checkov.yaml", ".checkov.yml"):
        if target.is_dir() and (target / name).exists():
            fix = "remove it; what checkov judges and skips is said in [infra] of gates/gates.toml"
            inputs.problems.append(Problem("would configure checkov", sources.name(target / name, root), fix=fix))
    if "terraform" in frameworks:
        _follow_modules(target, root, inputs)
    if not inputs.problems and not sum(inputs.resources.values()):
        wanted = ", ".join(frameworks)
        message = f"holds nothing for checkov: no resource of {wanted}"
        inputs.problems.append(Problem(message, sources.name(target, root), fix="check the path in the policy"))
    return inputs


def framework_of(path: Path, frameworks: tuple[str, ...]) -> str:
    """Which of `frameworks` takes the file; "" for none."""
    framework = ""
    if path.name.endswith((*_TERRAFORM, ".tf.json")):
        framework = "terraform"
    elif path.suffix in (".yaml", ".yml", ".json"):
        workflow = ".github/workflows/" in path.resolve().as_posix()
        framework = "github_actions" if workflow else "" if ".github" in path.parts else "kubernetes"
    elif _DOCKERFILE.fullmatch(path.name) and path.suffix != ".dockerignore":
        framework = "dockerfile"
    return framework if framework in frameworks else ""


def _read(path: Path, root: Path, framework: str, inputs: Inputs) -> None:
    label = sources.name(path, root)
    try:
        text = sources.read(path, root)
        if framework == "terraform":
            _terraform(path, text, label, inputs)
        elif framework == "dockerfile":
            _dockerfile(text, label, inputs)
        elif framework == "github_actions":
            _workflow(text, label, inputs)
        else:
            add_manifest(text, label, inputs)
    except Unreadable as error:
        inputs.problems.append(error.problem)
        return
    inputs.texts[label] = text


def _terraform(path: Path, text: str, label: str, inputs: Inputs) -> None:
    if path.name.endswith(".tf.json"):
        raise Unreadable("Terraform in JSON is not read here", label, remedy="write it in HCL")
    _count(path, hcl.parse(text, label), label, inputs)


def _count(path: Path, blocks: tuple[hcl.Block, ...], label: str, inputs: Inputs) -> None:
    if path.suffix == ".tf":
        judged = ("resource", "data", "module", "provider")
        inputs.add("terraform", label, sum(block.kind in judged for block in blocks))


def _dockerfile(text: str, label: str, inputs: Inputs) -> None:
    words = [word for word, _, _ in instructions.parse(text)]
    if "FROM" not in words:
        raise Unreadable("has no FROM", label, remedy="write the image, or remove the file")
    inputs.add("dockerfile", label, len(words))
    inputs.visible.add(label)


def _workflow(text: str, label: str, inputs: Inputs) -> None:
    found = documents.parse(text, label)
    jobs = found[0].value.get("jobs") if len(found) == 1 and isinstance(found[0].value, dict) else None
    if not isinstance(jobs, dict) or not jobs:
        raise Unreadable("is a workflow without jobs", label, remedy="write them, or remove the file")
    inputs.add("github_actions", label, len(jobs))
    inputs.visible.add(label)


def add_manifest(text: str, label: str, inputs: Inputs) -> None:
    """Count the Kubernetes objects of a file. Raises Unreadable for what checkov would pass without looking."""
    found = documents.parse_json(text, label) if label.endswith(".json") else documents.parse(text, label)
    if not found:
        raise Unreadable("is empty or holds only comments", label, remedy="remove it")
    for each in found:
        if isinstance(each.value, dict) and ("apiVersion" in each.value) != ("kind" in each.value):
            absent = "kind" if "apiVersion" in each.value else "apiVersion"
            raise Unreadable(f"has no {absent}, so checkov would pass over it", label, each.line, remedy="add it")
    objects = [each for each in found if each.is_object and each.kind not in ("Kustomization", "Component")]
    for each in objects:
        if each.kind.endswith("List"):
            raise Unreadable("is a List, whose items checkov need not look into", label, each.line, remedy="split it")
        for keys, problem in _odd_containers(each.value, ()):
            raise Unreadable(problem, label, each.line_of(keys) or each.line, remedy="write a list of containers")
    if objects:
        inputs.add("kubernetes", label, len(objects))
    if any(is_workload(each) for each in objects):
        inputs.visible.add(label)


def is_workload(each: Document) -> bool:
    return each.kind in _WORKLOADS and isinstance(each.value.get("spec"), dict)


def _odd_containers(value: object, keys: tuple[object, ...]) -> Iterator[tuple[tuple[object, ...], str]]:
    # checkov counts a workload whose containers it can't iterate over as passed.
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _odd_containers(item, (*keys, index))
    for key, item in value.items() if isinstance(value, dict) else ():
        if key in _CONTAINERS and not (isinstance(item, list) and all(isinstance(each, dict) for each in item)):
            yield (*keys, key), f"{key} is not a list of containers, so checkov would see none"
        else:
            yield from _odd_containers(item, (*keys, key))


def _follow_modules(target: Path, root: Path, inputs: Inputs) -> None:
    """The local modules that the target calls: judged with it. One from elsewhere can't be."""
    if target.is_file():
        _refuse_calls(target, root, inputs)
        return
    for folder in sorted({(root / name).parent for name in inputs.frameworks.get("terraform", ())}):
        stack = hcl.load(folder, root)
        inputs.problems += [each for each in stack.problems if each not in inputs.problems]
        inputs.folders += [each for each in stack.judged if not each.is_relative_to(target)]
        for source in stack.sources:
            if source.name not in inputs.texts:
                inputs.texts[source.name] = source.text
                _count(source.path, source.blocks, source.name, inputs)
        for call in stack.external:
            message = f"module source {call.source!r} is not in the repository, so checkov does not look into it"
            fix = "copy the module into the repository, or take this path out of `checkov`"
            problem = Problem(message, call.path, call.line, fix)
            inputs.problems += [problem] if problem not in inputs.problems else []
    inputs.folders = list(dict.fromkeys(inputs.folders))


def _refuse_calls(target: Path, root: Path, inputs: Inputs) -> None:
    label = sources.name(target, root)
    for block in hcl.parse(inputs.texts[label], label) if target.suffix == ".tf" and label in inputs.texts else ():
        if block.kind == "module":
            message = "of a single file, checkov does not follow the modules that it calls"
            inputs.problems.append(Problem(message, label, block.line, "name its folder in `checkov`"))
