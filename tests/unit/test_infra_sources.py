"""The readers of sources: whatever they are given, they say what is there or where it is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_pixgates.core import documents, sources
from pytest_pixgates.core.sources import Unreadable
from pytest_pixgates.infra import hcl, inline_skips, inputs, instructions, kustomize

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
# Text that gets past the first character of a parser more often than noise does.
HCL = st.lists(st.sampled_from([*'abc="{}[]\n #', "${", "<<E\n", "/*", 'resource "a" "b" {\n', "source", "./x"]))
YAML = st.lists(st.sampled_from([*"ab:-\n {}[]&*!|>'\"#%?@`", "---\n", "  ", "kind: ", "<<: *a", "&a ", "2020-01-99"]))


@QUICK
@given(st.binary(max_size=200) | HCL.map(lambda parts: "".join(parts).encode()))
def test_no_bytes_crash_the_stack_reader(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "main.tf").write_bytes(data)
    stack = hcl.load(tmp_path, tmp_path)
    assert stack.problems or stack.scanned["blocks"]


@QUICK
@given(st.binary(max_size=200) | YAML.map(lambda parts: "".join(parts).encode()))
def test_no_bytes_crash_the_manifest_readers(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "kustomization.yaml").write_bytes(data)
    kustomize.load(tmp_path, tmp_path)
    (tmp_path / "kustomization.yaml").rename(tmp_path / "x.yaml")
    read = inputs.read(tmp_path, tmp_path, ("kubernetes",))
    assert read.problems or sum(read.resources.values())


@QUICK
@given(st.recursive(st.none() | st.booleans() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)))
def test_json_without_equal_keys_is_read_as_it_is(value: object) -> None:
    assert documents.parse_json(json.dumps(value), "x.json")[0].value == value


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "'a' stands twice, first in line 1"),
        ("x:\n  - a: 1\n    a: 1\n", 3, "stands twice"),
        ("a: 1\n---\nb: 1\nb: 1\n", 4, "stands twice"),
        ("a: !Ref b\n", 1, "not valid YAML"),
        ("a: *b\n", 1, "not valid YAML"),
        ("a: &a {b: *a}\n", 1, "leads back into itself"),
        ("? [a]\n: 1\n", 1, "not valid YAML"),
    ],
)
def test_yaml_that_a_tool_would_forgive_is_refused(text: str, line: int, said: str) -> None:
    with pytest.raises(Unreadable, match=said) as caught:
        documents.parse(text, "x.yaml")
    assert (caught.value.problem.path, caught.value.problem.line) == ("x.yaml", line)


def test_aliases_that_explode_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(Unreadable, match="expands to more than"):
        documents.parse("\n".join(lines), "x.yaml")


def test_lines_are_found_by_their_keys() -> None:
    (document,) = documents.parse("# head\nkind: Pod\nspec:\n  containers:\n    - name: a\n      image: b\n", "x.yaml")
    assert document.line_of(("spec", "containers", 0, "image")) == 6
    assert document.line_of(("spec", "containers", 1, "image")) == 0


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', "{", "[" * 5000, "[" * 200 + "]" * 200])
def test_json_that_a_tool_would_forgive_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        documents.parse_json(text, "x.json")


def test_blocks_are_read_with_labels_lines_and_attributes() -> None:
    text = (
        '# x\nmodule "a" {\n  source = "../a"\n  n { source = "no" }\n}\n'
        'locals {\n  s = <<E\nresource "x" "y" {}\nE\n}\n'
    )
    module, local = hcl.parse(text, "main.tf")
    assert (module.kind, module.labels, module.line, module.string("source")) == ("module", ("a",), 2, "../a")
    assert (local.kind, local.line) == ("locals", 6)


def test_a_module_that_calls_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text('module "me" {\n  source = "./"\n}\n')
    assert hcl.load(tmp_path, tmp_path).folders == (tmp_path,)


@pytest.mark.parametrize(
    ("tool", "line", "rules"),
    [
        ("checkov", "#checkov:skip=CKV_AWS_1:why", ["CKV_AWS_1"]),
        ("checkov", "  // bridgecrew:skip= CKV_1,CKV_2 : why", ["CKV_1", "CKV_2"]),
        ("checkov", "# cortex:skip=", ["unnamed"]),
        ("checkov", '    checkov.io/skip2: "CKV_K8S_1=why"', ["CKV_K8S_1"]),
        ("checkov", '  "bridgecrew.io/skip1" = "CKV_K8S_1=why"', ["CKV_K8S_1"]),
        ("tflint", "# tflint-ignore: a_b, c_d # why", ["a_b", "c_d"]),
        ("tflint", "/* tflint-ignore: all */", ["all"]),
        ("tflint", "# tflint-ignore-file: a_b", ["a_b"]),
        ("checkov", "# tflint-ignore: a", []),
        ("tflint", "# checkov:skip=CKV_1", []),
        ("hadolint", "# hadolint ignore=DL3008,SC2086", ["DL3008", "SC2086"]),
        ("hadolint", "# hadolint global ignore=DL3008", ["DL3008"]),
        ("hadolint", "# hadolint shell=powershell", ["powershell"]),
        ("hadolint", "# linted by hadolint", []),
    ],
)
def test_inline_skips_are_seen_in_each_form(tool: str, line: str, rules: list[str]) -> None:
    skips = list(inline_skips.inline_skips(tool, f"first\n{line}\n", "x.tf"))
    assert [(each.resource, each.line) for each in skips] == [(rule, 2) for rule in rules]


def test_sources_outside_huge_or_special_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    (tmp_path / "secret.tf").write_text("x = 1\n")
    (root / "link.tf").symlink_to(tmp_path / "secret.tf")
    (root / "loop.tf").symlink_to(root / "loop.tf")
    (root / "folder.tf").mkdir()
    (root / "huge.tf").write_bytes(b"#" * (sources.LARGEST + 1))
    os.mkfifo(root / "pipe.tf")
    problems = {problem.path: problem.message for problem in hcl.load(root, root).problems}
    assert "leads out of the repository" in problems["link.tf"]
    assert set(problems) >= {"loop.tf", "folder.tf", "huge.tf", "pipe.tf"}


def test_a_stack_is_what_terraform_reads_and_says_what_it_does_not(tmp_path: Path) -> None:
    files = {
        "app/main.tf": 'resource "a" "b" {}\n',
        "app/.hidden.tf": "nonsense {",
        "app/tests/ok.tftest.hcl": 'run "a" {}\n',
        "app/specs/lost.tftest.hcl": 'run "a" {}\n',
        "app/extra.tofu": "",
        "app/module/main.tf": "",
        "app/module/tests/own.tftest.hcl": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    stack = hcl.load(tmp_path / "app", tmp_path)
    assert sorted(map(str, stack.problems)) == [
        "app/extra.tofu: Terraform does not read this",
        "app/specs/lost.tftest.hcl: lies where `terraform test` does not look",
    ]
    assert [source.name for source in stack.tests] == ["app/tests/ok.tftest.hcl"]


def test_what_a_stack_reads_from_elsewhere_is_judged_with_it(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "topics.json").write_text("{}")
    main = tmp_path / "app" / "main.tf"
    main.write_text('locals {\n  a = jsondecode(file("${path.module}/../topics.json"))\n}\n')
    stack = hcl.load(tmp_path / "app", tmp_path)
    assert (stack.problems, stack.judged) == ((), (tmp_path / "app", tmp_path / "topics.json"))
    for path in ("${path.module}/../${var.name}.json", "../absent.json", "../../outside.json"):
        main.write_text(f'locals {{\n  a = file("{path}")\n}}\n')
        (problem,) = hcl.load(tmp_path / "app", tmp_path).problems
        assert (problem.where, "can't be followed" in problem.message) == ("app/main.tf:2", True)


@pytest.mark.parametrize("kind", ["resource", "data", "provider", "ephemeral"])
def test_a_stack_says_whether_it_needs_providers(tmp_path: Path, kind: str) -> None:
    (tmp_path / "main.tf").write_text(f'{kind} "aws_x" "y" {{}}\n')
    assert hcl.load(tmp_path, tmp_path).needs_providers
    (tmp_path / "main.tf").write_text(f'{kind} "terraform_data" "y" {{}}\nlocals {{}}\n')
    assert not hcl.load(tmp_path, tmp_path).needs_providers


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("apiVersion: v1\nmetadata: {name: a}\n", "has no kind"),
        ("kind: Pod\nmetadata: {name: a}\n", "has no apiVersion"),
        ("apiVersion: v1\nkind: PodList\nitems: []\n", "whose items checkov need not look into"),
        ("name: a\n", ""),
    ],
)
def test_a_manifest_that_checkov_would_pass_over_is_refused(tmp_path: Path, manifest: str, said: str) -> None:
    good = "apiVersion: v1\nkind: Pod\nmetadata: {name: good}\n"
    (tmp_path / "x.yaml").write_text(f"{good}---\n{manifest}")
    read = inputs.read(tmp_path, tmp_path, ("kubernetes",))
    assert said in "".join(map(str, read.problems))
    assert bool(read.problems) is bool(said)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from a\n", [("FROM", "a", 1)]),
        ("\n# FROM x\n\nRUN a \\\n  # why\n  b\nUSER 1", [("RUN", "a    b", 4), ("USER", "1", 7)]),
        ("RUN <<EOF\nFROM x\nEOF\nUSER 1\n", [("RUN", "<<EOF", 1), ("USER", "1", 4)]),
        ("USER 1 \\", [("USER", "1", 1)]),
        ("", []),
    ],
)
def test_a_dockerfile_is_read_as_instructions(text: str, expected: list[tuple[str, str, int]]) -> None:
    assert list(instructions.parse(text)) == expected
