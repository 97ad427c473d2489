"""A real git repository, as a clone of one whose branch `main` changes go to."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Git:
    """The repository at `path`, made there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self("init", "--quiet", "--initial-branch=main")

    def __call__(self, *arguments: str) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *who, *arguments], cwd=self.path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self) -> str:
        """All that is there, as a new commit."""
        self("add", "--all")
        self("commit", "--quiet", "--allow-empty", "--message=x")
        return self("rev-parse", "HEAD")

    def merged(self) -> str:
        """All that is there is committed, and main of origin is just there."""
        commit = self.commit()
        self("update-ref", "refs/remotes/origin/main", commit)
        self("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
        return commit
