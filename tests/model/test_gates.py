"""`pytest -m model_gate` as its user runs it: what the policy declares, on a table of scores."""

from __future__ import annotations

import fnmatch
import json
import math
import sys
import tomllib
from collections.abc import Callable

import polars as pl
import pytest

from pytest_pixgates.core import decode
from pytest_pixgates.model_gate import drift
from pytest_pixgates.model_gate.policy import ModelGatePolicy
from pytest_pixgates.model_gate.scores import ScoresError
from tests.model.conftest import POLICY, REGIONS, Repository, scored

Judged = Callable[..., dict[str, str]]
RECALL = "[model_gate.limits.recall]\nat_least = "


def test_a_limit_that_the_data_supports_passes(judged: Judged, repository: Repository) -> None:
    assert judged(RECALL + "0.8") == {"limit[recall]": "PASS", "test_set": "PASS"}
    assert repository.result.ret == 0


def test_a_limit_that_the_data_contradicts_fails(judged: Judged, repository: Repository) -> None:
    assert judged(RECALL + "0.9")["limit[recall]"] == "FAIL"
    assert repository.result.ret == 1


def test_a_limit_near_the_figure_is_undecided_and_says_how_much_would_decide_it(
    judged: Judged, repository: Repository
) -> None:
    assert judged(RECALL + "0.86")["limit[recall]"] == "INCONCLUSIVE"
    assert "positives at the same rate; there are" in repository.text


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [
        ("precision = { at_least = 0.55 }", "PASS"),
        ("false_positive_rate = { at_most = '0.7%' }", "PASS"),
        ("false_positive_rate = { at_most = '0.3%' }", "FAIL"),
        ("specificity = { at_least = 0.99 }", "PASS"),
        ("f_beta = { at_least = 0.7, beta = 2 }", "PASS"),
        ("roc_auc = { at_least = 0.85 }", "PASS"),
        ("average_precision = { at_least = 0.3 }", "PASS"),
        ("average_precision = { at_least = 0.9 }", "FAIL"),
        ("recall_at_fpr = { at_least = 0.75, fpr = 0.01 }", "PASS"),
        ("precision_at = { at_least = 0.5, alerts_per_day = 15 }", "PASS"),
        ("brier = { at_most = 0.2 }", "PASS"),
        ("calibration_error = { at_most = 0.1 }", "FAIL"),
        ("cost = { at_most = 900, false_alarm = 5 }", "PASS"),
        ("amount_recall = { at_least = 0.7 }", "PASS"),
        ("recall = { at_least = 0.8, min_positives = 100000 }", "INCONCLUSIVE"),
        ("caught = { at_least = 0.8, metric = 'recall' }", "PASS"),
    ],
)
def test_each_figure_is_judged(judged: Judged, limits: str, outcome: str) -> None:
    name = limits.partition(" ")[0]
    assert judged(f"[model_gate.limits]\n{limits}")[f"limit[{name}]"] == outcome


def test_a_stricter_environment_is_judged_by_its_own_limit(judged: Judged) -> None:
    policy = "[environments.prod]\n[model_gate.limits]\nrecall = { at_least = 0.8, environments = { prod = 0.95 } }"
    assert judged(policy)["limit[recall]"] == "PASS"
    assert judged(policy, None, "--pixgates-env", "prod")["limit[recall]"] == "FAIL"


def test_all_slices_of_a_limit_are_one_gate_that_names_the_worst(judged: Judged, repository: Repository) -> None:
    rows = scored(200_000)
    bad = (pl.col("region") == "NE") & (pl.col("id").str.slice(-1).cast(int) < 6)
    rows = rows.with_columns(decision=pl.when(bad).then(pl.lit("approve")).otherwise("decision"))
    policy = "[model_gate.limits]\nrecall = { at_least = 0.6, slices = ['region'] }"
    found = judged(policy, rows)
    assert (found["limit[recall]"], found["slices[recall/region]"]) == ("PASS", "FAIL")
    assert "recall of region NE" in repository.text
    assert judged(policy, scored(200_000))["slices[recall/region]"] == "PASS"


