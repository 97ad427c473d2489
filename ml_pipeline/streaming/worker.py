"""The loop between Kafka and the scoring: read everything in one order, write what is ours, and commit both together.

Every instance reads all partitions, because a payee's history comes from payers everywhere, and answers for those that
the group assigned to it. What it writes, the offsets and the windows are one Kafka transaction. The account state is no
part of it: it follows from the records alone, so it is made again from a snapshot and the records since, up to where
the group has committed; only after that is anything written. See docs/decisions/0011.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from ml_pipeline.streaming import messages
from ml_pipeline.streaming.kafka import Topics
from ml_pipeline.streaming.merge import Merge, Record
from ml_pipeline.streaming.messages import Processed, RefusedError, Transaction
from ml_pipeline.streaming.metrics import Metrics
from ml_pipeline.streaming.scoring import Scored, Scoring
from ml_pipeline.streaming.snapshots import Snapshots
from ml_pipeline.streaming.windows import Windows

READ = 2_000  # records at once
READ_PROCESSED = 20_000  # of all instances, by one of them
CHUNK = 1_000  # records scored at once
COMMIT_SECONDS, COMMIT_RECORDS = 0.2, 10_000  # a transaction's age and size at most; librdkafka queues 100,000
WAITING = 100_000  # records that may wait for their place before partitions that are ahead are read no further
POLL = 0.02  # seconds to wait for records
SILENCE = 300.0  # seconds without a record, after which a partition holds no window open
ASK = 10.0  # seconds for an answer of the brokers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How a worker runs. `kafka`: properties for all of its clients, such as those for TLS.

    `grace`: seconds for which a record may wait for earlier ones of other partitions. `snapshot_seconds`: between two
    snapshots. `accept_lost_history`: begin where the topic begins, though older records and the snapshot are gone.
    """

    brokers: str
    group: str
    instance: str
    grace: float = 1.0
    snapshot_seconds: float = 60.0
    accept_lost_history: bool = False
    kafka: Mapping[str, Any] = field(default_factory=dict)
    topics: Topics = field(default_factory=Topics)

    def __post_init__(self) -> None:
        if len(set(self.topics)) < len(self.topics):
            raise ValueError(f"one topic can't be two: {', '.join(self.topics)}")


class _RewindError(Exception):
    """The state is ahead of what was committed."""


