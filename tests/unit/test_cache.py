"""An entry is found again only as it was put: whole, for the same question, by the same user."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pixgates.core.cache import UNUSED_DAYS, Cache, own_key

KEY = b"k" * 32
data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)


@given(data, data)
def test_what_was_put_is_found_under_its_own_question_only(
    tmp_path_factory: pytest.TempPathFactory, question: Any, answer: Any
) -> None:
    cache = Cache(tmp_path_factory.mktemp("cache"), KEY)
    assert cache.get(question) is None
    cache.put(question, answer)
    assert cache.get(question) == answer
    assert cache.get([question]) is None


SPOILED = {
    "cut short": lambda text: text[:-9],
    "empty": lambda text: "",
    "another answer": lambda text: text.replace("FAIL", "PASS"),
    "no seal": lambda text: json.dumps({"answer": "PASS"}),
    "another seal": lambda text: json.dumps({"mac": "0" * 64, "answer": "PASS"}),
    "a seal that is no text": lambda text: json.dumps({"mac": 7, "answer": "PASS"}),
    "not an object": lambda text: "[]",
    "too deep": lambda text: "[" * 100_000,
}


@pytest.mark.parametrize("how", SPOILED)
def test_an_entry_that_was_spoiled_or_forged_is_no_entry(tmp_path: Path, how: str) -> None:
    cache = Cache(tmp_path, KEY)
    cache.put("asked", "FAIL")
    (path,) = tmp_path.glob("*.json")
    path.write_text(SPOILED[how](path.read_text()))
    assert cache.get("asked") is None
    cache.put("asked", "FAIL")
    assert cache.get("asked") == "FAIL"


def test_an_entry_of_another_key_or_question_is_no_entry(tmp_path: Path) -> None:
    cache = Cache(tmp_path, KEY)
    cache.put("asked", "PASS")
    assert Cache(tmp_path, b"x" * 32).get("asked") is None
    (path,) = tmp_path.glob("*.json")
    cache.put("other", "FAIL")
    (other,) = set(tmp_path.glob("*.json")) - {path}
    path.replace(other)
    assert cache.get("other") is None


def test_a_folder_that_can_not_be_written_keeps_nothing_and_says_nothing(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    cache = Cache(blocked / "cache", KEY)
    cache.put("asked", "PASS")
    assert cache.get("asked") is None


def test_what_nobody_asks_for_goes(tmp_path: Path) -> None:
    cache = Cache(tmp_path, KEY)
    for question in ("old", "used"):
        cache.put(question, 1)
    for path in tmp_path.glob("*.json"):
        os.utime(path, (0, 0))
    assert cache.get("used") == 1
    cache.forget_unused()
    assert (cache.get("old"), cache.get("used")) == (None, 1)
    cache.forget_unused(now=(tmp_path / next(tmp_path.iterdir())).stat().st_mtime + (UNUSED_DAYS + 1) * 86400)
    assert cache.get("used") is None


def test_processes_agree_on_one_key_that_only_their_user_can_read(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        keys = set(pool.map(own_key, [tmp_path] * 16))
    assert len(keys) == 1
    assert len(keys.pop()) == 32
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("spoil", [lambda path: path.chmod(0o644), lambda path: path.write_bytes(b"short")])
def test_a_key_that_others_could_know_is_refused(tmp_path: Path, spoil: Any) -> None:
    own_key(tmp_path)
    spoil(tmp_path / "cache.key")
    with pytest.raises(PermissionError, match="remove it"):
        own_key(tmp_path)