def test_a_slice_that_the_policy_names_must_be_there(judged: Judged, repository: Repository) -> None:
    policy = "[model_gate.slices]\nregion = { column = 'region', values = ['N', 'ATLANTIS'] }\n"
    found = judged(policy + "[model_gate.limits]\nrecall = { at_least = 0.6, slices = ['region'] }")
    assert found["slices[recall/region]"] == "ERROR"
    assert "ATLANTIS" in repository.text


def test_slices_by_quantile_and_by_time(judged: Judged) -> None:
    policy = """
[model_gate.slices]
amount = { column = "cents", quantiles = 4 }
week = { every = "1w" }
[model_gate.limits]
recall = { at_least = 0.7, slices = ["amount", "week"] }
"""
    found = judged(policy, scored(100_000))
    assert found["slices[recall/amount]"] == "PASS"
    assert found["slices[recall/week]"] == "PASS"


def test_a_small_slice_is_undecided_and_named(judged: Judged, repository: Repository) -> None:
    rows = scored().with_columns(region=pl.when(pl.int_range(pl.len()) < 300).then(pl.lit("XX")).otherwise("region"))
    found = judged("[model_gate.limits]\nrecall = { at_least = 0.7, slices = ['region'], min_positives = 20 }", rows)
    assert found["slices[recall/region]"] == "INCONCLUSIVE"
    assert "region XX" in repository.text


FAIR = "[model_gate.fairness]\ncolumns = ['region']\nratio = 2\n"


def test_a_fair_model_passes_and_one_that_blocks_a_region_fails(judged: Judged, repository: Repository) -> None:
    name = "fairness[false_positive_rate/region]"
    rows = scored(200_000)
    assert judged(FAIR, rows) == {name: "PASS"}
    unfair = (pl.col("region") == "NE") & (pl.col("id").str.slice(-2).cast(int) < 3)
    rows = rows.with_columns(decision=pl.when(unfair).then(pl.lit("block")).otherwise("decision"))
    assert judged(FAIR, rows) == {name: "FAIL"}
    assert "NE" in repository.text


def test_fairness_is_a_marker_inside_the_family(judged: Judged) -> None:
    assert list(judged(FAIR + RECALL + "0.8", scored(200_000), "-m", "fairness")) == [
        "fairness[false_positive_rate/region]"
    ]


def test_small_groups_are_undecided_never_dropped(judged: Judged, repository: Repository) -> None:
    rows = scored().with_columns(region=pl.when(pl.int_range(pl.len()) < 50).then(pl.lit("XX")).otherwise("region"))
    assert judged(FAIR + "min_group = 1000", rows) == {"fairness[false_positive_rate/region]": "INCONCLUSIVE"}
    assert "XX" in repository.text


def test_a_group_column_with_nulls_is_an_error_unless_the_policy_names_them(judged: Judged) -> None:
    name = "fairness[false_positive_rate/region]"
    holes = pl.when(pl.col("region") == "N").then(None).otherwise("region")
    rows = scored(200_000).with_columns(region=holes)
    assert judged(FAIR, rows) == {name: "ERROR"}
    assert judged('[model_gate.nulls]\nregion = "unknown"\n' + FAIR, rows) == {name: "PASS"}


