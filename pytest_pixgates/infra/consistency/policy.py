"""The `[infra.consistency]` section of the policy: what must hold together, and what may differ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

SETS = ("environments", "topics", "images", "workflows")


@dataclass(frozen=True, slots=True)
class ConsistencyPolicy:
    """`[infra.consistency]`. Paths and globs are relative to the repository.

    `overlays` and `roots` are judged one by one. `environments` names the overlays and roots of each environment, in
    the same order, the last being the one that the others must be like; `drift` are the fields ("Kind/name.dotted",
    `*` is anything) that overlays may differ in. `topics` is the file that declares topics, `topic_sources` are
    further files that name some. `dockerfiles` maps a Dockerfile to the container that runs its image. `external` is
    what is made elsewhere ("Secret/name", "Variable/name", "Account/123456789012"). In overlays that `tags_allowed`
    matches, images may be named by tag.
    """

    overlays: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    environments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    drift: tuple[str, ...] = ()
    topics: str = ""
    topic_sources: tuple[str, ...] = ()
    dockerfiles: Mapping[str, str] = field(default_factory=dict)
    workflows: tuple[str, ...] = ()
    external: tuple[str, ...] = ()
    tags_allowed: tuple[str, ...] = ()

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
