"""The `[infra.consistency]` section of the policy: what must hold together, and what may differ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

SETS = ("environments", "topics", "images", "workflows")


@dataclass(frozen=True, slots=True)
class ConsistencyPolicy:
    """`[infra.consistency]`: what must hold together, and what may differ."""

    overlays: tuple[str, ...] = ()
    """kustomize overlays, or globs: what each renders."""
    roots: tuple[str, ...] = ()
    """Terraform roots, or globs, each with the modules that it calls."""
    environments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name → its overlays and roots, in the same order; the last is the one that the others must be like. `@NAME`
    judges each, `@environments` holds all against the last.
    """
    drift: tuple[str, ...] = ()
    """Fields that overlays may differ in: `"Deployment/*.spec.replicas"`, where `*` is anything."""
    topics: str = ""
    """The JSON or YAML that declares Kafka topics, by name or in a list: `@topics`."""
    topic_sources: tuple[str, ...] = ()
    """Files beside the overlays that name topics, as `topic: name`."""
    dockerfiles: Mapping[str, str] = field(default_factory=dict)
    """Dockerfile → container that runs its image: `@images`."""
    workflows: tuple[str, ...] = ()
    """Files of workflows, or globs, whose `pytest -m` is held against the markers: `@workflows`."""
    external: tuple[str, ...] = ()
    """Made elsewhere: `"Secret/scoring-kafka"`, `"Variable/name"`, `"Topic/name"`, `"Account/602401143452"`."""
    tags_allowed: tuple[str, ...] = ()
    """Overlays, or globs, in which images may be named by tag rather than by digest."""

    def __post_init__(self) -> None:
        for name, folders in self.environments.items():
            if name in SETS or not re.fullmatch(r"[\w-]+", name):
                raise ValueError(f"environments: {name!r} can't be the name of one")
            if not folders:
                raise ValueError(f"environments: {name} is empty")
        for each in self.external:
            if not re.fullmatch(r"[A-Z]\w*/\S+", each):
                raise ValueError(f'external: {each!r} is not written like "Secret/scoring-kafka"')
        if self.topic_sources and not self.topics:
            raise ValueError("topic_sources is given without topics")
        if self.drift and len(self.environments) < 2:
            raise ValueError("drift is given without two environments")
        if (self.topics or self.dockerfiles) and not self.overlays:
            raise ValueError("topics and dockerfiles are held against overlays, of which none is given")

    @property
    def paths(self) -> Iterator[tuple[str, str]]:
        """Every path with its key."""
        names = ("overlays", "roots", "topic_sources", "dockerfiles", "workflows", "tags_allowed")
        lists = {name: getattr(self, name) for name in names}
        lists |= {"topics": filter(None, [self.topics])}
        lists |= {f"environments.{name}": folders for name, folders in self.environments.items()}
        yield from ((key, path) for key, paths in lists.items() for path in paths)

    @property
    def sets(self) -> Mapping[str, str]:
        """What is judged together, each with its key: a name with @, for it is no path."""
        found = {"@environments": "environments"} if len(self.environments) > 1 else {}
        found |= {f"@{name}": f"environments.{name}" for name in self.environments}
        keys = {"topics": "topics", "images": "dockerfiles", "workflows": "workflows"}
        return {**found, **{f"@{name}": key for name, key in keys.items() if getattr(self, key)}}