def test_the_champion_is_compared_on_the_same_rows(judged: Judged, repository: Repository) -> None:
    policy = "[model_gate.limits]\nrecall = { at_least = 0.5, vs_champion = 0.02 }"
    base = POLICY + 'champion = "champion.parquet"\n'
    rows = scored(200_000)
    repository.write(rows, "champion.parquet")
    repository.write(rows)
    repository.policy(policy, base)
    assert repository.outcomes()["champion[recall]"] == "PASS"
    repository.write(scored(200_000, recall=0.7).with_columns(rows["is_fraud"]))
    assert repository.outcomes()["champion[recall]"] == "FAIL"
    repository.write(rows.head(150_000), "champion.parquet")
    assert repository.outcomes()["champion[recall]"] == "ERROR"
    (repository.path / "champion.parquet").write_bytes(b"not a table")
    assert repository.outcomes()["champion[recall]"] == "ERROR"
    (repository.path / "champion.parquet").unlink()
    assert repository.outcomes()["champion[recall]"] == "ERROR"


def test_the_champions_table_is_judged_too_and_may_not_change_or_vanish(repository: Repository) -> None:
    rows = scored()
    for name in ("scores.parquet", "champion.parquet"):
        repository.write(rows, name)
    limits = "[model_gate.limits]\nrecall = { at_least = 0.5, vs_champion = 0.05 }"
    repository.policy(limits, POLICY + 'champion = "champion.parquet"\n')
    assert set(repository.outcomes().values()) == {"PASS"}
    (repository.path / "champion.parquet").unlink()
    verdict = repository.pytester.run(sys.executable, "-m", "pytest_pixgates", "verdict")
    assert verdict.ret == 1
    assert "champion.parquet: it vanished since it was judged" in verdict.stdout.str() + verdict.stderr.str()


def test_too_few_frauds_decide_neither_a_slice_nor_a_comparison(judged: Judged, repository: Repository) -> None:
    repository.write(scored(), "champion.parquet")
    repository.write(scored())
    limit = "at_most = 0.5, min_positives = 100000, slices = ['region'], vs_champion = 0.1"
    limits = f"[model_gate.limits]\nfalse_positive_rate = {{ {limit} }}"
    repository.policy(limits, POLICY + 'champion = "champion.parquet"\n')
    found = repository.outcomes()
    assert {outcome for name, outcome in found.items() if name != "test_set"} == {"INCONCLUSIVE"}
    assert len(found) == 4


def test_a_champion_with_other_ids_or_labels_is_an_error_that_says_so(repository: Repository) -> None:
    rows = scored()
    limits = "[model_gate.limits]\nrecall = { at_least = 0.5, vs_champion = 0.02 }"
    repository.policy(limits, POLICY + 'champion = "champion.parquet"\n')
    repository.write(rows)
    repository.write(rows.with_columns(id=pl.int_range(pl.len())), "champion.parquet")
    assert repository.outcomes()["champion[recall]"] == "ERROR"
    assert "ids are String here and Int64 in the champion's table" in repository.text
    repository.write(rows.drop("decision"), "champion.parquet")
    assert repository.outcomes()["champion[recall]"] == "ERROR"
    assert "champion.parquet has no column decision" in repository.text


def test_a_champion_with_other_labels_is_an_error(judged: Judged, repository: Repository) -> None:
    rows = scored()
    repository.write(rows)
    repository.write(rows.with_columns(is_fraud=~pl.col("is_fraud")), "champion.parquet")
    repository.policy(
        "[model_gate.limits]\nrecall = { at_least = 0.5, vs_champion = 0.02 }",
        POLICY + 'champion = "champion.parquet"\n',
    )
    assert repository.outcomes()["champion[recall]"] == "ERROR"
    assert "labels differ" in repository.text


def test_drift_blocks_or_warns(judged: Judged, repository: Repository) -> None:
    drift = '[model_gate.drift]\nreference = "reference.parquet"\n'
    repository.write(scored(20_000, seed=1), "reference.parquet")
    assert judged(drift, scored()) == {"drift": "PASS"}
    moved = scored().with_columns(score=(pl.col("score") * 0.9 + 0.1))
    assert judged(drift, moved) == {"drift": "FAIL"}
    assert judged(drift + "block = false", moved) == {"drift": "PASS"}
    assert "drift" in (repository.path / ".pixgates" / "summary.md").read_text()


