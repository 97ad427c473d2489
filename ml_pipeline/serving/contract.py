"""The model of a request, made from the contract that the gate judges: one definition for gate, service and docs.

What a contract says and this module can't hold a single payment to is refused by name at start. Only rules of whole
tables are left to the gate. Rules across columns are SQL there and Python here (`ACROSS`); the tests hold them equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta, Struct

Record = Any  # a struct with the contract's fields

TYPES: dict[str, Any] = {
    "string": str, "integer": int, "number": float, "boolean": bool, "timestamp": datetime, "array": list,
}  # fmt: skip
JSON_TYPES = {"timestamp": "string"}
# How an option of ODCS is called by msgspec, and by JSON Schema if otherwise.
OPTIONS = {
    "pattern": "pattern", "minLength": "min_length", "maxLength": "max_length", "minimum": "ge", "maximum": "le",
    "maxItems": "max_length",
}  # fmt: skip
NOTED = {"format", "uniqueItems"}  # hold for what JSON can say, or for answers alone
OF_TABLES = {"rowCount"}

ACROSS: dict[str, tuple[tuple[str, ...], str, Callable[[Record], bool]]] = {
    "key_with_type": (
        ("payee_key", "payee_key_type"), "a key has a type, and a type has a key",
        lambda one: (one.payee_key is None) == (one.payee_key_type is None),
    ),
    "nobody_pays_themselves": (
        ("payer_account_id", "payee_account_id"), "they must differ",
        lambda one: one.payer_account_id != one.payee_account_id,
    ),
    "id_of_the_payer": (
        ("end_to_end_id", "payer_ispb"), "the id begins with E and the institution of the payer",
        lambda one: one.end_to_end_id[1:9] == one.payer_ispb,
    ),
    "scored_after_it_began": (
        ("initiated_at", "scored_at"), "no score before the payment",
        lambda one: one.scored_at >= one.initiated_at,
    ),
    "only_rules_have_no_score": (
        ("score", "model_version"), "only rules have no score",
        lambda one: one.score is not None or one.model_version.startswith("rules-"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Violation:
    """What is wrong with a request: a field (or some, or none) and the rule. Never the value."""

    field: str
    rule: str


@dataclass(frozen=True)
class Rule:
    """One thing that a value must be. `kind` is the type that msgspec holds it to."""

    name: str
    says: str
    kind: Any


@dataclass(frozen=True)
class Field:
    """A column of the contract. `earliest` bounds a time."""

    name: str
    description: str
    kind: Any
    required: bool
    rules: tuple[Rule, ...]
    schema: Mapping[str, Any]
    earliest: datetime | None

    def violation(self, value: Any) -> Violation | None:
        """The first rule that a decoded value breaks."""
        if value is None and not self.required:
            return None
        for rule in self.rules:
            try:
                made = msgspec.convert(value, rule.kind)
            except msgspec.ValidationError:
                return Violation(self.name, rule.says)
        if self.earliest is not None and made < self.earliest:
            return Violation(self.name, f"must not be before {self.earliest.isoformat()}")
        return None


@dataclass(frozen=True)
class Contract:
    """What one table's contract says of a single row."""

    name: str
    version: str
    description: str
    fields: tuple[Field, ...]
    across: tuple[str, ...]

    @cached_property
    def struct(self) -> type[Struct]:
        """A row: fields that are not required may be null or left out, unknown ones are refused."""
        needed = [(each.name, each.kind) for each in self.fields if each.required]
        others = [(each.name, each.kind | None, None) for each in self.fields if not each.required]
        return msgspec.defstruct(self.name, [*needed, *others], kw_only=True, forbid_unknown_fields=True, frozen=True)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """A row as JSON Schema."""
        return {
            "type": "object",
            "description": self.description,
            "properties": {each.name: dict(each.schema) for each in self.fields},
            "required": [each.name for each in self.fields if each.required],
            "additionalProperties": False,
        }

    def broken(self, row: Record) -> list[Violation]:
        """What a row breaks that the struct does not hold: times too early, and rules across fields."""
        found = [
            Violation(each.name, f"must not be before {each.earliest.isoformat()}")
            for each in self.fields
            if each.earliest is not None and (made := getattr(row, each.name)) is not None and made < each.earliest
        ]
        for name in self.across:
            names, says, holds = ACROSS[name]
            if not holds(row):
                found.append(Violation(",".join(names), f"{name}: {says}"))
        return found

    def violations(self, value: Any) -> list[Violation]:
        """All that is wrong with a row which the struct refused. `value` is what the JSON says."""
        if not isinstance(value, dict):
            return [Violation("", "must be an object")]
        found = []
        for each in self.fields:
            if each.name in value:
                broken = each.violation(value[each.name])
            else:
                broken = Violation(each.name, "is required") if each.required else None
            found += [broken] if broken else []
        unknown = len(value.keys() - {each.name for each in self.fields})
        # Not by name, which may be anything: a tax id for instance.
        return found + ([Violation("", f"{unknown} fields are unknown")] if unknown else [])


