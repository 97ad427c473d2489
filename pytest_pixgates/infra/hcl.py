"""Terraform's language: what a stack declares, and which local modules it reaches.

Not an evaluator: it says whether every file parses, how much there is, and where the sources are.
"""

from __future__ import annotations

import functools
import os.path
import re
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_pixgates.core import sources
from pytest_pixgates.core.errors import EXTRA, NotMeasured
from pytest_pixgates.core.scan import Problem
from pytest_pixgates.core.sources import Unreadable

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

SOURCES = ("*.tf", "*.tfvars", "*.tftest.hcl", "tests/*.tftest.hcl")
# What Terraform would read and this doesn't, and what it would not read though it looks like Terraform.
REFUSED = {
    "Terraform in JSON is not read here": ("*.tf.json", "*.tftest.json", "tests/*.tftest.json"),
    "Terraform does not read this": ("*.tofu", "*.tofu.json", "*.tofutest.hcl", "tests/*.tofutest.hcl"),
}


# A function's path that leads out of the folder: "${path.module}/../x", or "../x" from where Terraform runs.
_READS = re.compile(
    r"\b(?:file\w*|templatefile)\(\s*\"(?:\$\{path\.(?:module|root|cwd)\}/)?(?P<path>[^\"\n]*\.\./[^\"\n]*)\""
)