@pytest.mark.parametrize(("now", "moved"), [(-1_000.0, True), (5.0, False), (6.0, True)])
def test_a_drift_away_from_a_constant_is_seen_wherever_it_goes(now: float, moved: bool) -> None:
    columns = (pl.Series("x", [value] * 500) for value in (now, 5.0))
    assert (drift.shift("x", *columns, 0.05).bounds[0] > 0.2) == moved


def test_a_reference_without_values_is_compared_with_nothing() -> None:
    with pytest.raises(ScoresError, match="the reference has no value of x"):
        drift.shift("x", pl.Series([math.nan] * 500), pl.Series([None] * 500, dtype=pl.Float64), 0.05)


def test_a_column_that_drift_lacks_is_an_error_and_so_is_the_score(judged: Judged, repository: Repository) -> None:
    repository.write(scored(seed=1).drop("score"), "reference.parquet")
    assert judged('[model_gate.drift]\nreference = "reference.parquet"\n') == {"drift": "ERROR"}
    assert "reference.parquet has no column score" in repository.text
    repository.write(scored(seed=1), "reference.parquet")
    repository.write(scored().drop("cents"), "test_set.parquet")
    repository.policy(
        '[model_gate.drift]\nreference = "reference.parquet"\ncolumns = ["cents"]\n',
        POLICY + 'test_set = "test_set.parquet"\n',
    )
    assert repository.outcomes() == {"drift": "ERROR"}
    assert "test_set.parquet has no column cents" in repository.text


def test_rows_in_another_order_are_the_same_test_set(repository: Repository) -> None:
    repository.policy(RECALL + "0.5", POLICY + "max_candidates = 1\n")
    for seed, (score, outcome) in enumerate([(1.0, "PASS"), (1.0, "PASS"), (0.99, "FAIL")]):
        repository.write(scored().with_columns(pl.col("score") * score).sample(fraction=1, shuffle=True, seed=seed))
        assert repository.outcomes()["test_set"] == outcome


def test_the_looks_at_a_test_set_are_counted_and_capped(judged: Judged, repository: Repository) -> None:
    rows = scored()
    repository.policy(RECALL + "0.5", POLICY + "max_candidates = 2\n")
    for at, outcome in ((0.0, "PASS"), (0.01, "PASS"), (0.01, "PASS"), (0.02, "FAIL")):
        repository.write(rows.with_columns(score=pl.col("score") * (1 - at)))
        assert repository.outcomes()["test_set"] == outcome
    assert "3 on this test set" in repository.text


def test_an_unchanged_table_is_answered_from_the_cache_and_says_so(judged: Judged, repository: Repository) -> None:
    judged(RECALL + "0.8")
    again = repository.run()
    assert [check.cached for record in again.records if record.name == "limit[recall]" for check in record.checks] == [
        True
    ]
    assert "1 cached" in repository.text
    repository.write(scored(seed=5))
    changed = repository.run()
    assert not any(check.cached for record in changed.records for check in record.checks)


def test_no_scores_is_an_error_that_names_the_command(repository: Repository) -> None:
    repository.policy(RECALL + "0.8")
    assert repository.outcomes() == {"limit[recall]": "ERROR", "test_set": "ERROR"}
    assert "run make model" in repository.text


