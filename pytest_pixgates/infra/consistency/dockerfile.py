"""Images and the containers that run them: the port that is opened, and the user that it runs as."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from pytest_pixgates.core.scan import Finding
from pytest_pixgates.core.sources import Unreadable
from pytest_pixgates.infra import instructions
from pytest_pixgates.infra.consistency.rule import AnyRule, Files
from pytest_pixgates.infra.consistency.world import Part, Workload, World, ports

if TYPE_CHECKING:
    from pytest_pixgates.infra.consistency.sets import Sources

_ASSIGNED = re.compile(r"(?P<name>\w+)=(?P<value>\"[^\"]*\"|'[^']*'|\S*)")

_DOCKERFILE = """\
FROM python:3.12-slim
USER 10001:10001
EXPOSE 8080
"""
_MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      securityContext: {runAsUser: 10001, runAsGroup: 10001}
      containers:
        - name: web
          ports: [{containerPort: 8080}]
"""
_PASSING = {"web/Dockerfile": _DOCKERFILE, "k8s/prod/manifest.yaml": _MANIFEST}


@dataclass(frozen=True, eq=False)
class Dockerfile:
    """The last stage of an image: the ports that it exposes and its user, each with its line. `container` runs it."""

    path: str
    container: str
    start: int
    exposed: tuple[tuple[str, int], ...] = ()
    user: tuple[str, int] = ("", 0)


def parse(text: str, path: str, container: str) -> Dockerfile:
    """Raises Unreadable for a value that only the build knows."""
    stages, arguments, current, names = dict[str, Dockerfile](), dict[str, str](), None, 0
    for word, rest, line in instructions.parse(text):
        if word == "FROM":
            words = [each for each in rest.split() if not each.startswith("--")]
            base = stages.get(words[0]) if words else None
            # A stage inherits the user and the ports of the one that it is built from.
            current = Dockerfile(path, container, line, base.exposed if base else (), base.user if base else ("", 0))
            stages[words[2] if len(words) == 3 else f"<{names}>"] = current
            names += 1
        elif word in ("ARG", "ENV"):
            arguments |= {match["name"]: match["value"].strip("\"'") for match in _ASSIGNED.finditer(rest)}
        elif current is not None and word in ("EXPOSE", "USER"):
            known = _expanded(rest, arguments, path, line)
            if word == "USER":
                changed = replace(current, user=(known, line))
            else:
                changed = replace(current, exposed=(*current.exposed, *((each, line) for each in known.split())))
            key = next(key for key, each in stages.items() if each is current)
            current = stages[key] = changed
    if current is None:
        raise Unreadable("has no FROM", path, remedy="write the image, or take it out of dockerfiles")
    return current


def _expanded(text: str, arguments: dict[str, str], path: str, line: int) -> str:
    def known(match: re.Match[str]) -> str:
        if match[1] not in arguments:
            raise Unreadable(f"${match[1]} has no value here", path, line, remedy="give the ARG a default")
        return arguments[match[1]]

    return re.sub(r"\$\{?(\w+)\}?", known, text)


@dataclass(frozen=True, eq=False)
class Running:
    """A container, by an overlay, with the image that it runs."""

    dockerfile: Dockerfile
    workload: Workload
    container: Part


def running(dockerfiles: Iterable[Dockerfile], overlays: Iterable[World]) -> Iterator[Running]:
    """Raises Unreadable for an image that no container runs."""
    worlds = list(overlays)
    for dockerfile in dockerfiles:
        found = [
            Running(dockerfile, workload, container)
            for world in worlds
            for workload in world.workloads
            for container in workload.all_containers()
            if container.get("name").text() == dockerfile.container
        ]
        if not found:
            message = f"is the image of a container {dockerfile.container}, which no overlay renders"
            raise Unreadable(message, dockerfile.path, remedy="correct `dockerfiles` in [infra.consistency]")
        yield from found


class ImagePort(AnyRule["Sources", Running]):
    name = "image-port"
    summary = "The ports that an image exposes are those of the container that runs it."
    why = "The pod starts, its probes fail, and the rollout times out."
    fix = "make EXPOSE and containerPort equal to what the server listens on"
    passing = _PASSING
    failing: ClassVar[Files] = {**_PASSING, "web/Dockerfile": _DOCKERFILE.replace("8080", "8000")}

    def subjects(self, world: Sources) -> Iterable[Running]:
        return running(world.dockerfiles, world.overlays.values())

    def judge(self, subject: Running) -> Iterator[Finding]:
        image, opened = subject.dockerfile, ports(subject.container)
        exposed = dict(_exposed(image))
        for port in opened:
            if (port.number, port.protocol) not in exposed:
                line = next(iter(exposed.values()), image.start)
                message = f"does not expose {port.number}/{port.protocol}, the port of {subject.workload.label} at "
                yield self.at(image.path, line, message + port.part.where, subject.container.label)
        wanted = {(port.number, port.protocol) for port in opened}
        for (number, protocol), line in exposed.items() if len(exposed) > len(wanted) else ():
            if (number, protocol) not in wanted:
                message = f"exposes {number}/{protocol}, no port of {subject.workload.label} at "
                yield self.at(image.path, line, message + subject.container.where, subject.container.label)


def _exposed(image: Dockerfile) -> Iterator[tuple[tuple[int, str], int]]:
    for text, line in image.exposed:
        match = re.fullmatch(r"(\d+)(?:-(\d+))?(?:/(\w+))?", text)
        if not match:
            raise Unreadable(f"EXPOSE {text} is no port", image.path, line)
        for number in range(int(match[1]), int(match[2] or match[1]) + 1):
            yield (number, (match[3] or "tcp").upper()), line


class ImageUser(AnyRule["Sources", Running]):
    name = "image-user"
    summary = "An image runs as a user by number, the one that the manifest runs it as."
    why = "Kubernetes can't tell from a name that it is not root; files of one user can't be written by another."
    fix = "make USER equal to runAsUser and runAsGroup"
    passing = _PASSING
    failing: ClassVar[Files] = {**_PASSING, "web/Dockerfile": _DOCKERFILE.replace("10001:10001", "1000")}

    def subjects(self, world: Sources) -> Iterable[Running]:
        return running(world.dockerfiles, world.overlays.values())

    def judge(self, subject: Running) -> Iterator[Finding]:
        image, (user, line) = subject.dockerfile, subject.dockerfile.user
        number, _, group = user.partition(":")
        wanted = _context(subject, "runAsUser")
        where = f"{subject.workload.label} at {wanted.where}"
        if not number.isdigit() or int(number) == 0:
            said = f"USER {user}" if user else "no USER"
            message = f"{said} is not a number above 0; {where} has runAsUser {wanted.value}"
            yield self.at(image.path, line or image.start, message, subject.container.label)
        elif wanted.value is not None and wanted.expect(int) != int(number):
            message = f"USER {user}, while {where} has runAsUser {wanted.value}"
            yield self.at(image.path, line, message, subject.container.label)
        elif group.isdigit() and (other := _context(subject, "runAsGroup")).value not in (None, int(group)):
            message = f"USER {user}, while {subject.workload.label} at {other.where} has runAsGroup {other.value}"
            yield self.at(image.path, line, message, subject.container.label)


def _context(subject: Running, key: str) -> Part:
    own = subject.container.get("securityContext", key)
    return own if own.value is not None else subject.workload.pod.get("securityContext", key)
