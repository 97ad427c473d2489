"""What goes out, by name and digest: a file or folder as it is now, a digest that something else took, a commit."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pytest_pixgates.core import files
from pytest_pixgates.core.errors import NotMeasured, UsageError

SOURCE = "source"
"""The name under which all evidence holds the repository's tree."""
SHA256 = re.compile(r"[0-9a-f]{64}")
_FORM = "write NAME=PATH, NAME=sha256:HEX or NAME=git:REVISION"


def asked(texts: list[str], root: Path) -> dict[str, str]:
    """Name and sha256 of each of `texts`, such as "model=build/model.onnx"; commits are those of `root`.

    Raises UsageError.
    """
    found = dict[str, str]()
    for text in texts:
        name, _, what = text.partition("=")
        if not name.strip() or not what.strip():
            raise UsageError(f"--subject {text!r}: not a name and what it is", remedy=_FORM)
        digest = _digest(what, root)
        if found.setdefault(name, digest) != digest:
            raise UsageError(f"--subject {name}: asked for twice, with different digests", remedy="ask once")
    return found


def digest(text: str) -> str:
    """The hexadecimal digest in "sha256:HEX". Raises UsageError."""
    kind, _, found = text.partition(":")
    if kind != "sha256" or not SHA256.fullmatch(found):
        raise UsageError(f"{text!r} is not sha256: and 64 small hexadecimal digits", remedy="copy the whole digest")
    return found


def tree(root: Path, revision: str) -> str:
    """The sha256 of git's own list of all that `revision` holds: mode, object and path. Raises NotMeasured.

    Each file is in it by git's digest of it, so it binds the files as firmly as the repository itself does.
    """
    from pytest_pixgates.core import git

    commit = git.commit(root, revision, "name a commit that is here, or fetch it")
    listed = git.call(root, "ls-tree", "-r", "-z", "--full-tree", commit)
    if listed.returncode:
        raise NotMeasured(f"git can't list {commit[:12]}: {listed.tail(1)}", remedy="mend the repository")
    return hashlib.sha256(listed.stdout.encode(errors="surrogateescape")).hexdigest()


def _digest(what: str, root: Path) -> str:
    if what.startswith("sha256:"):
        return digest(what)
    if what.startswith("git:"):
        try:
            return tree(root, what.removeprefix("git:"))
        except NotMeasured as error:
            raise UsageError(error.message, remedy=error.remedy) from None
    try:
        return files.tree_sha256(Path(what))
    except FileNotFoundError:
        raise UsageError(f"--subject: there is no {what}", remedy=_FORM) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"--subject: {what} can't be read: {error}", remedy="make it readable") from None