@pytest.mark.parametrize(
    "spoil",
    [
        {"is_fraud": pl.lit(False)},
        {"is_fraud": pl.col("is_fraud").cast(pl.String)},
        {"is_fraud": pl.col("is_fraud").cast(pl.Float64)},
        {"is_fraud": pl.when(pl.int_range(pl.len()) == 3).then(None).otherwise("is_fraud")},
        {"score": pl.when(pl.int_range(pl.len()) == 3).then(float("nan")).otherwise("score")},
        {"score": pl.when(pl.int_range(pl.len()) == 3).then(float("inf")).otherwise("score")},
        {"score": pl.col("score") * 1.5},
        {"score": pl.col("score").cast(pl.String)},
        {"id": pl.lit("E1")},
        {"cents": -pl.col("cents")},
        {"at": pl.col("at").cast(pl.String)},
        {"decision": pl.col("decision").str.to_uppercase()},
        {"decision": pl.col("decision").replace("block", "Block")},
        {"decision": pl.lit("approve")},
        {"decision": pl.col("decision") == "approve"},
    ],
    ids=[
        "no positives",
        "labels as text",
        "labels as floats",
        "label null",
        "score NaN",
        "score infinite",
        "scores above 1",
        "scores as text",
        "ids twice",
        "negative amounts",
        "times as text",
        "decisions in another case",
        "one decision in another case",
        "no alert",
        "decisions true and false beside alert",
    ],
)
def test_rows_that_cannot_be_measured_are_an_error(judged: Judged, spoil: dict[str, pl.Expr]) -> None:
    found = judged(RECALL + "0.0001", scored().with_columns(**spoil))
    assert found["limit[recall]"] == "ERROR"


def test_a_table_without_rows_or_columns_is_an_error(judged: Judged) -> None:
    assert judged(RECALL + "0.1", scored().head(0))["limit[recall]"] == "ERROR"
    assert judged(RECALL + "0.1", scored().drop("decision"))["limit[recall]"] == "ERROR"


def test_no_negatives_is_an_error_for_what_needs_them(judged: Judged) -> None:
    limits = "[model_gate.limits]\nfalse_positive_rate = { at_most = 0.9 }\nroc_auc = { at_least = 0.1 }"
    found = judged(limits, scored().with_columns(is_fraud=pl.lit(True)))
    assert {found["limit[false_positive_rate]"], found["limit[roc_auc]"]} == {"ERROR"}


def test_rows_without_a_moment_are_refused_not_taken_for_young(repository: Repository) -> None:
    base = POLICY + 'label_delay = "10d"\nclock = "2026-08-31T00:00:00Z"\n'
    missed = pl.col("is_fraud") & (pl.col("decision") == "approve")
    repository.write(scored().with_columns(at=pl.when(missed).then(None).otherwise("at")))
    repository.policy(RECALL + "0.5", base)
    assert repository.outcomes()["limit[recall]"] == "ERROR"
    assert "time has" in repository.text


def test_what_lies_beside_the_rows_is_refused_unless_hidden(repository: Repository) -> None:
    folder = repository.path / "scores"
    folder.mkdir()
    repository.write(scored(), "scores/a.parquet")
    repository.write(scored(), "scores/_left.parquet")
    repository.policy(RECALL + "0.8", POLICY.replace("scores.parquet", "scores"))
    assert repository.outcomes()["limit[recall]"] == "PASS"
    for name, told in {"b.PARQUET": "b.PARQUET can't be read", "more": "more can't be read"}.items():
        if name == "more":
            (folder / name).symlink_to(repository.path / "gates", target_is_directory=True)
        else:
            (folder / name).write_bytes((folder / "a.parquet").read_bytes())
        assert repository.outcomes()["limit[recall]"] == "ERROR"
        assert told in repository.text
        (folder / name).unlink()


def test_each_file_that_a_glob_reads_is_named_as_judged(repository: Repository) -> None:
    for name in ("rows", "elsewhere"):
        (repository.path / name).mkdir()
    half = scored().with_columns(id=pl.col("id") + "b")
    repository.write(scored(), "rows/a.parquet")
    repository.write(half, "elsewhere/b.parquet")
    (repository.path / "rows" / "link").symlink_to("../elsewhere", target_is_directory=True)
    repository.policy(RECALL + "0.8", POLICY.replace("scores.parquet", "rows/**/*.parquet"))
    (record,) = [each for each in repository.run().records if each.name == "limit[recall]"]
    assert record.outcome.value == "PASS"
    assert {each.name for each in record.subjects} == {"rows/a.parquet", "rows/link/b.parquet"}
    repository.write(half.with_columns(decision=pl.lit("approve")), "elsewhere/b.parquet")
    assert repository.outcomes()["limit[recall]"] == "FAIL"


