"""Private keys, from where they are kept, and the little of Ed25519 that evidence needs.

Nothing here puts a key, or what held it, into a text: not into an error, not into a repr. `cryptography` is imported
when a key is first used, for it comes with the extra `evidence`.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_pixgates.core import files
from pytest_pixgates.core.errors import EXTRA, PixgatesError, UsageError
from pytest_pixgates.core.trust import encoded

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_MOST_BYTES = 16 * 2**10
_COMMAND_SECONDS = 60.0
_DER_OF_A_KEY = re.compile(r"M[A-Z][A-Za-z0-9+/]CAQAw|M[A-Z][A-Za-z0-9+/]CAQEw")  # how base64 of any PKCS #8 begins


class PrivateKey:
    """A key that signs. Only what is public of it can be seen."""

    __slots__ = ("_key", "public")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    @property
    def id(self) -> str:
        return hashlib.sha256(self.public).hexdigest()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)

    def pem(self) -> str:
        """The key itself, for the file that keeps it."""
        from cryptography.hazmat.primitives import serialization

        kind, no_password = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self._key.private_bytes(serialization.Encoding.PEM, kind, no_password).decode()

    def __repr__(self) -> str:
        return f"<PrivateKey of {encoded(self.public)}>"

    def __reduce__(self) -> Any:
        raise TypeError("a private key is not written anywhere")


def generate() -> PrivateKey:
    """A new key. Raises PixgatesError without the library."""
    return PrivateKey(_ed25519().Ed25519PrivateKey.generate())


def verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is of `message` by the key of which `public` is the public part."""
    ed25519 = _ed25519()
    from cryptography.exceptions import InvalidSignature

    try:
        ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def from_file(path: Path) -> PrivateKey:
    """The key in the file at `path`, which nobody else may read. Raises PixgatesError."""
    try:
        with files.regular(path) as (file, status):
            if problem := _not_private(status):
                raise UsageError(f"{_shown(path)} {problem[0]}", remedy=problem[1])
            content = file.read(_MOST_BYTES)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "that is no path"
        raise UsageError(f"{_shown(path)}: no key ({why})", remedy="name the file of the private key") from None
    return _parse(content, _shown(path))


def _not_private(status: os.stat_result) -> tuple[str, str] | None:
    """Why such a file keeps no key, and what to do."""
    if status.st_mode & 0o077:
        return "can be read by others", "chmod 600, and make a new key if others may have read it"
    if status.st_uid not in (os.geteuid(), 0):
        return "belongs to another user", "use a key of your own"
    if status.st_size > _MOST_BYTES:
        return "is too large for a key", "name the file of the private key"
    return None


def from_environment(name: str) -> PrivateKey:
    """The key in the variable `name`, which is then taken away from whatever starts later. Raises PixgatesError."""
    content = os.environ.pop(name, "")
    if not content.strip():
        raise UsageError(
            f"the variable {_shown(name)} holds no key", remedy="give the secret to this step of the pipeline"
        )
    return _parse(content.encode(errors="replace"), f"the variable {name}")


def from_command(command: str) -> PrivateKey:
    """The key that `command` prints, such as one that asks a vault or decrypts with a KMS. Raises PixgatesError.

    It gets this whole environment, for its own credentials are there; of what it says nothing is shown.
    """
    from pytest_pixgates.core import process

    try:
        argv = shlex.split(command)
    except ValueError:
        argv = []
    if not argv:
        raise UsageError("the command for the key is no command", remedy="write it as in a shell, without pipes")
    failed = ""
    try:
        done = process.run(argv, cwd=Path.cwd(), timeout=_COMMAND_SECONDS, env=os.environ, max_output=_MOST_BYTES)
        failed = f"ended with exit code {done.returncode}" if done.returncode else ""
    except PixgatesError as error:
        failed = f"did not end well ({type(error).__name__})"  # its text may quote what the command printed
    if failed:
        raise PixgatesError(f"{_shown(argv[0])}, asked for the key, {failed}", remedy="run it by hand to see why")
    return _parse(done.stdout.encode(errors="replace"), f"what {_shown(argv[0])} printed")


def _parse(content: bytes, where: str) -> PrivateKey:
    """The key in `content`: PEM, or on one line what stands between a PEM's first and last."""
    ed25519 = _ed25519()
    from cryptography.hazmat.primitives import serialization

    key: object = None
    try:
        if b"-----BEGIN" in content:
            key = serialization.load_pem_private_key(content, password=None)
        else:
            key = serialization.load_der_private_key(base64.b64decode(content.strip(), validate=True), password=None)
    except Exception:  # noqa: S110 - whatever it says, it may quote the key
        pass
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise UsageError(
            f"{where}: not an Ed25519 private key, in PEM and without a password",
            remedy="make one with `pixgates keygen`",
        )
    return PrivateKey(key)


def _shown(named: object) -> str:
    """What a key was said to be in, unless somebody gave the key itself."""
    text = str(named)
    key = "PRIVATE KEY" in text or "\n" in text or _DER_OF_A_KEY.search(text)
    return "what was named" if key else text


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        problem = "evidence needs the library `cryptography`, which is not installed"
        raise PixgatesError(problem, remedy=EXTRA.format("evidence")) from None
    return ed25519
