"""What the files of one environment spell out: its account, its region, its buckets, and never another environment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from pytest_pixgates.core.scan import Finding
from pytest_pixgates.infra.consistency.configuration import Module, Place, Root, Value
from pytest_pixgates.infra.consistency.rule import AnyRule, Files
from pytest_pixgates.infra.consistency.sets import Environment, Sources

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ACCOUNT = re.compile(r"(?<![0-9A-Za-z])\d{12}(?![0-9A-Za-z])")
_REGION = re.compile(
    r"(?<![0-9a-z])(?:af|ap|ca|cn|eu|il|me|mx|sa|us)(?:-gov)?"
    r"-(?:central|north|south|east|west|northeast|northwest|southeast|southwest)-\d(?!\d)"
)
_BUCKET = re.compile(r"(?:s3[an]?://|arn:aws[\w-]*:s3:::|\bbucket\s*=\s*\")(?P<name>[a-z0-9][a-z0-9.-]+[a-z0-9])")
_ACCOUNTS = ("account_id", "aws_account_id", "account")
_REGIONS = ("region", "aws_region")

_VARIABLES = """\
variable "account_id" {
  type = string
}

variable "region" {
  type    = string
  default = "sa-east-1"
}

resource "aws_s3_bucket" "this" {
  bucket = "pix-models-${var.account_id}-${var.region}"
}
"""
_CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: runtime}
data:
  MODEL_URI: s3://pix-models-333344445555-sa-east-1/fraud
"""
_PASSING = {
    "terraform/prod/main.tf": _VARIABLES,
    "terraform/prod/terraform.tfvars": 'account_id = "333344445555"\n',
    "k8s/prod/manifest.yaml": _CONFIG,
}


def _prod(old: str, new: str) -> dict[str, str]:
    return {**_PASSING, "k8s/prod/manifest.yaml": _CONFIG.replace(old, new)}


@dataclass(frozen=True, eq=False)
class Spelt:
    """Something that a file of `environment` spells out, and what Terraform was given for it, if anything."""

    environment: Environment
    text: str
    place: Place
    declared: str
    by: Place


class Spelling(AnyRule[Sources, Spelt]):
    """A rule on what files spell out; `kind` is what they call it."""

    kind: ClassVar[str]

    def judge(self, subject: Spelt) -> Iterator[Finding]:
        name = subject.environment.name
        if subject.text != subject.declared:
            message = f"{self.kind} {subject.text} in {name}, which is {subject.declared} by {subject.by}"
            yield self.at(subject.place.path, subject.place.line, message, f"{name}: {subject.text}")


class Account(Spelling):
    name = "env-account"
    kind = "account"
    summary = "Every account number in the files of an environment is its own."
    why = "A role or a bucket of another environment's account is refused at best, and used at worst."
    fix = 'correct it, or list one that is meant as external ("Account/602401143452")'
    passing = _PASSING
    failing = _prod("333344445555", "111122223333")

    def subjects(self, world: Sources) -> Iterable[Spelt]:
        return _spelt(world, _ACCOUNT, _ACCOUNTS, "Account")


class Region(Spelling):
    name = "env-region"
    kind = "region"
    summary = "Every region in the files of an environment is its own."
    why = "Data would leave the region that it has to stay in, or the client looks where nothing is."
    fix = 'correct it, or list one that is meant as external ("Region/us-east-1")'
    passing = _PASSING
    failing = _prod("sa-east-1", "us-east-1")

    def subjects(self, world: Sources) -> Iterable[Spelt]:
        return _spelt(world, _REGION, _REGIONS, "Region")


@dataclass(frozen=True, eq=False)
class Named:
    """A bucket that a file of `environment` names, and the names that its root declares."""

    environment: Environment
    name: str
    place: Place
    declared: tuple[tuple[re.Pattern[str], frozenset[str], Place], ...]


class Bucket(AnyRule[Sources, Named]):
    name = "env-bucket"
    summary = "Every bucket that the files of an environment name is one that its root declares."
    why = "A renamed bucket is found when the first pod can't load its model."
    fix = 'correct the name, or list a bucket of others as external ("Bucket/name")'
    passing = _PASSING
    failing = _prod("pix-models", "pix-model")

    def subjects(self, world: Sources) -> Iterable[Named]:
        for environment in world.environments:
            if declared := tuple(pattern for root in environment.roots for pattern in _declared(root)):
                texts = {path: text for path, text in environment.texts.items() if not path.endswith(".tf")}
                for name, place in _matches(texts, _BUCKET, "name"):
                    if f"Bucket/{name}" not in world.external:
                        yield Named(environment, name, place, declared)

    def judge(self, subject: Named) -> Iterator[Finding]:
        for pattern, words, _ in subject.declared:
            match = pattern.fullmatch(subject.name)
            # What Terraform computes, such as a key of for_each, must at least stand in that module.
            if match and all(part in words for part in match.groups()):
                return
        places = ", ".join(dict.fromkeys(str(place) for _, _, place in subject.declared))
        message = f"no bucket {subject.name} is declared for {subject.environment.name}; those that are: {places}"
        yield self.at(subject.place.path, subject.place.line, message, f"{subject.environment.name}: {subject.name}")