def read(path: Path) -> Contract:
    """The contract in a file. Raises FileNotFoundError, or ValueError with what it says that can't be held here."""
    try:
        said = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  # both are safe
        (table,) = said["schema"]
        fields = tuple(_field(each, path) for each in table["properties"])
        across = _across(table.get("quality", ()), path)
        return Contract(said["name"], said["version"], table["description"], fields, across)
    except (KeyError, TypeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} is no contract of one table ({type(error).__name__}: {error}); mend it") from error


def _field(said: Mapping[str, Any], path: Path) -> Field:
    name, kind = said["name"], said["logicalType"]
    if kind not in TYPES:
        raise ValueError(f"{path}: {name} has the type {kind!r}; the service knows {', '.join(TYPES)}")
    options, bare = dict(said.get("logicalTypeOptions", {})), _bare(said, path)
    earliest = options.pop("minimum", None) if kind == "timestamp" else None
    unknown = options.keys() - OPTIONS.keys() - NOTED
    if unknown:
        raise ValueError(f"{path}: {name} has {', '.join(sorted(unknown))}, which the service can't hold; teach it")
    required = bool(said.get("required") or said.get("primaryKey"))
    held = {each: _option(each, value) for each, value in options.items() if each in OPTIONS}
    meta = {OPTIONS[each]: value for each, value in held.items()}
    values = _values(said, path)
    whole = Annotated[bare, Meta(**meta)] if meta else bare
    rules = [Rule("type", f"must be {_article(kind)}", bare)]
    rules += [
        Rule(each, f"{each} {options[each]}", Annotated[bare, Meta(**{OPTIONS[each]: value})])
        for each, value in held.items()
    ]
    if values:
        whole = Literal[values]
        rules.append(Rule("validValues", f"must be one of {', '.join(values)}", whole))
    schema = _schema(said, kind, options, values, required=required)
    moment = None if earliest is None else datetime.fromisoformat(earliest)
    return Field(name, said["description"], whole, required, tuple(rules), schema, moment)


def _bare(said: Mapping[str, Any], path: Path) -> Any:
    kind = said["logicalType"]
    if kind == "timestamp":
        return Annotated[datetime, Meta(tz=True)]
    if kind == "array":
        if said["items"].get("logicalType") != "string":
            raise ValueError(f"{path}: {said['name']} holds something other than strings; the service can't")
        return list[str]
    return TYPES[kind]


def _option(name: str, value: Any) -> Any:
    # Python's $ holds before a last line break too.
    return re.sub(r"(?<!\\)\$$", r"\\Z", value) if name == "pattern" else value


def _article(kind: str) -> str:
    return "a time with its zone (RFC 3339)" if kind == "timestamp" else f"of type {kind}"


def _values(said: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """The values that are allowed, if the contract lists them."""
    values: tuple[str, ...] = ()
    for rule in said.get("quality", ()):
        if rule.get("metric") != "invalidValues" or rule.get("mustBe") != 0 or "validValues" not in rule["arguments"]:
            raise ValueError(
                f"{path}: {said['name']} has the rule {rule.get('metric')!r}, which the service can't hold"
            )
        values = tuple(rule["arguments"]["validValues"])
    return values


def _schema(
    said: Mapping[str, Any], kind: str, options: Mapping[str, Any], values: tuple[str, ...], *, required: bool
) -> dict[str, Any]:
    """The column as JSON Schema."""
    named = JSON_TYPES.get(kind, kind)
    schema: dict[str, Any] = {"description": said["description"], "type": named if required else [named, "null"]}
    if kind == "timestamp":
        schema["format"] = "date-time"
    if kind == "array":
        schema["items"] = {"type": "string"}
    schema |= {name: value for name, value in options.items() if name != "format"}
    if values:
        schema["enum"] = [*values] if required else [*values, None]
    return schema


def _across(rules: Any, path: Path) -> tuple[str, ...]:
    names = [each["name"] for each in rules if each.get("type") == "sql"]
    others = [each["name"] for each in rules if each.get("type") not in ("sql", "text")]
    others = [each["name"] for each in rules if each["name"] in others and each.get("metric") not in OF_TABLES]
    unknown = [*(name for name in names if name not in ACROSS), *others]
    if unknown:
        raise ValueError(
            f"{path} has the rules {', '.join(unknown)}, which the service does not know; write them into ACROSS in "
            "ml_pipeline/serving/contract.py"
        )
    return tuple(names)
