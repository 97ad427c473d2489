"""A downloaded file is the expected one or is not there; a network that misbehaves costs time, never trust."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pytest_pixgates.core.download import DownloadError, download, extract_member

CONTENT = os.urandom(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class FileServer:
    """A server whose misbehaviour is set by a test. `asked` holds the Range header of each request."""

    content: bytes = CONTENT
    ranges: bool = True
    cut_after: list[int] = field(default_factory=list)
    """For each coming request: how many bytes of the body to send before cutting the connection."""
    statuses: list[int] = field(default_factory=list)
    redirect: str = ""
    say_length: bool = True
    asked: list[str | None] = field(default_factory=list)
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        if self.redirect and request.path == "/file":
            self._head(request, 302, {"Location": self.redirect, "Content-Length": "0"})
        elif self.statuses:
            self._head(request, self.statuses.pop(0), {"Content-Length": "0"})
        else:
            self._send(request, wanted)

    def _send(self, request: BaseHTTPRequestHandler, wanted: str | None) -> None:
        start = int(re.findall(r"\d+", wanted)[0]) if wanted and self.ranges else 0
        if start >= len(self.content):
            self._head(request, 416, {"Content-Length": "0"})
            return
        body = self.content[start:]
        headers = {"Content-Length": str(len(body))} if self.say_length else {}
        if wanted and self.ranges:
            headers["Content-Range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        self._head(request, 206 if wanted and self.ranges else 200, headers)
        request.wfile.write(body[: self.cut_after.pop(0)] if self.cut_after else body)
        request.close_connection = True

    @staticmethod
    def _head(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()


@pytest.fixture
def server(monkeypatch) -> Iterator[FileServer]:
    files = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            files.answer(self)

        def log_message(self, *args):
            pass

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        files.url = f"http://127.0.0.1:{http.server_port}/file"
        yield files
        http.shutdown()
        thread.join()


def bring(server: FileServer, destination: Path, **changes) -> Path:
    return download(server.url, destination, **{"sha256": DIGEST, "timeout": 20, "backoff": 0, **changes})


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def part_of(destination: Path, sha256: str = DIGEST) -> Path:
    return destination.with_name(f".{destination.name}.{sha256[:16]}.part")


def test_a_file_arrives_whole_under_its_name_and_nothing_else_stays(server, tmp_path):
    assert bring(server, tmp_path / "new/tool.zip").read_bytes() == CONTENT
    assert leftovers(tmp_path / "new") == ["tool.zip"]


def test_a_file_that_is_there_already_is_not_asked_for(server, tmp_path):
    (tmp_path / "tool.zip").write_bytes(CONTENT)
    bring(server, tmp_path / "tool.zip")
    assert server.asked == []


def test_another_file_of_that_name_is_replaced(server, tmp_path):
    (tmp_path / "tool.zip").write_bytes(b"older")
    assert bring(server, tmp_path / "tool.zip").read_bytes() == CONTENT


def test_a_connection_that_is_cut_halfway_is_resumed_where_it_stopped(server, tmp_path):
    server.cut_after = [100_000, 50_000]
    assert bring(server, tmp_path / "tool.zip").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_a_later_run_goes_on_where_an_earlier_one_stopped(server, tmp_path):
    server.cut_after = [100_000]
    with pytest.raises(DownloadError, match=r"cut after 100,000 of 300,000 bytes"):
        bring(server, tmp_path / "tool.zip", attempts=1)
    assert not (tmp_path / "tool.zip").exists()
    assert bring(server, tmp_path / "tool.zip").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_a_server_without_ranges_is_asked_again_from_the_start(server, tmp_path):
    server.ranges = False
    server.cut_after = [100_000]
    assert bring(server, tmp_path / "tool.zip").read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_part_longer_than_the_file_is_dropped(server, tmp_path):
    part_of(tmp_path / "tool.zip").write_bytes(CONTENT + b"more")
    assert bring(server, tmp_path / "tool.zip").read_bytes() == CONTENT


def test_the_part_of_another_version_is_not_continued(server, tmp_path):
    part_of(tmp_path / "tool.zip", "0" * 64).write_bytes(b"other")
    assert bring(server, tmp_path / "tool.zip").read_bytes() == CONTENT
    assert server.asked == [None]


def test_a_wrong_checksum_is_said_with_both_and_not_tried_again(server, tmp_path):
    server.content = b"something else"
    actual = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(DownloadError, match=rf"(?s){DIGEST}.*{actual}"):
        bring(server, tmp_path / "tool.zip")
    assert len(server.asked) == 1
    assert leftovers(tmp_path) == []


def test_a_body_without_length_that_was_cut_does_not_pass_the_checksum(server, tmp_path):
    server.say_length = False
    server.cut_after = [1000]
    with pytest.raises(DownloadError, match="is not the expected file"):
        bring(server, tmp_path / "tool.zip")
    assert leftovers(tmp_path) == []


def test_not_found_is_said_at_once(server, tmp_path):
    server.statuses = [404]
    with pytest.raises(DownloadError, match="HTTP status 404"):
        bring(server, tmp_path / "tool.zip")
    assert len(server.asked) == 1


def test_a_busy_server_is_asked_again_but_not_for_ever(server, tmp_path):
    server.statuses = [503, 429, 500]
    assert bring(server, tmp_path / "tool.zip").read_bytes() == CONTENT
    server.statuses = [503] * 9
    with pytest.raises(DownloadError, match="in 3 attempts: HTTP status 503"):
        bring(server, tmp_path / "other.zip", attempts=3)


def test_a_server_that_is_not_there_is_named(tmp_path, server):
    with pytest.raises(DownloadError, match=r"http://127\.0\.0\.1:1/x could not be downloaded in 2 attempts"):
        download("http://127.0.0.1:1/x", tmp_path / "x", sha256=DIGEST, attempts=2, backoff=0)


def test_a_server_that_falls_silent_ends_in_a_timeout(tmp_path, monkeypatch):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        with pytest.raises(DownloadError, match="timed out"):
            download(url, tmp_path / "x", sha256=DIGEST, timeout=0.2, attempts=1)


def test_redirects_are_followed(server, tmp_path):
    server.redirect = server.url + "/moved"
    assert bring(server, tmp_path / "tool.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_redirects_to_another_kind_of_address_are_refused(server, tmp_path, target):
    server.redirect = target
    with pytest.raises(DownloadError, match=r"redirects to .*not allowed|HTTP status 302"):
        bring(server, tmp_path / "tool.zip")
    assert leftovers(tmp_path) == []


def test_a_redirect_from_https_to_http_is_refused():
    import urllib.request

    from pytest_pixgates.core.download import _SafeRedirects

    request = urllib.request.Request("https://example.test/a")
    with pytest.raises(DownloadError, match="not allowed"):
        _SafeRedirects().redirect_request(request, None, 302, "Found", {}, "http://example.test/a")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.test/x", "tool.zip"])
def test_only_http_and_https_are_downloaded(tmp_path, url):
    with pytest.raises(DownloadError, match="only http and https"):
        download(url, tmp_path / "x", sha256=DIGEST)


@pytest.mark.parametrize("say_length", [True, False])
def test_a_file_larger_than_allowed_is_refused(server, tmp_path, say_length):
    server.say_length = say_length
    with pytest.raises(DownloadError, match="200,000"):
        bring(server, tmp_path / "tool.zip", max_bytes=200_000)
    assert leftovers(tmp_path) == []


def test_a_full_disk_is_said_and_leaves_no_file(server, tmp_path):
    part_of(tmp_path / "tool.zip").symlink_to("/dev/full")  # every write to it: no space left on device
    with pytest.raises(DownloadError, match="no space left"):
        bring(server, tmp_path / "tool.zip")
    assert leftovers(tmp_path) == []


DOWNLOAD_WITH_SMALL_FILES_ONLY = f"""
import resource, signal, sys
from pathlib import Path
from pytest_pixgates.core.download import download
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
download(sys.argv[1], Path(sys.argv[2]), sha256="{DIGEST}")
"""


def test_a_limit_on_the_size_of_files_is_a_full_disk_too(server, tmp_path):
    argv = [sys.executable, "-c", DOWNLOAD_WITH_SMALL_FILES_ONLY, server.url, str(tmp_path / "tool.zip")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert "no space left" in done.stderr
    assert leftovers(tmp_path) == []


def test_a_password_in_the_address_is_not_shown(server, tmp_path):
    url = server.url.replace("127.0.0.1", "user:hunter2@127.0.0.1")
    with pytest.raises(DownloadError) as caught:
        download(url, tmp_path / "x", sha256="0" * 64, attempts=1)
    assert "hunter2" not in str(caught.value)


def test_two_at_once_download_it_once(server, tmp_path):
    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: results.append(bring(server, tmp_path / "tool.zip").read_bytes()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [CONTENT] * 4
    assert len(server.asked) == 1


# ---- archives


def archive(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in members:
            bundle.writestr(name, data)
    return path


def test_the_member_becomes_an_executable_file(tmp_path):
    bundle = archive(tmp_path / "a.zip", ("LICENSE", b"text"), ("tool", b"program"))
    tool = extract_member(bundle, "tool", tmp_path / "bin/tool")
    assert tool.read_bytes() == b"program"
    assert stat.S_IMODE(tool.stat().st_mode) == 0o755
    assert leftovers(tmp_path / "bin") == ["tool"]


def test_names_that_climb_out_of_the_folder_write_nothing(tmp_path):
    bundle = archive(tmp_path / "a.zip", ("../../evil", b"x"), ("/tmp/evil", b"x"), ("tool", b"program"))
    extract_member(bundle, "tool", tmp_path / "deep/bin/tool")
    files = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(files) == ["a.zip", "deep/bin/tool"]


def test_only_the_exact_name_counts(tmp_path):
    with pytest.raises(DownloadError, match="exactly one plain file 'tool'"):
        extract_member(archive(tmp_path / "a.zip", ("../tool", b"x")), "tool", tmp_path / "bin/tool")
    assert not (tmp_path / "bin/tool").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path):
    bundle = archive(tmp_path / "a.zip", ("tool", b"checked"), ("tool", b"used"))
    with pytest.raises(DownloadError, match="exactly one"):
        extract_member(bundle, "tool", tmp_path / "tool")


def test_a_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("tool")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(DownloadError, match="plain file"):
        extract_member(archive(tmp_path / "a.zip", (link, b"/etc/passwd")), "tool", tmp_path / "tool")


def test_a_member_that_grows_beyond_the_limit_is_refused(tmp_path):
    bundle = archive(tmp_path / "a.zip", ("tool", bytes(10_000_000)))
    with pytest.raises(DownloadError, match="larger than 1,000,000"):
        extract_member(bundle, "tool", tmp_path / "tool", max_bytes=1_000_000)
    assert leftovers(tmp_path) == ["a.zip"]


@pytest.mark.parametrize("damage", ["not a zip", "cut", "flipped"])
def test_a_damaged_archive_is_said_to_be_so(tmp_path, damage):
    bundle = archive(tmp_path / "a.zip", ("tool", os.urandom(5000)))
    data = bytearray(bundle.read_bytes())
    data[2000] ^= 0xFF
    bundle.write_bytes({"not a zip": b"<html>", "cut": bytes(data[:3000]), "flipped": bytes(data)}[damage])
    with pytest.raises(DownloadError, match=r"a\.zip can't be read as a zip archive"):
        extract_member(bundle, "tool", tmp_path / "tool")
    assert leftovers(tmp_path) == ["a.zip"]
