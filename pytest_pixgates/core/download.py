"""Downloads release files that are known by their digest, and takes the program out of an archive.

Nothing appears under its final name before its digest was right, so a cut connection, a full disk or a second
process can't leave something half there that looks whole.
"""

from __future__ import annotations

import errno
import http.client
import os
import ssl
import stat
import sys
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from pytest_pixgates.core import files
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.process import mask

_CHUNK = 2**16
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_TEMPORARY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_LOCK_SECONDS = 1800


class DownloadError(PixgatesError):
    """A file could not be brought, or is not the file that was asked for."""


class _NetworkFault(Exception):  # noqa: N818 - internal: worth another attempt
    pass


def download(
    url: str,
    destination: Path,
    *,
    sha256: str,
    timeout: float = 60,
    max_bytes: int = 512 * 2**20,
    attempts: int = 4,
    backoff: float = 0.5,
) -> Path:
    """Bring `url` to `destination`, which exists afterwards only with that digest. Returns `destination`.

    `timeout` is in seconds without a byte, `backoff` in seconds before the second attempt (it doubles). Only
    network faults are tried again; what was there already is resumed. Raises DownloadError, or PixgatesError if the
    folder can't be used.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"{mask(url)}: only http and https are allowed")
    lock = destination.with_name(f".{destination.name}.lock")
    with files.locked(lock, timeout=_LOCK_SECONDS, remedy="choose a folder that can be written"):
        if not (destination.is_file() and files.sha256(destination) == sha256):
            # Named by the digest, so that the rest of another file is never appended to.
            part = destination.with_name(f".{destination.name}.{sha256[:16]}.part")
            _bring(url, part, timeout, max_bytes, attempts, backoff)
            _checked(url, part, sha256).replace(destination)
    return destination


def _bring(url: str, part: Path, timeout: float, max_bytes: int, attempts: int, backoff: float) -> None:
    for attempt in range(1, attempts + 1):
        try:
            _resume(url, part, timeout, max_bytes)
        except _NetworkFault as fault:
            if attempt == attempts:
                raise DownloadError(
                    mask(f"{url} could not be downloaded in {attempts} attempts: {fault}"),
                    remedy="check the connection and http(s)_proxy; the next run goes on where this one stopped",
                ) from None
            time.sleep(backoff * 2 ** (attempt - 1))
        except OSError as error:
            part.unlink(missing_ok=True)
            if error.errno in _FULL:
                raise DownloadError(f"no space left for {part.parent}", remedy="free some, or choose another") from None
            raise DownloadError(f"{part.parent} can't be written: {error.strerror}") from None
        else:
            return


def _resume(url: str, part: Path, timeout: float, max_bytes: int) -> None:
    start = part.stat().st_size if part.is_file() else 0
    with _open(url, start, timeout) as response:
        if not _continues(response, start):
            start = 0
        length = response.headers.get("Content-Length")
        expected = start + int(length) if length and length.isdigit() else None
        if (expected or 0) > max_bytes:
            raise DownloadError(mask(f"{url} is {expected:,} bytes; at most {max_bytes:,} are accepted"))
        with part.open("ab" if start else "wb") as file:
            size = _copy(response, file, start, expected, max_bytes)
    if size > max_bytes:
        part.unlink()
        raise DownloadError(mask(f"{url} is larger than the {max_bytes:,} bytes that are accepted"))
    if expected is not None and size < expected:
        raise _NetworkFault(f"the connection was cut after {size:,} of {expected:,} bytes")


def _continues(response: http.client.HTTPResponse, start: int) -> bool:
    """Whether the body goes on at `start`; a server without ranges sends the whole file again."""
    sent_from = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return response.status == http.client.PARTIAL_CONTENT and sent_from == str(start)


def _copy(response: http.client.HTTPResponse, file: IO[bytes], size: int, expected: int | None, max_bytes: int) -> int:
    progress = _Progress(file.name, expected)
    while chunk := _read(response):
        file.write(chunk)
        size += len(chunk)
        progress.show(size)
        if size > max_bytes:
            break
    progress.end()
    return size


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _NetworkFault(f"the connection was cut: {error}") from None


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never to another kind of address and never from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if new not in ("http", "https") or (old, new) == ("https", "http"):
            raise DownloadError(mask(f"{req.full_url} redirects to {newurl}, which is not allowed"))
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, start: int, timeout: float) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310
    try:
        response = urllib.request.build_opener(_SafeRedirects).open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return _open(url, 0, timeout)  # what we have is as long as the file, or longer: it can't be right
        if error.code in _TEMPORARY_STATUS:
            raise _NetworkFault(f"HTTP status {error.code}") from None
        raise DownloadError(mask(f"{url}: HTTP status {error.code} {error.reason}")) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise DownloadError(
                mask(f"{url}: {error.reason.verify_message}"), remedy="set SSL_CERT_FILE to your authorities"
            ) from None
        raise _NetworkFault(str(error.reason)) from None
    except (OSError, http.client.HTTPException) as error:
        raise _NetworkFault(str(error) or type(error).__name__) from None
    assert isinstance(response, http.client.HTTPResponse)
    return response


def _checked(url: str, part: Path, sha256: str) -> Path:
    actual = files.sha256(part)
    if actual == sha256:
        return part
    part.unlink()
    raise DownloadError(
        mask(f"{url} is not the expected file\n  expected sha256 {sha256}\n  downloaded      {actual}"),
        remedy="do not use it; check what stands between you and the server, then try again",
    )


class _Progress:
    """A line on the terminal; silent anywhere else."""

    def __init__(self, name: str, expected: int | None) -> None:
        self._name = Path(name).name.lstrip(".").split(".zip")[0]
        self._expected = expected
        self._on = sys.stderr.isatty()
        self._next = 0.0

    def show(self, size: int) -> None:
        if self._on and time.monotonic() >= self._next:
            self._next = time.monotonic() + 0.2
            of = f" of {self._expected / 2**20:.0f}" if self._expected else ""
            sys.stderr.write(f"\r{self._name}: {size / 2**20:.0f}{of} MiB")
            sys.stderr.flush()

    def end(self) -> None:
        if self._on:
            sys.stderr.write("\n")


def extract_member(archive: Path, member: str, destination: Path, *, max_bytes: int = 2**30) -> Path:
    """Take one program out of a zip archive to `destination`, executable. Returns `destination`.

    The archive chooses nothing: neither the path, nor the mode, nor how much is written. Raises DownloadError.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    temporary = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    try:
        with (
            zipfile.ZipFile(archive) as bundle,
            bundle.open(_only_file(bundle, member)) as source,
            temporary.open("wb") as target,
        ):
            while chunk := source.read(_CHUNK):
                target.write(chunk)
                if target.tell() > max_bytes:
                    raise DownloadError(f"{member} in {archive.name} is larger than {max_bytes:,} bytes")
        temporary.chmod(0o755)
        temporary.replace(destination)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DownloadError(f"{archive.name} can't be read as a zip archive: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return destination


def _only_file(bundle: zipfile.ZipFile, member: str) -> zipfile.ZipInfo:
    found = [info for info in bundle.infolist() if info.filename == member]
    # Two entries of one name are a way to show one to a checker and another to the user.
    if len(found) != 1 or found[0].is_dir() or stat.S_ISLNK(found[0].external_attr >> 16):
        raise DownloadError(f"{Path(bundle.filename or '').name} does not hold exactly one plain file {member!r}")
    return found[0]
