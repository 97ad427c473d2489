"""Where account state is kept: in this process with a snapshot file, or in Redis or Valkey for several processes.

A store maps keys to bytes and knows nothing of their meaning. Every value begins with eight bytes that count its
changes, by which a write finds out that another process was quicker.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import struct
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

SNAPSHOT = "accounts.snapshot"
MEMORY = 256 << 20  # bytes of histories that a process keeps; a container has 512 MiB
ANSWERS = 100_000  # given last, which a process knows again
DAY = 86_400
EXPIRES = {b"e": DAY, b"a": None}  # seconds in Redis: answers and reference data
HISTORY_EXPIRES = 180 * DAY
_MAGIC = b"pixgates state 1\n"
_ENTRY = struct.Struct("<HI")
_AT_ONCE = 500  # entries between two looks at what else there is to do


class Unreachable(Exception):  # noqa: N818 - said of a store
    """The store did not answer."""


class Store(Protocol):
    """What the scorer asks of a store. Raises Unreachable."""

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key, or None."""

    async def write(self, values: Mapping[bytes, bytes], known: Mapping[bytes, bytes | None]) -> bool:
        """Write all values, or none and return False if one was changed since it was `known`."""

    async def check(self) -> None:
        """Whether it can be reached."""

    async def save(self) -> None:
        """Keep what is in memory only."""

    async def close(self) -> None:
        """Let go of connections."""


class Memory:
    """State in this process. The histories that were written longest ago are forgotten beyond `limit` bytes."""

    def __init__(self, folder: Path, key: bytes, limit: int = MEMORY) -> None:
        """State as in the snapshot in `folder`, if there is one.

        `broken` names a snapshot that could not be read, and was set aside. Raises ValueError if it was made with
        another key.
        """
        self.path, self.limit, self.size, self.forgotten = folder / SNAPSHOT, limit, 0, 0
        self._stamp = hmac.digest(key, b"snapshot", "sha256")
        self.histories: dict[bytes, bytes] = {}
        self.accounts: dict[bytes, bytes] = {}
        self.answers: dict[bytes, bytes] = {}
        self._kinds = {ord("a"): self.accounts, ord("e"): self.answers}  # the others are histories
        self.broken = self._restore()

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self._kind(key).get(key) for key in keys]

    async def write(self, values: Mapping[bytes, bytes], known: Mapping[bytes, bytes | None]) -> bool:
        if any(self._kind(key).get(key) is not known.get(key) for key in values):
            return False
        for key, value in values.items():
            self.put(key, value)
        return True

    def put(self, key: bytes, value: bytes) -> None:
        kind = self._kind(key)
        old = kind.pop(key, b"")  # so that it becomes the newest
        kind[key] = value
        if kind is self.histories:
            self.size += len(value) - len(old)
            while self.size > self.limit:
                self.size -= len(kind.pop(next(iter(kind))))
                self.forgotten += 1
        elif kind is self.answers and len(kind) > ANSWERS:
            del kind[next(iter(kind))]

    def _kind(self, key: bytes) -> dict[bytes, bytes]:
        return self._kinds.get(key[0], self.histories)

    async def check(self) -> None:
        """It is always there."""

    async def save(self) -> None:
        """Write the snapshot, which appears whole or not at all; others get their turn meanwhile. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                whole = hashlib.sha256()
                for data in self._chunks():
                    whole.update(data)
                    file.write(data)
                    await asyncio.sleep(0)
                file.write(whole.digest())
                file.flush()
                await asyncio.get_running_loop().run_in_executor(None, os.fsync, file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _chunks(self) -> Iterator[bytes]:
        """The snapshot without its digest, as all was when it was begun."""
        entries = [*self.accounts.items(), *self.histories.items(), *self.answers.items()]
        yield _MAGIC + self._stamp
        for start in range(0, len(entries), _AT_ONCE):
            some = entries[start : start + _AT_ONCE]
            yield b"".join(_ENTRY.pack(len(key), len(value)) + key + value for key, value in some)

    def _restore(self) -> Path | None:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        begin, end = len(_MAGIC) + 32, len(data) - 32
        if end < begin or not data.startswith(_MAGIC) or hashlib.sha256(data[:end]).digest() != data[end:]:
            aside = self.path.with_suffix(".broken")
            self.path.replace(aside)
            return aside
        if not hmac.compare_digest(data[len(_MAGIC) : begin], self._stamp):
            raise ValueError(f"{self.path} was made with another hash key; give that key, or name another state folder")
        while begin < end:
            of_key, of_value = _ENTRY.unpack_from(data, begin)
            middle = begin + _ENTRY.size + of_key
            key = data[begin + _ENTRY.size : middle]
            begin = middle + of_value
            self._kinds.get(key[0], self.histories)[key] = data[middle:begin]
        self.size = sum(map(len, self.histories.values()))
        return None

    async def close(self) -> None:
        """There is nothing to let go of."""


# Sets all keys with their expiry, unless a first eight bytes are others than those known.
_WRITE = """
for place, key in ipairs(KEYS) do
  local now = redis.call('GETRANGE', key, 0, 7)
  if now ~= ARGV[3 * place - 2] then return 0 end