def test_a_column_that_stands_twice_in_a_file_is_an_error(repository: Repository) -> None:
    text = scored(2_000).select("id", "is_fraud", "score", worse=1 - pl.col("score")).write_csv()
    (repository.path / "scores.csv").write_text(text.replace("worse", "score", 1))
    base = "[model_gate]\nscores = 'scores.csv'\nlabel = 'is_fraud'\nthreshold = 0.5\n"
    repository.policy(RECALL + "0.1", base)
    assert repository.outcomes()["limit[recall]"] == "ERROR"
    assert "the column score stands twice" in repository.text


def test_an_artifact_without_the_model_that_it_is_of_is_a_usage_error(repository: Repository) -> None:
    repository.policy("", POLICY + 'artifact = "evaluation.json"\n')
    result = repository.pytester.runpytest_subprocess()
    assert result.ret == 4
    assert "artifact needs `model`" in result.stderr.str()


def test_young_rows_wait_for_their_label(judged: Judged, repository: Repository) -> None:
    base = POLICY + 'label_delay = "10d"\nclock = "2026-08-31T00:00:00Z"\n'
    repository.write(scored())
    repository.policy(RECALL + "0.5", base)
    run = repository.run()
    judged_n = next(record for record in run.records if record.name == "limit[recall]").checks[0].verdict.figures[0].n
    everything = int(scored()["is_fraud"].sum())
    assert 0.5 * everything < judged_n < 0.8 * everything


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ("recal = { at_least = 0.5 }", "recal"),
        ("recall = { at_least = 0.5, at_most = 0.6 }", "recall"),
        ("recall = { at_least = 0.5, beta = 2 }", "beta"),
        ("f_beta = { at_least = 0.5 }", "beta"),
        ("recall = { at_least = 0.5, vs_champion = 0.1 }", "champion"),
        ("recall = { at_least = nan }", "recall"),
        ("recall = { at_least = true }", "expected a whole number or a number or a string, got a bool"),
    ],
)
def test_a_limit_that_cannot_be_is_a_usage_error(repository: Repository, limits: str, named: str) -> None:
    repository.policy(f"[model_gate.limits]\n{limits}")
    result = repository.pytester.runpytest_subprocess()
    assert result.ret == 4
    assert named in result.stderr.str()


@pytest.mark.parametrize(
    ("limit", "broken"),
    [
        ("recall = { at_least = 0 }", "limits.recall: 0:"),
        ("recall = { at_least = 80 }", 'limits.recall: 80: recall lies between 0 and 1*5 % is "5%" or 0.05'),
        ("low = { at_least = -0.1, metric = 'precision' }", "limits.low: -0.1: precision"),
        ("recall = { at_least = 0.8, environments = { prod = 1.1 } }", "limits.recall: 1.1:"),
        ("false_positive_rate = { at_most = 1 }", "limits.false_positive_rate: 1:"),
        ("false_positive_rate = { at_most = '100%' }", "limits.false_positive_rate: '100%':"),
        ("false_positive_rate = { at_most = 3 }", "limits.false_positive_rate: 3:"),
        ("brier = { at_most = -0.1 }", "limits.brier: -0.1:"),
        ("recall = { at_least = '5s' }", "'5s' is not a number"),
        (
            "recall = { at_least = 0.5, vs_champion = 5 }",
            "vs_champion is 5.0: give*(5 % is 0.05)",
        ),
        ("recall = { at_least = 0.5, vs_champion = 1 }", "vs_champion is 1.0"),
    ],
)
def test_a_limit_of_a_share_must_be_one_that_can_be_met_and_broken(limit: str, broken: str) -> None:
    with pytest.raises(decode.DecodeError) as caught:
        decode.decode(ModelGatePolicy, {"threshold": 0.5, "champion": "x", **tomllib.loads(f"[limits]\n{limit}")})
    assert fnmatch.fnmatchcase(str(caught.value), f"*{broken}*")


