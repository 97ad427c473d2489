"""One scan of a Terraform root, or of a set of sources that the policy names, by the rules of consistency.

Reads what the target needs and nothing else; what can't be read is a problem of the scan, never an exception.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.core.scan import Problem, Scan, ToolUse
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.tools import Tool
from pytest_pixgates.infra import hcl, invocation, kustomize, sources
from pytest_pixgates.infra.consistency import configuration, dockerfile, rules, topic, workflow
from pytest_pixgates.infra.consistency.policy import ConsistencyPolicy
from pytest_pixgates.infra.consistency.rule import AnyRule
from pytest_pixgates.infra.consistency.scan import NAME, judged, rules_used
from pytest_pixgates.infra.consistency.sets import Environment, Sources
from pytest_pixgates.infra.consistency.world import World
from pytest_pixgates.infra.sources import Unreadable

VALUES = (".tfvars", ".hcl")


@dataclass(frozen=True, slots=True)
class Together:
    """The rules, on sources below `root`. `families` are markers that are there without being declared.

    `timeout` is in seconds, for rendering one overlay.
    """

    kubectl: Tool
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
            used = rules_used(applied, checks)
        except Unreadable as error:
            return Scan(NAME, target, problems=(error.problem,), subjects=reader.seen)
        except NotMeasured as error:
            problem = Problem(error.message, target, fix=error.remedy)
            return Scan(NAME, target, problems=(problem,), subjects=reader.seen)
        except OSError as error:
            problem = Problem(f"can't be read: {error.strerror or error}", target)
            return Scan(NAME, target, problems=(problem,), subjects=reader.seen)
        return Scan(
            NAME,
            target,
            scanned={**{kind: count for kind, count in reader.counts.items() if count}, "checks": checks.total()},
            findings=findings,
            problems=problems,
            tools=(*reader.tools, used),
            subjects=reader.seen,
        )

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
    used: dict[ToolUse, None] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("roots", "overlays", "files"), 0))

    @property
    def seen(self) -> tuple[Subject, ...]:
        return tuple(self.subjects)

    @property
    def tools(self) -> tuple[ToolUse, ...]:
        return tuple(self.used)

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
        return Sources(
            overlays=overlays, topics=declared, uses=tuple(uses), external=frozenset(settings.external)
        )

    def images(self) -> Sources:
        overlays = self._overlays()
        named = [(path, name) for each, name in self.ask.settings.dockerfiles.items() for path in self.ask.files([each])]
        found = tuple(dockerfile.parse(*self._text(path), name) for path, name in named)
        return Sources(overlays=overlays, dockerfiles=found)

    def workflows(self) -> Sources:
        known, declared = workflow.markers(self.ask.root)
        for name in (*workflow.CONFIGURATIONS, "conftest.py"):
            self._note(self.ask.root / name)
        found = [
            each
            for path in self.ask.files(self.ask.settings.workflows)
            for each in workflow.selections(*self._text(path), declared)
        ]
        markers = known | frozenset(self.ask.families)
        return Sources(selections=tuple(found), markers=markers, external=frozenset(self.ask.settings.external))

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
        rendered = _rendered(self.ask.kubectl, folder, subjects, self.ask.timeout)
        name = f"{label} (rendered)"
        self.subjects[kustomize.subject(rendered, name)] = None
        command = kustomize.command(self.ask.kubectl, folder)
        self.used[invocation.used(self.ask.kubectl, self.ask.root, command)] = None
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


def of_files(files: Mapping[str, str], folder: Path) -> Sources:
    """The sources of an example, written below `folder`, as if each of its folders were named in a policy.

    An overlay is k8s/NAME/manifest.yaml, as it would be rendered; a folder with a .tf file that no other calls is a
    root; those of one NAME are an environment. Raises Unreadable.
    """
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    overlays, roots, uses = dict[str, World](), dict[str, configuration.Root](), list[topic.Use]()
    for name, text in files.items():
        if name.endswith("manifest.yaml"):
            found = kustomize.documents.parse(text, name)
            overlays[Path(name).parent.name] = World(kustomize.Overlay(folder, (), ((name, text),), found, ()), found)
        elif name.endswith(".tf"):
            root = configuration.load((folder / name).parent, folder)
            roots[Path(name).parent.name] = root
    called = {module.folder for root in roots.values() for module in root.modules if module.call}
    roots = {name: root for name, root in roots.items() if root.folder not in called}
    environments = []
    for name in dict.fromkeys((*overlays, *roots)):
        texts = {path: text for path, text in files.items() if Path(path).parent.name == name}
        own = {path: text for path, text in texts.items() if not path.endswith(".tf")}
        mine = tuple(each[name] for each in (roots,) if name in each), tuple(each[name] for each in (overlays,) if name in each)
        environments.append(Environment(name, mine[0], mine[1], own, texts))
    for world in overlays.values():
        uses += topic.used_by_overlay(world)
    known, declared = workflow.markers(folder)
    drift = ("*.metadata.namespace", "*.spec.replicas")
    return Sources(
        roots, overlays, tuple(environments), drift, tuple(each.name for each in environments),
        tuple(each for path, text in files.items() if path.startswith("topics.") for each in topic.declared(text, path)),
        tuple(uses),
        tuple(dockerfile.parse(text, path, "web") for path, text in files.items() if path.endswith("Dockerfile")),
        tuple(
            each
            for path, text in files.items()
            if path.startswith(".github/")
            for each in workflow.selections(text, path, declared)
        ),
        known,
    )  # fmt: skip


def without(world: Sources, **changes: Any) -> Sources:
    """`world` with some of its parts changed."""
    return dataclasses.replace(world, **changes)
