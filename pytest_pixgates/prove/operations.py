"""The changes that a defect can be made of: a small closed vocabulary, so that a catalogue is data and not programs.

Each operation says what it changed and makes sure of it: a text that is not there, an expression that matches no row or
a value that was so before is an error, for a defect that was never made proves nothing.
"""

from __future__ import annotations

import datetime
import glob
import json
import os
import re
import shutil
import sys
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from pytest_pixgates.core import decode, files, process
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.prove import tables

_COMMAND_SECONDS = 600.0
_HOLE = re.compile(r"@\{([a-z0-9_]+)(?:([:+-])([^{}]*))?\}")


class NotApplied(PixgatesError):  # noqa: N818 - a state, as NotMeasured
    """A change could not be made as it was said, so nothing can be proven by it."""


@dataclass(frozen=True)
class Where:
    """The copy at `root` that is changed, and what stands for the holes in a text (`@{name}`).

    `judged` are the files that the gate in question judges; `env` is what commands get.
    """

    root: Path
    names: Mapping[str, str] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    judged: tuple[str, ...] = ()
    env: Mapping[str, str] | None = None

    def filled(self, value: Any) -> Any:
        """`value` with every hole in its texts filled. Raises NotApplied."""
        if isinstance(value, str):
            return _HOLE.sub(self._hole, value)
        if isinstance(value, list | tuple):
            return [self.filled(each) for each in value]
        if isinstance(value, Mapping):
            return {self.filled(name): self.filled(each) for name, each in value.items()}
        return value

    def _hole(self, match: re.Match[str]) -> str:
        name, sign, rest = match[1], match[2] or "", match[3] or ""
        if name == "today":
            days = int(f"{sign}{rest}") if sign in ("+", "-") else 0
            return str(datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=days))
        if name == "sha256" and sign == ":":
            return files.sha256(self._one(rest))
        if name == "policy" and sign == ":":
            return self.stated(*rest.split("|", 1))
        if name in self.names and not sign:
            return self.names[name]
        raise NotApplied(f"nothing stands for {match[0]}")

    def stated(self, key: str, otherwise: str = "") -> str:
        """What the policy says by the dotted `key`, as a text. Raises NotApplied if it says nothing."""
        value: Any = self.policy
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value in (None, "") and not otherwise:
            raise NotApplied(f"the policy does not say {key}")
        return otherwise if value in (None, "") else str(value)

    def _one(self, name: str) -> Path:
        path = self.root / name
        if not path.is_file():
            raise NotApplied(f"{name} is no file here")
        return path

    def found(self, pattern: str) -> list[Path]:
        """The files that a glob names, sorted: `judged:*.tf` among those that the gate judges. Raises NotApplied."""
        if pattern.startswith("judged:"):
            wanted = pattern.partition(":")[2]
            names = [name for name in self.judged if PurePosixPath(name).match(wanted)]
        else:
            names = glob.glob(pattern, root_dir=self.root, recursive=True, include_hidden=True)  # noqa: PTH207 - hidden too
        paths = [self.root / name for name in sorted(names)]
        found = [path for path in paths if path.is_file() or path.is_symlink()]
        if not found:
            raise NotApplied(f"{pattern} names no file")
        return found


class Operation(ABC):
    """One change. `apply` makes it, and returns the paths (relative) that it says it changed."""

    word: ClassVar[str]

    @abstractmethod
    def apply(self, where: Where) -> set[str]:
        """Raises NotApplied if it can't be made as it is said."""


def _relative(path: Path, where: Where) -> str:
    return path.relative_to(where.root).as_posix()


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise NotApplied(f"{path.name} can't be read as text: {error}") from None


