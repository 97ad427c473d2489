"""One scan of a Terraform root, or of a set of sources that the policy names, by the rules of consistency.

Reads what the target needs and nothing else; what can't be read is a problem of the scan, never an exception.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_pixgates.core import sources
from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.core.scan import Problem, Scan, ToolUse
from pytest_pixgates.core.sources import Unreadable
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.tools import Tool
from pytest_pixgates.infra import hcl, invocation, kustomize
from pytest_pixgates.infra.consistency import configuration, dockerfile, rules, topic, workflow, workflow_jobs
from pytest_pixgates.infra.consistency.policy import ConsistencyPolicy
from pytest_pixgates.infra.consistency.rule import AnyRule
from pytest_pixgates.infra.consistency.scan import NAME, absent, judged, rules_used
from pytest_pixgates.infra.consistency.sets import Environment, Sources
from pytest_pixgates.infra.consistency.world import World

VALUES = (".tfvars", ".hcl")


@dataclass(frozen=True, slots=True)
class Together:
    """The rules, on sources below `root`. `families` are markers that are there without being declared.

    `kubectl` may be None for a target that holds no overlay. `timeout` is in seconds, for rendering one overlay.
    """

    kubectl: Tool | None
    root: Path
    settings: ConsistencyPolicy
    families: tuple[str, ...] = ()
    timeout: float = 600.0

    def scan(self, target: str) -> Scan:
        """Judge the set `target` (@topics), or the root at that path."""
        reader, name = _Reader(self), target.removeprefix("@")
        applied: Sequence[AnyRule[Sources, Any]]
        try:
            if not target.startswith("@"):
                applied, world = rules.ROOT, reader.alone(self.root / target)
            elif name in self.settings.environments:
                applied, world = rules.TOGETHER["environment"], reader.environment(name)
            else:
                read: Mapping[str, Callable[[], Sources]] = {
                    "environments": reader.environments,
                    "topics": reader.topics,
                    "images": reader.images,
                    "workflows": reader.workflows,
                }
                applied, world = rules.TOGETHER[name], read[name]()
            checks, findings, problems = judged(world, applied, target)
            used, missing = rules_used(applied, checks), absent(applied, checks)
        except Unreadable as error:
            return Scan(NAME, target, problems=(error.problem,), subjects=reader.seen)
        except NotMeasured as error:
            problem = Problem(error.message, target, fix=error.remedy)
            return Scan(NAME, target, problems=(problem,), subjects=reader.seen)
        except OSError as error:
            problem = Problem(f"can't be read: {error.strerror or error}", target)
            return Scan(NAME, target, problems=(problem,), subjects=reader.seen)
        except (TypeError, ValueError, AttributeError, LookupError, RecursionError) as error:
            problem = Problem(f"has a shape that can't be read: {type(error).__name__}: {error}", target)
            return Scan(NAME, target, problems=(problem,), subjects=reader.seen)
        return Scan(
            NAME,
            target,
            scanned={**{kind: count for kind, count in reader.counts.items() if count}, "checks": checks.total()},
            findings=findings,
            problems=problems,
            tools=(*reader.tools, used),
            subjects=reader.seen,
            absent=missing,
        )

    def named(self, target: str) -> tuple[str, ...]:
        """What the patterns behind the set `target` name now: an answer holds only for that."""
        settings = self.settings
        patterns = {
            "@topics": (*settings.overlays, settings.topics, *settings.topic_sources),
            "@images": (*settings.overlays, *settings.dockerfiles),
            "@workflows": settings.workflows,
        }
        found = (path for pattern in patterns.get(target, ()) for path in self.root.glob(pattern))
        return tuple(sorted(path.relative_to(self.root).as_posix() for path in found))

    def files(self, patterns: Sequence[str]) -> list[Path]:
        """The files that `patterns` name. Raises Unreadable for one that names none."""
        found: dict[Path, None] = {}
        for pattern in patterns:
            matching = sorted(path for path in self.root.glob(pattern) if path.is_file())
            if not matching:
                raise Unreadable("names no file", pattern, remedy="correct it in [infra.consistency] of the policy")
            found |= dict.fromkeys(matching)
        return list(found)


@dataclass(eq=False)
class _Reader:
    """Reads sources, and keeps count of what it read."""

    ask: Together
    subjects: dict[Subject, None] = field(default_factory=dict)
    commands: dict[invocation.Argv, None] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("roots", "overlays", "files"), 0))

    @property
    def seen(self) -> tuple[Subject, ...]:
        return tuple(self.subjects)

    @property
    def tools(self) -> tuple[ToolUse, ...]:
        kubectl = self.ask.kubectl
        return (invocation.used(kubectl, self.ask.root, *self.commands),) if kubectl and self.commands else ()

    def alone(self, folder: Path) -> Sources:
        root = self._root(folder)
        return Sources(roots={root.folder: root}, external=frozenset(self.ask.settings.external))

    def environment(self, name: str) -> Sources:
        return Sources(
            environments=(self._environment(name),),
            others=tuple(self.ask.settings.environments),
            external=frozenset(self.ask.settings.external),
        )

    def environments(self) -> Sources:
        found = tuple(map(self._environment, self.ask.settings.environments))
        last = found[-1]
        for each in found:
            for kind, mine, theirs in (("roots", each.roots, last.roots), ("overlays", each.overlays, last.overlays)):
                if len(mine) != len(theirs):
                    message = f"{each.name} has {len(mine)} {kind}, {last.name} has {len(theirs)}"
                    raise Unreadable(message, "@environments", remedy="name the same folders for each environment")
        return Sources(environments=found, drift=self.ask.settings.drift)

    def topics(self) -> Sources:
        settings, overlays = self.ask.settings, self._overlays()
        (path,) = self.ask.files([settings.topics])
        declared = topic.declared(*self._text(path))
        uses = [use for world in overlays.values() for use in topic.used_by_overlay(world)]
        for each in self.ask.files(settings.topic_sources):
            uses += topic.used_by_text(*self._text(each))
        return Sources(overlays=overlays, topics=declared, uses=tuple(uses), external=frozenset(settings.external))

    def images(self) -> Sources:
        overlays = self._overlays()
        named = self.ask.settings.dockerfiles.items()
        found = [dockerfile.parse(*self._text(path), name) for each, name in named for path in self.ask.files([each])]
        return Sources(overlays=overlays, dockerfiles=tuple(found))

    def workflows(self) -> Sources:
        known, declared = workflow.markers(self.ask.root)
        for name in (*workflow.CONFIGURATIONS, "conftest.py"):
            self._note(self.ask.root / name)
        texts = [self._text(path) for path in self.ask.files(self.ask.settings.workflows)]
        return Sources(
            selections=tuple(each for text in texts for each in workflow.selections(*text, declared)),
            markers=known | frozenset(self.ask.families),
            jobs=tuple(each for text in texts for each in workflow_jobs.jobs(*text)),
            external=frozenset(self.ask.settings.external),
        )

    def _environment(self, name: str) -> Environment:
        folders = [self.ask.root / each for each in self.ask.settings.environments[name]]
        overlays, roots = list[World](), list[configuration.Root]()
        own, texts = dict[str, str](), dict[str, str]()
        for folder in folders:
            if kustomize.is_overlay(folder):
                world = self._overlay(folder)
                overlays.append(world)
                texts |= dict(world.overlay.texts)
                label = sources.name(folder, self.ask.root)
                own |= {path: text for path, text in world.overlay.texts if path.startswith(f"{label}/")}
            else:
                root = self._root(folder)
                roots.append(root)
                texts |= {each.name: each.text for each in root.stack.own}
                values = (path for path in sources.visible(folder) if path.parent == folder and path.suffix in VALUES)
                own |= {sources.name(path, self.ask.root): sources.read(path, self.ask.root) for path in values}
        return Environment(name, tuple(roots), tuple(overlays), own, {**own, **texts})

    def _overlays(self) -> dict[str, World]:
        found: dict[str, World] = {}
        for pattern in self.ask.settings.overlays:
            folders = sorted(path for path in self.ask.root.glob(pattern) if path.is_dir())
            if not folders:
                raise Unreadable("names no folder", pattern, remedy="correct overlays in [infra.consistency]")
            found |= {sources.name(folder, self.ask.root): self._overlay(folder) for folder in folders}
        return found

    def _overlay(self, folder: Path) -> World:
        label, overlay = sources.name(folder, self.ask.root), kustomize.load(folder, self.ask.root)
        subjects = sources.trees(overlay.folders, self.ask.root)
        self.subjects |= dict.fromkeys(subjects)
        if overlay.problems:
            first = overlay.problems[0]
            raise Unreadable(first.message, first.path, first.line, remedy=first.fix)
        if self.ask.kubectl is None:
            raise NotMeasured(f"{label} can't be rendered without kubectl", remedy="pixgates tools install kubectl")
        rendered = _rendered(self.ask.kubectl, folder, subjects, self.ask.timeout)
        name = f"{label} (rendered)"
        self.subjects[kustomize.subject(rendered, name)] = None
        self.commands[kustomize.command(self.ask.kubectl, folder)] = None
        self.counts["overlays"] += 1
        self.counts["files"] += len(overlay.texts)
        external = frozenset(self.ask.settings.external)
        return World(overlay, kustomize.parse(rendered, name), external)

    def _root(self, folder: Path) -> configuration.Root:
        self.subjects |= dict.fromkeys(sources.trees(hcl.load(folder, self.ask.root).judged, self.ask.root))
        root = configuration.load(folder, self.ask.root)
        self.counts["roots"] += 1
        self.counts["files"] += len(root.stack.sources)
        return root

    def _text(self, path: Path) -> tuple[str, str]:
        self._note(path)
        self.counts["files"] += 1
        return sources.read(path, self.ask.root), sources.name(path, self.ask.root)

    def _note(self, path: Path) -> None:
        """Count the file among what was judged, also that it is not there."""
        name = sources.name(path, self.ask.root)
        absent = Subject(name, "", "absent")
        self.subjects |= dict.fromkeys(sources.trees([path], self.ask.root) or [absent])


@functools.lru_cache(maxsize=64)
def _rendered(kubectl: Tool, folder: Path, subjects: tuple[Subject, ...], timeout: float) -> str:
    # Several sets hold the same overlay; the digests of its sources are part of what is asked.
    del subjects
    return kustomize.render(kubectl, folder, timeout=timeout)
