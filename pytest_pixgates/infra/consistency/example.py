"""The example of a rule on several sources, read as if a policy named each of its folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pytest_pixgates.core import documents
from pytest_pixgates.infra import kustomize
from pytest_pixgates.infra.consistency import configuration, dockerfile, topic, workflow, workflow_jobs
from pytest_pixgates.infra.consistency.sets import Environment, Sources
from pytest_pixgates.infra.consistency.world import World

DRIFT = ("*.metadata.namespace", "*.spec.replicas")


def of_files(files: Mapping[str, str], folder: Path) -> Sources:
    """The sources of an example, written below `folder`. Raises Unreadable.

    NAME/manifest.yaml is what an overlay renders; a folder with a .tf file that no other calls is a root; those of one
    NAME are an environment.
    """
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    overlays = {Path(each).parent.name: _overlay(each, files[each]) for each in files if each.endswith("manifest.yaml")}
    roots = _roots(files, folder)
    environments = tuple(_environment(name, roots, overlays, files) for name in dict.fromkeys((*overlays, *roots)))
    markers, declared = workflow.markers(folder)
    topics = [topic.declared(text, path) for path, text in files.items() if path.startswith("topics.")]
    flows = {path: text for path, text in files.items() if "/workflows/" in path}
    return Sources(
        roots=roots,
        overlays=overlays,
        environments=environments,
        drift=DRIFT,
        others=tuple(each.name for each in environments),
        topics=tuple(each for found in topics for each in found),
        uses=tuple(use for world in overlays.values() for use in topic.used_by_overlay(world)),
        dockerfiles=tuple(dockerfile.parse(files[each], each, "web") for each in files if each.endswith("Dockerfile")),
        selections=tuple(each for path in flows for each in workflow.selections(flows[path], path, declared)),
        jobs=tuple(each for path in flows for each in workflow_jobs.jobs(flows[path], path)),
        markers=markers,
    )


def _overlay(name: str, text: str) -> World:
    objects = documents.parse(text, name)
    return World(kustomize.Overlay(Path(), (), ((name, text),), objects, ()), objects)


def _roots(files: Mapping[str, str], folder: Path) -> dict[str, configuration.Root]:
    places = dict.fromkeys(Path(each).parent for each in files if each.endswith(".tf"))
    roots = {place.name: configuration.load(folder / place, folder) for place in places}
    called = {module.folder for root in roots.values() for module in root.modules if module.call}
    return {name: root for name, root in roots.items() if root.folder not in called}


def _environment(
    name: str, roots: Mapping[str, configuration.Root], overlays: Mapping[str, World], files: Mapping[str, str]
) -> Environment:
    texts = {path: text for path, text in files.items() if Path(path).parent.name == name}
    own = {path: text for path, text in texts.items() if not path.endswith(".tf")}
    mine, rendered = roots.get(name), overlays.get(name)
    return Environment(name, (mine,) if mine else (), (rendered,) if rendered else (), own, texts)