class Worker:
    """One instance. Raises KafkaException for what a restart may heal, ValueError for what needs a hand."""

    def __init__(self, settings: Settings, scoring: Scoring, snapshots: Snapshots, metrics: Metrics) -> None:
        self.settings, self.scoring, self.snapshots, self.metrics = settings, scoring, snapshots, metrics
        self.topics, self.stopping = settings.topics, False
        common = {"bootstrap.servers": settings.brokers, "client.id": settings.instance, **settings.kafka}
        reads = {
            **common, "enable.auto.commit": False, "isolation.level": "read_committed", "auto.offset.reset": "error",
        }  # fmt: skip
        ends = {"enable.partition.eof": True, "group.id": f"{settings.group}-reader", "fetch.wait.max.ms": 50}
        # Belongs to the group, and is told which partitions are ours; reads nothing.
        grouped = {"group.id": settings.group, "partition.assignment.strategy": "cooperative-sticky"}
        self._member = Consumer({"session.timeout.ms": 10_000, **reads, **grouped, "queued.min.messages": 1})
        self._reads = {**reads, **ends, "queued.min.messages": 20_000}
        self._reader = Consumer(self._reads)
        self._windows_reader = Consumer(self._reads)
        self._producer = Producer(
            {
                "transaction.timeout.ms": 15_000, "linger.ms": 5, "compression.type": "lz4",
                "message.max.bytes": 10_000_000, **common,
                "enable.idempotence": True, "transactional.id": f"{settings.group}-{settings.instance}",
            }
        )  # fmt: skip
        self._mine: dict[int, int] = {}  # by partition that is ours: the next offset to be committed
        self._granted: set[int] = set()  # ours by now, not yet taken over
        self._merge: Merge | None = None  # none before the first partition is ours
        self._positions: dict[int, int] = {}  # by partition: the next offset that the state has not seen
        self._latest: dict[int, int] = {}
        self._next: dict[int, int] = {}  # by partition: the next offset to read
        self._held: set[int] = set()
        self._rewind_needed = False
        self._windows: _WindowsRole | None = None
        self._began: float | None = None  # when the open transaction began
        self._written = 0
        self._counted: list[Callable[[], None]] = []  # what to count when the transaction is committed
        self._snapshot_due = time.monotonic() + settings.snapshot_seconds
        self._figures_due = 0.0

    def run(self) -> None:
        """Work until `stopping`, then finish what was begun, and leave."""
        self._retried(lambda: self._producer.init_transactions(ASK))
        for topic in self.topics:
            self._ends(topic)  # said at once if one is missing: the group would wait for it without a word
        self._member.subscribe(
            [self.topics.transactions], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        try:
            while not self.stopping:
                self._turn()
            self._commit()
            self._snapshot()
        except _RewindError:
            log.warning("the last transaction was aborted while stopping; its records will be scored again")
        finally:
            self.metrics.ready = False
            for consumer in (self._member, self._reader, self._windows_reader):
                consumer.close()

    def _turn(self) -> None:
        self.metrics.turned()
        self._member.poll(0)
        try:
            if self._granted or self._rewind_needed:
                self._take_over()
            if self._merge is None:
                self._member.poll(POLL)
                return
            self._read(self._merge)
            for chunk in _chunks(self._merge.ready(time.monotonic())):
                self._handle(chunk)
                self._commit_if_due()
            self._count_windows()
            self._commit_if_due()
            if time.monotonic() >= self._snapshot_due:
                self._commit()
                self._snapshot()
        except _RewindError:
            self._rewind_needed = True
        self._tell()

    # What is ours

    def _on_assign(self, member: Consumer, partitions: list[TopicPartition]) -> None:
        member.incremental_assign(partitions)
        member.pause(partitions)  # it is the reader that reads
        self._granted |= {each.partition for each in partitions}
        log.info("assigned: %s", sorted(each.partition for each in partitions))

    def _on_revoke(self, member: Consumer, partitions: list[TopicPartition]) -> None:
        log.info("revoked: %s", sorted(each.partition for each in partitions))
        try:
            self._commit()  # while they are still ours
        except _RewindError:
            self._rewind_needed = True
        self._drop(partitions)
        member.incremental_unassign(partitions)

    def _on_lost(self, member: Consumer, partitions: list[TopicPartition]) -> None:
        log.warning("lost: %s", sorted(each.partition for each in partitions))
        self._abort()
        self._rewind_needed = True
        self._drop(partitions)
        member.incremental_unassign(partitions)

    def _drop(self, partitions: Iterable[TopicPartition]) -> None:
        for each in partitions:
            self._mine.pop(each.partition, None)
            self._granted.discard(each.partition)
        if 0 not in self._mine:
            self._windows = None

    def _take_over(self) -> None:
        """Answer for what was granted: from where the group has committed, with the state as it was there."""
        if self._rewind_needed:
            self._abort()
        else:
            self._commit()
        wanted = {*self._mine, *self._granted}
        found = self._committed(self.topics.transactions, wanted)
        if found is None:
            return  # another's transaction is open; we ask again
        begins, _ = self._ends(self.topics.transactions)
        self._check_partitions(begins)
        mine = {number: begins[number] if its is None else its[0] for number, its in found.items()}
        ahead = [number for number, offset in mine.items() if self._positions.get(number, offset + 1) > offset]
        windows = None if 0 not in mine else self._windows or self._restored_windows()
        if 0 in mine and windows is None:
            return
        if self._merge is None or self._rewind_needed or ahead:
            self._rewind(mine, begins)
        self._mine, self._windows, self._rewind_needed = mine, windows, False
        self._granted -= mine.keys()

    def _rewind(self, committed: Mapping[int, int], begins: Mapping[int, int]) -> None:
        """Make the state again as it was at or before `committed`."""
        snapshot = next((each for each in self.snapshots.all() if each.is_before(committed)), None)
        self._positions = {number: snapshot.positions.get(number, 0) if snapshot else 0 for number in begins}
        self._latest = {number: snapshot.latest.get(number, 0) if snapshot else 0 for number in begins}
        for number, begin in begins.items():
            if self._positions[number] < begin:
                if not self.settings.accept_lost_history:
                    raise ValueError(
                        f"{self.topics.transactions} [{number}] begins at {begin}, and the state is known up to "
                        f"{self._positions[number]}: records between have expired. Put a newer snapshot into "
                        f"{self.snapshots.folder}, or begin without them: --accept-lost-history"
                    )
                self._positions[number] = begin
        _, ends = self._ends(self.topics.transactions)
        if gone := [number for number, at in self._positions.items() if at > ends[number]]:
            raise ValueError(
                f"{self.topics.transactions} {gone} end before the snapshots in {self.snapshots.folder}: the topic was "
                "made again; name an empty --state"
            )
        self.scoring.load(snapshot.state() if snapshot else None)
        self._merge = Merge(self.settings.grace, dict(self._latest))
        self._next = dict(self._positions)
        self._read_from_next(set())
        self.metrics.rewinds.inc()
        log.info("the state is that of %s", snapshot.path.name if snapshot else "the beginning")

    def _committed(self, topic: str, partitions: Iterable[int]) -> dict[int, tuple[int, str] | None] | None:
        """By partition the committed offset and what was noted with it; None while a transaction may change it."""
        asked = [TopicPartition(topic, number) for number in partitions]
        if not asked:
            return {}
        try:
            answers = self._member.committed(asked, timeout=ASK / 2)
        except KafkaException as error:
            log.warning("offsets can't be known yet: %s", error.args[0].str())
            return None
        for each in answers:
            if each.error is not None:
                raise KafkaException(each.error)
        return {
            each.partition: None if each.offset == OFFSET_INVALID else (each.offset, each.metadata or "")
            for each in answers
        }

    def _check_partitions(self, numbers: Iterable[int]) -> None:
        there = self._ends(self.topics.processed)[0]
        if missing := sorted(set(numbers) - there.keys()):
            topics = self.topics
            raise ValueError(
                f"{topics.processed} lacks the partitions {missing} of {topics.transactions}; give it as many"
            )

    def _ends(self, topic: str) -> tuple[dict[int, int], dict[int, int]]:
        """By partition of a topic, its first offset and its next one."""
        its = self._reader.list_topics(topic, timeout=ASK).topics[topic]
        if its.error is not None:
            raise KafkaException(its.error)
        ends = {
            number: self._reader.get_watermark_offsets(TopicPartition(topic, number), timeout=ASK)
            for number in its.partitions
        }
        return {number: low for number, (low, _) in ends.items()}, {number: high for number, (_, high) in ends.items()}

    # Payments

    def _read(self, merge: Merge) -> None:
        for message in self._reader.consume(READ, timeout=POLL):
            number, offset = message.partition(), message.offset()
            if (error := message.error()) is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                merge.end(number)
                continue
            self._next[number] = offset + 1
            kind, written = message.timestamp()
            payment: Transaction | RefusedError
            try:
                payment = messages.transaction(message.value(), written if kind else None)
            except RefusedError as refused:
                payment = refused
            at = messages.milliseconds(payment.initiated_at) if isinstance(payment, Transaction) else None
            merge.put(number, offset, at, message, payment)
            self.metrics.read.inc()
        self._hold_back(merge)

    def _hold_back(self, merge: Merge) -> None:
        """Read no further in partitions that are ahead while too much waits; those that others wait for go on."""
        if self._held:
            if len(merge) < WAITING // 2 or not self._held <= merge.ahead():
                self._read_from_next(set())
        elif len(merge) > WAITING and (ahead := merge.ahead()):
            self._read_from_next(ahead)

    def _read_from_next(self, held: set[int]) -> None:
        """Read on in all partitions but these.

        By a new client: one that pauses or gives up partitions still hands out what it had fetched of them, ends too.
        """
        self._reader.close()
        self._reader, self._held = Consumer(self._reads), held
        self._reader.assign(
            [TopicPartition(self.topics.transactions, n, at) for n, at in self._next.items() if n not in held]
        )

    def _handle(self, records: list[Record]) -> None:
        """See records in their order, and write what becomes of those that are ours and not yet committed."""
        began = time.perf_counter()
        batch, asked = [], []
        for record in records:
            ours = record.offset >= self._mine.get(record.partition, record.offset + 1)
            if isinstance(record.payment, Transaction):
                batch.append((record.payment, ours))
                if ours:
                    asked.append(record)
            elif ours:
                self._refuse(record)
            self._positions[record.partition] = record.offset + 1
            self._latest[record.partition] = record.time
        late, unknown = self.scoring.late, self.scoring.unknown
        scored = self.scoring.score(batch)
        self.metrics.late.inc(self.scoring.late - late)
        self.metrics.unknown.inc(self.scoring.unknown - unknown)
        if asked:
            self._write(asked, scored)
            self.metrics.batch.observe(time.perf_counter() - began)

    def _write(self, records: list[Record], scored: list[Scored]) -> None:
        self._begin()
        now, version = datetime.now(UTC), self.scoring.model.version
        decisions: dict[str, int] = {}
        for record, its in zip(records, scored, strict=True):
            one: Transaction = record.payment
            answer = Processed(
                one.end_to_end_id, one.initiated_at, one.payer_account_id, one.payee_account_id, one.amount_cents,
                its.score, its.decision, version, its.reasons, max(now, one.initiated_at),
            )  # fmt: skip
            key = record.message.key() or one.payer_account_id.encode()
            # Into the partition of the same number: its records keep their order, whoever writes them.
            self._produce(self.topics.processed, messages.encode(answer), key, partition=record.partition)
            decisions[its.decision] = decisions.get(its.decision, 0) + 1
        self._written += len(records)
        for decision, count in decisions.items():
            self._counted.append(
                lambda decision=decision, count=count: self.metrics.payments.labels(decision).inc(count)
            )

    def _refuse(self, record: Record) -> None:
        """The record as it is to the dead letters. The reason holds no value."""
        self._begin()
        message: Message = record.message
        reason = str(record.payment)
        headers = [
            *(message.headers() or []), ("reason", reason.encode()), ("topic", self.topics.transactions.encode()),
            ("partition", str(record.partition).encode()), ("offset", str(record.offset).encode()),
        ]  # fmt: skip
        self._produce(self.topics.dead_letter, message.value(), message.key(), headers=headers)
        self._written += 1
        self._counted.append(self.metrics.dead_letters.labels(reason).inc)
        log.warning("refused: %s [%d] at %d: %s", self.topics.transactions, record.partition, record.offset, reason)

    # Windows

    def _restored_windows(self) -> _WindowsRole | None:
        """The role of counting, which whoever has partition 0 plays, from where the group has committed it."""
        begins, _ = self._ends(self.topics.processed)
        found = self._committed(self.topics.processed, begins)
        if found is None:
            return None
        role = _WindowsRole.restored(self.topics.processed, begins, found)
        self._windows_reader.close()  # and not assigned anew: see _read_from_next
        self._windows_reader = Consumer(self._reads)
        self._windows_reader.assign(
            [TopicPartition(self.topics.processed, number, at) for number, at in role.positions.items()]
        )
        return role

    def _count_windows(self) -> None:
        if self._windows is None:
            return
        late = self._windows.windows.late
        for message in self._windows_reader.consume(READ_PROCESSED, timeout=0):
            if (error := message.error()) is None:
                self.metrics.unreadable.inc(not self._windows.put(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                self._windows.at_end.add(message.partition())
            else:
                raise KafkaException(error)
        self.metrics.left_out.inc(self._windows.windows.late - late)

    def _write_windows(self) -> list[TopicPartition]:
        """The windows that changed, and the offsets to commit with them."""
        if self._windows is None or not (offsets := self._windows.uncommitted()):
            return []
        self._begin()
        for row in self._windows.windows.changed():
            key = f"{row.payer_ispb}|{row.window_start:%Y-%m-%dT%H:%M:%SZ}"
            self._produce(self.topics.aggregated, messages.encode(row), key.encode())
        return offsets

    # Transactions

    def _begin(self) -> None:
        if self._began is None:
            self._producer.begin_transaction()
            self._began = time.monotonic()

    def _produce(self, topic: str, value: bytes | None, key: bytes | None, **where: Any) -> None:
        try:
            self._producer.produce(topic, value, key, **where)
        except BufferError:  # very large records: wait until the brokers have them
            self._producer.flush()
            self._producer.produce(topic, value, key, **where)

    def _commit_if_due(self) -> None:
        waits = self._windows is not None and self._windows.waits_since is not None
        began = self._began if self._began is not None else self._windows.waits_since if waits else None
        if began is not None and (time.monotonic() - began > COMMIT_SECONDS or self._written >= COMMIT_RECORDS):
            self._commit()

    def _commit(self) -> None:
        """Commit what was written, with offsets and windows. Raises _RewindError if it was aborted, now or before."""
        if self._rewind_needed:  # what was seen since the last commit was not written: its offsets must not be either
            raise _RewindError
        windows = self._write_windows()
        reached = {n: self._positions[n] for n, offset in self._mine.items() if self._positions.get(n, 0) > offset}
        if self._began is None:
            if not reached:
                return
            self._begin()
        offsets = [TopicPartition(self.topics.transactions, number, offset) for number, offset in reached.items()]
        began = time.perf_counter()
        try:
            group = self._member.consumer_group_metadata()
            self._retried(lambda: self._producer.send_offsets_to_transaction([*offsets, *windows], group, ASK))
            self._retried(lambda: self._producer.commit_transaction(ASK))
        except KafkaException as error:
            if not error.args[0].txn_requires_abort():
                raise
            log.warning("aborted: %s", error.args[0].str())
            self._abort()
            raise _RewindError from error
        self._mine |= reached
        if self._windows is not None:
            self._windows.was_committed(windows)
        for count in self._counted:
            count()
        self._ended("committed")
        self.metrics.commit.observe(time.perf_counter() - began)

    def _abort(self) -> None:
        """Take back what was written since the last commit; state and windows are ahead of it then."""
        if self._began is None:
            return
        self._retried(lambda: self._producer.abort_transaction(ASK))
        self._ended("aborted")
        self._rewind_needed, self._windows = True, None

    def _ended(self, outcome: str) -> None:
        self._began, self._written = None, 0
        self._counted.clear()
        self.metrics.transactions.labels(outcome).inc()

    def _retried(self, step: Callable[[], object]) -> None:
        """As long as the brokers may come back; they themselves end a transaction that takes too long."""
        while True:
            try:
                step()
            except KafkaException as error:
                if self.stopping or not error.args[0].retriable():
                    raise
                self.metrics.turned()
                log.warning("again: %s", error.args[0].str())
            else:
                return

    # What outlives the process

    def _snapshot(self) -> None:
        """Keep the state, unless one is kept already that others have not reached."""
        self._snapshot_due = time.monotonic() + self.settings.snapshot_seconds
        if self._merge is None:
            return
        found = self._committed(self.topics.transactions, self._positions)
        if found is None:
            return
        committed = {number: its[0] if its else 0 for number, its in found.items()}
        newest = next(iter(self.snapshots.all()), None)
        if self.snapshots.prune(committed) or (newest and newest.positions == self._positions):
            return
        state = self.scoring.dump()
        self.snapshots.save(self._positions, self._latest, state)
        self.snapshots.prune(committed)
        self.metrics.snapshots.inc()
        self.metrics.snapshot_bytes.set(len(state))

    def _tell(self) -> None:
        """Gauges, once a second."""
        if (now := time.monotonic()) < self._figures_due:
            return
        self._figures_due = now + 1
        behind = any(self._positions.get(number, 0) < offset for number, offset in self._mine.items())
        self.metrics.ready = bool(self._mine) and not behind
        self.metrics.waiting.set(len(self._merge or ()))
        self.metrics.partitions.set(len(self._mine))
        self.metrics.lag.clear()
        for number in self._mine:
            self.metrics.lag.labels(number).set(
                _lag(self._reader, self.topics.transactions, number, self._positions[number])
            )
        read = self._windows.positions if self._windows else {}
        self.metrics.windows_lag.set(
            sum(_lag(self._windows_reader, self.topics.processed, *each) for each in read.items())
        )


@dataclass
class _WindowsRole:
    """Windows and where `processed_transactions` was read to. With an offset is noted: from where to read again, and
    which windows are closed."""

    topic: str
    windows: Windows
    positions: dict[int, int]  # the next offset to read
    committed: dict[int, int]
    last: dict[int, float]  # when each had its last record, by the clock of this process
    at_end: set[int] = field(default_factory=set)
    waits_since: float | None = None

    @classmethod
    def restored(
        cls, topic: str, begins: Mapping[int, int], found: Mapping[int, tuple[int, str] | None]
    ) -> _WindowsRole:
        positions, committed, closed = {}, {}, 0
        for number, begin in begins.items():
            offset, note = found[number] or (begin, "")
            again, _, until = note.partition(" ")
            committed[number] = offset
            positions[number] = max(int(again or offset), begin)
            closed = max(closed, int(until or 0))
        return cls(topic, Windows(closed), positions, committed, dict.fromkeys(begins, time.monotonic()))

    def put(self, message: Message) -> bool:
        """One more payment; False if it can't be read."""
        number, offset = message.partition(), message.offset()
        self.at_end.discard(number)
        self.last[number] = time.monotonic()
        self.positions[number] = offset + 1
        known = offset < self.committed[number]
        if not known and self.waits_since is None:
            self.waits_since = time.monotonic()
        try:
            one = messages.processed(message.value() or b"")
        except msgspec.DecodeError:
            log.warning("unreadable: %s [%d] at %d", self.topic, number, offset)
            return False
        self.windows.add(number, offset, one, known=known)
        return True

    def uncommitted(self) -> list[TopicPartition]:
        """What to commit."""
        moved = [number for number, at in self.positions.items() if at > self.committed[number]]
        return [TopicPartition(self.topic, number, self.positions[number], self._note(number)) for number in moved]

    def was_committed(self, offsets: Iterable[TopicPartition]) -> None:
        self.committed |= {each.partition: each.offset for each in offsets}
        # A partition at its end may be that of an instance that lags: only silence tells that nothing will come.
        heard = time.monotonic() - SILENCE
        self.windows.close({n for n, last in self.last.items() if n not in self.at_end or last > heard})
        self.waits_since = None

    def _note(self, number: int) -> str:
        return f"{self.windows.begin(number, self.positions[number])} {self.windows.closed}"


def _lag(reader: Consumer, topic: str, partition: int, position: int) -> int:
    """Records after a position, as far as the reader knows: not before it has fetched."""
    _, end = reader.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
    return max(end - position, 0)


def _chunks(records: list[Record]) -> Iterable[list[Record]]:
    return (records[start : start + CHUNK] for start in range(0, len(records), CHUNK))
