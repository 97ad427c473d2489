"""What pins the code of a Terraform root: lock files with hashes, and the same modules in every environment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pytest_pixgates.core import sources
from pytest_pixgates.core.scan import Finding
from pytest_pixgates.infra import hcl, shared_root
from pytest_pixgates.infra.consistency.configuration import Block, Module, Root
from pytest_pixgates.infra.consistency.rule import AnyRule, Files
from pytest_pixgates.infra.consistency.sets import Environment, Sources

_MAIN = 'resource "aws_sqs_queue" "this" {}\n'
_LOCK = """\
provider "registry.terraform.io/hashicorp/aws" {
  version = "5.100.0"
  hashes = [
    "h1:edXOJWE4ORX8Fm+dpVpICzMZJat4AX0VRCAy/xkcOc0=",
  ]
}
"""
_PINNED = {"root/main.tf": _MAIN, f"root/{shared_root.LOCK}": _LOCK}
_CALL = """\
module "network" {
  source  = "terraform-aws-modules/vpc/aws"
  version = "5.21.0"
}
"""
_SAME = {"dev/main.tf": _CALL, "prod/main.tf": _CALL}


class LockHash(AnyRule[Sources, Root]):
    name = "tf-lock-hash"
    summary = "Each provider that a root needs is locked with an h1: hash."
    why = "zh: hashes alone don't protect an unpacked mirror; without a lock file any version may come."
    fix = "terraform providers lock -platform=linux_amd64, and commit .terraform.lock.hcl"
    passing = _PINNED
    failing: ClassVar[Files] = {**_PINNED, f"root/{shared_root.LOCK}": _LOCK.replace("h1:", "zh:")}

    def subjects(self, world: Sources) -> Iterable[Root]:
        return (root for root in world.roots.values() if root.stack.needs_providers)

    def judge(self, subject: Root) -> Iterator[Finding]:
        label, blocks = _lock(subject)
        needs = next((each.where for module in subject.modules for each in module.of("resource")), subject.folder)
        if not blocks:
            yield self.at(label, 0, f"no provider is locked, though {needs} needs one", label)
        for block in blocks:
            if '"h1:' not in block.attributes.get("hashes", ""):
                message = f"provider {block.labels[0]} has no h1: hash, so the content that {needs} runs is not checked"
                yield self.at(label, block.line, message, block.labels[0])


@dataclass(frozen=True, eq=False)
class Pair:
    """A root, and that of the last environment, which it must be like."""

    root: Root
    model: Root


class LockSame(AnyRule[Sources, Pair]):
    name = "tf-lock-same"
    summary = "The roots of all environments lock the same version of each provider, with the same hashes."
    why = "What was tried in dev is not what runs in prod."
    fix = "lock all environments together, as the environment that is tried first has it"
    passing: ClassVar[Files] = {"dev/main.tf": _MAIN, f"dev/{shared_root.LOCK}": _LOCK, "prod/main.tf": _MAIN,
               f"prod/{shared_root.LOCK}": _LOCK}  # fmt: skip
    failing: ClassVar[Files] = {**passing, f"dev/{shared_root.LOCK}": _LOCK.replace("5.100.0", "5.99.1")}

    def subjects(self, world: Sources) -> Iterable[Pair]:
        return (pair for pair in _pairs(world.environments) if _lock(pair.root)[1] or _lock(pair.model)[1])

    def judge(self, subject: Pair) -> Iterator[Finding]:
        (label, blocks), (other, models) = _lock(subject.root), _lock(subject.model)
        mine, theirs = ({each.labels[:1]: each for each in found} for found in (blocks, models))
        for key in sorted({*mine, *theirs}):
            here, there = mine.get(key), theirs.get(key)
            if here is None or there is None or here.attributes != there.attributes:
                place = f"{other}:{there.line if there else 1}"
                version = f"{here.string('version')} here" if here else "not locked here"
                what = f"{there.string('version')} at {place}" if there else f"not locked at {place}"
                same = " (other hashes)" if here and there and here.string("version") == there.string("version") else ""
                message = f"provider {key[0]} is {version}, {what}{same}"
                yield self.at(label, here.line if here else 1, message, key[0])


class ModuleSame(AnyRule[Sources, Pair]):
    name = "tf-module-same"
    summary = "The roots of all environments call the same modules, from the same source in the same version."
    why = "What was tried in dev is not what runs in prod."
    fix = "call the same version everywhere, and let values make the difference"
    passing = _SAME
    failing: ClassVar[Files] = {**_SAME, "dev/main.tf": _CALL.replace("5.21.0", "5.20.0")}

    def subjects(self, world: Sources) -> Iterable[Pair]:
        return (pair for pair in _pairs(world.environments) if _calls(pair.root) or _calls(pair.model))

    def judge(self, subject: Pair) -> Iterator[Finding]:
        mine, theirs = _calls(subject.root), _calls(subject.model)
        for name in sorted({*mine, *theirs}):
            here, there = mine.get(name), theirs.get(name)
            if here is None or there is None:
                block, folder = here or there, (subject.model if here else subject.root).folder
                if block is not None:
                    message = f"module {name} is called here, and not in {folder}/main.tf or any file beside it"
                    yield self.at(block.path, block.body.line, message, block.address)
            elif _version(here, subject.root.module) != _version(there, subject.model.module):
                said = " ".join(map(str, _version(here, subject.root.module)))
                other = " ".join(map(str, _version(there, subject.model.module)))
                message = f"module {name} is {said} here, {other} at {there.where}"
                yield self.at(here.path, here.body.line, message, here.address)


def _pairs(environments: tuple[Environment, ...]) -> Iterator[Pair]:
    """The root of each environment with that of the last, in the order in which the policy lists them."""
    for environment in environments[:-1]:
        yield from map(Pair, environment.roots, environments[-1].roots)


def _calls(root: Root) -> dict[str, Block]:
    return {block.name: block for block in root.module.of("module")}


def _version(call: Block, module: Module) -> tuple[str, str]:
    source, version = (call.body.expressions.get(name) for name in ("source", "version"))
    called = module.called.get(call.name)
    return called.folder if called else source.text if source else "", version.text if version else ""


def _lock(root: Root) -> tuple[str, tuple[hcl.Block, ...]]:
    """The label of the root's lock file, and its providers; none if there is no file. Raises Unreadable."""
    folder, label = root.stack.folders[0], str(Path(root.folder, shared_root.LOCK))
    path = folder / shared_root.LOCK
    blocks = hcl.parse(sources.read(path, folder), label) if path.exists() else ()
    return label, tuple(each for each in blocks if each.kind == "provider")
