"""Records come in one order, whatever the order and the portions in which the partitions are read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ml_pipeline.streaming.merge import Merge

Log = dict[int, list[int]]  # the times of each partition's records

logs = st.dictionaries(st.integers(0, 3), st.lists(st.integers(1, 30), max_size=12), min_size=1)


def merged(log: Log, draw: st.DataObject, *, ends: bool = True) -> list[tuple[int, int]]:
    """Partition and offset of each record in order; partitions are read in any portions, ends told only when there."""
    merge, read, order = Merge(1.0, dict.fromkeys(log, 0)), dict.fromkeys(log, 0), []
    while any(read[partition] < len(log[partition]) for partition in log):
        partition = draw.draw(st.sampled_from([each for each in log if read[each] < len(log[each])]))
        for _ in range(draw.draw(st.integers(1, 4))):
            if read[partition] < len(log[partition]):
                merge.put(partition, read[partition], log[partition][read[partition]], None, None)
                read[partition] += 1
        if read[partition] == len(log[partition]):
            merge.end(partition)
        order += [(each.partition, each.offset) for each in merge.ready(0.0)]
    if ends:
        for partition in log:
            merge.end(partition)
        merge.ready(0.0)
        order += [(each.partition, each.offset) for each in merge.ready(2.0)]
        assert len(merge) == 0
    return order


@given(logs, st.data())
def test_the_order_is_by_time_and_within_a_partition_as_it_is(log: Log, draw: st.DataObject) -> None:
    order = merged(log, draw)
    latest = {partition: [max(times[: at + 1]) for at in range(len(times))] for partition, times in log.items()}
    everything = [(latest[partition][at], partition, at) for partition in log for at in range(len(log[partition]))]
    assert order == [(partition, at) for _, partition, at in sorted(everything)]


@given(logs, st.data())
def test_a_record_is_ready_at_once_when_every_partition_has_shown_a_later_one(log: Log, draw: st.DataObject) -> None:
    later = {partition: [*times, 99] for partition, times in log.items()}
    order = merged(later, draw, ends=False)
    assert {(partition, at) for partition in log for at in range(len(log[partition]))} <= set(order)


def test_a_partition_at_its_end_holds_the_others_for_the_grace_and_no_longer() -> None:
    merge = Merge(1.0, {0: 0, 1: 0})
    merge.end(1)
    merge.put(0, 0, 50, None, None)
    merge.end(0)
    assert merge.ready(10.0) == []
    assert merge.ready(10.9) == []
    merge.put(1, 0, 40, None, None)  # came in time, and is the earlier one
    merge.end(1)
    assert [(each.partition, each.offset) for each in merge.ready(11.0)] == [(1, 0), (0, 0)]


def test_a_partition_that_has_more_to_read_holds_the_others_however_long() -> None:
    merge = Merge(1.0, {0: 0, 1: 0})
    merge.put(0, 0, 50, None, None)
    merge.end(0)
    assert merge.ready(0.0) == []
    assert merge.ready(1000.0) == []
    merge.end(1)
    assert len(merge.ready(1000.0)) == 1


def test_a_record_that_can_not_be_read_keeps_its_place_in_its_partition() -> None:
    merge = Merge(1.0, {0: 7})
    merge.put(0, 0, None, "bad", None)
    merge.put(0, 1, 9, "good", None)
    merge.end(0)
    order = merge.ready(0.0) + merge.ready(1.0)
    assert [(each.message, each.time) for each in order] == [("bad", 7), ("good", 9)]
    assert merge.latest == {0: 9}


def test_those_that_are_ahead_are_named_to_be_held_back() -> None:
    merge = Merge(1.0, {0: 0, 1: 0, 2: 0})
    for offset in range(5):
        merge.put(0, offset, 100 + offset, None, None)
    merge.put(1, 0, 50, None, None)
    merge.end(2)
    assert merge.ahead() == {0}


@given(logs, st.integers(1, 5))
def test_held_back_while_much_waits_all_the_same_everything_comes(log: Log, limit: int) -> None:
    merge, read, come = Merge(0.0, dict.fromkeys(log, 0)), dict.fromkeys(log, 0), 0
    for turn in range(sum(map(len, log.values())) * 2 + 2):
        held = merge.ahead() if len(merge) > limit else set()
        for partition in log.keys() - held:
            if read[partition] < len(log[partition]):
                merge.put(partition, read[partition], log[partition][read[partition]], None, None)
                read[partition] += 1
            else:
                merge.end(partition)
        come += len(merge.ready(float(turn)))
    assert come == sum(map(len, log.values()))
