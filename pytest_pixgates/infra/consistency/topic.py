"""Kafka topics: declared once as data, and named wherever something reads or writes one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_pixgates.core import documents
from pytest_pixgates.core.scan import Finding
from pytest_pixgates.core.sources import Unreadable
from pytest_pixgates.infra.consistency.configuration import Place
from pytest_pixgates.infra.consistency.rule import AnyRule, Files
from pytest_pixgates.infra.consistency.world import Part, World

if TYPE_CHECKING:
    from pytest_pixgates.infra.consistency.sets import Sources

_KEY = re.compile(r"(?:^|[_.\-])topics?(?:$|[_.\-])", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
_NO_NAME = re.compile(r"\d+|true|false|null|none", re.IGNORECASE)  # as in `topic_partitions: 12`
# `topic: name`, `TOPIC = "name"`, `"topic": "name"`, `OUTPUT_TOPIC=name`
_WRITTEN = re.compile(
    r"[\"']?(?P<key>(?:[A-Za-z0-9_.\-]*[_.\-])?topics?(?:[_.\-][A-Za-z0-9_.\-]*)?)[\"']?\s*(?::\s*str\s*)?[:=]\s*"
    r"(?P<quote>[\"']?)(?P<name>[A-Za-z0-9._-]+)(?P=quote)\s*(?:[,;}\])#]|$)",
    re.IGNORECASE,
)

_TOPICS = """\
{
  "transactions": {"partitions": 12, "consumers": ["worker"]}
}
"""
_MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: runtime}
data:
  KAFKA_TOPIC: transactions
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: worker}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: worker}
  maxReplicas: 12
"""
_PASSING = {"topics.json": _TOPICS, "k8s/prod/manifest.yaml": _MANIFEST}


@dataclass(frozen=True, eq=False)
class Topic:
    """A topic as it is declared; `details` are its other fields."""

    name: str
    place: Place
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Use:
    """A place that names a topic."""

    name: str
    place: Place
    key: str


def declared(text: str, label: str) -> tuple[Topic, ...]:
    """The topics of a JSON or YAML file: a mapping by name or a list with names, at the top or under `topics`.

    Raises Unreadable.
    """
    found = documents.parse_json(text, label) if label.endswith(".json") else documents.parse(text, label)
    value = found[0].value if len(found) == 1 else None
    if isinstance(value, dict) and isinstance(value.get("topics"), dict | list):
        value = value["topics"]
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = [(each.get("name"), each) if isinstance(each, dict) else (each, {}) for each in value]
    else:
        pairs = []
    if not pairs:
        raise Unreadable("declares no topic", label, remedy='write {"name": {...}}, or {"topics": [{"name": "..."}]}')
    return tuple(_topic(name, details, text, label, pairs) for name, details in pairs)


def _topic(name: object, details: object, text: str, label: str, pairs: list[Any]) -> Topic:
    place = Place(label, _line(text, str(name)))
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Unreadable(f"{name!r} is no name of a topic", label, place.line)
    if sum(other == name for other, _ in pairs) > 1:
        raise Unreadable(f"the topic {name} stands twice", label, place.line, remedy="keep one of them")
    return Topic(name, place, details if isinstance(details, dict) else {})


def _line(text: str, name: str) -> int:
    word = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])")
    lines = text.splitlines()
    key = re.compile(rf"^\s*[\"']?{re.escape(name)}[\"']?\s*:|\bname[\"']?\s*:\s*[\"']?{re.escape(name)}(?![\w.-])")
    return next((number for pattern in (key, word) for number, line in enumerate(lines, 1) if pattern.search(line)), 1)


def used_by_text(text: str, label: str) -> tuple[Use, ...]:
    """The topics that a text names as the value of something called a topic. Raises Unreadable if there is none."""
    found = tuple(
        Use(match["name"], Place(label, number), match["key"])
        for number, line in enumerate(text.splitlines(), start=1)
        if not line.lstrip().startswith(("#", "//"))
        for match in _WRITTEN.finditer(line)
        if (match["quote"] or not label.endswith(".py")) and not _NO_NAME.fullmatch(match["name"])
    )
    if not found:
        raise Unreadable("names no topic", label, remedy="take it out of topic_sources, or write `topic: name`")
    return found


def used_by_overlay(world: World) -> Iterator[Use]:
    """The topics that ConfigMaps and variables of containers name. Raises Unreadable."""
    for config in world.of("ConfigMap"):
        for key in config.get("data").mapping():
            if _KEY.search(str(key)):
                yield from _uses(config.get("data", key), str(key), world)
    for workload in world.workloads:
        for container in workload.all_containers():
            for variable in container.get("env").items():
                if _KEY.search(name := variable.get("name").text()) and variable.get("value").value is not None:
                    yield from _uses(variable.get("value"), name, world)


