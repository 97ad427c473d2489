"""The sources of a repository that must agree, seen together: roots, overlays, topics, images and workflows.

Each set holds what its gate asked for and nothing else, so that what is not present is not looked at, and said so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_pixgates.infra.consistency.configuration import Root
from pytest_pixgates.infra.consistency.dockerfile import Dockerfile
from pytest_pixgates.infra.consistency.topic import Topic, Use
from pytest_pixgates.infra.consistency.workflow import Selection
from pytest_pixgates.infra.consistency.workflow_jobs import Job
from pytest_pixgates.infra.consistency.world import World


@dataclass(frozen=True, eq=False)
class Environment:
    """What the policy says belongs together under one name.

    `own` are its values and its overlay's own files, by label; `texts` are those and the code that they belong to.
    """

    name: str
    roots: tuple[Root, ...] = ()
    overlays: tuple[World, ...] = ()
    own: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Sources:
    """What one gate looks at; the parts that it did not ask for are empty.

    `drift` are the fields that overlays may differ in; `others` are the names of the other environments.
    """

    roots: Mapping[str, Root] = field(default_factory=dict)
    overlays: Mapping[str, World] = field(default_factory=dict)
    environments: tuple[Environment, ...] = ()
    drift: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    topics: tuple[Topic, ...] = ()
    uses: tuple[Use, ...] = ()
    dockerfiles: tuple[Dockerfile, ...] = ()
    selections: tuple[Selection, ...] = ()
    markers: frozenset[str] = frozenset()
    jobs: tuple[Job, ...] = ()
    external: frozenset[str] = frozenset()
