"""A change is made as it was said, or it is an error: a defect that was never there proves nothing."""

from __future__ import annotations

import datetime
import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.prove import operations, place
from pytest_pixgates.prove.operations import NotApplied, Where

FILES = {
    "a.tf": "one = 1\ntwo = 2\ntwo = 2\n",
    "more/b.tf": "three = 3\n",
    "data.json": '{"a": {"b": [1, 2, {"c": "x"}]}, "model.onnx": 1}',
    "policy.toml": '# kept\n[a.b]\nlimit = 3 # kept\nother = "x"\n\n[c]\n',
    "two.yaml": "a: 1\n---\nb: {c: [1, 2]}\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    frame = pl.DataFrame({"id": range(10), "fraud": [True, False] * 5, "score": [0.9, 0.1] * 5})
    frame.write_parquet(tmp_path / "rows.parquet")
    return tmp_path


def apply(root: Path, **change: Any) -> set[str]:
    return operations.apply(
        [change], Where(root, {"target": "more"}, {"model": {"scores": "rows.parquet", "limit": 3}})
    )


def rows(root: Path) -> pl.DataFrame:
    return pl.read_parquet(root / "rows.parquet")


def test_text_is_replaced_where_it_stands_once(root: Path) -> None:
    assert apply(root, do="replace", file="a.tf", old="one = 1", new="one = 2") == {"a.tf"}
    assert (root / "a.tf").read_text() == "one = 2\ntwo = 2\ntwo = 2\n"
    assert apply(root, do="replace", file="a.tf", old="two = 2", new="two = 3", times=2) == {"a.tf"}


def test_an_expression_is_replaced_in_the_first_file_that_holds_it(root: Path) -> None:
    assert apply(root, do="sub", file="**/*.tf", pattern="^three = .$", new="three = 4", first=True) == {"more/b.tf"}
    assert apply(root, do="sub", file="a.tf", pattern=r"^(\w+) = ", new=r"\1 = 1", times=0) == {"a.tf"}
    assert (root / "a.tf").read_text() == "one = 11\ntwo = 12\ntwo = 12\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"do": "replace", "file": "a.tf", "old": "four", "new": "x"}, "does not hold 'four'"),
        ({"do": "replace", "file": "a.tf", "old": "two", "new": "x"}, "stands there 2 times, not 1"),
        ({"do": "replace", "file": "a.tf", "old": "one", "new": "one"}, "changes nothing"),
        ({"do": "replace", "file": "no.tf", "old": "one", "new": "x"}, "no.tf names no file"),
        ({"do": "sub", "file": "**/*.tf", "pattern": "five", "new": "", "first": True}, "no file of"),
        ({"do": "write", "file": "a.tf", "text": FILES["a.tf"]}, "holds just that already"),
        ({"do": "write", "file": "../a.tf", "text": ""}, "no path inside the repository"),
        ({"do": "delete", "file": "*.md"}, "names no file"),
        ({"do": "copy", "file": "a.tf", "to": "a.tf"}, "holds just that already"),
        ({"do": "append", "file": "a.tf", "text": ""}, "changes nothing"),
        ({"do": "edit", "file": "data.json", "at": "a.x.y", "value": 1}, "has no a.x.y"),
        ({"do": "edit", "file": "data.json", "at": "a.b[0]", "value": 1}, "was so before"),
        ({"do": "edit", "file": "a.tf", "at": "a", "value": 1}, "can't be parsed"),
        ({"do": "edit", "file": "policy.toml", "at": "a.b.none", "remove": True}, "has no a.b.none"),
        ({"do": "table", "file": "rows.parquet", "where": "id > 99", "put": {"score": "0.5"}}, "no row is concerned"),
        ({"do": "table", "file": "rows.parquet", "where": "fraud", "put": {"score": "0.9"}}, "no row is concerned"),
        ({"do": "table", "file": "rows.parquet", "put": {"score": "0.5"}, "rows": 3}, "10 rows are concerned, not 3"),
        ({"do": "table", "file": "rows.parquet", "put": {"scores": "0.5"}}, "there is no column scores"),
        ({"do": "table", "file": "rows.parquet", "where": "no such", "put": {"score": "0"}}, "rows.parquet: "),
        ({"do": "table", "file": "a.tf", "drop": ["id"]}, "a.tf: "),
        ({"do": "run", "command": ["false"]}, "ended with 1"),
        ({"do": "run", "command": ["echo", "@{nothing}"]}, "nothing stands for @{nothing}"),
        ({"do": "write", "file": "@{policy:model.none}", "text": ""}, "does not say model.none"),
    ],
)
def test_what_can_not_be_done_as_it_is_said_is_an_error(root: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(NotApplied, match=r"(?s).*") as caught:
        apply(root, **change)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"do": "replce", "file": "a"}, "did you mean 'replace'?"),
        ({"do": "replace", "file": "a", "old": "x"}, "replace.new: is required"),
        ({"do": "sub", "file": "a", "pattern": "(", "new": ""}, "pattern"),
        ({"do": "table", "file": "a", "drop": ["x"], "keep": "y"}, "give one of"),
        ({"do": "cut", "file": "a", "share": 1.0}, "share is 1.0"),
        ({"file": "a"}, "do = 'None'"),
    ],
)
def test_a_change_that_is_none_is_refused_when_it_is_read(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=r"(?s).*") as caught:
        operations.check([change])
    assert said in str(caught.value)


