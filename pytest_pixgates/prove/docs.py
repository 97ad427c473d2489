"""Writes docs/prove.md: `python -m pytest_pixgates.prove.docs`. The catalogue in it is that of the files of defects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pytest_pixgates.core import files
from pytest_pixgates.prove import catalogue, operations
from pytest_pixgates.prove.catalogue import Case, Defect, Variation

PAGE = Path("docs", "prove.md")
_BEGIN = "<!-- the catalogue: python -m pytest_pixgates.prove.docs -->"


def text(root: Path) -> str:
    """The page of the repository at `root`: what people wrote, down to the mark, then the catalogue."""
    written = (root / PAGE).read_text(encoding="utf-8").partition(_BEGIN)[0]
    known = catalogue.load(catalogue.files(root / "gates", generic=True))
    return "\n".join([f"{written}{_BEGIN}", *_catalogue(known.cases)]) + "\n"


def _catalogue(cases: tuple[Case, ...]) -> Iterator[str]:
    defects = [case for case in cases if isinstance(case, Defect) and not case.generic]
    variations = [case for case in cases if isinstance(case, Variation) and not case.generic]
    yield f"\n## Operations\n\n{_operations()}"
    yield f"\n## Defects of this repository\n\nThe {len(defects)} defects of `gates/defects`.\n"
    for area in sorted({case.area for case in defects}):
        yield f"### {area}\n\n| defect | caught by | why it matters |\n| --- | --- | --- |"
        yield from (_defect(case) for case in defects if case.area == area)
        yield ""
    yield f"## Variations of this repository\n\nThe {len(variations)} harmless changes that must stay green.\n"
    yield "| variation | gates | why it is harmless |\n| --- | --- | --- |"
    yield from (_variation(case) for case in variations)
    yield "\n## For any repository\n\nThese come with the package, and are tried where they fit.\n"
    yield "| tried | must say | why it matters |\n| --- | --- | --- |"
    yield from (_defect(case) if isinstance(case, Defect) else _variation(case) for case in cases if case.generic)


def _operations() -> str:
    kinds = operations.OPERATIONS.items()
    rows = [f"| `{word}` | {_cell(' '.join((kind.__doc__ or '').split()))} |" for word, kind in kinds]
    return "\n".join(["| `do` | what it does |", "| --- | --- |", *rows])


def _defect(case: Defect) -> str:
    return f"| `{case.name}` | `{case.gate}`: {_cell(case.expected)} | {_cell(case.why)} |"


def _variation(case: Case) -> str:
    return f"| `{case.name}` | {', '.join(f'`{gate}`' for gate in case.asked)} | {_cell(case.why)} |"


def _cell(told: str) -> str:
    return told.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    files.write_atomically(Path.cwd() / PAGE, text(Path.cwd()))