class Stranger(AnyRule[Sources, Spelt]):
    name = "env-name"
    summary = "The files of an environment name no other environment."
    why = "Copied from staging, prod would read staging's brokers, secrets or state."
    fix = "name this environment"
    passing: ClassVar[Files] = {**_PASSING, "k8s/dev/manifest.yaml": _CONFIG.replace("pix-", "pix-dev-")}
    failing: ClassVar[Files] = {**passing, "k8s/dev/manifest.yaml": _CONFIG.replace("pix-", "pix-prod-")}

    def subjects(self, world: Sources) -> Iterable[Spelt]:
        for environment in world.environments:
            others = [each for each in world.others if each != environment.name]
            if others:
                word = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(map(re.escape, others))})(?![A-Za-z0-9])")
                for path in environment.own:
                    yield Spelt(environment, "", Place(path, 1), "", Place(path, 1))
                for text, place in _matches(environment.own, word):
                    yield Spelt(environment, text, place, environment.name, _first(environment))

    def judge(self, subject: Spelt) -> Iterator[Finding]:
        name = subject.environment.name
        if subject.text:
            message = f"names {subject.text}, in the files of {name}, which begin at {subject.by}"
            yield self.at(subject.place.path, subject.place.line, message, f"{name}: {subject.text}")


def _first(environment: Environment) -> Place:
    return Place(next(iter(environment.own)), 1)


def _matches(texts: Mapping[str, str], pattern: re.Pattern[str], group: str | int = 0) -> Iterator[tuple[str, Place]]:
    for path, text in texts.items():
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.lstrip().startswith(("#", "//")):
                for match in pattern.finditer(_UUID.sub(lambda found: "_" * len(found[0]), line)):
                    yield match[group], Place(path, number)


def _spelt(world: Sources, pattern: re.Pattern[str], names: tuple[str, ...], kind: str) -> Iterator[Spelt]:
    for environment in world.environments:
        found = [each for each in _matches(environment.texts, pattern) if f"{kind}/{each[0]}" not in world.external]
        given = [value for root in environment.roots for name in names if (value := root.value(name)) and value.string]
        if given:
            declared, by = given[0].string, given[0].where
        elif found:  # nothing is declared, so at least they must agree among themselves
            declared, by = found[0]
        yield from (Spelt(environment, text, place, declared, by) for text, place in found)


def _declared(root: Root) -> Iterator[tuple[re.Pattern[str], frozenset[str], Place]]:
    """The names of the buckets that `root` declares, as far as they can be told: patterns with what was computed left
    open, and the words that may stand there.
    """
    for module in root.modules:
        if not any(module.resources("aws_s3_bucket")):
            continue
        strings = [(each, value) for value in module.values for each in value.expression.templates]
        words = frozenset(each[0] for each, _ in strings if len(each) == 1 and isinstance(each[0], str))
        for template, value in strings:
            wildcards = len(template) > 1
            plain = value.name == "bucket" and len(template) == 1
            if wildcards or plain:
                parts = [re.escape(part) if isinstance(part, str) else _known(part, module, root) for part in template]
                yield re.compile("".join(parts)), words, value.where


def _known(names: tuple[str, ...], module: Module, root: Root, depth: int = 0) -> str:
    """A pattern for the text that `names` stands for: the text itself if it can be told."""
    value: Value | None = None
    at = module
    match names:
        case ("var", name) if module.call and module.caller:
            argument = module.call.body.expressions.get(name)
            value, at = (Value(name, argument, module.call.path), module.caller) if argument else (None, module)
        case ("var", name):
            value = root.value(name)
        case ("local", name):
            value = module.locals.get(name)
    if value is None or depth > 20:
        return r"([a-z0-9.-]+)"
    if value.string:
        return re.escape(value.string)
    references = value.expression.references
    if len(references) == 1 and value.expression.text == ".".join(references[0].names):
        return _known(references[0].names, at, root, depth + 1)
    if len(value.expression.templates) == 1 and value.expression.text.startswith('"'):
        template = value.expression.templates[0]
        return "".join(re.escape(p) if isinstance(p, str) else _known(p, at, root, depth + 1) for p in template)
    return r"([a-z0-9.-]+)"
