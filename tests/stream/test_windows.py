"""Windows count each payment once, in whatever order it comes, and are the same again after they were restored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from ml_pipeline.streaming.messages import Processed
from ml_pipeline.streaming.windows import LATE, WINDOW, Windows

BEGAN = datetime(2026, 5, 1, tzinfo=UTC)


def payment(second: float, institution: str = "99900001", score: float | None = 0.25, **other: Any) -> Processed:
    values = {"payer_account_id": "1", "payee_account_id": "2", "amount_cents": 100, "decision": "approve",
              "model_version": "m", "reasons": (), "scored_at": BEGAN, **other}  # fmt: skip
    at = BEGAN + timedelta(seconds=second)
    return Processed(end_to_end_id=f"E{institution}{'0' * 23}", initiated_at=at, score=score, **values)


payments = st.builds(
    payment,
    st.floats(0, 240).map(lambda second: round(second, 3)),
    st.sampled_from(["99900001", "99900002"]),
    st.floats(0, 1),
    amount_cents=st.integers(1, 10**10),
    decision=st.sampled_from(["approve", "block"]),
)


@given(st.lists(payments, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_windows_hold_the_counts_and_sums_of_their_payments_in_any_order(ones: list[Processed], random: Any) -> None:
    shuffled = random.sample(ones, len(ones))
    windows, again = Windows(), Windows()
    for offset, (one, other) in enumerate(zip(ones, shuffled, strict=True)):
        windows.add(0, offset, one, known=False)
        again.add(0, offset, other, known=False)
    rows = windows.changed()
    assert rows == again.changed()
    table = pl.DataFrame(
        [(it.end_to_end_id[1:9], it.initiated_at, it.decision == "block", it.amount_cents, it.score) for it in ones],
        ["institution", "at", "blocked", "cents", "score"], orient="row",
    )  # fmt: skip
    expected = (
        table.group_by("institution", pl.col("at").dt.truncate("1m"))
        .agg(pl.len(), pl.col("blocked").sum(), pl.col("cents").sum(), pl.col("score").mean())
        .sort("at", "institution")
    )
    assert [
        (row.payer_ispb, row.window_start, row.payments, row.blocked_payments, row.total_amount_cents) for row in rows
    ] == [each[:5] for each in expected.rows()]
    for row, mean in zip(rows, expected["score"], strict=True):
        assert row.mean_score is not None
        assert abs(row.mean_score - mean) < 1e-8
        assert row.window_end - row.window_start == timedelta(milliseconds=WINDOW)


def test_only_windows_that_changed_are_told() -> None:
    windows = Windows()
    windows.add(0, 0, payment(0), known=False)
    assert len(windows.changed()) == 1
    windows.add(0, 1, payment(61), known=False)
    assert [row.payments for row in windows.changed()] == [1]
    assert windows.changed() == []


def test_a_window_without_scores_has_no_mean() -> None:
    windows = Windows()
    windows.add(0, 0, payment(0, score=None), known=False)
    assert [(row.payments, row.mean_score) for row in windows.changed()] == [(1, None)]


def test_a_window_closes_when_every_partition_that_has_more_is_late_after_its_end() -> None:
    windows, late = Windows(), LATE / 1000
    windows.add(0, 0, payment(0), known=False)
    windows.add(0, 1, payment(61 + late), known=False)
    windows.close({0, 1})  # partition 1 has shown nothing yet
    windows.add(1, 0, payment(1), known=False)
    windows.close({0, 1})
    windows.add(1, 1, payment(2), known=False)
    assert windows.late == 0
    assert [row.payments for row in windows.changed()] == [3, 1]
    windows.close({0})
    windows.add(1, 2, payment(3), known=False)
    assert windows.late == 1
    assert windows.changed() == []


@given(st.lists(payments, min_size=2, max_size=40), st.data())
def test_restored_from_where_it_says_a_window_goes_on_as_if_nothing_had_been(
    ones: list[Processed], draw: st.DataObject
) -> None:
    partitions = [draw.draw(st.integers(0, 2)) for _ in ones]
    records, positions = [], dict.fromkeys(range(3), 0)
    for partition, one in zip(partitions, ones, strict=True):
        records.append((partition, positions[partition], one))
        positions[partition] += 1
    cut = draw.draw(st.integers(1, len(ones) - 1))
    whole = Windows()
    for partition, offset, one in records[:cut]:
        whole.add(partition, offset, one, known=False)
    whole.close({0})
    whole.changed()
    reached = {number: 1 + max((o for p, o, _ in records[:cut] if p == number), default=-1) for number in range(3)}
    restored = Windows(whole.closed)
    for partition, offset, one in records:
        if whole.begin(partition, reached[partition]) <= offset < reached[partition]:
            restored.add(partition, offset, one, known=True)
    for partition, offset, one in records[cut:]:
        whole.add(partition, offset, one, known=False)
        restored.add(partition, offset, one, known=False)
    assert restored.changed() == whole.changed()
    assert restored.late == whole.late
