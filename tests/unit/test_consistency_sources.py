"""Each rule on several sources, on its own two examples: one must fail and one must pass."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_pixgates.core.sources import Unreadable
from pytest_pixgates.infra.consistency import dockerfile, topic, workflow
from pytest_pixgates.infra.consistency.example import of_files
from pytest_pixgates.infra.consistency.rule import AnyRule
from pytest_pixgates.infra.consistency.rules import RULES, SOURCES
from pytest_pixgates.infra.consistency.sets import Sources
from pytest_pixgates.infra.consistency.terraform_network import InNetwork

by_name = pytest.mark.parametrize("rule", SOURCES, ids=lambda rule: rule.name)


def world(example: Any, folder: Path) -> Sources:
    assert isinstance(example, dict)
    return of_files(example, folder.resolve())


@by_name
def test_the_failing_example_gives_the_rule_at_a_line_and_names_the_other_side(
    rule: AnyRule[Sources, Any], tmp_path: Path
) -> None:
    found = list(rule.check(world(rule.failing, tmp_path)))
    assert {each.rule for each in found} == {rule.name}
    assert len(found) == 1, found
    assert (tmp_path / found[0].path).is_file()
    assert found[0].line > 0
    assert found[0].fix
    assert found[0].resource
    assert re.search(r"[\w./-]+:\d+", found[0].message), found[0].message


@by_name
def test_the_passing_example_is_looked_at_and_gives_nothing(rule: AnyRule[Sources, Any], tmp_path: Path) -> None:
    passing = world(rule.passing, tmp_path)
    assert list(rule.subjects(passing))
    assert list(rule.check(passing)) == []


WORDS = st.lists(
    st.sampled_from(
        [
            *"abz:=-\n {}[]&*\"'#$\\/,0",
            "FROM a\n",
            "EXPOSE ",
            "USER ",
            "topic: ",
            "jobs:\n",
            " steps:\n",
            "- run: ",
            "pytest -m ",
            "${{ matrix.a }}",
            "name: ",
            "  ",
            "? ",
            "null",
        ]
    )
).map("".join)


@settings(max_examples=300, deadline=None)
@given(WORDS)
def test_no_text_ends_in_an_exception_of_a_reader(text: str) -> None:
    for read in (
        lambda: dockerfile.parse(text, "Dockerfile", "web"),
        lambda: topic.declared(text, "topics.yaml"),
        lambda: topic.declared(text, "topics.json"),
        lambda: topic.used_by_text(text, "a.py"),
        lambda: workflow.selections(text, "a.yml", ""),
    ):
        with contextlib.suppress(Unreadable):
            read()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("topic: transactions", ["transactions"]),
        ('"topic": "a", "other": "b"', ["a"]),
        ("INPUT_TOPIC=a.b-c_d", ["a.b-c_d"]),
        ("kafka.topic.out = 'a'", ["a"]),
        ('TOPIC: str = "a"', ["a"]),
        ("  - {name: KAFKA_TOPIC, value: a}\ntopic: b", ["b"]),
        ("# topic: a\ntopics: b", ["b"]),
        ("topic_partitions: 12\nauto_topic: true\ntopic: a", ["a"]),
    ],
)
def test_a_topic_is_the_value_of_something_called_one(text: str, names: list[str]) -> None:
    assert [each.name for each in topic.used_by_text(text, "x.yaml")] == names


@pytest.mark.parametrize(
    ("text", "exposed", "user"),
    [
        ("FROM a\nENV PORT=80 HOST=x\nEXPOSE ${PORT}/tcp\nUSER 1", (("80/tcp", 3),), ("1", 4)),
        ("FROM a AS b\nEXPOSE 80\nUSER 1\nFROM b\nEXPOSE 81", (("80", 2), ("81", 5)), ("1", 3)),
        ("FROM a\nUSER 1\nFROM c\n", (), ("", 0)),
        ("FROM a\nRUN <<EOF\nUSER 1\nEOF\nUSER 2\n", (), ("2", 5)),
        ("# USER 1\nFROM a\nRUN x \\\n  # USER 1\n  y\nexpose 80 \\\n  81\n", (("80", 6), ("81", 6)), ("", 0)),
    ],
)
def test_the_last_stage_of_a_dockerfile_counts(
    text: str, exposed: tuple[tuple[str, int], ...], user: tuple[str, int]
) -> None:
    image = dockerfile.parse(text, "Dockerfile", "web")
    assert (image.exposed, image.user) == (exposed, user)


TRACED = {
    "a whole module called twice": ('module "b" {\n  source = "../net"\n}\n', "module.b.vpc_id", 0),
    "a local": ("locals {\n  id = module.a.vpc_id\n}\n", "local.id", 0),
    "an expression": ("", "coalesce(module.a.vpc_id, null)", 0),
    "a literal": ("", '"vpc-0a1b2c3d"', 1),
    "a literal in a local": ('locals {\n  id = "vpc-0a1b2c3d"\n}\n', "local.id", 1),
    "a literal beside a reference": ("", 'var.own ? module.a.vpc_id : "vpc-0a1b2c3d"', 1),
    "another network, looked up": ('data "aws_vpc" "d" {\n  default = true\n}\n', "data.aws_vpc.d.id", 1),
    "a value that is given": ('variable "id" {\n  type = string\n}\n', "var.id", 1),
}


@pytest.mark.parametrize(("more", "written", "findings"), TRACED.values(), ids=TRACED)
def test_a_network_is_followed_to_where_it_is_made(tmp_path: Path, more: str, written: str, findings: int) -> None:
    net = 'resource "aws_vpc" "this" {}\n\noutput "vpc_id" {\n  value = aws_vpc.this.id\n}\n'
    user = 'variable "vpc_id" {}\nresource "aws_security_group" "this" {\n  vpc_id = var.vpc_id\n}\n'
    main = f'module "a" {{\n  source = "../net"\n}}\nmodule "u" {{\n  source = "../user"\n  vpc_id = {written}\n}}\n'
    found = of_files({"root/main.tf": main + more, "net/main.tf": net, "user/main.tf": user}, tmp_path.resolve())
    assert [each.path for each in InNetwork().check(found)] == ["root/main.tf"] * findings


def test_modules_that_call_each_other_end(tmp_path: Path) -> None:
    files = {"a/main.tf": 'module "b" {\n  source = "../b"\n}\n', "b/main.tf": 'module "a" {\n  source = "../a"\n}\n'}
    with pytest.raises(Unreadable, match="call each other without end"):
        of_files(files, tmp_path.resolve())


def test_names_are_unique() -> None:
    names = [rule.name for rule in (*RULES, *SOURCES)]
    assert len(set(names)) == len(names)
