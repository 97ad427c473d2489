"""The proxy that stands before a service: it makes requests wait, drops them, and ends what it started."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

SERVICE = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.answer()
    def do_POST(self): self.rfile.read(int(self.headers["content-length"])); self.answer()
    def answer(self): self.send_response(200); self.send_header("content-length", "2"); self.end_headers(); self.wfile.write(b"ok")
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""  # noqa: E501


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextlib.contextmanager
def running(*faults: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = free_port()
    command = [sys.executable, "-m", "pytest_pixgates.prove.faults", *faults, "--port", str(port), "--"]
    process = subprocess.Popen([*command, sys.executable, "-c", SERVICE, str(port)])
    try:
        while process.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if ask(port, "GET") == 200:
                    break
        yield port, process
    finally:
        process.terminate()
        process.wait(30)


def ask(port: int, method: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, "/", body=b"{}" if method == "POST" else None)
        return connection.getresponse().status
    finally:
        connection.close()


def test_it_passes_requests_on_and_makes_them_wait() -> None:
    with running("--delay", "0.3") as (port, _):
        began = time.monotonic()
        assert ask(port, "GET") == 200
        assert time.monotonic() - began >= 0.3


def test_it_drops_what_is_sent_and_lets_probes_through() -> None:
    with running("--drop", "1") as (port, _):
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(port, "POST")
        assert ask(port, "GET") == 200


def test_it_ends_with_what_it_started_and_says_how_that_ended() -> None:
    command = [sys.executable, "-m", "pytest_pixgates.prove.faults", "--port", str(free_port()), "--"]
    ended = subprocess.run([*command, sys.executable, "-c", "exit(7)"], timeout=60, check=False)
    assert ended.returncode == 7


def test_what_it_started_ends_with_it() -> None:
    with running() as (port, process):
        process.terminate()
        process.wait(30)
        with pytest.raises(OSError, match="refused"):
            ask(port, "GET")
