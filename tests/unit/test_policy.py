"""A policy that is odd is refused, by file, line and key, before anything is judged by it."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import pytest

from pytest_pixgates.core import policy
from pytest_pixgates.core.errors import PolicyError
from pytest_pixgates.core.scan import INLINE_SKIP, State
from tests.unit.example_runs import FINDING, POLICY

TODAY = datetime.datetime.now(datetime.UTC).date()
WAIVER = {
    "id": "W-1",
    "rule": "CKV_AWS_19",
    "path": "iac/prod/*.tf",
    "owner": "platform",
    "reason": "replaced this quarter",
    "expires": TODAY + datetime.timedelta(days=30),
}


@dataclasses.dataclass(frozen=True)
class InfraSection:
    checkov: tuple[str, ...] = ()
    severity: str = "warning"


def write(root: Path, text: str, waivers: str = "") -> Path:
    path = root / "gates" / "gates.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    if waivers:
        path.with_name(policy.WAIVERS).write_text(waivers)
    return path


def waiver(family: str = "infra", **changes: object) -> str:
    rows = {**WAIVER, **changes}
    values = {name: str(value) if isinstance(value, datetime.date) else f'"{value}"' for name, value in rows.items()}
    return f"[[{family}]]\n" + "".join(
        f"{name} = {value}\n" for name, value in values.items() if rows[name] is not None
    )


def refused(path: Path, families: frozenset[str] | None = frozenset({"infra"})) -> str:
    with pytest.raises(PolicyError) as caught:
        policy.load(path, families=families)
    return caught.value.message


def test_a_policy_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, POLICY)
    read = policy.load(path, environment="prod", families=frozenset({"infra"}))
    assert (read.root, read.folder, read.environment) == (tmp_path, tmp_path / "gates", "prod")
    assert read.general.alpha == 0.05
    assert read.environments["prod"].max_age == "4h"
    assert read.settings("infra", InfraSection) == InfraSection(("iac/*",))
    assert policy.load(write(tmp_path, "")).sections == {}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("\n[infar]\n", 2, "infar: unknown key; did you mean 'infra'?"),
        ("[pixgates]\nalhpa = 0.1\n", 2, "pixgates.alhpa: unknown key; did you mean 'alpha'?"),
        ("[pixgates]\n\nalpha = '0.1'\n", 3, "expected a number, got a string"),
        ("[pixgates]\nalpha = 0\n", 1, "alpha must lie between 0 and 0.5, not 0"),
        ("[pixgates]\nalpha = 0.5\n", 1, "alpha must lie between"),
        ("[pixgates]\nalpha = nan\n", 2, "nan is not a finite number"),
        (f"[pixgates]\nalpha = {10**400}\n", 2, "too large"),
        ("[pixgates]\nalpha = true\n", 2, "expected a number, got a bool"),
        ("[tools]\ncheckov = 3\n", 2, "tools.checkov: expected a string"),
        ("x = 1\n[environments.prod]\nmax_age = 'soon'\n", 2, "'soon' is not a number with one of the units"),
        ("[environments.prod]\nmax_age = '-1h'\n", 1, "not a positive duration"),
        ("[environments.prod]\nrequires = 'infra'\n", 2, "environments.prod.requires: expected a list"),
        ("[environments.prod]\nrequire = []\n", 2, "did you mean 'requires'?"),
        ("infra = 3\n", 1, "infra: expected a table"),
    ],
)
def test_what_is_odd_is_named_by_file_line_and_key(tmp_path: Path, text: str, line: int, words: str) -> None:
    known = frozenset({"infra", "x"})
    message = refused(write(tmp_path, text), known)
    assert message.startswith(f"{tmp_path}/gates/gates.toml:{line}: ")
    assert words in message
    assert policy.load(write(tmp_path, POLICY), families=known)


@pytest.mark.parametrize(
    "text", ["[infra", "infra = ", "a = 1\na = 2\n", "[infra]\n[infra]\n", "a = " + "[" * 100_000, "a = 1\x00"]
)
def test_what_is_no_toml_is_refused(tmp_path: Path, text: str) -> None:
    assert "gates.toml: not valid TOML" in refused(write(tmp_path, text))


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "gates.toml")
    path = write(tmp_path, "")
    path.write_bytes(b"a = '\xff'")
    assert "not valid TOML" in refused(path)


def test_a_section_is_checked_when_its_family_asks(tmp_path: Path) -> None:
    read = policy.load(write(tmp_path, "[infra]\ncheckov = ['a']\nsevrity = 'note'\n"))
    with pytest.raises(PolicyError, match=r"gates\.toml:3: infra\.sevrity: unknown key; did you mean 'severity'\?"):
        read.settings("infra", InfraSection)
    assert read.settings("latency", InfraSection) == InfraSection()


def test_an_unknown_environment_names_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path, POLICY)
    with pytest.raises(PolicyError, match="did you mean 'prod'"):
        policy.load(path, environment="prdo")
    assert policy.load(path, environment="prod")


@pytest.mark.parametrize("families", [None, frozenset({"infra", "latency"})], ids=["no plugins", "plugins"])
@pytest.mark.parametrize(
    ("required", "words"),
    [
        (
            "'infar'",
            "environments.prod.requires[0]: 'infar': no family 'infar' has a section here; did you mean 'infra'?",
        ),
        ("'infra', 'infar/checkov[iac]'", "environments.prod.requires[1]: 'infar/checkov[iac]': no family 'infar'"),
        ("'latency'", "no family 'latency' has a section here; valid: infra"),
        ("''", "valid: infra"),
    ],
)
def test_an_environment_requires_only_families_that_are_judged(
    tmp_path: Path, required: str, words: str, families: frozenset[str] | None
) -> None:
    text = "[environments.prod]\nrequires = [{}]\n[infra]\n"
    assert policy.load(write(tmp_path, text.format("'infra', 'infra/checkov[iac]'")), families=families)
    message = refused(write(tmp_path, text.format(required)), families)
    assert message.startswith(f"{tmp_path}/gates/gates.toml:2: ")
    assert words in message


def test_a_reader_without_plugins_takes_any_family(tmp_path: Path) -> None:
    path = write(tmp_path, "[ledger]\nx = 1\n", waiver("ledger"))
    assert list(policy.load(path).sections) == list(policy.load(path).waivers) == ["ledger"]
    assert "ledger" in refused(path)


# Waivers


def test_a_waiver_excuses_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    read = policy.load(write(tmp_path, POLICY, waiver(resource=FINDING.resource)))
    waived = read.waive("infra", FINDING)
    assert (waived.state, waived.waiver) == (State.WAIVED, "W-1")
    for change in ({"rule": "CKV_AWS_20"}, {"path": "iac/dev/main.tf"}, {"resource": "aws_s3_bucket.b"}):
        other = dataclasses.replace(FINDING, **change)
        assert read.waive("infra", other) == other
    assert read.waive("latency", FINDING) == FINDING


@pytest.mark.parametrize(("days", "state"), [(-1, State.OPEN), (0, State.WAIVED), (90, State.WAIVED)])
def test_a_waiver_holds_through_its_last_day(tmp_path: Path, days: int, state: State) -> None:
    text = waiver(expires=TODAY + datetime.timedelta(days=days))
    assert policy.load(write(tmp_path, POLICY, text)).waive("infra", FINDING).state is state


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            waiver(expires=TODAY + datetime.timedelta(days=92)),
            f"more than 90 days ahead; the latest today is {TODAY + datetime.timedelta(days=90)}",
        ),
        (waiver(expires=None), "infra[0].expires: is required"),
        (waiver(owner=None), "infra[0].owner: is required"),
        (waiver(reason=" "), "reason is empty"),
        (waiver(rule="CKV_*"), "too wide: rule 'CKV_*' must name one rule"),
        (waiver(path="*"), "waiver W-1: infra[0]: too wide: path '*' must begin with a name, such as 'iac/prod/*.tf'"),
        (waiver(path="*.tf"), "must begin with a name"),
        (waiver(path="**"), "must begin with a name"),
        (waiver(path="**/main.tf"), "must begin with a name"),
        (waiver(path="[a-z]*/main.tf"), "must begin with a name"),
        (waiver(path="ia?/main.tf"), "must begin with a name"),
        (waiver(path="./iac/main.tf"), "without . or .."),
        (waiver(path="iac/../*"), "without . or .."),
        (waiver(path="/iac/*"), "relative"),
        (waiver(rule="inline-skip"), "a waiver for inline-skip needs `resource`"),
        (waiver(forever="yes"), "infra[0].forever: unknown key"),
        (waiver(expires="tomorrow"), "infra[0].expires"),
        (waiver() + waiver(path="iac/dev/*.tf"), "two waivers are called 'W-1'"),
        (waiver("infar"), "did you mean 'infra'?"),
        ("[infra]\nid = 'x'\n", "infra: expected a list, got a table"),
    ],
)
def test_a_waiver_that_is_too_wide_too_long_or_incomplete_is_refused(tmp_path: Path, text: str, words: str) -> None:
    message = refused(write(tmp_path, POLICY, text))
    assert message.startswith(f"{tmp_path}/gates/waivers.toml:")
    assert words in message
    assert policy.load(write(tmp_path, POLICY, waiver())).waivers


@pytest.mark.parametrize(
    ("path", "pattern", "matched"),
    [
        ("iac/main.tf", "iac/main.tf", True),
        ("iac/main.tf", "iac/*.tf", True),
        ("iac/prod/main.tf", "iac/*.tf", False),
        ("iac/prod/main.tf", "iac/*/*.tf", True),
        ("iac/prod/main.tf", "iac*", False),
        ("iac/prod/main.tf", "iac/**", True),
        ("iac/prod/main.tf", "iac/**/main.tf", True),
        ("iac/main.tf", "iac/**/main.tf", True),
        ("iac/a/b/main.tf", "iac/**/*.tf", True),
        ("iac/a/b/main.tf", "iac/a**", False),
        ("iac/prod/main.tf", "iac/pro[d]/main.tf", True),
        ("iac/prod/main.tf", "iac[!x]prod/main.tf", False),
        ("iac/prod", "iac/prod/main.tf", False),
        ("", "iac", False),
    ],
)
def test_a_wildcard_stays_within_its_part_of_the_path(path: str, pattern: str, matched: bool) -> None:
    assert policy.matches(path, pattern) is matched


def test_a_waiver_does_not_reach_into_folders_below(tmp_path: Path) -> None:
    read = policy.load(write(tmp_path, POLICY, waiver(path="iac/prod/*.tf")))
    assert read.waive("infra", FINDING).state is State.WAIVED
    below = dataclasses.replace(FINDING, path="iac/prod/modules/main.tf")
    assert read.waive("infra", below).state is State.OPEN


def test_a_waiver_for_an_inline_skip_names_the_rule_that_is_skipped(tmp_path: Path) -> None:
    read = policy.load(write(tmp_path, POLICY, waiver(rule=INLINE_SKIP, resource="CKV_AWS_19")))
    skip = dataclasses.replace(FINDING, rule=INLINE_SKIP, resource="CKV_AWS_19")
    assert read.waive("infra", skip).state is State.WAIVED
    assert read.waive("infra", dataclasses.replace(skip, resource="CKV_AWS_20")).state is State.OPEN
    assert policy.INLINE_SKIP == INLINE_SKIP


@pytest.mark.parametrize(
    ("second", "line", "words"),
    [
        (waiver(id="W-2", path="*"), 9, "waiver W-2: infra[1]: too wide"),
        (waiver(id="W-2", owner=None), 9, "waiver W-2: infra[1].owner: is required"),
        (waiver(id="W-2", onwer="me"), 16, "waiver W-2: infra[1].onwer: unknown key; did you mean 'owner'?"),
        (waiver(path="iac/dev/main.tf"), 10, "waiver W-1: infra[1].id: two waivers are called 'W-1'"),
        (waiver(id=None), 9, "infra[1].id: is required"),
    ],
)
def test_an_error_in_the_second_waiver_names_that_one_and_its_line(
    tmp_path: Path, second: str, line: int, words: str
) -> None:
    first = waiver() + "\n"
    message = refused(write(tmp_path, POLICY, first + second))
    assert message.startswith(f"{tmp_path}/gates/waivers.toml:{line}: {words}")


def test_the_digest_covers_everything_reviewed(tmp_path: Path) -> None:
    path = write(tmp_path, POLICY)
    digests = {policy.load(path).sha256}
    path.with_name("test_infra.py").write_text("def test_x(): ...\n")
    digests.add(policy.load(path).sha256)
    write(tmp_path, POLICY, waiver())
    digests.add(policy.load(path).sha256)
    (tmp_path / "README.md").write_text("not reviewed")
    digests.add(policy.load(path).sha256)
    assert len(digests) == 3


def test_a_line_is_that_of_the_key_or_the_nearest_above() -> None:
    text = '[a]\nb = 1\n\n[[a.c]]\nd = 1\n[[a.c]]\nd = 2\n["q"]\nr = 1\n'
    wanted = {"a": 1, "a.b": 2, "a.b.x[0]": 2, "a.c[0].d": 5, "a.c[1]": 6, "a.c[1].d": 7, "a.zz": 1, "q.r": 9, "z": 1}
    assert {key: policy.line_of(text, key) for key in wanted} == wanted
