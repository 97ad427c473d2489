"""Each image of iac/docker is made the same way, of what it names, and is known to all that build and judge it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pytest_pixgates.infra import instructions

ROOT = Path(__file__).parents[2]
IMAGES = sorted(path.name for path in (ROOT / "iac/docker").iterdir())
FILES = ("Dockerfile", "Dockerfile.dockerignore", "requirements.in", "requirements.txt")

Texts = dict[str, str]


def texts(image: str) -> Texts:
    return {name: (ROOT / "iac/docker" / image / name).read_text() for name in FILES}


def names(requirements: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)", requirements, re.MULTILINE))


def wrong(image: str, of: Texts) -> Iterator[str]:
    """What is not as the images of this repository are."""
    read = list(instructions.parse(of["Dockerfile"]))
    first = next(rest for word, rest, _ in read if word == "FROM")
    if not re.fullmatch(r"\S+@sha256:[0-9a-f]{64} AS base", first):
        yield f"FROM {first}: no digest"
    others = {rest for word, rest, _ in read if word == "FROM"} - {first, "base AS build", "base"}
    yield from (f"FROM {other}" for other in sorted(others))
    if "--require-hashes" not in of["Dockerfile"] or f"iac/docker/{image}/requirements.txt" not in of["Dockerfile"]:
        yield "installs something else than its locked requirements"
    copied = {each for word, rest, _ in read if word == "COPY" and "--from" not in rest for each in rest.split()[:-1]}
    let_in = [line.removeprefix("!") for line in of["Dockerfile.dockerignore"].splitlines() if line.startswith("!")]
    if "*" not in of["Dockerfile.dockerignore"].splitlines():
        yield "lets in whatever lies about"
    if {each.removesuffix("/**/*.py") for each in let_in} != copied:
        yield f"lets in {let_in}, and copies {sorted(copied)}"
    locked = re.split(r"\n(?=\S)", of["requirements.txt"].strip())
    yield from (each.split()[0] for each in locked if not re.match(r"[a-z0-9-]+==\S+ \\\n    --hash=sha256:", each))
    yield from names(of["requirements.in"]) - names(of["requirements.txt"])


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_is_made_of_what_is_pinned_and_named(image: str) -> None:
    assert list(wrong(image, texts(image))) == []


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("Dockerfile", r"@sha256:\w+", ""),
        ("Dockerfile", r"FROM base\n", "FROM debian\n"),
        ("Dockerfile", " --require-hashes", ""),
        ("Dockerfile", r"COPY ml_pipeline ", "COPY . "),
        ("Dockerfile.dockerignore", r"\*\n", ""),
        ("Dockerfile.dockerignore", r"\Z", "!docs\n"),
        ("requirements.in", r"\Z", "requests\n"),
        ("requirements.txt", r"(?m)^(msgspec==\S+) (\\\n    --hash=\S+ ?)+", r"\1\n"),
        ("requirements.txt", "msgspec==", "msgspec>="),
    ],
)
@pytest.mark.parametrize("image", IMAGES)
def test_an_image_that_is_made_otherwise_is_found(image: str, file: str, old: str, new: str) -> None:
    of = texts(image)
    changed = re.sub(old, new, of[file], count=1)
    assert changed != of[file]
    assert list(wrong(image, of | {file: changed}))


def test_all_images_stand_on_the_same_base() -> None:
    assert len({texts(image)["Dockerfile"].split("\n")[1] for image in IMAGES}) == 1


def test_each_image_is_built_and_renewed_and_held_against_its_container() -> None:
    main = yaml.safe_load((ROOT / ".github/workflows/main.yml").read_text())["jobs"]
    assert main["image"]["strategy"]["matrix"]["image"] == IMAGES
    assert sorted(main["image"]["outputs"]) == IMAGES
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    (renewed,) = (each["directories"] for each in updates if each["package-ecosystem"] == "docker")
    assert renewed == [f"/iac/docker/{image}" for image in IMAGES]
    held = tomllib.loads((ROOT / "gates/gates.toml").read_text())["infra"]["consistency"]["dockerfiles"]
    assert held == {f"iac/docker/{image}/Dockerfile": image for image in IMAGES}
