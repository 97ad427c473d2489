"""Opens whatever data somebody hands over as one lazy table, or says what is wrong with it before anything is counted.

Readers forgive much: a file cut short, a column that stands twice, a folder without data. Each of these is a problem
here. What a library says about data is never passed on, because it quotes values.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from pytest_pixgates.core import sources
from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.core.scan import Problem
from pytest_pixgates.core.spark import is_spark
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.data_contract.engine import Rows
from pytest_pixgates.data_contract.rules import Expectation, Table

if TYPE_CHECKING:
    from pytest_pixgates.data_contract.databases import Stored

FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
TEXT = "\0text of "
LONGEST_LINE = 64 * 2**20


class Unusable(NotMeasured):
    """Data that can't be judged; `problems` says where and why."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("; ".join(map(str, problems[:3])), remedy=problems[0].fix)


@dataclass(frozen=True)
class Opened:
    """A table and what it came from. `subject()` hashes that, which takes as long as reading it.

    Of partitions by day, `gaps` are the days without one, and `undated` what lies beside them and is of no day.
    """

    rows: Rows | Stored
    subject: Callable[[], tuple[Subject, ...]]
    files: tuple[Path, ...] = ()
    gaps: tuple[str, ...] = ()
    undated: tuple[str, ...] = ()


def open_path(pattern: str, table: Table, root: Path) -> Opened:
    """The file, the files below a folder, or those that a glob matches, of one format. Raises Unusable."""
    files = _files(pattern, root)
    kinds = {FORMATS[path.suffix] for path in files}
    if len(kinds) > 1:
        raise Unusable(Problem(f"holds files of several formats: {', '.join(sorted(kinds))}", pattern))
    kind = kinds.pop()
    read = {"parquet": _parquet, "csv": _csv, "ndjson": _ndjson, "arrow": _arrow}[kind]
    partitions = _partitions(files, root / _fixed(pattern))
    frame, untyped = read(files, table, root)
    _refuse_empty(files, kind, root)
    names = frame.collect_schema().names()
    keys = [key for key in partitions if table.column(key) and key not in names and len(partitions[key]) == len(files)]
    if keys:
        frame = _with_partitions(read, files, table, root, {key: partitions[key] for key in keys})
    rows = _rows(frame, table, untyped)
    gaps, undated = _calendar(files, partitions, root)
    return Opened(rows, lambda: _digests(pattern, files, root), tuple(files), gaps, undated)


def open_frame(data: Any, table: Table, label: str) -> Opened:
    """A frame of polars, pandas, PyArrow or Spark. Raises Unusable, also for anything else."""
    library = type(data).__module__.partition(".")[0]
    if is_spark(data):
        return Opened(Rows(nw.from_native(data), spark=True), lambda: ())
    frame = _polars(data, library, label)
    objects = [name for name, dtype in frame.collect_schema().items() if dtype == pl.Object]
    if objects:
        raise Unusable(Problem(f"{', '.join(objects)}: holds values of several types", label))
    return Opened(_rows(frame, table, {}), lambda: (_frame_digest(frame, label),))


def _polars(data: Any, library: str, label: str) -> pl.LazyFrame:
    if isinstance(data, pl.LazyFrame):
        return data
    if isinstance(data, pl.DataFrame):
        return data.lazy()
    try:
        if library == "pandas":
            return _from_pandas(data, label)
        if library == "pyarrow":
            names = list(data.schema.names)
            _refuse_twice(names, label)
            if hasattr(data, "scanner"):  # a data set
                return pl.scan_pyarrow_dataset(data)
            return pl.DataFrame(pl.from_arrow(data)).lazy()
    except Unusable:
        raise
    except Exception as error:
        raise _withheld(error, label) from None
    kinds = "a path, or a frame of polars, pandas, PyArrow or Spark"
    raise Unusable(Problem(f"{type(data).__qualname__} is no table; give {kinds}", label))


def _from_pandas(data: Any, label: str) -> pl.LazyFrame:
    _refuse_twice([str(name) for name in data.columns], label)
    try:
        return pl.from_pandas(data).lazy()
    except Exception:
        broken = [str(name) for name in data.columns if not _converts(data[[name]])]
        raise Unusable(Problem(f"{', '.join(broken) or 'a column'}: holds values of several types", label)) from None


def _converts(data: Any) -> bool:
    try:
        pl.from_pandas(data)
    except Exception:
        return False
    return True


# Files