end
for place, key in ipairs(KEYS) do
  if ARGV[3 * place] == '0' then redis.call('SET', key, ARGV[3 * place - 1])
  else redis.call('SET', key, ARGV[3 * place - 1], 'EX', ARGV[3 * place]) end
end
return 1
"""


class Redis:
    """State in a server of Redis or Valkey (not in a cluster: a payment's keys must be in one place)."""

    TIMEOUT = 0.1  # seconds; a payment waits
    REST = 1.0  # seconds without asking a server that did not answer

    def __init__(self, url: str, prefix: bytes = b"pixgates:") -> None:
        """Raises ValueError for a URL that is none of Redis."""
        from redis.asyncio import Redis as Client
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        for name in ("valkey", "valkeys"):
            url = url.replace(f"{name}://", f"redis{name[6:]}://", 1) if url.startswith(f"{name}://") else url
        timeouts = {"socket_timeout": self.TIMEOUT, "socket_connect_timeout": self.TIMEOUT}
        self._client: Any = Client.from_url(url, **timeouts, retry=Retry(NoBackoff(), 0))
        self._write = self._client.register_script(_WRITE)
        self._prefix, self._rests_until = prefix, 0.0

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        found: list[bytes | None] = await self._asked(self._client.mget, [self._prefix + key for key in keys])
        return found

    async def write(self, values: Mapping[bytes, bytes], known: Mapping[bytes, bytes | None]) -> bool:
        arguments: list[bytes | int] = []
        for key, value in values.items():
            arguments += [(known.get(key) or b"")[:8], value, EXPIRES.get(key[:1], HISTORY_EXPIRES) or 0]
        return bool(await self._asked(self._write, [self._prefix + key for key in values], arguments))

    async def put_all(self, values: Mapping[bytes, bytes]) -> None:
        """Write values whatever was there. Raises Unreachable."""
        pipe = self._client.pipeline(transaction=False)
        for key, value in values.items():
            pipe.set(self._prefix + key, value, ex=EXPIRES.get(key[:1], HISTORY_EXPIRES))
        await self._asked(pipe.execute)

    async def check(self) -> None:
        await self._asked(self._client.ping)

    async def _asked(self, ask: Any, *arguments: Any) -> Any:
        from redis.exceptions import RedisError

        if time.monotonic() < self._rests_until:
            raise Unreachable("it did not answer a moment ago")
        try:
            return await ask(*arguments)
        except (TimeoutError, RedisError, OSError) as error:
            self._rests_until = time.monotonic() + self.REST
            raise Unreachable(type(error).__name__) from None

    async def save(self) -> None:
        """The server keeps what it has."""

    async def close(self) -> None:
        await self._client.aclose()
