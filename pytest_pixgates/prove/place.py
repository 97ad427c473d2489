"""Copies of the repository to put defects into, put back after each, and looked at whether they really are.

A file counts as untouched as long as its size, inode and times are; whatever else is there goes or comes back from
`master`, a copy that nothing runs in, and must then have its digest.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pytest_pixgates.core import files, git, policy
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.prove.operations import NotApplied

# Made by tools, and never judged: neither copied nor looked at.
_LEFT = frozenset(
    {"__pycache__", ".terraform", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".tox", "node_modules"}
)
_NOT_COPIED = _LEFT | {".git", ".pixgates"}

State = tuple[int, ...]


class Copy:
    """A copy at `root` of `master`, which knows how each of its files was."""

    def __init__(self, master: Master, root: Path) -> None:
        self.root, self._master = root, master
        shutil.copytree(master.root, root, symlinks=True)
        self._states = _states(root)

    def changed(self) -> dict[str, tuple[str, str]]:
        """The files that are not as they were: their digests in the master and now, "" where there is none."""
        now = _states(self.root)
        odd = [name for name in {*self._states, *now} if self._states.get(name) != now.get(name)]
        digests = {name: (self._master.digest(name), _digest(self.root / name)) for name in sorted(odd)}
        return {name: pair for name, pair in digests.items() if pair[0] != pair[1]}

    def restore(self) -> None:
        """Make it what it was. Raises PixgatesError if it is not, then."""
        now = _states(self.root)
        for name in sorted({*self._states, *now}):
            if self._states.get(name) != now.get(name):
                _put_back(self._master.root / name, self.root / name)
        for folder in _empty_folders(self.root):
            if not (self._master.root / folder).is_dir():
                (self.root / folder).rmdir()
        again = _states(self.root)
        wrong = [name for name in {*self._states, *again} if not self._same(name, again)]
        if wrong:
            raise PixgatesError(f"the copy could not be put back: {', '.join(sorted(wrong)[:5])}")
        self._states = again

    def verify(self) -> None:
        """Read every file, whatever its times say. Raises PixgatesError if one is not the master's."""
        names = {*self._master.digests, *_states(self.root)}
        if wrong := sorted(name for name in names if self._master.digest(name) != _digest(self.root / name)):
            raise PixgatesError(f"the copy is not as it was: {', '.join(wrong[:5])}", remedy="report this defect")

    def _same(self, name: str, now: Mapping[str, State]) -> bool:
        if self._states.get(name) == now.get(name):
            return True
        return name in now and self._master.digest(name) == _digest(self.root / name)


class Master:
    """What all copies of one world are copied from; nothing runs in it once it is `settled`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.digests: dict[str, str] = {}

    def settle(self) -> None:
        """Note what it holds."""
        self.digests = {name: _digest(self.root / name) for name in _states(self.root)}

    def digest(self, name: str) -> str:
        """Of the file `name`, "" if it has none."""
        return self.digests.get(name, "")


def master(source: Path, root: Path, without: Sequence[str] = ()) -> Master:
    """A copy of the repository at `source`, with its history, but without what tools left and what matches `without`.

    Raises PixgatesError.
    """

    def left_out(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if _left_out(source, Path(folder, name), without)}

    try:
        shutil.copytree(source, root, symlinks=True, ignore=left_out)
        _copy_history(source, root)
    except (OSError, shutil.Error) as error:
        raise PixgatesError(f"{source} can't be copied: {error}", remedy="see that it can be read") from None
    return Master(root)


def _left_out(source: Path, path: Path, without: Sequence[str]) -> bool:
    if path.name in _NOT_COPIED or (path / "pyvenv.cfg").is_file():
        return True
    if not path.is_symlink() and not path.is_dir() and not path.is_file():
        return True  # a socket or a pipe
    name = path.relative_to(source).as_posix()
    return any(policy.matches(name, pattern) for pattern in without)


def _copy_history(source: Path, root: Path) -> None:
    """Give `root` the commits, branches and remote branches of `source`, if that is a repository of git's."""
    if not os.path.lexists(source / ".git"):
        return
    bare = root.with_name(f"{root.name}.git")
    fetched = [f"+refs/{kind}/*:refs/{kind}/*" for kind in ("heads", "remotes", "tags")]
    _git(root.parent, "clone", "--quiet", "--shared", "--no-checkout", "--no-tags", str(source), str(bare))
    (bare / ".git").rename(root / ".git")
    bare.rmdir()
    _git(root, "remote", "remove", "origin")
    _git(root, "fetch", "--quiet", "--update-head-ok", "--no-tags", str(source), *fetched)
    _git(root, "reset", "--quiet")


def _git(folder: Path, *arguments: str) -> None:
    done = git.call(folder, *arguments)
    if done.returncode != 0:
        raise PixgatesError(f"git {arguments[0]} failed in a copy: {done.tail(3)}", remedy="see that git can read it")


def _states(root: Path) -> dict[str, State]:
    """What is known of each file without reading it."""
    found = dict[str, State]()
    for path in _walk(root):
        status = os.lstat(path)
        state = (status.st_mode, status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        found[os.path.relpath(path, root)] = state
    return found


def _walk(root: Path) -> Iterator[str]:
    for folder, names, found in os.walk(root):
        links = [name for name in names if os.path.islink(os.path.join(folder, name))]  # noqa: PTH114, PTH118 - many
        names[:] = [name for name in names if name not in _LEFT and name not in links]
        yield from (os.path.join(folder, name) for name in (*found, *links))  # noqa: PTH118 - many


def _digest(path: Path) -> str:
    """Of a file's content and whether it can be run, or of where a link points; "" if nothing is there."""
    try:
        if path.is_symlink():
            return f"link {path.readlink()}"
        executable = "x" if path.stat().st_mode & 0o100 else "-"
        return f"{executable}{files.sha256(path)}" if path.is_file() else ""
    except FileNotFoundError:
        return ""


def _put_back(pristine: Path, path: Path) -> None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if os.path.lexists(pristine):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(pristine, path, follow_symlinks=False)


def _empty_folders(root: Path) -> Iterator[str]:
    """Folders without anything in them, the deepest first."""
    for folder, names, _ in os.walk(root, topdown=False):
        if folder != str(root) and not os.listdir(folder) and not set(Path(folder).parts) & _LEFT:  # noqa: PTH208
            yield os.path.relpath(folder, root)
        del names


def proven(copy: Copy, said: set[str]) -> dict[str, tuple[str, str]]:
    """What `copy` differs in, which must be what the operations said they changed. Raises NotApplied."""
    changed = copy.changed()
    globs = [each.removeprefix("glob:") for each in said if each.startswith("glob:")]
    names = {each for each in said if not each.startswith("glob:")}
    if not changed:
        raise NotApplied("it changes nothing")
    if untouched := sorted(names - changed.keys()):
        raise NotApplied(f"it was to change {untouched[0]}, which is as it was")
    beyond = [name for name in changed if name not in names and not any(policy.matches(name, each) for each in globs)]
    if beyond:
        raise NotApplied(f"it also changed {', '.join(beyond[:5])}, which it does not say (changes)")
    if idle := [each for each in globs if not any(policy.matches(name, each) for name in changed)]:
        raise NotApplied(f"it was to change {idle[0]}, and did not")
    return changed