def _files(pattern: str, root: Path) -> list[Path]:
    """Raises Unusable for a pattern that names no data, or data outside of `root`."""
    path = root / pattern
    found = [path] if path.exists() or path.is_symlink() else sorted(root.glob(pattern))
    if not found:
        raise Unusable(Problem("matches nothing", pattern, fix="check `path` in [data_contract] of the policy"))
    files = [file for each in found for file in (sorted(_below(each)) if each.is_dir() else [each])]
    if not files:
        raise Unusable(Problem("holds no data files", pattern))
    problems = [problem for file in files for problem in _unfit(file, root)]
    if problems:
        raise Unusable(*problems)
    return files


def _below(folder: Path) -> Iterator[Path]:
    """Data files, without what Spark and others leave beside them (names that begin with _ or a dot)."""
    for path in folder.rglob("*"):
        if not path.is_dir() and not any(part[0] in "._" for part in path.relative_to(folder).parts):
            yield path


def _unfit(file: Path, root: Path) -> Iterator[Problem]:
    label = sources.name(file, root)
    try:
        if not sources.inside(file, root):
            yield Problem("leads out of the repository", label, fix="copy the data into it")
        elif not file.is_file():
            yield Problem("is no file", label)
        elif file.suffix not in FORMATS:
            yield Problem(f"is of an unknown format; known are {', '.join(FORMATS)}", label)
        elif file.stat().st_size == 0:
            yield Problem("is empty", label)
    except (OSError, RuntimeError) as error:
        yield Problem(f"can't be read: {getattr(error, 'strerror', None) or 'a loop of links'}", label)


def _digests(pattern: str, files: Sequence[Path], root: Path) -> tuple[Subject, ...]:
    if (root / pattern).exists():
        return (Subject.of(root / pattern, root),)
    return tuple(Subject.of(file, root) for file in files)


def _parquet(files: Sequence[Path], table: Table, root: Path) -> tuple[pl.LazyFrame, dict[str, str]]:
    del table
    schemas = _each(files, root, pl.read_parquet_schema)
    _refuse_differing(schemas, root)
    return pl.scan_parquet(list(files), hive_partitioning=False), {}


def _arrow(files: Sequence[Path], table: Table, root: Path) -> tuple[pl.LazyFrame, dict[str, str]]:
    del table
    _refuse_differing(_each(files, root, pl.read_ipc_schema), root)
    return pl.scan_ipc(list(files), hive_partitioning=False), {}


def _csv(files: Sequence[Path], table: Table, root: Path) -> tuple[pl.LazyFrame, dict[str, str]]:
    headers = _each(files, root, _header)
    for file, names in headers.items():
        _refuse_twice(names, sources.name(file, root))
    _refuse_differing({file: dict.fromkeys(names, "text") for file, names in headers.items()}, root)
    names = next(iter(headers.values()))
    frame = pl.scan_csv(list(files), schema=dict.fromkeys(names, pl.String), encoding="utf8")
    return _typed(frame, table, names)


def _ndjson(files: Sequence[Path], table: Table, root: Path) -> tuple[pl.LazyFrame, dict[str, str]]:
    for file, names in _each(files, root, _first_keys).items():
        _refuse_twice(names, sources.name(file, root))
    schemas = _each(files, root, lambda file: pl.scan_ndjson(file, infer_schema_length=None).collect_schema())
    _refuse_differing(schemas, root)
    schema = next(iter(schemas.values()))
    moments = [name for name, dtype in schema.items() if dtype == pl.String and _is_moment(table, name)]
    return _typed(pl.scan_ndjson(list(files), schema=dict(schema)), table, moments)


def _each(files: Sequence[Path], root: Path, read: Callable[[Path], Any]) -> dict[Path, Any]:
    found: dict[Path, Any] = {}
    problems: list[Problem] = []
    for file in files:
        try:
            found[file] = read(file)
        except Unusable as error:
            problems += error.problems
        except UnicodeDecodeError:
            problems.append(Problem("is not UTF-8", sources.name(file, root)))
        except Exception as error:
            problems.append(_withheld(error, sources.name(file, root)).problems[0])
    if problems:
        raise Unusable(*problems)
    return found


def _withheld(error: Exception, label: str) -> Unusable:
    what = "can't be read whole: it is cut short, or no such file"
    return Unusable(Problem(f"{what} ({type(error).__name__}; its words are withheld, for they may hold data)", label))


def _header(file: Path) -> list[str]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return next(csv.reader([lines.readline(LONGEST_LINE)]), [])


