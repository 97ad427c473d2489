"""Code is shown as it was judged or not at all, and never of what may not be shown."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from pytest_pixgates.core.record import Run
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.report import excerpt
from tests.unit.example_runs import FINDING, record, run, scan

CANARY = "52998224725"
LINES = [f"line {at}" for at in range(1, 21)]
KEY = ("infra", "iac/prod/main.tf", 12)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "iac" / "prod").mkdir(parents=True)
    (tmp_path / "iac" / "prod" / "main.tf").write_text("\n".join(LINES) + "\n")
    return tmp_path


def judged(root: Path, *names: str, family: str = "infra", **changes: object) -> Run:
    subjects = tuple(Subject.of(Path(name), root) for name in names or ("iac/prod",))
    found = scan(dataclasses.replace(FINDING, **changes), subjects=subjects)  # type: ignore[arg-type]
    return run(record(found, gate=f"{family}/checkov[iac/prod]"))


def test_two_lines_before_and_after(root: Path) -> None:
    assert excerpt.of(judged(root), root, {"infra"}) == {KEY: tuple((at, f"line {at}") for at in range(10, 15))}
    first = excerpt.of(judged(root, line=1), root, {"infra"})
    assert first["infra", "iac/prod/main.tf", 1][0] == (1, "line 1")
    last = excerpt.of(judged(root, line=20), root, {"infra"})
    assert last["infra", "iac/prod/main.tf", 20][-1] == (20, "line 20")


def test_a_file_that_changed_since_is_not_shown(root: Path) -> None:
    example = judged(root)
    (root / "iac/prod/other.tf").write_text("")
    assert excerpt.of(example, root, {"infra"}) == {}
    example = judged(root, "iac/prod/main.tf")
    assert excerpt.of(example, root, {"infra"})
    (root / "iac/prod/main.tf").write_text("\n".join(LINES) + "\n# more\n")
    assert excerpt.of(example, root, {"infra"}) == {}


def test_a_file_that_nothing_says_was_judged_is_not_shown(root: Path) -> None:
    assert excerpt.of(run(record(scan(FINDING))), root, {"infra"}) == {}
    (root / "iac/production").mkdir()
    (root / "iac/production/x.tf").write_text("\n".join(LINES))
    assert excerpt.of(judged(root, path="iac/production/x.tf"), root, {"infra"}) == {}


def test_a_family_that_may_not_be_shown_is_not(root: Path) -> None:
    assert excerpt.of(judged(root, family="data_contract"), root, {"infra"}) == {}
    assert excerpt.of(judged(root), root, set()) == {}


def test_not_even_another_family_s_finding_shows_what_a_private_one_judged(root: Path) -> None:
    (root / "data.csv").write_text(f"cpf\n{CANARY}\n")
    public = judged(root, "data.csv", path="data.csv", line=2)
    assert CANARY in str(excerpt.of(public, root, {"infra"}))
    private = record(scan(subjects=(Subject.of(Path("data.csv"), root),)), gate="data_contract/x", node="d")
    assert excerpt.of(run(*public.records, private), root, {"infra"}) == {}


@pytest.mark.parametrize("other", ["iac/prod/link.tf", "iac/./data.csv", "iac/prod/../data.csv"])
def test_what_a_private_family_judged_is_not_shown_by_another_of_its_names(root: Path, other: str) -> None:
    (root / "iac/data.csv").write_text(f"cpf\n{CANARY}\n")
    (root / "iac/prod/link.tf").symlink_to("../data.csv")
    public = judged(root, "iac", path=other, line=2)
    private = record(scan(subjects=(Subject.of(Path("iac/data.csv"), root),)), gate="data_contract/x", node="d")
    assert (CANARY in str(excerpt.of(public, root, {"infra"}))) == (".." not in other)
    assert excerpt.of(run(*public.records, private), root, {"infra"}) == {}


def test_a_subject_whose_name_no_file_can_have_is_passed_over(root: Path) -> None:
    odd = tuple(Subject(name, "ab" * 32, "content") for name in ("a\0b", "\ud800", "x" * 5000))
    private = record(scan(subjects=odd), gate="data_contract/x", node="d")
    assert KEY in excerpt.of(run(*judged(root).records, private), root, {"infra"})


@pytest.mark.parametrize("line", [0, -1, 21, 10**12])
def test_a_line_that_is_not_there(root: Path, line: int) -> None:
    assert excerpt.of(judged(root, line=line), root, {"infra"}) == {}


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\n" * 20, b"\0\n" * 20, b"x\n" * 2**20, b"x" * 2001 + b"\n" * 20, b"\n" * 20 + b"x" * 2**20]
)
def test_what_is_no_small_text_is_not_shown(root: Path, content: bytes) -> None:
    (root / "iac/prod/main.tf").write_bytes(content)
    assert excerpt.of(judged(root), root, {"infra"}) == {}


def test_a_link_out_of_the_repository_is_not_followed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret"
    outside.write_text("\n".join(LINES))
    (root / "iac/prod/main.tf").unlink()
    (root / "iac/prod/main.tf").symlink_to(outside)
    assert excerpt.of(judged(root), root, {"infra"}) == {}


def test_a_path_out_of_the_repository_is_not_read(root: Path) -> None:
    (root.parent / "outside.tf").write_text("\n".join(LINES))
    assert excerpt.of(judged(root, path="iac/prod/../../../outside.tf"), root, {"infra"}) == {}


def test_a_pipe_keeps_nobody_waiting(root: Path) -> None:
    example = judged(root)
    (root / "iac/prod/main.tf").unlink()
    os.mkfifo(root / "iac/prod/main.tf")
    assert excerpt.of(example, root, {"infra"}) == {}


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('  password = "hunter2-hunter2"', '  password = "***"'),
        ("db_password: 'hunter2-hunter2'", "db_password: '***'"),
        ('  "api_key": "hunter2-hunter2",', '  "api_key": "***",'),
        ('  secret_name = "${var.name}"', '  secret_name = "${var.name}"'),
        ('  name = "hunter2-hunter2"', '  name = "hunter2-hunter2"'),
        ("  password: hunter2", "  password: ***"),
        ("  passphrase_password: correct horse # battery", "  passphrase_password: ***"),
        ("ENV DB_PASSWORD=hunter2", "ENV DB_PASSWORD=***"),
        ("ARG API_TOKEN=abc123", "ARG API_TOKEN=***"),
        ("  password: true-hunter2", "  password: ***"),
        ('  password = "hunter2\'s"', '  password = "***"'),
        (r'  password = "hunter\"2"', '  password = "***"'),
        ("  password = var.password", "  password = var.password"),
        ("automountServiceAccountToken: false", "automountServiceAccountToken: false"),
        ('  PASSWORD: "${{ secrets.PASSWORD }}"', '  PASSWORD: "${{ secrets.PASSWORD }}"'),
        ("  TOKEN: ${{ secrets.TOKEN }}", "  TOKEN: ${{ secrets.TOKEN }}"),
        ("  secret:", "  secret:"),
        ("ENV DB_PASSWORD hunter2", "ENV DB_PASSWORD ***"),
        ("ENV DB_HOST hunter2", "ENV DB_HOST hunter2"),
        ("  password: |", "  password: ***"),
        ('  password = "${var.a}hunter2"', '  password = "***"'),
        ('  password = "a" + "hunter2"', "  password = ***"),
        ('  x = "in-the-environment"', '  x = "***"'),
    ],
)
def test_what_looks_like_a_secret_is_masked(root: Path, line: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "in-the-environment")
    (root / "iac/prod/main.tf").write_text("\n".join([*LINES[:11], line, *LINES[11:]]))
    assert dict(excerpt.of(judged(root), root, {"infra"})[KEY])[12] == shown


def test_of_a_file_with_a_private_key_nothing_is_shown(root: Path) -> None:
    key = ["-----BEGIN PRIVATE KEY-----", "MC4CAQAwBQYDK2VwBCIEI", "-----END PRIVATE KEY-----"]
    (root / "iac/prod/main.tf").write_text("\n".join([*LINES[:11], *key, *LINES]))
    assert excerpt.of(judged(root), root, {"infra"}) == {}


@pytest.mark.parametrize("kind", ["kind: Secret", "  kind: 'Secret'", '{"kind": "Secret"}'])
def test_of_a_file_with_a_secret_of_kubernetes_nothing_is_shown(root: Path, kind: str) -> None:
    for text, shown in ((kind, False), (kind.replace("Secret", "SecretStore"), True)):
        (root / "iac/prod/main.tf").write_text("\n".join([*LINES, text]))
        assert bool(excerpt.of(judged(root), root, {"infra"})) is shown


def test_only_so_many_are_read(root: Path) -> None:
    found = [
        dataclasses.replace(FINDING, rule=f"rule-{at}", line=1 + at % 20, path=f"iac/prod/{at}.tf") for at in range(400)
    ]
    for each in found:
        (root / each.path).write_text("\n".join(LINES))
    example = run(record(scan(*found, subjects=(Subject.of(Path("iac/prod"), root),))))
    assert len(excerpt.of(example, root, {"infra"})) == excerpt.MOST