def test_files_are_written_cut_copied_moved_and_deleted(root: Path) -> None:
    assert apply(root, do="write", file="new/c.tf", text="x") == {"new/c.tf"}
    assert apply(root, do="cut", file="more/*.tf", share=0.5) == {"more/b.tf"}
    assert (root / "more/b.tf").read_text() == "three"
    assert apply(root, do="copy", file="a.tf", to="d.tf") == {"d.tf"}
    assert apply(root, do="move", file="d.tf", to="e/f.tf") == {"d.tf", "e/f.tf"}
    assert apply(root, do="delete", file="*.tf") == {"a.tf"}


def test_values_are_edited_and_nothing_else(root: Path) -> None:
    apply(root, do="edit", file="data.json", at="a.b[2].c", value="y")
    apply(root, do="edit", file="data.json", at='"model.onnx"', remove=True)
    assert json.loads((root / "data.json").read_text()) == {"a": {"b": [1, 2, {"c": "y"}]}}
    apply(root, do="edit", file="policy.toml", at="a.b.limit", value=[4, "x"])
    apply(root, do="edit", file="policy.toml", at="a.b.new", value=True)
    text = (root / "policy.toml").read_text()
    assert tomllib.loads(text) == {"a": {"b": {"limit": [4, "x"], "other": "x", "new": True}}, "c": {}}
    assert text.startswith("# kept\n")
    apply(root, do="edit", file="two.yaml", at="b.c[1]", value=5, document=1)
    assert list(yaml.safe_load_all((root / "two.yaml").read_text())) == [{"a": 1}, {"b": {"c": [1, 5]}}]


def test_a_value_of_toml_on_several_lines_is_not_cut(root: Path) -> None:
    (root / "policy.toml").write_text("[a]\nx = [\n 1,\n 2,\n]\n")
    with pytest.raises(NotApplied):
        apply(root, do="edit", file="policy.toml", at="a.x", value=[3])


def test_rows_are_changed_kept_repeated_and_columns_dropped(root: Path) -> None:
    apply(root, do="table", file="rows.parquet", where="fraud and row > 2", put={"score": "score * 0.0"}, rows=3)
    assert rows(root).filter("fraud")["score"].to_list() == [0.9, 0.9, 0.0, 0.0, 0.0]
    apply(root, do="table", file="rows.parquet", repeat="id = 1")
    assert rows(root).height == 11
    apply(root, do="table", file="rows.parquet", keep="id < 5")
    assert sorted(rows(root)["id"]) == [0, 1, 1, 2, 3, 4]
    apply(root, do="table", file="rows.parquet", drop=["fraud"])
    assert rows(root).columns == ["id", "score"]
    apply(root, do="table", file="rows.parquet", rename={"id": "key"})
    apply(root, do="table", file="rows.parquet", cast={"key": "String"})
    assert rows(root).schema["key"] == pl.String