def _first_keys(file: Path) -> list[str]:
    import json

    with file.open(encoding="utf-8") as lines:
        line = lines.readline(LONGEST_LINE)
    names: list[str] = []
    json.loads(line, object_pairs_hook=lambda pairs: names.__setitem__(slice(None), [name for name, _ in pairs]))
    return names


def _refuse_twice(names: Sequence[str], label: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Unusable(Problem(f"the column {', '.join(twice)} stands twice, so which one counts can't be told", label))


def _refuse_differing(schemas: Mapping[Path, Mapping[str, Any]], root: Path) -> None:
    """All files must hold the same columns of the same types, or a reader takes those of the first for all."""
    (first, expected), *others = schemas.items()
    problems = []
    for file, schema in others:
        differing = sorted(name for name in {*expected, *schema} if expected.get(name) != schema.get(name))
        if differing:
            what = f"{', '.join(differing)}: not as in {sources.name(first, root)}"
            problems.append(Problem(what, sources.name(file, root), fix="write all parts with one schema"))
    if problems:
        raise Unusable(*problems)


def _refuse_empty(files: Sequence[Path], kind: str, root: Path) -> None:
    """NDJSON has a row wherever it has a first line, which was read for its keys."""
    counts: dict[str, Callable[[Path], int]] = {
        "parquet": lambda file: int(pl.scan_parquet(file, hive_partitioning=False).select(pl.len()).collect().item()),
        "arrow": lambda file: int(pl.scan_ipc(file, hive_partitioning=False).select(pl.len()).collect().item()),
        "csv": lambda file: _csv_rows(file, root),
    }
    found = _each(files, root, counts[kind]) if kind in counts else {}
    if empty := [Problem("has no rows", sources.name(file, root)) for file, rows in found.items() if not rows]:
        raise Unusable(*empty)


def _csv_rows(file: Path, root: Path) -> int:
    """How many rows follow the header. Raises Unusable where one has too few fields, which polars fills with nulls."""
    # Not by PyArrow's streaming reader: its threads abort the interpreter as it ends.
    rows, usual = 0, csv.field_size_limit(LONGEST_LINE)
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines)
            columns = len(next(reader, []))
            for row in reader:
                rows += 1
                if len(row) != columns and (row or columns > 1):  # an empty line is a null of a single column
                    what = f"line {reader.line_num} has {len(row)} of {columns} fields"
                    raise Unusable(Problem(what, sources.name(file, root), fix="write every field of every row"))
    finally:
        csv.field_size_limit(usual)
    return rows


# Partitions


def _fixed(pattern: str) -> str:
    """The part of a pattern before its first wildcard."""
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0] if re.search(r"[*?\[]", pattern) else pattern


def _partitions(files: Sequence[Path], base: Path) -> dict[str, dict[Path, str]]:
    """For each folder level named key=value, its value by file."""
    found: dict[str, dict[Path, str]] = {}
    for file in files:
        for part in file.relative_to(base).parts[:-1] if file != base else ():
            key, equals, value = part.partition("=")
            if equals:
                found.setdefault(key, {})[file] = value
    return found


