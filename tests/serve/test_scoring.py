"""A payment is scored online as training's half would have, whatever keeps the state, and can be decided again."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from ml_pipeline import online, remember
from ml_pipeline.serving import contract, decisions, model
from ml_pipeline.serving.metrics import Metrics
from ml_pipeline.serving.requests import Reader, Refused
from ml_pipeline.serving.scoring import Answer, Scoring
from ml_pipeline.serving.server import opened
from ml_pipeline.serving.stores import Memory, Store, Unreachable
from tests.serve.conftest import CONTRACTS, KEY, Bank, Redis

AGREED = contract.read(CONTRACTS / "transactions.odcs.yaml")
PAYMENT = ("payer_account_id", "payee_account_id", "payee_key", "payee_key_type", "end_to_end_id", "payer_ispb")
SCORED = ("initiated_at", "scored_at", "score", "model_version")
BEGINNING = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def scoring(bank: Bank, store: Store) -> Scoring:
    made = Scoring(AGREED, store, KEY, Metrics(), ahead=1e9)
    made.model = model.load(str(bank.model), str(bank.record))
    return made


def rows(bank: Bank, count: int | None = None, since: int = 0) -> list[Any]:
    reader = Reader(AGREED, 1)
    return [reader.one(json.dumps(each).encode()) for each in bank.payments[since:][:count]]


def moved(one: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(one, **changes)


def answers(made: Scoring, payments: list[Any]) -> list[Answer]:
    async def all_of_them() -> list[Answer]:
        return [await made.answer(each) for each in payments]

    return asyncio.run(all_of_them())


def figure(made: Scoring, name: str, **labels: str) -> float:
    return made.metrics.registry.get_sample_value(f"scoring_{name}_total", labels) or 0


def known_accounts(bank: Bank, folder: Path) -> Memory:
    """State that knows the accounts, and no payment yet."""
    remember.remember(bank.folder / "data", str(folder), bank.key, BEGINNING)
    store, _ = opened(str(folder), bank.key)
    assert isinstance(store, Memory)
    return store


# The same as training's


def test_every_payment_scores_as_it_does_in_training(bank: Bank, tmp_path: Path) -> None:
    made = answers(scoring(bank, known_accounts(bank, tmp_path)), rows(bank))
    assert [each.row["score"] for each in made] == bank.scores
    assert not any(each.line["lacking"] or each.line["late_ms"] for each in made)
    blocked = [each.row["decision"] == "block" for each in made]
    assert blocked == [score >= bank.threshold for score in bank.scores]
    assert 50 < sum(blocked) < len(blocked) / 2


def test_the_past_can_be_remembered_beforehand(bank: Bank, tmp_path: Path) -> None:
    half = len(bank.payments) // 2
    until = datetime.datetime.fromisoformat(bank.payments[half]["initiated_at"])
    remember.remember(bank.folder / "data", str(tmp_path), bank.key, until)
    store, _ = opened(str(tmp_path), bank.key)
    made = answers(scoring(bank, store), rows(bank, 500, half))
    assert [each.row["score"] for each in made] == bank.scores[half:][:500]
    with pytest.raises(FileExistsError, match="there already"):
        remember.remember(bank.folder / "data", str(tmp_path), bank.key, until)


def test_state_in_redis_gives_the_same_scores_also_to_two_processes_at_once(bank: Bank, redis: Redis) -> None:
    half = len(bank.payments) // 2
    until = datetime.datetime.fromisoformat(bank.payments[half]["initiated_at"])
    remember.remember(bank.folder / "data", redis.url, bank.key, until)

    async def two() -> list[Answer]:
        both = [scoring(bank, opened(redis.url, bank.key)[0]) for _ in range(2)]
        made = [await both[place % 2].answer(each) for place, each in enumerate(rows(bank, 300, half))]
        for each in both:
            await each.store.close()
        return made

    assert [each.row["score"] for each in asyncio.run(two())] == bank.scores[half:][:300]


def test_payments_at_once_are_all_counted_by_processes_that_share_redis(bank: Bank, redis: Redis) -> None:
    (first,) = rows(bank, 1)
    many = [moved(first, end_to_end_id=f"{first.end_to_end_id[:-3]}{place:03d}") for place in range(40)]

    async def together() -> tuple[list[Scoring], Answer]:
        both = [scoring(bank, opened(redis.url, bank.key)[0]) for _ in range(2)]
        for start in range(0, 40, 2):
            await asyncio.gather(*(one.answer(many[start + place]) for place, one in enumerate(both)))
        last = await both[0].answer(moved(first, initiated_at=first.initiated_at + datetime.timedelta(seconds=1)))
        for each in both:
            await each.store.close()
        return both, last

    both, last = asyncio.run(together())
    assert last.line["features"]["payer_payments_1h"] == 40
    assert sum(figure(each, "state_errors", what="conflict") for each in both) == 0


# Out of order, and again


def test_a_payment_out_of_order_is_scored_by_what_is_known_now_and_counts(bank: Bank, tmp_path: Path) -> None:
    (first,) = rows(bank, 1)
    hour = datetime.timedelta(hours=1)
    early = moved(first, initiated_at=first.initiated_at - hour, end_to_end_id=f"{first.end_to_end_id[:-1]}x")
    after = moved(first, initiated_at=first.initiated_at + hour / 2, end_to_end_id=f"{first.end_to_end_id[:-1]}y")
    made = scoring(bank, known_accounts(bank, tmp_path))
    lines = [each.line for each in answers(made, [first, early, after])]
    assert [line["late_ms"] for line in lines] == [0, 3_600_001, 0]
    assert [line["features"]["payer_payments_1h"] for line in lines] == [0, 1, 2]
    assert figure(made, "late") == 1


def test_a_payment_that_is_sent_again_gets_the_same_answer_and_counts_once(bank: Bank, tmp_path: Path) -> None:
    first, second = rows(bank, 2)
    made = scoring(bank, known_accounts(bank, tmp_path))
    once, again = answers(made, [first, first])
    assert again.row == once.row
    assert again.line["repeated"]
    assert figure(made, "repeated") == 1
    with pytest.raises(Refused) as refused:
        answers(made, [moved(first, amount_cents=first.amount_cents + 1)])
    assert refused.value.status == 409
    answers(made, [second])


# What is missing


def test_an_account_that_is_not_known_is_taken_as_typical_and_counted(bank: Bank, tmp_path: Path) -> None:
    (first,) = rows(bank, 1)
    made = scoring(bank, opened(str(tmp_path), bank.key)[0])
    (answer,) = answers(made, [first])
    assert answer.line["lacking"] == ["payer_account", "payee_account"]
    typical = json.loads((bank.model / "model.json").read_text())["training_reference"]["typical"]
    for name in ("payer_tenure_days", "payee_tenure_days", "payer_is_company", "is_same_region"):
        assert answer.line["features"][name] == typical[name]
    assert figure(made, "state_missing", what="payee_account") == 1
    assert answer.row["score"] is not None


def test_without_state_the_rules_decide_and_it_is_counted(bank: Bank, redis: Redis) -> None:
    async def cut_off() -> tuple[Scoring, list[Answer]]:
        made = scoring(bank, opened(redis.url, bank.key)[0])
        before = await made.answer(first)
        redis.process.kill()
        redis.process.wait()
        return made, [before, await made.answer(second), await made.answer(third)]

    first, second, third = rows(bank, 3)
    made, (before, *after) = asyncio.run(cut_off())
    assert before.row["score"] is not None
    for each in after:
        assert (each.row["score"], each.row["model_version"], each.line["lacking"]) == (None, "rules-1", ["state"])
    assert figure(made, "state_errors", what="read") == 2


def test_a_corrupt_history_is_counted_and_begun_anew(bank: Bank, tmp_path: Path) -> None:
    (first,) = rows(bank, 1)
    second = moved(first, end_to_end_id=f"{first.end_to_end_id[:-1]}x")
    store = known_accounts(bank, tmp_path)
    made = scoring(bank, store)
    answers(made, [first])
    for key, value in store.histories.items():
        store.histories[key] = value[:-8]
    (answer,) = answers(made, [second])
    assert answer.line["lacking"] == ["corrupt_sent", "corrupt_received", "corrupt_pair", "corrupt_device"]
    assert figure(made, "state_missing", what="corrupt_sent") == 1
    assert answer.line["features"]["payer_payments_30d"] == 0
    (third,) = answers(made, [moved(first, end_to_end_id=f"{first.end_to_end_id[:-1]}y")])
    assert third.line["lacking"] == []


@pytest.mark.parametrize("version", [b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\x00" * 7 + b"\x80"])
def test_a_history_with_any_version_is_written_anew(bank: Bank, tmp_path: Path, version: bytes) -> None:
    first, made = rows(bank, 1)[0], scoring(bank, known_accounts(bank, tmp_path))
    answers(made, [first])
    store = made.store
    assert isinstance(store, Memory)
    for key, value in store.histories.items():
        store.histories[key] = version + value[8:-8]
    again = [moved(first, end_to_end_id=f"{first.end_to_end_id[:-1]}{last}") for last in "xy"]
    assert [each.line["lacking"] == [] for each in answers(made, again)] == [False, True]
    assert not any(value.startswith(version) for value in store.histories.values())


@pytest.mark.parametrize("broken", [b"", b"no account", bytes(24), bytes(40)])
def test_a_corrupt_account_is_taken_as_typical_and_counted(bank: Bank, tmp_path: Path, broken: bytes) -> None:
    (first,), store = rows(bank, 1), known_accounts(bank, tmp_path)
    store.accounts.update(dict.fromkeys(store.accounts, broken))
    made = scoring(bank, store)
    (answer,) = answers(made, [first])
    assert answer.line["lacking"] == ["corrupt_payer_account", "corrupt_payee_account"]
    typical = json.loads((bank.model / "model.json").read_text())["training_reference"]["typical"]
    assert answer.line["features"]["payer_tenure_days"] == typical["payer_tenure_days"]
    assert figure(made, "state_missing", what="corrupt_payee_account") == 1


@pytest.mark.parametrize("broken", [b"", b"\x01", bytes(8), bytes(7) + b"\x93\x01\xa1\xff", bytes(8) + b"\x96"])
def test_a_corrupt_answer_is_none_so_that_the_payment_is_decided_again(
    bank: Bank, tmp_path: Path, broken: bytes
) -> None:
    (first,), store = rows(bank, 1), known_accounts(bank, tmp_path)
    made = scoring(bank, store)
    answers(made, [first])
    (key,) = store.answers
    store.answers[key] = broken
    decided, repeated = answers(made, [first, first])
    assert decided.line["lacking"] == ["corrupt_answer"]
    assert repeated.line["repeated"]
    assert repeated.row == decided.row


def test_whatever_is_corrupt_in_redis_is_written_anew(bank: Bank, redis: Redis) -> None:
    async def answered(broken: bytes) -> list[Any]:
        made = scoring(bank, opened(redis.url, bank.key)[0])
        client = made.store._client  # type: ignore[attr-defined]  # Store promises none; here it is a Redis
        await made.answer(first)
        for key in await client.keys():
            await client.set(key, broken)
        lines = [(await made.answer(first)).line for _ in range(2)]
        await client.flushdb()
        await made.store.close()
        return [len(lines[0]["lacking"]), "repeated" in lines[1], figure(made, "state_errors", what="conflict")]

    (first,) = rows(bank, 1)
    for broken in (b"", b"\xff" * 3, b"\xff" * 8, b"\xff" * 200):
        assert asyncio.run(answered(broken)) == [7, True, 0]


def test_a_model_that_gives_no_probability_leaves_the_payment_to_the_rules(bank: Bank, tmp_path: Path) -> None:
    made = scoring(bank, known_accounts(bank, tmp_path))
    assert made.model is not None

    class Nothing:
        def one(self, _: Any) -> float:
            raise ValueError("no probability")

    made.model = replace(made.model, scorer=Nothing())  # type: ignore[arg-type]
    (answer,) = answers(made, rows(bank, 1))
    assert answer.row["model_version"] == decisions.RULES
    assert figure(made, "model_errors") == 1


# Reasons, and the same decision again


def test_reasons_are_the_features_that_the_score_falls_most_without(bank: Bank) -> None:
    from ml_pipeline import features

    loaded = model.load(str(bank.model), str(bank.record))
    matrix = features.offline(bank.folder / "data").select(loaded.features).to_numpy()
    assert loaded.typical is not None
    for place in np.flatnonzero(np.array(bank.scores) >= bank.threshold)[::10]:
        row, falls = matrix[place], {}
        for column, name in enumerate(loaded.features):
            other = row.copy()
            other[column] = loaded.typical[column]
            falls[name] = loaded.score(row) - loaded.score(other)
        reasons = loaded.reasons(row, loaded.score(row))
        assert 1 <= len(reasons) <= 5
        assert all(falls[name] > 0 for name in reasons)
        assert sorted(falls.values(), reverse=True)[: len(reasons)] == pytest.approx([falls[name] for name in reasons])
    assert loaded.reasons(loaded.typical, loaded.score(loaded.typical)) == ()


def test_every_decision_is_made_again_from_its_line(bank: Bank, tmp_path: Path) -> None:
    made = scoring(bank, known_accounts(bank, tmp_path))
    loaded = made.model
    by_model = answers(made, rows(bank, 600))
    made.model = None
    by_rules = answers(made, rows(bank, 100, 600))
    assert {each.row["decision"] for each in by_model} == {"approve", "block"}
    for each in (*by_model, *by_rules):
        line = json.loads(msgspec.json.encode(each.line))
        again = decisions.again(line, loaded)
        assert (again.score, again.decision, list(again.reasons)) == (line["score"], line["decision"], line["reasons"])
    changed = {**json.loads(msgspec.json.encode(by_model[0].line)), "model_sha256": "0" * 64}
    with pytest.raises(ValueError, match="give that model"):
        decisions.again(changed, loaded)


@pytest.mark.parametrize(
    ("cents", "changes", "decision", "reasons"),
    [
        (20_000, {}, "approve", ()),
        (100_000, {"is_new_payee": 1.0}, "approve", ()),
        (100_001, {"is_new_payee": 1.0}, "review", ("new_payee_large",)),
        (100_001, {"hour": 20.0}, "review", ("night_above_limit",)),
        (100_001, {"hour": 5.99}, "review", ("night_above_limit",)),
        (100_001, {"hour": 6.0}, "approve", ()),
        (500_000, {}, "approve", ()),
        (500_001, {}, "review", ("large",)),
        (20_000, {"device_registered": 0.0}, "approve", ()),
        (20_001, {"device_registered": 0.0}, "block", ("unregistered_device_above_limit",)),
    ],
)
def test_the_rules_decide_as_they_say(
    cents: int, changes: dict[str, float], decision: str, reasons: tuple[str, ...]
) -> None:
    usual = {"hour": 12.0, "is_new_payee": 0.0, "device_registered": 1.0}
    made = decisions.by_rules(cents, usual | changes)
    assert (made.decision, made.reasons, made.score) == (decision, reasons, None)


# The contract's rules, in SQL and in Python


def test_rules_across_columns_are_those_of_the_contracts_sql() -> None:
    import duckdb
    import yaml

    accounts, keys, ids = ("a", "b"), (None, "k"), ("E1234567820260501", "E87654321x", "x123456782", "E1")
    torture = [
        dict(zip(PAYMENT, each, strict=True))
        for each in _every(accounts, accounts, keys, keys, ids, ("12345678", "87654321"))
    ]
    scored = [
        dict(zip(SCORED, each, strict=True))
        for each in _every((1, 2), (1, 2), (None, 0.5), ("rules-1", "pix-fraud", "rules"))
    ]
    seen = 0
    for name, table in (("transactions", torture), ("processed_transactions", scored)):
        agreed = contract.read(CONTRACTS / f"{name}.odcs.yaml")
        (said,) = yaml.safe_load((CONTRACTS / f"{name}.odcs.yaml").read_text())["schema"]
        queries = {each["name"]: each["query"] for each in said["quality"] if each.get("type") == "sql"}
        assert set(agreed.across) == set(queries)
        columns = ", ".join(table[0])
        for rule, query in queries.items():
            outcomes = set()
            for row in table:
                marks = ", ".join("?" for _ in row)
                one = f"(select * from (values ({marks})) as t({columns}))"
                (broken,) = duckdb.execute(query.replace("${table}", one), list(row.values())).fetchone()  # type: ignore[misc]
                holds = contract.ACROSS[rule][2](msgspec.defstruct("Row", list(row))(**row))
                assert holds == (broken == 0), (rule, row)
                outcomes.add(holds)
            assert outcomes == {True, False}
            seen += 1
    assert seen == 5


def _every(*values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    from itertools import product

    return list(product(*values))


def test_what_the_service_cannot_hold_is_refused_by_name(tmp_path: Path) -> None:
    text = (CONTRACTS / "transactions.odcs.yaml").read_text()
    for old, new, says in (
        ("name: nobody_pays_themselves", "name: nobody_pays_twice", "nobody_pays_twice"),
        ("metric: rowCount", "metric: duplicateValues", "enough"),
        ("          maximum: 10000000000", "          multipleOf: 5", "amount_cents has multipleOf"),
        ("logicalType: boolean", "logicalType: object", "device_registered has the type 'object'"),
        (
            "            mustBe: 0\n      - name: payee_key\n",
            "            mustBe: 1\n      - name: payee_key\n",
            "payee_key_type",
        ),
        ("schema:", "scheme:", "is no contract"),
    ):
        assert text.count(old) == 1, old
        (tmp_path / "contract.yaml").write_text(text.replace(old, new))
        with pytest.raises(ValueError, match=says):
            contract.read(tmp_path / "contract.yaml")


# Keeping


def test_a_snapshot_holds_all_and_a_broken_or_foreign_one_is_not_taken(bank: Bank, tmp_path: Path) -> None:
    store = known_accounts(bank, tmp_path)
    answers(scoring(bank, store), rows(bank, 200))
    asyncio.run(store.save())
    again = Memory(tmp_path, KEY)
    assert (again.histories, again.accounts, again.answers) == (store.histories, store.accounts, store.answers)
    assert again.size == store.size == sum(map(len, store.histories.values()))
    with pytest.raises(ValueError, match="another hash key"):
        Memory(tmp_path, b"another key of the tests")
    whole = again.path.read_bytes()
    for broken in (whole[:-1], whole[:1000] + b"x" + whole[1001:], b"", whole[:20]):
        again.path.write_bytes(broken)
        anew = Memory(tmp_path, KEY)
        assert anew.broken is not None
        assert anew.broken.read_bytes() == broken
        assert not anew.histories
        assert not again.path.exists()


def test_memory_is_bounded_and_forgets_what_was_written_longest_ago(bank: Bank, tmp_path: Path) -> None:
    store = Memory(tmp_path, KEY, limit=20_000)
    answers(scoring(bank, store), rows(bank, 200))
    assert store.size == sum(map(len, store.histories.values())) <= 20_000
    assert store.forgotten > 100


def test_packed_histories_are_told_from_one_another(bank: Bank) -> None:
    from ml_pipeline.serving.histories import HEAD, Corrupt, packed, unpacked, version

    history = online.History(keep=online.DAY)
    for place in range(30):
        history.add(place * online.HOUR, place % 3, (1, 100, 2, 3, -4, 5, 0, 1))
    value = packed(history, 7)
    again = unpacked(value)
    assert version(value) == 7
    assert packed(again, 7) == value
    for at in (29 * online.HOUR, 30 * online.HOUR, 60 * online.HOUR):
        assert again.within(at, online.DAY) == history.within(at, online.DAY)
        assert again.payers_within(at, online.DAY) == history.payers_within(at, online.DAY)
    shorter = (b"", value[:-8], value[:-3], value + b"12345678", value[:16] + b"\xff" * 8 + value[24:])
    last = 8 * (HEAD + len(history.times))
    larger = [value[: at - 8] + b"\xff" * 7 + b"\x7f" + value[at:] for at in (32, 40, last)]
    for broken in (*shorter, *larger):
        with pytest.raises(Corrupt):
            unpacked(broken)


def test_a_server_that_does_not_answer_is_left_alone_for_a_while(redis: Redis, bank: Bank) -> None:
    async def asked() -> tuple[type[BaseException] | None, ...]:
        store, _ = opened(redis.url, bank.key)
        await store.check()
        redis.process.kill()
        redis.process.wait()
        made = []
        for ask in (store.check, lambda: store.read([b"s1"]), lambda: store.write({b"s1": b"2"}, {})):
            made.append(await _raised(ask))
        return tuple(made)

    assert asyncio.run(asked()) == (Unreachable,) * 3


async def _raised(ask: Callable[[], Awaitable[Any]]) -> type[BaseException] | None:
    try:
        await ask()
    except Unreachable as error:
        return type(error)
    return None


# What may be served


def test_only_the_promoted_digests_are_loaded(bank: Bank, other_model: Path, tmp_path: Path) -> None:
    assert model.load(str(bank.model), str(bank.record)).threshold == bank.threshold
    assert model.record_beside(str(bank.model)) == str(bank.record)
    assert model.load(bank.model.as_uri(), bank.record.as_uri()).version.startswith("pix-fraud-")
    with pytest.raises(ValueError, match=r"model\.onnx .* was not promoted"):
        model.load(str(other_model), str(bank.record))
    (tmp_path / "record.json").write_text('{"model": {"sha256": {}}}')
    with pytest.raises(ValueError, match="not in"):
        model.load(str(bank.model), str(tmp_path / "record.json"))
    for record in ("{}", '{"model": null}', '{"model": {"sha256": []}}'):
        (tmp_path / "record.json").write_text(record)
        with pytest.raises(ValueError, match="no digests of a model"):
            model.load(str(bank.model), str(tmp_path / "record.json"))
    for place in (str(tmp_path / "nowhere.json"), (tmp_path / "nowhere.json").as_uri()):
        with pytest.raises(OSError, match="nowhere"):
            model.load(str(bank.model), place)


@pytest.mark.parametrize("typical", [{}, [], 1.0, {"amount_log": None}])
def test_a_promoted_model_without_whole_typical_values_is_refused(bank: Bank, tmp_path: Path, typical: Any) -> None:
    made = json.loads((bank.model / "model.json").read_text())
    if isinstance(typical, dict) and typical:
        typical = made["training_reference"]["typical"] | typical
    (tmp_path / "model.json").write_text(json.dumps(made | {"training_reference": {"typical": typical}}))
    (tmp_path / "model.onnx").write_bytes((bank.model / "model.onnx").read_bytes())
    digests = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in model.FILES}
    (tmp_path / "record.json").write_text(json.dumps({"model": {"sha256": digests}}))
    with pytest.raises(ValueError, match="lacks typical values, or they are no numbers"):
        model.load(str(tmp_path), str(tmp_path / "record.json"))
