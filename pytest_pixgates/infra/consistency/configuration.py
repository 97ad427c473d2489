"""A Terraform root with the modules that it calls, seen together: what is given, and where a value comes from.

Not an evaluator: a value is followed by name, through locals, arguments and outputs, to the resource that makes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from pytest_pixgates.core import sources
from pytest_pixgates.infra import hcl
from pytest_pixgates.infra.hcl import Body, Expression

_ID = re.compile(r"(vpc|subnet|sg)-[0-9a-f]{8,17}")
DEEPEST = 30
"""How far modules may call modules, and a value may be handed on."""


@dataclass(frozen=True, eq=False)
class Place:
    """A line of a source."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, eq=False)
class Block:
    """A block with the file that it stands in."""

    body: Body
    path: str

    @property
    def name(self) -> str:
        return self.body.labels[-1] if self.body.labels else ""

    @property
    def address(self) -> str:
        kind = () if self.body.kind == "resource" else (self.body.kind,)
        return ".".join((*kind, *self.body.labels))

    @property
    def where(self) -> Place:
        return Place(self.path, self.body.line)


@dataclass(frozen=True, eq=False)
class Value:
    """An expression with the file and block that it stands in; `name` is that of its attribute."""

    name: str
    expression: Expression
    path: str
    block: Body | None = None

    @property
    def where(self) -> Place:
        return Place(self.path, self.expression.line)

    @property
    def string(self) -> str:
        """It, if it is a plain string or number; else "" """
        text = self.expression.text
        plain = len(text) >= 2 and text[0] == text[-1] == '"' and "${" not in text
        return text[1:-1] if plain else text if text.isalnum() else ""


@dataclass(frozen=True, eq=False)
class Origin:
    """Where a value comes from at last: `kind` resource, data, given (to the root), literal or unknown."""

    kind: Literal["resource", "data", "given", "literal", "unknown"]
    type: str
    place: Place
    module: Module


@dataclass(frozen=True, eq=False)
class Module:
    """A folder as one call uses it; the root has neither `caller` nor `call`."""

    folder: str
    blocks: tuple[Block, ...]
    caller: Module | None = None
    call: Block | None = None
    called: dict[str, Module] = field(default_factory=dict)

    def of(self, kind: str) -> Iterator[Block]:
        return (block for block in self.blocks if block.body.kind == kind)

    @property
    def values(self) -> Iterator[Value]:
        """Every expression in it."""
        for block in self.blocks:
            yield from (Value(name, each, block.path) for name, each in block.body.all_expressions())

    @cached_property
    def variables(self) -> Mapping[str, Block]:
        return {block.name: block for block in self.of("variable")}

    @cached_property
    def locals(self) -> Mapping[str, Value]:
        return {
            name: Value(name, each, block.path)
            for block in self.of("locals")
            for name, each in block.body.expressions.items()
        }

    @property
    def below(self) -> Iterator[Module]:
        """It, and all that it calls."""
        yield self
        for module in self.called.values():
            yield from module.below

    def resources(self, *types: str) -> Iterator[Block]:
        return (block for block in self.of("resource") if block.body.labels[0] in types)