def _put(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(text)


def _inside(where: Where, name: str) -> Path:
    path = where.root / name
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or not name:
        raise NotApplied(f"{name!r} is no path inside the repository")
    return path


@dataclass(frozen=True)
class Replace(Operation):
    """`old` becomes `new` in `file`, which must hold it `times` (once); with `first`, in the first file that does."""

    file: str
    old: str
    new: str
    times: int = 1
    first: bool = False
    word: ClassVar[str] = "replace"

    def apply(self, where: Where) -> set[str]:
        return _rewritten(where, self.file, self._changed, self.first, repr(self.old.strip()[:60]))

    def _changed(self, text: str) -> tuple[str, int]:
        count = text.count(self.old)
        if count and count != self.times:
            raise NotApplied(f"{self.old.strip()[:60]!r} stands there {count} times, not {self.times}")
        return text.replace(self.old, self.new), count


@dataclass(frozen=True)
class Sub(Operation):
    """As `replace`, with a regular expression, multi-line; `times = 0` is as often as it matches."""

    file: str
    pattern: str
    new: str
    times: int = 1
    first: bool = False
    word: ClassVar[str] = "sub"

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern: {error}") from None

    def apply(self, where: Where) -> set[str]:
        return _rewritten(where, self.file, self._changed, self.first, f"/{self.pattern}/")

    def _changed(self, text: str) -> tuple[str, int]:
        return re.subn(self.pattern, self.new, text, count=self.times, flags=re.MULTILINE)


def _rewritten(
    where: Where,
    pattern: str,
    change: Callable[[str], tuple[str, int]],
    first: bool,  # noqa: FBT001
    what: str,
) -> set[str]:
    """Every file that `pattern` names, changed; only the first that can be with `first`."""
    changed = set()
    for path in where.found(pattern):
        text = _text(path)
        new, count = change(text)
        if not count and first:
            continue
        if not count:
            raise NotApplied(f"{_relative(path, where)} does not hold {what}")
        if new == text:
            raise NotApplied(f"{_relative(path, where)}: putting {what} anew changes nothing")
        _put(path, new)
        changed.add(_relative(path, where))
        if first:
            break
    if not changed:
        raise NotApplied(f"no file of {pattern} holds {what}")
    return changed


@dataclass(frozen=True)
class Write(Operation):
    """`text` becomes the whole of `file`, which may be new."""

    file: str
    text: str
    word: ClassVar[str] = "write"

    def apply(self, where: Where) -> set[str]:
        path = _inside(where, self.file)
        if path.is_file() and path.read_bytes() == self.text.encode():
            raise NotApplied(f"{self.file} holds just that already")
        path.parent.mkdir(parents=True, exist_ok=True)
        _put(path, self.text)
        return {self.file}


@dataclass(frozen=True)
class Append(Operation):
    """`text` is put at the end of `file`."""

    file: str
    text: str
    first: bool = False
    word: ClassVar[str] = "append"

    def apply(self, where: Where) -> set[str]:
        return _rewritten(where, self.file, lambda text: (text + self.text, 1), self.first, "it")


@dataclass(frozen=True)
class Delete(Operation):
    """The files that `file` names are removed."""

    file: str
    word: ClassVar[str] = "delete"

    def apply(self, where: Where) -> set[str]:
        found = where.found(self.file)
        for path in found:
            path.unlink()
        return {_relative(path, where) for path in found}


@dataclass(frozen=True)
class Cut(Operation):
    """Of `file` only the first `share` of its bytes is left; with `first`, of the first one that it names."""

    file: str
    share: float = 0.5
    first: bool = False
    word: ClassVar[str] = "cut"

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ValueError(f"share is {self.share}; it must be at least 0 and below 1")

    def apply(self, where: Where) -> set[str]:
        found = where.found(self.file)[: 1 if self.first else None]
        for path in found:
            size = path.stat().st_size
            if not size:
                raise NotApplied(f"{_relative(path, where)} is empty already")
            os.truncate(path, int(size * self.share))
        return {_relative(path, where) for path in found}


@dataclass(frozen=True)
class Copy(Operation):
    """What is at `file` is put at `to`, too."""

    file: str
    to: str
    word: ClassVar[str] = "copy"

    def apply(self, where: Where) -> set[str]:
        source, target = _one_of(where, self.file), _inside(where, self.to)
        if target.is_file() and target.read_bytes() == source.read_bytes():
            raise NotApplied(f"{self.to} holds just that already")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        return {self.to}


@dataclass(frozen=True)
class Move(Operation):
    """`file` is called `to`."""

    file: str
    to: str
    word: ClassVar[str] = "move"

    def apply(self, where: Where) -> set[str]:
        source, target = _one_of(where, self.file), _inside(where, self.to)
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        return {_relative(source, where), self.to}


def _one_of(where: Where, pattern: str) -> Path:
    return where.found(pattern)[0]


@dataclass(frozen=True)
class Edit(Operation):
    """The value `at` a path ("limits.recall", "runs[0].id") of JSON, YAML or TOML becomes `value`, or is removed.

    A hole in `value` is a text. Of TOML only what stands on a line of its own.
    """

    file: str
    at: str
    value: Any = None
    remove: bool = False
    document: int = 0
    word: ClassVar[str] = "edit"

    def apply(self, where: Where) -> set[str]:
        path = _one_of(where, self.file)
        before = self._parsed(path)
        after = json.loads(json.dumps(before, default=str))
        self._set(after)
        if after == json.loads(json.dumps(before, default=str)):
            raise NotApplied(f"{self.file}: {self.at} was so before")
        self._write(path, after)
        if json.loads(json.dumps(self._parsed(path), default=str)) != after:
            raise NotApplied(f"{self.file}: setting {self.at} would change something else")
        return {_relative(path, where)}

    def _parsed(self, path: Path) -> Any:
        text = _text(path)
        try:
            if path.suffix == ".toml":
                return tomllib.loads(text)
            if path.suffix in (".yaml", ".yml"):
                return list(_yaml().safe_load_all(text))
            return decode.strict_json(text)
        except Exception as error:
            raise NotApplied(f"{self.file} can't be parsed: {type(error).__name__}: {error}") from None

    def _set(self, data: Any) -> None:
        *parents, last = keys(self.at)
        if isinstance(data, list) and Path(self.file).suffix in (".yaml", ".yml"):
            parents.insert(0, self.document)
        try:
            for key in parents:
                data = data[key]
            if self.remove:
                del data[last]
            elif isinstance(data, list) and last == len(data):
                data.append(self.value)
            else:
                data[last] = self.value
        except (KeyError, IndexError, TypeError):
            raise NotApplied(f"{self.file} has no {self.at}") from None

    def _write(self, path: Path, after: Any) -> None:
        if path.suffix == ".toml":
            _put(path, _toml_with(_text(path), self))
        elif path.suffix in (".yaml", ".yml"):
            _put(path, _yaml().safe_dump_all(after, sort_keys=False, allow_unicode=True, width=1000))
        else:
            _put(path, json.dumps(after, indent=1, ensure_ascii=False) + "\n")


def keys(at: str) -> list[str | int]:
    """The steps of a path; `a."b.c"[0]` for what has a dot in its name."""
    found: list[str | int] = []
    for match in re.finditer(r'\[(\d+)\]|"([^"]*)"|([^.\[\]"]+)', at):
        found.append(int(match[1]) if match[1] else match[2] if match[2] is not None else match[3])
    if not found:
        raise NotApplied(f"{at!r} is no path")
    return found


def _toml_with(text: str, edit: Edit) -> str:
    """TOML `text`, the one line that defines the key of `edit` replaced; if none does, one more under its table."""
    from pytest_pixgates.core.policy import line_of

    lines = text.splitlines(keepends=True)
    number = line_of(text, edit.at)
    table, _, key = edit.at.rpartition(".")
    line = lines[number - 1] if lines else ""
    defines = re.match(rf'\s*"?{re.escape(key)}"?\s*=', line) is not None
    new = "" if edit.remove else f"{key} = {_toml_value(edit.value)}\n"
    if defines:
        lines[number - 1] = new
    elif not edit.remove and line.strip().strip("[]").replace('"', "") == table.replace('"', ""):
        lines.insert(number, new)
    else:
        raise NotApplied(f"{edit.file}: {edit.at} does not stand on a line of its own")
    return "".join(lines)


def _toml_value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_toml_value(each)}" for name, each in value.items()) + " }"
    if isinstance(value, bool | int | float | str):
        return json.dumps(value)
    raise NotApplied(f"{value!r} can't be written as TOML")