def _uses(part: Part, key: str, world: World) -> Iterator[Use]:
    value = part.text()
    names = [each for each in map(str.strip, value.split(",")) if not _NO_NAME.fullmatch(each)]
    # A generator's entry has no line of its own: its literal does.
    literal = re.compile(rf"(?<![\w.-]){re.escape(key)}\s*[=:]\s*[\"']?{re.escape(value)}(?![\w.-])")
    for path, text in world.overlay.texts:
        for number, line in enumerate(text.splitlines(), start=1):
            if literal.search(line):
                yield from (Use(each, Place(path, number), key) for each in names)
                return
    yield from (Use(each, Place(*part.place), key) for each in names)


class TopicDeclared(AnyRule["Sources", tuple[Use, tuple[Topic, ...]]]):
    name = "topic-declared"
    summary = "Each topic that manifests and other sources name is declared."
    why = "Brokers that create no topics refuse it; those that do hide the renaming, and two halves never meet."
    fix = "correct the name, or declare the topic"
    passing = _PASSING
    failing: ClassVar[Files] = {
        **_PASSING,
        "k8s/prod/manifest.yaml": _MANIFEST.replace("transactions", "transactions\n  RETRY_TOPIC: transaction"),
    }

    def subjects(self, world: Sources) -> Iterable[tuple[Use, tuple[Topic, ...]]]:
        return ((use, world.topics) for use in world.uses) if world.topics else ()

    def judge(self, subject: tuple[Use, tuple[Topic, ...]]) -> Iterator[Finding]:
        use, topics = subject
        known = {topic.name: topic for topic in topics}
        if use.name not in known:
            near = get_close_matches(use.name, known, n=1) or [topics[0].name]
            there = f"{near[0]} is at {known[near[0]].place}"
            message = f"{use.key} names the topic {use.name}, which is not declared; {there}"
            yield self.at(use.place.path, use.place.line, message, f"{use.key}: {use.name}")


class TopicUsed(AnyRule["Sources", tuple[Topic, tuple[Use, ...]]]):
    name = "topic-used"
    summary = "Each topic that is declared is named by a manifest or another source."
    why = "A topic renamed on one side alone is one that nobody reads any more."
    fix = 'name it where it is read or written, remove it, or list it as external ("Topic/name")'
    passing = _PASSING
    failing: ClassVar[Files] = {
        **_PASSING,
        "topics.json": _TOPICS.replace("}\n}", '},\n  "decisions": {"partitions": 12}\n}'),
    }

    def subjects(self, world: Sources) -> Iterable[tuple[Topic, tuple[Use, ...]]]:
        return ((each, world.uses) for each in world.topics if f"Topic/{each.name}" not in world.external)

    def judge(self, subject: tuple[Topic, tuple[Use, ...]]) -> Iterator[Finding]:
        topic, uses = subject
        if not any(use.name == topic.name for use in uses):
            others = ", ".join(dict.fromkeys(str(use.place) for use in uses[:3])) or "no source names any"
            message = f"nothing names the topic {topic.name}; topics are named at {others}"
            yield self.at(topic.place.path, topic.place.line, message, topic.name)


class TopicPartitions(AnyRule["Sources", tuple[Part, tuple[Topic, ...]]]):
    name = "topic-partitions"
    summary = "A consumer is scaled to no more replicas than the largest of its topics has partitions."
    why = "Every further replica is paid for, and idles."
    fix = "lower maxReplicas, or give the topic more partitions"
    passing = _PASSING
    failing: ClassVar[Files] = {
        **_PASSING,
        "k8s/prod/manifest.yaml": _MANIFEST.replace("maxReplicas: 12", "maxReplicas: 24"),
    }

    def subjects(self, world: Sources) -> Iterable[tuple[Part, tuple[Topic, ...]]]:
        for overlay in world.overlays.values():
            for scaler in overlay.of("HorizontalPodAutoscaler"):
                name = scaler.get("spec", "scaleTargetRef", "name").text()
                topics = tuple(each for each in world.topics if name in _consumers(each))
                if topics:
                    yield scaler.get("spec", "maxReplicas"), topics

    def judge(self, subject: tuple[Part, tuple[Topic, ...]]) -> Iterator[Finding]:
        part, topics = subject
        largest = max(topics, key=lambda each: int(each.details["partitions"]))
        if part.expect(int) > largest.details["partitions"]:
            partitions = f"the {largest.details['partitions']} partitions of {largest.name} at {largest.place}"
            message = f"{part.label}: maxReplicas {part.value} is more than {partitions}"
            yield self.at(*part.place, message, part.label)


def _consumers(topic: Topic) -> list[Any]:
    consumers, partitions = topic.details.get("consumers"), topic.details.get("partitions")
    return consumers if isinstance(consumers, list) and type(partitions) is int else []
