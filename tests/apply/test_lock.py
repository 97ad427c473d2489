"""Which locks are of the dead: nothing is guessed."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from iac import lock
from iac.apply import Order, _with_lock
from iac.lock import Lock, Run
from iac.stack import Locked, Stack
from ml_pipeline.ledger.steps import Refused

TOLD = """\
╷
│ Error: Error acquiring the state lock
│
│ Error message: operation error S3: PutObject, StatusCode: 412
│ Lock Info:
│   ID:        5c1e
│   Path:      bucket/dev.tfstate
│   Operation: OperationTypeApply
│   Who:       ci@runner
│   Version:   1.11.4
│   Created:   2026-11-29 10:46:03.123456789 +0000 UTC
│   Info:
╵
"""


HERE = "/here/iac/terraform/environments/dev dev"
MINUTE = datetime.timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _state_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def dead() -> Run:
    """A process that was here, and did not wait."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        return Run.of(process.pid, HERE, at_once=True)


@pytest.fixture
def alive() -> Run:
    return Run.of(os.getpid(), HERE, at_once=True)


def began(run: Run) -> datetime.datetime:
    return datetime.datetime.fromisoformat(run.began)


def note(run: Run, name: str = "1", seen: datetime.timedelta = MINUTE) -> Path:
    """A note of `run`, which was seen for a minute."""
    path = lock.notes() / f"{name}.json"
    path.write_text(json.dumps(asdict(run)))
    os.utime(path, ((began(run) + seen).timestamp(),) * 2)
    return path


def noted(run: Run) -> Lock:
    """The lock that `run` took, with a note of it."""
    note(run)
    return Lock("5c1e", run.who, "OperationTypeApply", began(run))


def test_a_lock_is_read_as_terraform_tells_of_it() -> None:
    told = Lock.told(TOLD)
    assert told
    created = datetime.datetime(2026, 11, 29, 10, 46, 3, 123456, tzinfo=datetime.UTC)
    assert told == Lock("5c1e", "ci@runner", "OperationTypeApply", created)
    assert Lock.told(TOLD.replace("acquiring the state lock", "reading")) is None
    assert Lock.told("Error: Error acquiring the state lock\nConflictException") is None
    odd = Lock.told(TOLD.replace("2026-11-29 10", "yesterday"))
    assert odd
    assert odd.created is None


def test_over_http_the_lock_is_known_by_its_id_alone() -> None:
    mine = TOLD.replace("S3: PutObject, StatusCode: 412", "HTTP remote state already locked:\n│ ID=9f00")
    assert Lock.told(mine) == Lock("9f00", "")


def test_a_lock_of_the_dead_is_known(dead: Run) -> None:
    held = noted(dead)
    assert lock.left_by_the_dead(held, HERE)
    lock.forget_the_dead("/another/stack")
    assert lock.left_by_the_dead(held, HERE)
    lock.forget_the_dead(HERE)
    assert not lock.left_by_the_dead(held, HERE)


def test_a_process_that_lives_is_not_dead(alive: Run) -> None:
    assert not lock.left_by_the_dead(noted(alive), HERE)
    lock.forget_the_dead(HERE)
    assert list(lock.notes().iterdir())
    assert lock.left_by_the_dead(noted(dataclasses.replace(alive, ticks=alive.ticks - 1)), HERE)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in another checkout"])
def test_a_lock_is_not_taken_from_a_run_that_lives_and_may_have_it(dead: Run, alive: Run, elsewhere: bool) -> None:
    held = noted(dead)
    assert lock.left_by_the_dead(held, HERE)
    note(dataclasses.replace(alive, began=dead.began, stack="/another" if elsewhere else HERE), "2")
    assert not lock.left_by_the_dead(held, HERE)


def test_a_run_that_outlived_who_saw_it_may_have_any_later_lock(dead: Run, alive: Run) -> None:
    held = noted(dead)
    note(dataclasses.replace(alive, began=(began(dead) - 2 * MINUTE).isoformat()), "2", seen=MINUTE)
    assert not lock.left_by_the_dead(held, HERE)