def test_the_strictest_limits_of_a_share_may_be_asked_for() -> None:
    limits = {"recall": {"at_least": 1}, "false_positive_rate": {"at_most": "0%"}}
    cost = {"cost": {"at_most": 900, "false_alarm": 5}}
    assert decode.decode(ModelGatePolicy, {"threshold": 0.5, "limits": limits | cost}).limits.keys() == {*limits, *cost}


@pytest.mark.parametrize(
    ("section", "key"),
    [("fairness", "ratio"), ("drift", "psi"), ("drift", "js"), ("drift", "ks")],
)
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_what_bounds_fairness_and_drift_is_finite(section: str, key: str, value: float) -> None:
    needed = {"columns": ["region"]} if section == "fairness" else {"reference": "train.parquet"}
    with pytest.raises(decode.DecodeError, match=f"{section}.{key}: {value} is not a finite number"):
        decode.decode(ModelGatePolicy, {"threshold": 0.5, section: {**needed, key: value}})


@pytest.mark.parametrize("key", ["js", "ks"])
def test_a_drift_that_nothing_could_exceed_is_refused(key: str) -> None:
    with pytest.raises(decode.DecodeError, match=f"{key} is 1.0, but it is never more than 1"):
        decode.decode(ModelGatePolicy, {"threshold": 0.5, "drift": {"reference": "train.parquet", key: 1}})


def test_gates_in_python_read_like_a_specification(repository: Repository) -> None:
    repository.write(scored(200_000))
    repository.policy("")
    (repository.path / "gates" / "test_model_gate.py").write_text(
        """
def test_recall(model_gate):
    assert model_gate.recall >= 0.8

def test_each_region(model_gate):
    assert model_gate.by("region").recall >= 0.75

def test_northeast(model_gate):
    assert model_gate.slice("region", "NE").false_positive_rate <= "1%"

def test_too_much(model_gate):
    assert model_gate.recall_at_fpr(0.01) >= 0.99
"""
    )
    found = repository.outcomes("-n", "2")
    assert found == {
        "recall": "PASS", "each_region": "PASS", "northeast": "PASS", "too_much": "FAIL",
    }  # fmt: skip


def test_a_failing_gate_explains_itself(repository: Repository) -> None:
    repository.write(scored())
    repository.policy("")
    (repository.path / "gates" / "test_model_gate.py").write_text(
        "def test_recall(model_gate):\n    assert model_gate.recall >= 0.95\n"
    )
    repository.run()
    assert "the whole interval is beyond the limit" in repository.text
    assert "positives" in repository.text


@pytest.mark.parametrize("kind", ["csv", "arrow", "ndjson"])
def test_other_files_give_the_same_verdict(repository: Repository, kind: str) -> None:
    rows = scored()
    name = f"scores.{kind}"
    write = {"csv": rows.write_csv, "arrow": rows.write_ipc, "ndjson": rows.write_ndjson}[kind]
    write(repository.path / name)
    repository.policy(RECALL + "0.8", POLICY.replace("scores.parquet", name).replace('time = "at"\n', ""))
    assert repository.outcomes()["limit[recall]"] == "PASS"


def test_records_hold_the_numbers_for_a_picture(judged: Judged, repository: Repository) -> None:
    judged(FAIR + RECALL + "0.8")
    told = json.loads((repository.path / ".pixgates" / "records.json").read_text())
    figures = [
        figure for record in told["records"] for check in record["checks"] for figure in check["verdict"]["figures"]
    ]
    assert {"recall"} | {f"{a}/{b}" for a in REGIONS for b in REGIONS if a < b} == {each["name"] for each in figures}
