"""The service under load: started, waited for, ended; and whether load may be sent there at all."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pytest_pixgates.core import process, quantity
from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.latency.policy import Service


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go. `addresses` are all that its name stands for."""

    url: str
    host: str
    port: int
    tls: bool
    addresses: tuple[str, ...]

    @property
    def authority(self) -> str:
        return urlsplit(self.url).netloc


def target(url: str, allowed: Sequence[str]) -> Target:
    """The target at `url`. Raises NotMeasured unless it is this machine, or its host is one of `allowed`."""
    parts = urlsplit(url)
    host, tls = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotMeasured(f"{host} has no address: {error}", remedy="correct `url` in [latency]") from None
    addresses = tuple(sorted({str(each[4][0]) for each in found}))
    strangers = [each for each in addresses if not ipaddress.ip_address(each.partition("%")[0]).is_loopback]
    if strangers and host not in allowed:
        raise NotMeasured(
            f"{host} ({strangers[0]}) is not this machine, and load on somebody else's is an attack",
            remedy=f'if it is yours: allowed_targets = ["{host}"] in [latency]',
        )
    return Target(url, host, port, tls, addresses)


@contextlib.contextmanager
def running(service: Service, root: Path, log: Path, allowed: Sequence[str] = ()) -> Iterator[Target]:
    """Start the service if the policy says how, wait until it is ready, and end it afterwards.

    `log` gets what it prints. Raises NotMeasured, also if another one is where it should be or if it ends before.
    """
    port = str(free_port()) if service.start else ""
    place = target(service.url.replace("{port}", port).rstrip("/"), allowed)
    if service.start and "{port}" not in service.url and _taken(place):
        raise NotMeasured(
            f"something answers at {place.url} before the service is started, and would be judged in its place",
            remedy='end it, or start the service at a free port: url = "http://127.0.0.1:{port}" in [latency]',
        )
    with contextlib.ExitStack() as stack:
        started = None
        if service.start:
            words = {"{port}": port, "{python}": sys.executable}
            command = [_filled(each, words) for each in service.start]
            started = stack.enter_context(process.background(command, cwd=root, log=log, env=dict(service.environment)))
        _wait(service, place, started, log)
        yield place
        _refuse_ended(service, started, log, "under load, so nothing says who answered")


def _filled(text: str, words: dict[str, str]) -> str:
    for name, value in words.items():
        text = text.replace(name, value)
    return text


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _taken(place: Target) -> bool:
    try:
        socket.create_connection((place.host, place.port), timeout=1).close()
    except OSError:
        return False
    return True


def _refuse_ended(service: Service, started: process.Background | None, log: Path, when: str) -> None:
    """Raises NotMeasured with what it said if the service was started and has ended."""
    if started is None or (code := started.ended()) is None:
        return
    said = process.mask(log.read_text(errors="replace")[-2000:].strip())
    told = f"{service.start[0]} ended with {code} {when}"
    raise NotMeasured(told + (f"; it last said:\n{said}" if said else ""), remedy="mend `start` in [latency]")


def _wait(service: Service, place: Target, started: process.Background | None, log: Path) -> None:
    within = quantity.seconds(service.ready_within)
    until, why = time.monotonic() + within, ""
    while time.monotonic() < until:
        _refuse_ended(service, started, log, "before it was ready")
        try:
            why = _not_ready(service, place)
        except (OSError, http.client.HTTPException) as error:
            why = str(error) or type(error).__name__
        if not why:
            return
        time.sleep(0.05)
    remedy = "start it" if started is None else "see what it does, or raise `ready_within` in [latency]"
    raise NotMeasured(f"{place.url}{service.ready} was not ready within {within:g} s: {why}", remedy=remedy)


def _not_ready(service: Service, place: Target) -> str:
    """Why the service is not ready, or "". Raises OSError, HTTPException."""
    if not service.ready:
        with socket.create_connection((place.host, place.port), timeout=1):
            return ""
    if place.tls:
        context = ssl.create_default_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            place.host, place.port, timeout=2, context=context
        )
    else:
        connection = http.client.HTTPConnection(place.host, place.port, timeout=2)
    with contextlib.closing(connection):
        connection.request("GET", service.ready)
        status = connection.getresponse().status
    return "" if 200 <= status < 300 else f"it answers {status}"
