"""The catalogue is data, read once and refused if odd; this repository's own is all that it is said to be."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pytest_pixgates.core import policy
from pytest_pixgates.core.errors import UsageError
from pytest_pixgates.prove import catalogue, docs
from pytest_pixgates.prove.catalogue import Catalogue, Defect, Variation, World

ROOT = Path(__file__).parents[2]
AREAS = {
    "terraform", "kubernetes", "consistency", "data", "contract", "features", "model", "fairness", "artifact",
    "service", "latency", "policy", "waivers", "records", "evidence", "workflow",
}  # fmt: skip
HEAD = 'area = "ledger"\nnear = ["ledger/**"]\n'
DEFECT = """
[[defects]]
name = "lost"
why = "Money is lost."
gate = "ledger/limit[settled]"
rule = "settled >= 0.9"
changes = [{ do = "edit", file = "ledger.json", at = "settled[0]", value = 0.1 }]
"""
VARIATION = """
[[variations]]
name = "spaces"
why = "JSON has any."
gates = ["ledger/limit[settled]"]
changes = [{ do = "append", file = "ledger.json", text = " " }]
"""


def read(tmp_path: Path, *texts: str) -> Catalogue:
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / f"{number}.toml")
        paths[-1].write_text(text)
    return catalogue.load(paths)


def test_a_file_gives_its_defaults_to_each_case(tmp_path: Path) -> None:
    lost, spaces = read(tmp_path, HEAD + DEFECT + VARIATION).cases
    assert isinstance(lost, Defect)
    assert isinstance(spaces, Variation)
    assert (lost.area, spaces.near, lost.asked, spaces.asked) == ("ledger", ("ledger/**",), (lost.gate,), (lost.gate,))
    assert (lost.kind, spaces.kind, lost.expected) == ("defect", "variation", "FAIL settled >= 0.9")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + DEFECT.replace("why = ", "wy = "), "did you mean 'why'?"),
        (HEAD + DEFECT.replace('"edit"', '"edt"'), "did you mean 'edit'?"),
        (HEAD + DEFECT.replace("at = ", "path = "), "unknown key"),
        (HEAD + DEFECT.replace('name = "lost"', 'name = "Lost money"'), "small letters"),
        (HEAD + DEFECT.replace('why = "Money is lost."', 'why = " "'), "say why it matters"),
        (HEAD + DEFECT.replace('rule = "settled >= 0.9"', ""), "say by which rule"),
        (HEAD + DEFECT.replace("[{ do", "[] # [{ do"), "it changes nothing"),
        (HEAD + DEFECT + 'outcome = "PASS"', "a variation"),
        (HEAD + DEFECT + 'world = "elsewhere"', "there is no world 'elsewhere'"),
        (HEAD + DEFECT + DEFECT, "lost is in"),
        (HEAD + VARIATION.replace('["ledger/limit[settled]"]', "[]"), "must stay green"),
        (DEFECT, "area"),
        ("colour = 1\n" + HEAD + DEFECT, "colour: unknown key"),
        ("defects = 3\n", "write [[defects]]"),
        ("defects = [", "not valid TOML"),
        (HEAD + '[worlds.w]\nwhy = "x"\nchanges = [{ do = "x" }]\n', "do = 'x'"),
    ],
)
def test_what_is_odd_is_refused_with_file_and_reason(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert "0.toml" in str(caught.value)


def test_two_files_may_not_define_the_same(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"lost is in 0\.toml too"):
        read(tmp_path, HEAD + DEFECT, HEAD + DEFECT)
    with pytest.raises(UsageError, match="another file defines a world"):
        read(tmp_path, '[worlds.w]\nwhy = "x"\n', '[worlds.w]\nwhy = "y"\n')


def test_cases_are_selected_by_name_area_and_what_changed(tmp_path: Path) -> None:
    known = read(tmp_path, HEAD + DEFECT + VARIATION)

    def names(**asked: object) -> list[str]:
        return [case.name for case in catalogue.selected(known, **asked)]  # type: ignore[arg-type]

    assert names() == names(names=["ledger"]) == ["lost", "spaces"]
    assert names(names=["lost"]) == ["lost"]
    assert names(changed=["README.md"]) == []
    assert names(changed=["ledger.json"]) == names(changed=["ledger/a/b.py"]) == ["lost", "spaces"]
    assert names(changed=["gates/defects/0.toml"]) == ["lost", "spaces"]
    with pytest.raises(UsageError, match="did you mean 'lost'"):
        names(names=["lsot"])


def test_a_file_that_a_world_changes_is_near(tmp_path: Path) -> None:
    world = World(changes=({"do": "write", "file": "gates/gates.toml", "text": ""},))
    (lost,) = read(tmp_path, HEAD + DEFECT).cases
    assert catalogue.is_near(lost, world, ["gates/gates.toml"])
    assert not catalogue.is_near(lost, World(), ["gates/gates.toml"])


def ours() -> Catalogue:
    return catalogue.load(catalogue.files(ROOT / "gates", generic=True))


@pytest.mark.parametrize("seed", range(5))
def test_a_sample_is_spread_over_areas_and_drawn_again_by_its_seed(seed: int) -> None:
    cases = ours().cases
    drawn = catalogue.sampled(cases, 40, seed)
    assert drawn == catalogue.sampled(cases, 40, seed)
    assert len(drawn) == 40
    groups = {(case.kind, case.area) for case in cases}
    assert {(case.kind, case.area) for case in drawn} == groups
    assert catalogue.sampled(cases, 10_000, seed) == cases


def test_seeds_draw_different_samples() -> None:
    drawn = {tuple(case.name for case in catalogue.sampled(ours().cases, 20, seed)) for seed in range(5)}
    assert len(drawn) == 5


def test_this_repository_tries_every_area() -> None:
    cases = ours().cases
    defects = Counter(case.area for case in cases if isinstance(case, Defect))
    assert set(defects) == AREAS
    assert min(defects.values()) >= 3
    assert sum(defects.values()) >= 60
    assert sum(isinstance(case, Variation) for case in cases) >= 20


def test_what_a_defect_of_this_repository_changes_is_there() -> None:
    """As far as git holds it: data, models and what a world makes are there only when they are made."""
    for case in ours().cases:
        if case.generic or case.world or case.area in ("data", "model", "fairness", "features", "artifact"):
            continue
        made = {str(change.get("to")) for change in case.changes}
        for change in case.changes:
            name = str(change.get("file", "."))
            if change["do"] not in ("write", "run") and name not in made:
                assert list(ROOT.glob(name)), f"{case.name}: {name}"


def test_what_is_required_near_a_change_of_the_gates_is_not_nothing() -> None:
    changed = ["pytest_pixgates/infra/checkov.py", "iac/k8s/base/scoring/pdb.yaml"]
    for name in changed:
        assert catalogue.selected(ours(), changed=[name]), name


def test_globs_of_near_match_something_that_exists() -> None:
    names = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if ".venv" not in path.parts]
    for case in ours().cases:
        for pattern in case.near:
            if not pattern.startswith(".github/"):
                assert any(policy.matches(name, pattern) for name in names), f"{case.name}: {pattern}"


def test_the_page_of_the_catalogue_is_current() -> None:
    page = ROOT / "docs" / "prove.md"
    assert page.read_text() == docs.text(ROOT), "run `python -m pytest_pixgates.prove.docs`"
