"""Variables of Terraform: those that are used, given or declared alone do nothing, and Terraform only warns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import ClassVar

from pytest_pixgates.core.scan import Finding
from pytest_pixgates.infra.consistency.configuration import Block, Module, Place, Root, Value
from pytest_pixgates.infra.consistency.rule import AnyRule, Files
from pytest_pixgates.infra.consistency.sets import Sources

_MAIN = """\
resource "aws_ecr_repository" "this" {
  name = var.name
}
"""
_VARIABLES = """\
variable "name" {
  type = string
}
"""
_PASSING = {"root/main.tf": _MAIN, "root/variables.tf": _VARIABLES, "root/terraform.tfvars": 'name = "scoring"\n'}


class VariableDeclared(AnyRule[Sources, tuple[str, Place, Module]]):
    name = "tf-variable-declared"
    summary = "Each variable that is given in a file of values, or used, is declared."
    why = "A misspelt name in terraform.tfvars is a warning: the variable keeps its default, in production too."
    fix = "declare the variable, or correct its name"
    passing = _PASSING
    failing: ClassVar[Files] = {**_PASSING, "root/terraform.tfvars": 'name = "scoring"\nkeep_image = 50\n'}

    def subjects(self, world: Sources) -> Iterable[tuple[str, Place, Module]]:
        for root in world.roots.values():
            for values in root.given.values():
                yield from ((value.name, value.where, root.module) for value in values.values())
            for module in root.folders:
                for value in module.values:
                    for each in value.expression.references:
                        if each.names[0] == "var" and len(each.names) > 1:
                            yield each.names[1], Place(value.path, each.line), module

    def judge(self, subject: tuple[str, Place, Module]) -> Iterator[Finding]:
        name, place, module = subject
        if name not in module.variables:
            near = get_close_matches(name, module.variables, n=1)
            there = f"there is {near[0]} at {module.variables[near[0]].where}" if near else _declared(module)
            yield self.at(place.path, place.line, f"no variable {name} is declared in {module.folder}; {there}", name)


class VariableUsed(AnyRule[Sources, tuple[Block, Module, Root]]):
    name = "tf-variable-used"
    summary = "Each variable that is declared is used."
    why = "Who sets a value that nothing reads believes that something has changed."
    fix = "use the variable, or remove it and the values that are given for it"
    passing = _PASSING
    failing: ClassVar[Files] = {
        **_PASSING,
        "root/variables.tf": _VARIABLES + 'variable "keep_images" {\n  type = number\n}\n',
        "root/terraform.tfvars": 'name = "scoring"\nkeep_images = 50\n',
    }

    def subjects(self, world: Sources) -> Iterable[tuple[Block, Module, Root]]:
        for root in world.roots.values():
            for module in root.folders:
                yield from ((block, module, root) for block in module.of("variable"))

    def judge(self, subject: tuple[Block, Module, Root]) -> Iterator[Finding]:
        block, module, root = subject
        others = [value for each in module.blocks if each is not block for _, value in each.body.all_expressions()]
        if not any(each.names[:2] == ("var", block.name) for value in others for each in value.references):
            given = [each.where for each in _given(block.name, module, root)]
            there = f"it is given at {', '.join(map(str, given))}" if given else f"nor is it given by {root.folder}"
            message = f"nothing in {module.folder} uses variable {block.name}; {there}"
            yield self.at(*_at(block.where), message, f"var.{block.name}")


class VariableGiven(AnyRule[Sources, tuple[Block, str, dict[str, Value]]]):
    name = "tf-variable-given"
    summary = "Each variable of a root without a default has a value in its files of values."
    why = "An environment that lacks one stops the pipeline with a prompt that nobody answers."
    fix = 'give it a value there, or list it as external ("Variable/name") if the pipeline gives it'
    passing = _PASSING
    failing: ClassVar[Files] = {**_PASSING, "root/terraform.tfvars": "# name is not given\n"}

    def subjects(self, world: Sources) -> Iterable[tuple[Block, str, dict[str, Value]]]:
        for root in world.roots.values():
            for file, values in root.sets.items():
                for block in root.module.of("variable"):
                    required = "default" not in block.body.expressions
                    if required and f"Variable/{block.name}" not in world.external:
                        yield block, file, dict(values)

    def judge(self, subject: tuple[Block, str, dict[str, Value]]) -> Iterator[Finding]:
        block, file, values = subject
        if block.name not in values:
            message = f"variable {block.name} has no default, and {file}:1 gives it no value"
            yield self.at(*_at(block.where), message, f"{file}: var.{block.name}")


def _given(name: str, module: Module, root: Root) -> Iterator[Value]:
    if module is root.module:
        yield from (values[name] for values in root.given.values() if name in values)
    for each in root.modules:
        if each.folder == module.folder and each.call and name in each.call.body.expressions:
            yield Value(name, each.call.body.expressions[name], each.call.path)


def _declared(module: Module) -> str:
    first = next(iter(module.variables.values()), None)
    return f"those that are begin at {first.where}" if first else "none is"


def _at(place: Place) -> tuple[str, int]:
    return place.path, place.line
