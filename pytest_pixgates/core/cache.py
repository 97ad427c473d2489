"""Answers kept between runs, each under its whole question: found again only if it is complete and was written here.

What a question must hold (tools, settings, environment) and whether the inputs are still the same is for whoever asks
to say; this only makes sure that an entry is what this user once put there, and not cut short, moved or restored from
another machine.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import hmac
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from pytest_pixgates.core import files, tools

UNUSED_DAYS = 30
"""After so long an entry that nobody asked for goes."""


class Cache:
    """Answers (plain JSON data) in `folder`, sealed with `key`. One with anything wrong is as if never written."""

    def __init__(self, folder: Path, key: bytes) -> None:
        self._folder, self._key = folder, key

    def get(self, question: object) -> Any:
        """The answer to `question`, None if there is none."""
        path, digest = self._place(question)
        try:
            entry = json.loads(path.read_bytes())
            if hmac.compare_digest(str(entry["mac"]), self._mac(digest, entry["answer"])):
                os.utime(path)
                return entry["answer"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass
        return None

    def put(self, question: object, answer: Any) -> None:
        """Keep `answer`. A folder that can't be written keeps nothing: the next run measures again."""
        path, digest = self._place(question)
        with contextlib.suppress(OSError):
            files.write_atomically(path, json.dumps({"mac": self._mac(digest, answer), "answer": answer}))

    def forget_unused(self, now: float | None = None) -> None:
        """Remove what nobody asked for in UNUSED_DAYS before `now` (seconds since the epoch)."""
        before = (time.time() if now is None else now) - UNUSED_DAYS * 86400
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < before:
                    path.unlink()

    def _place(self, question: object) -> tuple[Path, str]:
        digest = hashlib.sha256(_canonical(question)).hexdigest()
        return self._folder / f"{digest}.json", digest

    def _mac(self, digest: str, answer: Any) -> str:
        return hmac.new(self._key, digest.encode() + b"\0" + _canonical(answer), "sha256").hexdigest()


def between_runs(family: str) -> Cache | None:
    """This user's answers of the family's earlier runs; None where they can't be kept."""
    from platformdirs import user_data_path

    try:  # the key is never where a pipeline would keep a cache
        cache = Cache(tools.cache_directory() / family, own_key(user_data_path("pixgates")))
    except OSError:
        return None
    cache.forget_unused()
    return cache


@functools.cache
def code(*distributions: str) -> str:
    """The digest of this package's code, and the versions of those `distributions` that are installed."""
    import importlib.metadata

    installed = [name for name in distributions if any(importlib.metadata.distributions(name=name))]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in installed]
    return ", ".join([files.tree_sha256(Path(__file__).parents[1]), *versions])


def own_key(folder: Path) -> bytes:
    """This user's key, made when first asked for; it lies apart from the entries. Raises OSError."""
    path = folder / "cache.key"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".cache.key.{os.getpid()}.{secrets.token_hex(4)}"
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(32))
            os.link(temporary, path)  # unlike a rename it never replaces the key of another process
        finally:
            temporary.unlink()
    if (status := path.stat()).st_uid != os.getuid() or status.st_mode & 0o077 or status.st_size != 32:
        raise PermissionError(f"{path} is not a key that only its user can read: remove it")
    return path.read_bytes()


def _canonical(data: object) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode("utf-8", errors="surrogatepass")