def _calendar(
    files: Sequence[Path], partitions: Mapping[str, Mapping[Path, str]], root: Path
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of each level of days those missing between its first and its last, and what lies in none of its days."""
    gaps, undated = [], []
    levels = dict(partitions)
    year, month, day = (partitions.get(key, {}) for key in ("year", "month", "day"))
    levels["year-month-day"] = {
        file: f"{year[file]}-{month[file]:0>2}-{day[file]:0>2}" for file in day if file in year and file in month
    }
    for key, values in levels.items():
        dates = {value: date for value in values.values() if (date := _date(value))}
        if dates:
            undated += [f"{key}={value}" for value in sorted({*values.values()} - dates.keys())]
            undated += [sources.name(file, root) for file in files if file not in values]
            first, last, there = min(dates.values()), max(dates.values()), {*dates.values()}
            between = (first + datetime.timedelta(days=each) for each in range((last - first).days))
            gaps += [f"{key}={date}" for date in between if date not in there]
    return tuple(gaps), tuple(undated)


def _date(value: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(value)
    except ValueError:
        return None


def _with_partitions(
    read: Callable[..., tuple[pl.LazyFrame, dict[str, str]]], files: Sequence[Path], table: Table, root: Path,
    partitions: Mapping[str, Mapping[Path, str]],
) -> pl.LazyFrame:  # fmt: skip
    """The table with the columns that only the folders' names hold."""
    parts = [
        read([file], table, root)[0].with_columns(pl.lit(values[file]).alias(key) for key, values in partitions.items())
        for file in files
    ]
    found = {key: table.column(key) for key in partitions}
    casts = [
        _cast(column.type if column else "string", pl.col(key), timezone=True).alias(key)
        for key, column in found.items()
    ]
    return pl.concat(parts).with_columns(casts)


# Columns


def _rows(frame: pl.LazyFrame, table: Table, untyped: Mapping[str, str]) -> Rows:
    """The table with fields of structures as columns, and columns of nothing but nulls as what they should be."""
    schema = frame.collect_schema()
    empty = {name: _DTYPES.get(found.type) for name, dtype in schema.items()
             if dtype == pl.Null and (found := table.column(name))}  # fmt: skip
    frame = frame.with_columns(pl.col(name).cast(dtype) for name, dtype in empty.items() if dtype is not None)
    nested = {}
    for column in table.columns:
        if "." in column.name and column.name not in schema and (expression := _field(schema, column.name)) is not None:
            nested[column.name] = expression
    return Rows(nw.from_native(frame.with_columns(**nested)), untyped=untyped)


def _field(schema: Mapping[str, Any], path: str) -> pl.Expr | None:
    first, *others = path.split(".")
    dtype, expression = schema.get(first), pl.col(first)
    for part in others:
        fields = {field.name: field.dtype for field in dtype.fields} if isinstance(dtype, pl.Struct) else {}
        if part not in fields:
            return None
        dtype, expression = fields[part], expression.struct.field(part)
    return expression


_DTYPES: dict[str, Any] = {
    "string": pl.String,
    "integer": pl.Int64,
    "number": pl.Float64,
    "boolean": pl.Boolean,
    "date": pl.Date,
    "timestamp": pl.Datetime("us", "UTC"),
    "time": pl.Time,
}


def _typed(frame: pl.LazyFrame, table: Table, names: Sequence[str]) -> tuple[pl.LazyFrame, dict[str, str]]:
    """Columns of text as the contract's types, and beside each the text, where it could not be read as such."""
    typed = [each for each in table.columns if each.name in names and each.type not in ("string", "array", "object")]
    kept = frame.with_columns(pl.col(each.name).alias(TEXT + each.name) for each in typed)
    casts = [_cast(each.type, pl.col(each.name), timezone=_zoned(table, each.name)) for each in typed]
    return kept.with_columns(casts), {each.name: TEXT + each.name for each in typed}


def _cast(kind: str, column: pl.Expr, *, timezone: bool) -> pl.Expr:
    """Text as a logical type, null where it isn't one: numbers as JSON writes them, moments by ISO 8601."""
    if kind == "integer":
        return pl.when(column.str.contains(r"^[+-]?[0-9]+$")).then(column.cast(pl.Int64, strict=False))
    if kind == "number":
        return column.cast(pl.Float64, strict=False)
    if kind == "boolean":
        return column.str.to_lowercase().replace_strict({"true": True, "false": False}, default=None)
    if kind == "date":
        return column.str.to_date("%Y-%m-%d", strict=False)
    if kind == "time":
        return column.str.to_time("%H:%M:%S%.f", strict=False)
    if kind == "timestamp":
        text = column.str.replace(" ", "T", literal=True).str.replace("[Zz]$", "+00:00")
        if timezone:
            return text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", time_unit="us", strict=False)
        return text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
    return column


def _is_moment(table: Table, name: str) -> bool:
    column = table.column(name)
    return column is not None and column.type in ("date", "timestamp", "time")


def _zoned(table: Table, name: str) -> bool:
    """Whether a column's moments must say their time zone."""
    for rule in table.rules:
        check = rule.check
        if (
            isinstance(check, Expectation)
            and check.arguments.get("column") == name
            and "logical_type" in check.arguments
        ):
            return check.arguments.get("timezone") is not False
    return True


def _frame_digest(frame: pl.LazyFrame, label: str) -> Subject:
    """What was judged: names, types, and a hash of each row in order. Equal frames have equal ones, however stored."""
    digest = hashlib.sha256(repr(list(frame.collect_schema().items())).encode())
    for batch in frame.collect_batches(maintain_order=True):
        digest.update(batch.hash_rows().to_numpy().tobytes())
    return Subject(label, digest.hexdigest(), "content")