def _yaml() -> Any:
    try:
        import yaml
    except ImportError:
        raise NotApplied("YAML can't be edited without PyYAML", remedy="pip install pyyaml") from None
    return yaml


@dataclass(frozen=True)
class Table(Operation):
    """Rows of Parquet files, by expressions of SQL: in those that meet `where`, columns become what `put` says.

    `keep` leaves only the rows that meet it, `repeat` adds those that meet it once more, `drop` and `rename` are of
    columns, `cast` gives one another type. `rows` is how many rows must be concerned, if that is known; `sort` orders
    them, and `compression` only writes them anew.
    """

    file: str
    where: str = ""
    put: Mapping[str, str] = field(default_factory=dict)
    keep: str = ""
    repeat: str = ""
    drop: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    cast: Mapping[str, str] = field(default_factory=dict)
    sort: tuple[str, ...] = ()
    compression: str = ""
    rows: int | None = None
    first: bool = False
    word: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        given = (self.put, self.keep, self.repeat, self.drop, self.rename, self.cast, self.sort, self.compression)
        if sum(map(bool, given)) != 1:
            raise ValueError("give one of put, keep, repeat, drop, rename, cast, sort, compression")

    def apply(self, where: Where) -> set[str]:
        concerned, changed = 0, set()
        for path in where.found(self.file):
            count = self._change(path)
            if not count:
                continue
            concerned += count
            changed.add(_relative(path, where))
            if self.first:
                break
        if not concerned:
            raise NotApplied(f"{self.file}: no row is concerned")
        if self.rows is not None and concerned != self.rows:
            raise NotApplied(f"{self.file}: {concerned} rows are concerned, not {self.rows}")
        return changed

    def _change(self, path: Path) -> int:
        try:
            return tables.changed(path, self)
        except tables.Unchanged as error:
            raise NotApplied(f"{path.name}: {error}") from None
        except ImportError:
            raise NotApplied("tables can't be changed without polars", remedy="pip install polars") from None