_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the top level; `attributes` are its own, as written."""

    kind: str
    labels: tuple[str, ...]
    line: int
    attributes: Mapping[str, str] = field(default_factory=dict)

    def string(self, attribute: str) -> str:
        """The attribute, if it is a plain string; else "" (also if it is absent)."""
        raw = self.attributes.get(attribute, "")
        return raw[1:-1] if len(raw) >= 2 and raw[0] == raw[-1] == '"' else ""


@dataclass(frozen=True, slots=True)
class Reference:
    """A name in an expression, such as ("var", "region") or ("module", "network", "vpc_id")."""

    names: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Expression:
    """The right side of an attribute. `templates` are its strings: what is written, and () for each interpolation of
    something else than a plain name.
    """

    text: str
    line: int
    references: tuple[Reference, ...] = ()
    templates: tuple[tuple[str | tuple[str, ...], ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Body:
    """A block with all that is in it; a whole file is one of no kind."""

    kind: str
    labels: tuple[str, ...]
    line: int
    expressions: Mapping[str, Expression] = field(default_factory=dict)
    bodies: tuple[Body, ...] = ()

    def all_expressions(self) -> Iterator[tuple[str, Expression]]:
        """Those of the blocks inside it too, each with the name of its attribute."""
        yield from self.expressions.items()
        for body in self.bodies:
            yield from body.all_expressions()


@dataclass(frozen=True, slots=True)
class Source:
    """One file of a stack, parsed."""

    path: Path
    name: str
    text: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class External:
    """A call of a module that does not lie in the repository."""

    source: str
    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Stack:
    """A folder of Terraform with all local modules that it reaches; `folders` starts with the stack itself.

    `inputs` are files elsewhere that its expressions read (`file("${path.module}/../topics.json")`).
    """

    folders: tuple[Path, ...]
    inputs: tuple[Path, ...]
    sources: tuple[Source, ...]
    external: tuple[External, ...]
    problems: tuple[Problem, ...]

    @property
    def judged(self) -> tuple[Path, ...]:
        """All that a tool could read of it."""
        return (*self.folders, *self.inputs)

    @property
    def own(self) -> tuple[Source, ...]:
        """The `.tf` files of the stack itself."""
        return tuple(each for each in self.sources if each.path.parent == self.folders[0] and each.path.suffix == ".tf")

    @property
    def tests(self) -> tuple[Source, ...]:
        """The test files of the stack itself."""
        places = (self.folders[0], self.folders[0] / "tests")
        return tuple(each for each in self.sources if each.name.endswith(".tftest.hcl") and each.path.parent in places)

    @property
    def needs_providers(self) -> bool:
        """Whether Terraform has to install a provider for it; `terraform_data` is of the one that is built in."""
        judged = ("resource", "data", "ephemeral", "provider")
        blocks = [block for each in self.sources if each.path.suffix == ".tf" for block in each.blocks]
        return any(block.kind in judged and not block.labels[0].startswith("terraform") for block in blocks)

    @property
    def scanned(self) -> dict[str, int]:
        return {"files": len(self.own), "blocks": sum(len(each.blocks) for each in self.own)}


def load(folder: Path, root: Path) -> Stack:
    """Read the stack at `folder`. What is wrong with it is in `problems`; nothing is raised for a source."""
    folders, found, external, problems = [folder], list[Source](), list[External](), list[Problem]()
    inputs = list[Path]()
    for place in folders:  # grows while modules are found
        read = _Folder(place, root)
        found += read.sources
        external += read.external
        problems += read.problems
        inputs += [path for path in read.inputs if path not in inputs]
        folders += [module for module in read.modules if module not in folders]
    if not any(each.blocks for each in found if each.path.parent == folder and each.path.suffix == ".tf"):
        problems.append(_empty(folder, root))
    problems += _lost_tests(folder, root) if folder.is_dir() else ()
    return Stack(tuple(folders), tuple(inputs), tuple(found), tuple(external), tuple(problems))


@functools.lru_cache(maxsize=4096)  # several tools judge one file, and several stacks share a module
def parse(text: str, label: str) -> tuple[Block, ...]:
    """The blocks of the top level. Raises Unreadable with the line of the first syntax error."""
    root = _tree(text)
    if root.has_error:
        raise Unreadable("is not valid HCL", label, _first_error(root), remedy="mend its syntax")
    return tuple(map(_block, _blocks(root)))


@functools.lru_cache(maxsize=4096)
def body(text: str, label: str) -> Body:
    """The whole file, to the last expression. Raises Unreadable."""
    parse(text, label)
    try:
        return _body(_tree(text))
    except RecursionError:
        raise Unreadable("nests too deep", label, remedy="flatten it") from None


def without(text: str, kind: str, inner: Collection[str]) -> str:
    """Valid `text` with the blocks `inner` of each top-level block `kind` blanked out; every line stays where it is."""
    data = bytearray(text.encode())
    for outer in _blocks(_tree(text)):
        if _block(outer).kind == kind:
            for node in _blocks(outer):
                if _block(node).kind in inner:
                    span = slice(node.start_byte, node.end_byte)
                    data[span] = bytes(byte if byte == ord("\n") else ord(" ") for byte in data[span])
    return data.decode()


def _tree(text: str) -> Node:
    with _LOCK:  # a parser holds state, and tools are read in parallel
        return _parser().parse(text.encode()).root_node


def _blocks(node: Node) -> list[Node]:
    bodies = [child for child in node.children if child.type == "body"]
    return [child for body in bodies for child in body.children if child.type == "block"]


class _Folder:
    """One folder of Terraform, read."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.sources, self.problems = list[Source](), list[Problem]()
        self.modules, self.external, self.inputs = list[Path](), list[External](), list[Path]()
        if not folder.is_dir() or not sources.inside(folder, root):
            self.problems.append(Problem("is no folder inside the repository", sources.name(folder, root)))
            return
        for why, patterns in REFUSED.items():
            for path in _files(folder, patterns):
                self.problems.append(Problem(why, sources.name(path, root), fix="write it in HCL, in a .tf file"))
        for path in _files(folder, SOURCES):
            self._read(path, root)

    def _read(self, path: Path, root: Path) -> None:
        try:
            text, label = sources.read(path, root), sources.name(path, root)
            source = Source(path, label, text, parse(text, label))
        except Unreadable as error:
            self.problems.append(error.problem)
            return
        self.sources.append(source)
        self._note_inputs(source, root)
        for block in source.blocks if path.suffix == ".tf" else ():
            if block.kind == "module":
                self._follow(block, source, root)

    def _note_inputs(self, source: Source, root: Path) -> None:
        """Find what the file reads outside of its folder, which is judged with it."""
        for match in _READS.finditer(source.text):
            line, written = source.text.count("\n", 0, match.start()) + 1, match["path"]
            path = Path(os.path.normpath(source.path.parent / written))
            if "${" in written or not sources.inside(path, root) or not path.exists():
                fix = "name a file of this repository, by a path without expressions after ${path.module}"
                self.problems.append(Problem(f"reads {written!r}, which can't be followed", source.name, line, fix))
            else:
                self.inputs.append(path)

    def _follow(self, block: Block, source: Source, root: Path) -> None:
        target = block.string("source")
        if not target.startswith(("./", "../")):
            self.external.append(External(target or "(not a plain string)", source.name, block.line))
            return
        folder = Path(os.path.normpath(source.path.parent / target))
        if folder.is_dir() and sources.inside(folder, root):
            self.modules.append(folder)
        else:
            message = f"module source {target!r} is no folder inside the repository"
            self.problems.append(Problem(message, source.name, block.line, "correct the path"))