def test_a_table_written_otherwise_has_other_bytes_and_equal_rows(root: Path) -> None:
    before, digest = rows(root), hashlib.sha256((root / "rows.parquet").read_bytes()).hexdigest()
    apply(root, do="table", file="rows.parquet", compression="snappy")
    assert rows(root).equals(before)
    assert hashlib.sha256((root / "rows.parquet").read_bytes()).hexdigest() != digest


def test_holes_are_filled(root: Path) -> None:
    apply(
        root, do="write", file="@{target}/x", text="@{today+30} @{sha256:a.tf} @{policy:model.limit|1} @{policy:no|1}"
    )
    day = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=30)
    digest = hashlib.sha256(FILES["a.tf"].encode()).hexdigest()
    assert (root / "more/x").read_text() == f"{day} {digest} 3 1"
    assert Where(root).filled("${var.x} @{}") == "${var.x} @{}"


def test_a_command_says_what_it_changes(root: Path) -> None:
    said = apply(root, do="run", command=["@{python}", "-c", "print('hello')"], output="a.tf")
    assert (said, (root / "a.tf").read_text()[-6:]) == ({"glob:a.tf"}, "hello\n")


# The copy


@pytest.fixture
def copied(root: Path, tmp_path_factory: pytest.TempPathFactory) -> place.Copy:
    home = tmp_path_factory.mktemp("home")
    (root / "link").symlink_to("a.tf")
    (root / ".venv").mkdir()
    (root / ".venv" / "pyvenv.cfg").write_text("")
    master = place.master(root, home / "master", ["more/*"])
    master.settle()
    return place.Copy(master, home / "copy")


def test_a_copy_has_everything_but_what_tools_left_and_what_is_left_out(copied: place.Copy) -> None:
    assert {path.name for path in copied.root.iterdir()} == {*FILES, "rows.parquet", "link", "more"} - {"more/b.tf"}
    assert not list((copied.root / "more").iterdir())


def test_what_changed_must_be_what_was_said(copied: place.Copy) -> None:
    with pytest.raises(NotApplied, match="it changes nothing"):
        place.proven(copied, {"a.tf"})
    (copied.root / "a.tf").write_text("other")
    changed = place.proven(copied, {"a.tf"})
    assert [before != after for before, after in changed.values()] == [True]
    with pytest.raises(NotApplied, match=r"also changed a\.tf"):
        place.proven(copied, {"data.json", "glob:*.md"} - {"data.json"})
    with pytest.raises(NotApplied, match=r"was to change data\.json"):
        place.proven(copied, {"a.tf", "data.json"})
    with pytest.raises(NotApplied, match=r"was to change \*\.md"):
        place.proven(copied, {"a.tf", "glob:*.md"})


def test_a_file_that_is_only_touched_is_not_changed(copied: place.Copy) -> None:
    (copied.root / "a.tf").write_text(FILES["a.tf"])
    with pytest.raises(NotApplied, match="it changes nothing"):
        place.proven(copied, {"a.tf"})
    copied.restore()


def test_a_copy_that_was_changed_behind_its_back_is_found(copied: place.Copy) -> None:
    copied.verify()
    copied._master.digests["a.tf"] = "x" * 65
    with pytest.raises(PixgatesError, match=r"not as it was: a\.tf"):
        copied.verify()


STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "delete", "mkdir", "link", "chmod"]), st.sampled_from([*FILES, "n/o", "p"])),
    max_size=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_happens_to_a_copy_it_is_put_back(copied: place.Copy, steps: list[tuple[str, str]]) -> None:
    for number, (what, name) in enumerate(steps):
        path = copied.root / name
        try:
            if what == "write":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(str(number))
            elif what == "delete":
                path.unlink()
            elif what == "mkdir":
                path.mkdir(parents=True)
            elif what == "link":
                path.symlink_to("a.tf")
            else:
                path.chmod(0o755)
        except OSError:
            continue
    copied.restore()
    copied.verify()
    assert copied.changed() == {}
    assert not (copied.root / "n").exists()
