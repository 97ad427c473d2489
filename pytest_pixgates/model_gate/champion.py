"""The champion on the candidate's own rows: its table of scores, or its registered model run again."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.model_gate import artifact
from pytest_pixgates.model_gate.columns import DECISION, ID, LABEL, SCORE, ScoresError
from pytest_pixgates.model_gate.policy import ModelGatePolicy
from pytest_pixgates.model_gate.scores import Scores

_OF = "the champion"


def aligned(candidate: Scores, champion: Scores) -> Scores:
    """The champion's table in the order of the candidate's rows, by id. Raises ScoresError unless they are the same."""
    if ID not in candidate.columns:
        raise ScoresError("rows can't be compared without ids", remedy="name the column in the policy: id")
    told = [name for name in (SCORE, DECISION) if name in champion.columns]
    own, theirs = candidate.rows.select(ID, LABEL).collect(), champion.rows.select(ID, LABEL, *told).collect()
    _same_kind(own[ID].dtype, theirs[ID].dtype, "the champion's table")
    if not own[ID].equals(theirs[ID]):
        theirs = own.select(ID).join(theirs, on=ID, how="left", maintain_order="left")
    if champion.size != len(own) or theirs[LABEL].null_count():
        raise ScoresError(
            f"the champion was scored on other rows: {champion.size:,} there, {len(own):,} here, "
            f"{theirs[LABEL].null_count():,} of these missing there"
        )
    if odd := int((own[LABEL] != theirs[LABEL]).sum()):
        raise ScoresError(f"{odd:,} labels differ from those that the champion was scored by")
    return candidate.rescored(theirs.select(told)).called(_OF)


def _same_kind(own: pl.DataType, theirs: pl.DataType, where: str) -> None:
    if own != theirs:
        raise ScoresError(f"ids are {own} here and {theirs} in {where}", remedy="write the ids alike in both tables")


def features(candidate: Scores, test_set: pl.LazyFrame, policy: ModelGatePolicy) -> pl.DataFrame:
    """The rows of the test set in the order of the candidate's, by id. Raises NotMeasured."""
    if not policy.id or ID not in candidate.columns:
        raise NotMeasured("the test set can't be told apart by rows", remedy="name the column in the policy: id")
    if policy.id not in (known := test_set.collect_schema()):
        raise NotMeasured(f"{policy.test_set} has no column {policy.id}")
    _same_kind(candidate.data.schema[ID], known[policy.id], policy.test_set)
    ids = candidate.rows.select(pl.col(ID).alias(policy.id))
    found = ids.join(test_set.with_columns(pl.lit(1).alias("there")), on=policy.id, how="left", maintain_order="left")
    rows = found.collect()
    if missing := rows["there"].null_count():
        raise NotMeasured(f"{missing:,} of {len(rows):,} scored rows are not in {policy.test_set}")
    if len(rows) != candidate.size:
        raise NotMeasured(f"{policy.test_set} has ids twice")
    return rows.drop("there")


def scored(candidate: Scores, folder: Path, test_set: pl.DataFrame, policy: ModelGatePolicy, version: str) -> Scores:
    """The candidate's rows as the champion in `folder` scores and decides them. Raises NotMeasured."""
    model, settings = folder / artifact.MODEL, folder / "model.json"
    try:
        told = json.loads(settings.read_text())
        threshold, label = float(told["threshold"]), str(told["label"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotMeasured(f"{version} does not say its threshold and label ({type(error).__name__})") from None
    if label != policy.label:
        raise NotMeasured(f"{version} was made for the label {label}, the policy judges {policy.label}")
    if not model.is_file():
        raise NotMeasured(f"{version} has no {artifact.MODEL}")
    scores = pl.DataFrame({SCORE: artifact.run(model, test_set)})
    return candidate.rescored(scores, threshold).called(_OF)