def _files(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """What matches, sorted, without what Terraform ignores: hidden files and editors' backups."""
    found = (path for pattern in patterns for path in folder.glob(pattern))
    return sorted(path for path in found if not path.name.startswith((".", "#")))


def _lost_tests(folder: Path, root: Path) -> Iterator[Problem]:
    """Test files that no `terraform test` of any stack runs."""
    for path in _files(folder, ["**/*.tftest.hcl"]):
        stack = path.parent.parent if path.parent.name == "tests" else path.parent
        if ".terraform" not in path.parts and not any(stack.glob("*.tf")):
            fix = "move it beside the stack's files, or into its folder tests/"
            yield Problem("lies where `terraform test` does not look", sources.name(path, root), fix=fix)


def _empty(folder: Path, root: Path) -> Problem:
    below = any(folder.glob("*/**/*.tf")) if folder.is_dir() else False
    fix = "name the stacks themselves, e.g. with a glob" if below else "check the path in the policy"
    return Problem("declares nothing: no block in any .tf file of its own", sources.name(folder, root), fix=fix)


@functools.cache
def _parser() -> Parser:
    try:
        import tree_sitter
        import tree_sitter_hcl
    except ImportError as error:
        raise NotMeasured(f"HCL can't be read: {error}", remedy=EXTRA.format("infra")) from None
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_hcl.language()))


def _first_error(node: Node) -> int:
    # Descends only where an error is, and keeps its own stack: nesting may be deeper than Python's.
    lines, stack = list[int](), [node]
    while stack:
        node = stack.pop()
        if node.type == "ERROR" or node.is_missing:
            lines.append(node.start_point[0] + 1)
        else:
            stack += [child for child in node.children if child.has_error]
    return min(lines, default=1)


def _block(node: Node) -> Block:
    words = [child for child in node.children if child.type in ("identifier", "string_lit")]
    body = next((child for child in node.children if child.type == "body"), None)
    return Block(
        kind=_text(words[0]) if words else "",
        labels=tuple(_text(word).strip('"') for word in words[1:]),
        line=node.start_point[0] + 1,
        attributes=dict(_attributes(body)) if body else {},
    )


def _body(node: Node) -> Body:
    head, inside = _block(node), [child for part in node.children if part.type == "body" for child in part.children]
    named = (child.named_children for child in inside if child.type == "attribute")
    expressions = {_text(each[0]): _expression(each[-1], each[0].start_point[0] + 1) for each in named}
    bodies = tuple(_body(child) for child in inside if child.type == "block")
    return Body(head.kind, head.labels, head.line, expressions, bodies)


def _expression(node: Node, line: int) -> Expression:
    references, templates, stack = list[Reference](), list[tuple[str | tuple[str, ...], ...]](), [node]
    while stack:
        each = stack.pop()
        if each.type == "variable_expr":
            references.append(Reference(_names(each), each.start_point[0] + 1))
        elif each.type in ("quoted_template", "string_lit", "heredoc_template"):
            templates.append(tuple(_template(each)))
        stack += reversed(each.named_children)
    return Expression(_text(node), line, tuple(references), tuple(templates))


def _names(node: Node | None) -> tuple[str, ...]:
    """The dotted name that begins at `node`."""
    names = list[str]()
    while node is not None and (node.type == "get_attr" or (node.type == "variable_expr" and not names)):
        names.append(_text(node).lstrip("."))
        node = node.next_named_sibling
    return tuple(names)


def _template(node: Node) -> Iterator[str | tuple[str, ...]]:
    for part in node.named_children:
        if part.type == "template_literal":
            yield _text(part)
        elif part.type == "template_interpolation":
            inner = [child for child in part.named_children if child.type == "expression"]
            names = inner[0].named_children if inner else []
            plain = bool(names) and names[0].type == "variable_expr" and len(_names(names[0])) == len(names)
            yield _names(names[0]) if plain else ()


def _attributes(body: Node) -> Iterator[tuple[str, str]]:
    for node in body.children:
        if node.type == "attribute":
            named = node.named_children
            yield _text(named[0]), _text(named[-1])


def _text(node: Any) -> str:
    return bytes(node.text or b"").decode()
