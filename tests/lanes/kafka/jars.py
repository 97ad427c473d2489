"""Brings the broker's jars, each known by its digest, and keeps them below the tool directory."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pytest_pixgates.core import files, process, tools
from pytest_pixgates.core.download import download
from pytest_pixgates.core.errors import PixgatesError

POM = Path(__file__).with_name("pom.xml")
LISTED = Path(__file__).with_name("jars.sha256")
CENTRAL = "https://repo1.maven.org/maven2"


def bring() -> list[Path]:
    """The jars, whole and as listed. Maven is asked only for what PIXGATES_MAVEN (Maven Central) does not give.

    Raises PixgatesError with what each of the two said.
    """
    listed = {name: digest for digest, name in map(str.split, LISTED.read_text().splitlines())}
    home = tools.tool_directory() / "lanes" / "kafka-jars"
    jars = {home / name: digest for name, digest in listed.items()}
    with files.locked(home.with_name(".kafka-jars.lock"), timeout=1800, remedy="set PIXGATES_TOOL_DIR"):
        if not all(_whole(jar, digest) for jar, digest in jars.items()):
            try:
                _from_repository(home, listed)
            except PixgatesError as refused:
                _from_maven(home, refused)
        if wrong := [jar.name for jar, digest in jars.items() if not _whole(jar, digest)]:
            raise PixgatesError(f"not the jars that {LISTED.name} lists: {', '.join(wrong)}", remedy=f"remove {home}")
    return list(jars)


def _whole(jar: Path, digest: str) -> bool:
    return jar.is_file() and files.sha256(jar) == digest


def _from_repository(home: Path, listed: dict[str, str]) -> None:
    repository = os.environ.get("PIXGATES_MAVEN", CENTRAL).rstrip("/")

    def one(name: str) -> None:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        download(f"{repository}/{name}", home / name, sha256=listed[name])

    with process.pool(8) as pool:
        list(pool.map(one, listed))


def _from_maven(home: Path, refused: PixgatesError) -> None:
    """By the mirrors of this machine's Maven. Raises PixgatesError with `refused` too."""
    if (maven := shutil.which("mvn")) is None:
        raise PixgatesError(f"{refused}\nand there is no mvn on PATH that could bring the jars") from None
    goal = ("dependency:copy-dependencies", f"-DoutputDirectory={home}", "-Dmdep.useRepositoryLayout=true")
    env = {name: value for name, value in os.environ.items() if name.startswith(("MAVEN_", "JAVA_"))}
    done = process.run([maven, "-B", "-q", "-f", POM, *goal], cwd=POM.parent, timeout=600, env=env)
    if done.returncode != 0:
        raise PixgatesError(f"{refused}\nand mvn could not bring the jars:\n{done.tail()}") from None