@dataclass(frozen=True)
class Run(Operation):
    """A command, which must end with 0 (or `exit_code`) and change files that `changes` names, and no others.

    `output` is the file that gets what it prints, at its end. `@{python}` is this Python, `@{pixgates}` the command.
    """

    command: tuple[str, ...]
    changes: tuple[str, ...] = ()
    output: str = ""
    exit_code: int = 0
    word: ClassVar[str] = "run"

    def apply(self, where: Where) -> set[str]:
        done = process.run(commanded(self.command), cwd=where.root, timeout=_COMMAND_SECONDS, env=where.env)
        if done.returncode != self.exit_code:
            raise NotApplied(f"{' '.join(self.command[:6])} ended with {done.returncode}: {done.tail(5)}")
        if self.output:
            path = _inside(where, self.output)
            _put(path, (_text(path) if path.exists() else "") + done.stdout)
        return {f"glob:{pattern}" for pattern in (*self.changes, *filter(None, [self.output]))}


def commanded(command: Iterable[str]) -> list[str]:
    """A command as it is run: with this Python, and with this package's own command."""
    found: list[str] = []
    for part in command:
        found += {"@{python}": [sys.executable], "@{pixgates}": [sys.executable, "-m", "pytest_pixgates"]}.get(
            part, [part]
        )
    return found


OPERATIONS: Mapping[str, type[Operation]] = {
    kind.word: kind for kind in (Replace, Sub, Write, Append, Delete, Cut, Copy, Move, Edit, Table, Run)
}


def check(changes: Iterable[Mapping[str, Any]]) -> None:
    """Raise ValueError for a change that is none, with what is wrong."""
    for change in changes:
        _decoded(change)


def _decoded(change: Mapping[str, Any]) -> Operation:
    word = str(change.get("do"))
    if word not in OPERATIONS:
        raise ValueError(f"do = {word!r}: {decode.hint(word, OPERATIONS)}")
    return decode.decode(OPERATIONS[word], {key: value for key, value in change.items() if key != "do"}, word)


def apply(changes: Iterable[Mapping[str, Any]], where: Where) -> set[str]:
    """Make all `changes` in order; the paths that they say they changed, globs as "glob:…". Raises NotApplied."""
    said = set[str]()
    for change in changes:
        # What stands for @{python} is for `commanded`, which may put more words there.
        kept = {"python": "@{python}", "pixgates": "@{pixgates}"}
        filled = Where(where.root, {**where.names, **kept}, where.policy, where.judged, where.env).filled(dict(change))
        said |= _decoded(filled).apply(where)
    return said


def named(changes: Iterable[Mapping[str, Any]]) -> list[str]:
    """The paths and globs that `changes` name, as they are written."""
    found = []
    for change in changes:
        found += [str(change[key]) for key in ("file", "to", "output") if change.get(key)]
        found += [str(each) for each in change.get("changes", ())]
    return [name.removeprefix("judged:") for name in found]