def test_a_run_that_began_after_the_lock_has_it_not(dead: Run, alive: Run) -> None:
    held = noted(dead)
    note(dataclasses.replace(alive, began=(began(dead) + MINUTE).isoformat()), "2")
    assert lock.left_by_the_dead(held, HERE)


def test_one_that_waited_for_the_lock_when_it_was_killed_proves_nothing(dead: Run) -> None:
    held = noted(dataclasses.replace(dead, at_once=False))
    assert not lock.left_by_the_dead(held, HERE)


def test_the_dead_of_another_stack_prove_nothing(dead: Run) -> None:
    assert not lock.left_by_the_dead(noted(dataclasses.replace(dead, stack="/another")), HERE)


@pytest.mark.parametrize("change", [{"boot": "other"}, {"space": "pid:[1]"}, {"who": "other@machine"}], ids=str)
def test_nobody_is_dead_as_seen_from_another_machine_or_container(dead: Run, change: dict[str, str]) -> None:
    run = dataclasses.replace(dead, **change)  # type: ignore[arg-type]
    assert not lock.left_by_the_dead(noted(run), HERE)


@pytest.mark.parametrize(("seen", "left"), [(MINUTE, False), (-MINUTE, True)], ids=["of its time", "gone before it"])
def test_whoever_may_live_in_another_container_may_have_a_lock_of_its_time(
    dead: Run, seen: datetime.timedelta, left: bool
) -> None:
    held = noted(dead)
    other = dataclasses.replace(dead, space="pid:[1]", began=(began(dead) - 2 * MINUTE).isoformat())
    note(other, "2", seen=2 * MINUTE + seen)
    assert lock.left_by_the_dead(held, HERE) is left


@pytest.mark.parametrize(
    "change",
    [
        {"who": "other@machine"},
        {"created": None},
        {"created": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)},
        {"created": datetime.datetime(2126, 1, 1, tzinfo=datetime.UTC)},
    ],
    ids=["another's", "of no time", "before it", "after it"],
)
def test_a_lock_that_is_not_of_that_run_stays(dead: Run, change: dict[str, object]) -> None:
    held = dataclasses.replace(noted(dead), **change)  # type: ignore[arg-type]
    assert not lock.left_by_the_dead(held, HERE)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"who": 1}', "no time"])
def test_a_note_that_cannot_be_read_may_be_of_the_holder(dead: Run, text: str) -> None:
    held = noted(dead)
    unread = note(dead, "2")
    unread.write_text(text if text != "no time" else json.dumps({**asdict(dead), "began": "2026-11-29T10:00:00"}))
    assert not lock.left_by_the_dead(held, HERE)
    unread.unlink()
    assert lock.left_by_the_dead(held, HERE)


def test_a_run_is_noted_while_it_is_waited_for_and_after_that_only_if_nobody_saw_its_end(alive: Run) -> None:
    with lock.noted(alive) as path:
        assert json.loads(path.read_text()) == asdict(alive)
    assert not path.exists()
    with pytest.raises(KeyboardInterrupt), lock.noted(alive):
        raise KeyboardInterrupt
    assert path.exists()


@dataclasses.dataclass(frozen=True)
class Behind(Stack):
    """A stack behind the lock that is first in `locks`."""

    locks: list[Lock] = dataclasses.field(default_factory=list)

    def plan(self) -> bool:
        if self.locks:
            raise Locked(self.locks[0])
        return True

    def unlock(self, held: Lock) -> None:
        self.locks.remove(held)


def test_the_note_of_one_that_is_dead_takes_away_one_lock_and_not_the_next(tmp_path: Path, dead: Run) -> None:
    stack = Behind(tmp_path, "dev")
    held = noted(dataclasses.replace(dead, stack=stack.name))
    waited = dataclasses.replace(held, id="9f00")  # by hand, without a note, since the dead one had the lock
    stack.locks.extend([held, waited])
    order = Order(stack, tmp_path, tmp_path)
    for _ in range(2):
        with pytest.raises(Refused):
            _with_lock(order, stack.plan)
        assert stack.locks == [waited]