@dataclass(frozen=True, eq=False)
class Root:
    """A root module. `given` are the values of each file of values, by the file's name."""

    stack: hcl.Stack
    folder: str
    module: Module
    given: Mapping[str, Mapping[str, Value]]

    @property
    def modules(self) -> Iterator[Module]:
        return self.module.below

    @cached_property
    def folders(self) -> tuple[Module, ...]:
        """Each folder once, however often it is called."""
        return tuple({module.folder: module for module in self.modules}.values())

    @cached_property
    def sets(self) -> Mapping[str, Mapping[str, Value]]:
        """What is given together: the files that Terraform takes by itself, and those with each other file."""
        always = {label: each for label, each in self.given.items() if _automatic(label)}
        base = {name: value for each in always.values() for name, value in each.items()}
        others = {label: {**base, **each} for label, each in self.given.items() if label not in always}
        return others or ({next(iter(always)): base} if always else {})

    def value(self, name: str) -> Value | None:
        """What the variable `name` is: as given, else its default."""
        for each in self.sets.values():
            if name in each:
                return each[name]
        block = self.module.variables.get(name)
        default = block.body.expressions.get("default") if block else None
        return Value("default", default, block.path) if block and default else None

    def origins(self, value: Value, module: Module, depth: int = 0) -> Iterator[Origin]:
        """Where the value of an expression in `module` comes from."""
        if depth > DEEPEST:
            yield Origin("unknown", "", value.where, module)
            return
        if not value.expression.references or any(map(_is_id, value.expression.templates)):
            yield Origin("literal", value.expression.text, value.where, module)
        for reference in value.expression.references:
            yield from self._origins(reference, value, module, depth + 1)

    def _origins(self, reference: hcl.Reference, value: Value, module: Module, depth: int) -> Iterator[Origin]:
        match reference.names:
            case ("local", name, *_) if name in module.locals:
                yield from self.origins(module.locals[name], module, depth)
            case ("var", name, *_):
                yield from self._given(name, value, module, depth)
            case ("module", name, output, *_) if name in module.called:
                called = module.called[name]
                for block in called.of("output"):
                    if block.name == output and "value" in block.body.expressions:
                        found = Value("value", block.body.expressions["value"], block.path)
                        yield from self.origins(found, called, depth)
            case ("each", *_) if value.block and (many := value.block.expressions.get("for_each")):
                yield from self.origins(Value("for_each", many, value.path), module, depth)
            case ("data", kind, *_):
                yield Origin("data", kind, value.where, module)
            case (kind, name, *_) if any(each.name == name for each in module.resources(kind)):
                block = next(each for each in module.resources(kind) if each.name == name)
                yield Origin("resource", kind, block.where, module)

    def _given(self, name: str, value: Value, module: Module, depth: int) -> Iterator[Origin]:
        if module.caller and module.call:
            if (argument := module.call.body.expressions.get(name)) is not None:
                found = Value(name, argument, module.call.path, module.call.body)
                yield from self.origins(found, module.caller, depth)
                return
            block = module.variables.get(name)
            if block and "default" in block.body.expressions:
                yield from self.origins(Value(name, block.body.expressions["default"], block.path), module, depth)
            return
        known = self.value(name)
        yield Origin("given", name, known.where if known else value.where, module)


def load(folder: Path, root: Path) -> Root:
    """Read the root module at `folder`. Raises Unreadable."""
    stack = hcl.load(folder, root)
    if stack.problems:
        first = stack.problems[0]
        raise sources.Unreadable(first.message, first.path, first.line, remedy=first.fix)
    label, blocks = sources.name(folder, root), dict[str, list[Block]]()
    given: dict[str, dict[str, Value]] = {}
    for source in stack.sources:
        body = hcl.body(source.text, source.name)
        if source.path.suffix == ".tf":
            found = blocks.setdefault(sources.name(source.path.parent, root), [])
            found += [Block(each, source.name) for each in body.bodies]
        elif source.path.suffix == ".tfvars" and source.path.parent == folder:
            values = {name: Value(name, each, source.name) for name, each in body.expressions.items()}
            given[source.name] = values
    module = Module(label, tuple(blocks.get(label, ())))
    _call(module, {name: tuple(each) for name, each in blocks.items()}, folder, root)
    return Root(stack, label, module, given)


def _call(module: Module, blocks: Mapping[str, tuple[Block, ...]], folder: Path, root: Path, depth: int = 0) -> None:
    for block in module.of("module"):
        source = block.body.expressions.get("source")
        text = source.text.strip('"') if source else ""
        if not text.startswith(("./", "../")):
            continue  # from elsewhere: known by its source and version alone
        if depth > DEEPEST:
            raise sources.Unreadable("modules call each other without end", block.path, block.body.line)
        target = Path(folder, text)
        label = sources.name(target, root)
        called = Module(label, blocks.get(label, ()), module, block)
        module.called[block.name] = called
        _call(called, blocks, target, root, depth + 1)


def _is_id(template: tuple[str | tuple[str, ...], ...]) -> bool:
    """Whether a string names something that AWS has made already."""
    return bool(len(template) == 1 and isinstance(template[0], str) and _ID.fullmatch(template[0]))


def _automatic(label: str) -> bool:
    return label.endswith(("/terraform.tfvars", ".auto.tfvars")) or label == "terraform.tfvars"
