"""One payment from request to answer: state, features, decision, and the line that lets it be made again.

A payment that is older than one already known of the same accounts is taken as if made a millisecond after that one:
it is scored by all that is known now, and counts from then on. One that was answered before gets the same answer and
counts once. What is not known of an account is taken as typical for training. Without any state the model is not
asked, for every payment would look like that of a stranger: the rules decide. Either is counted and logged.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml_pipeline.online import FEATURES, REGIONAL, History, Payment, State, milliseconds
from ml_pipeline.serving import decisions, histories
from ml_pipeline.serving.contract import Contract, Record, Violation
from ml_pipeline.serving.decisions import Decision
from ml_pipeline.serving.histories import Corrupt
from ml_pipeline.serving.keys import Hasher, shown
from ml_pipeline.serving.metrics import Metrics
from ml_pipeline.serving.model import Model
from ml_pipeline.serving.requests import NOT_AS_AGREED, SHOWN, Refused
from ml_pipeline.serving.stores import Store, Unreachable

ATTEMPTS = 5  # to write what another process writes too
# The features that tell of the accounts as such.
OF_ACCOUNTS = {
    "payer": {"payer_is_company", "payer_tenure_days", "is_same_region", *REGIONAL},
    "payee": {"payee_is_company", "payee_tenure_days", "is_same_region"},
}
# How `State` calls the histories, and where each is kept by whom it is of.
HISTORIES: dict[str, Callable[[Any], bytes]] = {
    "sent": lambda payer: b"s" + eight(payer),
    "received": lambda payee: b"r" + eight(payee),
    "pairs": lambda pair: b"p" + eight(pair[0]) + eight(pair[1]),
    "devices": lambda device: b"d" + eight(device[0]) + eight(device[1]),
}
Stored = tuple[bytes, float | None, str, str, tuple[str, ...], datetime]  # what it answers, and the answer
_ANSWER = msgspec.msgpack.Decoder(Stored)


@dataclass(frozen=True)
class Answer:
    """A row of `processed_transactions`, and what the log says of it."""

    row: Mapping[str, Any]
    line: Mapping[str, Any]


@dataclass(frozen=True)
class Hashed:
    """The ids of a payment as the state knows them."""

    payment: int
    payer: int
    payee: int
    device: int

    @classmethod
    def of(cls, hasher: Hasher, event: Mapping[str, Any]) -> Hashed:
        """Those of a row of `transactions`."""
        return cls(
            hasher(b"payment:", event["end_to_end_id"]), hasher(b"account:", event["payer_account_id"]),
            hasher(b"account:", event["payee_account_id"]), hasher(b"device:", event["device_id"]),
        )  # fmt: skip

    def within(self, one: Payment) -> Payment:
        """The payment with these in place of its ids."""
        return replace(one, payer=self.payer, payee=self.payee, device=self.device)

    def keys(self) -> dict[str, bytes]:
        """Where what is known of them is kept."""
        sent, received, pairs, devices = HISTORIES.values()
        return {
            "sent": sent(self.payer), "received": received(self.payee), "inflow": received(self.payer),
            "pair": pairs((self.payer, self.payee)), "device": devices((self.payer, self.device)),
            "payer": b"a" + eight(self.payer), "payee": b"a" + eight(self.payee), "answer": b"e" + eight(self.payment),
        }  # fmt: skip


def eight(hashed: int) -> bytes:
    """A hash as bytes."""
    return hashed.to_bytes(8, "little", signed=True)


class Scoring:
    """Answers payments, with whatever model is in `model`."""

    def __init__(self, contract: Contract, store: Store, key: bytes, metrics: Metrics, ahead: float) -> None:
        """`ahead`: seconds that a payment may be ahead of the clock here."""
        self.contract, self.store, self.metrics = contract, store, metrics
        self.model: Model | None = None
        self._hash, self._ahead = Hasher(key), timedelta(seconds=ahead)
        self._not_ahead = f"must not be more than {ahead:g} s ahead of the clock of the service"

    def refuse_future(self, rows: Sequence[Record]) -> None:
        """Refuse a batch before any of it is decided. Raises Refused if there are payments of the future."""
        latest = datetime.now(UTC) + self._ahead
        ahead = [place for place, one in enumerate(rows) if one.initiated_at > latest]
        if ahead:
            found = (Violation(f"{place}.initiated_at", self._not_ahead) for place in ahead[:SHOWN])
            raise Refused(422, NOT_AS_AGREED, tuple(found))

    async def answer(self, one: Record) -> Answer:
        """The decision on a payment. Raises Refused if it is of the future, or another one had its id."""
        now = datetime.now(UTC)
        if one.initiated_at > now + self._ahead:
            raise Refused(422, NOT_AS_AGREED, (Violation("initiated_at", self._not_ahead),))
        made = await self._made(one, now)
        self._count(made.line)
        return made

    async def _made(self, one: Record, now: datetime) -> Answer:
        hashed = Hashed.of(self._hash, msgspec.structs.asdict(one))
        where, content = hashed.keys(), self._content(one)
        for _ in range(ATTEMPTS):
            try:
                values = dict(zip(where.values(), await self.store.read([*where.values()]), strict=True))
            except Unreachable:
                self.metrics.state_errors.labels("read").inc()
                return self._decided(one, hashed, where, {}, now, reached=False)[0]
            before = _answered(values[where["answer"]])
            if before is not None:
                return self._repeated(one, hashed, before, content)
            made, state, payment = self._decided(one, hashed, where, values, now, reached=True)
            try:
                if await self.store.write(self._changes(where, values, state, payment, made, content), values):
                    return made
            except Unreachable:
                self.metrics.state_errors.labels("write").inc()
                return made
        self.metrics.state_errors.labels("conflict").inc()
        return made

    def _count(self, line: Mapping[str, Any]) -> None:
        if "repeated" in line:
            self.metrics.repeated.inc()
            return
        self.metrics.decisions.labels(line["decision"], line["model_version"]).inc()
        if line["late_ms"]:
            self.metrics.late.inc()
        for each in line["lacking"]:
            self.metrics.missing.labels(each).inc()

    def _content(self, one: Record) -> bytes:
        return eight(self._hash(b"content:", msgspec.json.encode(one).decode()))

    def _decided(
        self, one: Record, hashed: Hashed, where: Mapping[str, bytes], values: Mapping[bytes, bytes | None],
        now: datetime, *, reached: bool,
    ) -> tuple[Answer, State, Payment]:  # fmt: skip
        lacking = ["corrupt_answer"] if values.get(where["answer"]) is not None else []  # a sound one was given again
        state, latest = self._state(hashed, where, values, lacking)
        at = milliseconds(one.initiated_at)
        taken = max(at, latest + 1) if at < latest else at
        sides = {side: self._account(values.get(where[side]), side, taken, lacking) for side in ("payer", "payee")}
        payment = Payment(
            at=taken, payer=hashed.payer, payee=hashed.payee, device=hashed.device, cents=one.amount_cents,
            static=one.initiation_type == "QRES", dynamic=one.initiation_type == "QRDN",
            registered=one.device_registered,
            **{f"{side}_{name}": value for side, known in sides.items() for name, value in known.items()},
        )  # fmt: skip
        lacking = lacking if reached else ["state"]
        features, decision = self._decision(state, payment, lacking)
        scored_at = max(now, one.initiated_at)
        line = self._line(one, hashed, decision, scored_at) | {
            "features": features, "lacking": lacking, "late_ms": taken - at,
        }  # fmt: skip
        return Answer(self._row(one, decision, scored_at), line), state, payment

    def _decision(self, state: State, payment: Payment, lacking: list[str]) -> tuple[dict[str, float], Decision]:
        model = self.model
        if model is not None and "state" not in lacking:
            row = state.features(payment, model.features)
            if lacking:
                self._assume(model, row, lacking)
            try:
                return dict(zip(model.features, row.tolist(), strict=True)), decisions.by_model(model, row)
            except ValueError:  # no probability; payments go on by rules
                self.metrics.model_errors.inc()
        features = dict(zip(FEATURES, state.features(payment).tolist(), strict=True))
        return features, decisions.by_rules(payment.cents, features)

    def _assume(self, model: Model, row: NDArray[np.float32], lacking: list[str]) -> None:
        """Put what is typical where an account is not known."""
        sides = (side for side in OF_ACCOUNTS if any(each.endswith(f"{side}_account") for each in lacking))
        unknown = set().union(*(OF_ACCOUNTS[side] for side in sides))
        for place, name in enumerate(model.features):
            if name in unknown and model.typical is not None:
                row[place] = model.typical[place]

    def _state(
        self, hashed: Hashed, where: Mapping[str, bytes], values: Mapping[bytes, bytes | None], lacking: list[str]
    ) -> tuple[State, int]:
        """What is known of the accounts, and the time of their latest payment."""
        found: dict[str, History] = {}
        for name in ("sent", "received", "pair", "device", "inflow"):
            value = values.get(where[name])
            if value is not None:
                try:
                    found[name] = histories.unpacked(value)
                except Corrupt:
                    lacking.append(f"corrupt_{name}")
        latest = max((each.times[-1] for each in found.values() if each.times), default=0)
        received = {hashed.payee: found.get("received"), hashed.payer: found.get("inflow")}
        return State(
            sent={hashed.payer: found["sent"]} if "sent" in found else {},
            received={who: each for who, each in received.items() if each is not None},
            pairs={(hashed.payer, hashed.payee): found["pair"]} if "pair" in found else {},
            devices={(hashed.payer, hashed.device): found["device"]} if "device" in found else {},
        ), latest

    def _account(self, value: bytes | None, side: str, at: int, lacking: list[str]) -> dict[str, Any]:
        try:
            _, opened, company, region = array("q", value or b"")
        except ValueError:
            lacking.append(f"{side}_account" if value is None else f"corrupt_{side}_account")
            return {"opened": at, "company": False, "region": -1}
        return {"opened": opened, "company": bool(company), "region": region}

    def _changes(
        self, where: Mapping[str, bytes], values: Mapping[bytes, bytes | None], state: State, payment: Payment,
        made: Answer, content: bytes,
    ) -> dict[bytes, bytes]:  # fmt: skip
        """What is to be remembered of the payment."""
        state.add(payment)
        changed = {
            "sent": state.sent[payment.payer], "received": state.received[payment.payee],
            "pair": state.pairs[payment.payer, payment.payee],
            "device": state.devices[payment.payer, payment.device],
        }  # fmt: skip
        made_new = {
            where[name]: histories.packed(history, histories.version(values[where[name]]) + 1)
            for name, history in changed.items()
        }
        row = made.row
        said = (content, *(row[name] for name in ("score", "decision", "model_version", "reasons", "scored_at")))
        return made_new | {where["answer"]: (1).to_bytes(8, "little") + msgspec.msgpack.encode(said)}

    def _repeated(self, one: Record, hashed: Hashed, before: Stored, content: bytes) -> Answer:
        known, score, decision, version, reasons, scored_at = before
        if known != content:
            raise Refused(
                409, "another payment had this id", (Violation("end_to_end_id", "is that of another payment"),)
            )
        made = Decision(score, decision, version, reasons)
        line = {"repeated": True, "payment": shown(hashed.payment), "decision": decision, "scored_at": scored_at}
        return Answer(self._row(one, made, scored_at), line)

    def _row(self, one: Record, made: Decision, scored_at: datetime) -> dict[str, Any]:
        return {
            "end_to_end_id": one.end_to_end_id, "initiated_at": one.initiated_at,
            "payer_account_id": one.payer_account_id, "payee_account_id": one.payee_account_id,
            "amount_cents": one.amount_cents, "score": made.score, "decision": made.decision,
            "model_version": made.model_version, "reasons": made.reasons, "scored_at": scored_at,
        }  # fmt: skip

    def _line(self, one: Record, hashed: Hashed, made: Decision, scored_at: datetime) -> dict[str, Any]:
        model = self.model if made.score is not None else None
        return {
            "payment": shown(hashed.payment), "payer": shown(hashed.payer), "payee": shown(hashed.payee),
            "device": shown(hashed.device), "amount_cents": one.amount_cents, "decision": made.decision,
            "score": made.score, "model_version": made.model_version,
            "model_sha256": model.sha256["model.onnx"] if model else None,
            "threshold": model.threshold if model else None, "reasons": made.reasons, "scored_at": scored_at,
        }  # fmt: skip


def _answered(value: bytes | None) -> Stored | None:
    """The answer that is kept, unless there is none or it is corrupt."""
    try:
        return None if value is None else _ANSWER.decode(value[8:])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def account(opened_at: datetime, holder_type: str, region: int) -> bytes:
    """The reference data of an account as the state keeps it."""
    return array("q", (1, milliseconds(opened_at), holder_type == "LEGAL_PERSON", region)).tobytes()


def account_key(hasher: Hasher, account_id: str) -> bytes:
    """Where it is kept."""
    return b"a" + eight(hasher(b"account:", account_id))
