"""The envelope is DSSE's as others read it; whoever has no key reaches nothing beyond it, whatever they write."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as OtherEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from pytest_pixgates.evidence import envelope, keys
from pytest_pixgates.evidence.codes import Code, Refused
from pytest_pixgates.evidence.keys import PrivateKey
from tests.evidence.pipeline import Pipeline, codes, edited, payload

# The example of DSSE's own protocol.md.
TYPE, BODY = "http://example.com/HelloWorld", b"hello world"
X = 46950820868899156662930047687818585632848591499744589407958293238635476079160
Y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
SIG = "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="


def test_what_is_signed_is_as_published() -> None:
    assert envelope.pae(TYPE, BODY) == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_the_published_signature_is_of_it() -> None:
    raw = base64.b64decode(SIG)
    signature = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    public = ec.EllipticCurvePublicNumbers(X, Y, ec.SECP256R1()).public_key()
    public.verify(signature, envelope.pae(TYPE, BODY), ec.ECDSA(hashes.SHA256()))


@given(st.text(), st.binary())
@settings(deadline=None)
def test_what_is_signed_is_as_another_implementation_has_it(kind: str, body: bytes) -> None:
    try:
        expected = OtherEnvelope(body, kind, {}).pae()
    except UnicodeEncodeError:
        return
    assert envelope.pae(kind, body) == expected


def other(key: PrivateKey) -> SSlibKey:
    return SSlibKey(key.id, "ed25519", "ed25519", {"public": key.public.hex()})


def test_another_implementation_reads_and_verifies_it(shared: Pipeline) -> None:
    content = shared.evidence().read_bytes()
    read = OtherEnvelope.from_dict(json.loads(content))
    assert read.payload == payload(content)
    assert list(read.verify([other(shared.key)], 1)) == [shared.key.id]
    with pytest.raises(VerificationError):
        read.verify([other(shared.keys["second"])], 1)
    changed = OtherEnvelope.from_dict(json.loads(edited_payload(content)))
    with pytest.raises(VerificationError):
        changed.verify([other(shared.key)], 1)


def edited_payload(content: bytes) -> bytes:
    data = json.loads(content)
    data["payload"] = base64.b64encode(base64.b64decode(data["payload"]).replace(b"PASS", b"FAIL")).decode()
    return json.dumps(data).encode()


def test_what_another_implementation_wrote_is_read(shared: Pipeline) -> None:
    written = OtherEnvelope.from_dict(json.loads(shared.evidence().read_bytes())).to_dict()
    assert shared.verify(shared.file(json.dumps(written))).go


def test_both_alphabets_of_base64_are_read(shared: Pipeline) -> None:
    """DSSE demands it."""

    def change(data: dict[str, Any]) -> None:
        for holder, name in ((data, "payload"), (data["signatures"][0], "sig")):
            holder[name] = holder[name].replace("+", "-").replace("/", "_")

    assert shared.verify(shared.file(edited(shared.evidence(), change))).go


# Whatever changes

KEY = keys.generate()
SEALED = json.loads(envelope.sealed(b'{"of": "nothing", "but": [1, 2, 3]}', [KEY]))


class Trusted:
    """As much of a key of the policy as is asked here."""

    name, id, raw = "ci", KEY.id, KEY.public


def opened(data: dict[str, Any]) -> bytes:
    parsed = envelope.parse(json.dumps(data).encode())
    envelope.signers(parsed, [Trusted()])  # type: ignore[list-item]
    return parsed.payload


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_any_changed_byte_of_payload_or_signature_is_refused(data: st.DataObject) -> None:
    assert opened(SEALED)
    changed = json.loads(json.dumps(SEALED))
    holder, name = data.draw(st.sampled_from([(changed, "payload"), (changed["signatures"][0], "sig")]))
    raw = bytearray(base64.b64decode(holder[name]))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    holder[name] = base64.b64encode(raw).decode()
    with pytest.raises(Refused) as refused:
        opened(changed)
    assert refused.value.code is (Code.ALTERED_PAYLOAD if name == "payload" else Code.BAD_SIGNATURE)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_any_changed_character_is_refused_or_changes_nothing(data: st.DataObject) -> None:
    """Nothing but the two alphabets writes the same bytes in two ways."""
    changed = json.loads(json.dumps(SEALED))
    holder, name = data.draw(st.sampled_from([(changed, "payload"), (changed["signatures"][0], "sig")]))
    at, text = data.draw(st.integers(0, len(holder[name]) - 1)), holder[name]
    new = data.draw(st.characters().filter(lambda character: character != text[at]))
    holder[name] = text[:at] + new + text[at + 1 :]
    try:
        assert opened(changed) == base64.b64decode(SEALED["payload"])
    except Refused:
        return
    assert {new, text[at]} in ({"+", "-"}, {"/", "_"})


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_arbitrary_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(Refused):
        envelope.parse(content)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["payload", "payloadType", "signatures", "keyid", "sig", "payloadSha256"]), json_values)
@settings(max_examples=200, deadline=None)
def test_arbitrary_values_never_do_more_than_refuse(name: str, value: object) -> None:
    changed = json.loads(json.dumps(SEALED))
    holder = changed if name in changed else changed["signatures"][0]
    holder[name] = value
    try:
        assert opened(changed)
    except Refused:
        return
    # A hint may say anything, for nothing is believed by it, and without an id every key may be meant.
    assert name == "payloadSha256" or (name == "keyid" and value == "")


# Hostile files: one answer, and soon

GOOD = json.dumps(SEALED)
HOSTILE: dict[str, tuple[bytes, Code]] = {
    "deep lists": (b"[" * 1_000_000, Code.MALFORMED),
    "deep objects": (b'{"a":' * 1_000_000, Code.MALFORMED),
    "deep and closed": (b"[" * 100_000 + b"]" * 100_000, Code.MALFORMED),
    "deep beside what is good": (
        (GOOD[:-1] + ', "x": ' + "[" * 100_000 + "]" * 100_000 + "}").encode(),
        Code.MALFORMED,
    ),
    "a key twice": ((GOOD[:-1] + ', "payload": "e30="}').encode(), Code.MALFORMED),
    "a key twice in a signature": (GOOD.replace('"sig":', '"sig": "AA==", "sig":').encode(), Code.MALFORMED),
    "NaN": ((GOOD[:-1] + ', "x": NaN}').encode(), Code.MALFORMED),
    "Infinity": ((GOOD[:-1] + ', "x": -Infinity}').encode(), Code.MALFORMED),
    "a number without end": ((GOOD[:-1] + ', "x": 1e999}').encode(), Code.MALFORMED),
    "an integer of a million digits": ((GOOD[:-1] + ', "x": ' + "9" * 1_000_000 + "}").encode(), Code.MALFORMED),
    "a list": (f"[{GOOD}]".encode(), Code.MALFORMED),
    "something after it": ((GOOD + "{}").encode(), Code.MALFORMED),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD.encode(), Code.MALFORMED),
    "UTF-16": (GOOD.encode("utf-16"), Code.MALFORMED),
    "no UTF-8": (b'{"payload": "\xff"}', Code.MALFORMED),
    "base64 with line breaks": (GOOD.replace('"payload": "', '"payload": "\\n').encode(), Code.MALFORMED),
    "base64 without its end": (GOOD.replace('=", "signatures', '", "signatures').encode(), Code.MALFORMED),
    "base64 of both alphabets": (GOOD.replace('"payload": "', '"payload": "+-').encode(), Code.MALFORMED),
    "a payload that is none": (GOOD.replace('"payload": "', '"payload": 1, "p": "').encode(), Code.MALFORMED),
    "true for a signature": (GOOD.replace('"sig": "', '"sig": true, "s": "').encode(), Code.MALFORMED),
    "signatures by name": (GOOD.replace('"signatures": [', '"signatures": {}, "s": [').encode(), Code.MALFORMED),
    "a signature that is null": (GOOD.replace('"signatures": [', '"signatures": [null, ').encode(), Code.MALFORMED),
    "signatures that are null": (GOOD.replace('"signatures": [', '"signatures": null, "s": [').encode(), Code.UNSIGNED),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_hostile_files_are_refused_by_their_code(shared: Pipeline, how: str) -> None:
    content, code = HOSTILE[how]
    assert codes(shared.verify(shared.file(content))) == [code.value]


@pytest.mark.parametrize("how", [how for how in HOSTILE if how not in ("a list", "something after it", "UTF-16")])
def test_hostile_statements_of_a_signer_are_refused(shared: Pipeline, how: str) -> None:
    path = shared.file(envelope.sealed(HOSTILE[how][0], [shared.key]))
    assert codes(shared.verify(path))[0] in (Code.MALFORMED.value, Code.WRONG_TYPE.value)


def test_a_hundred_megabytes_are_refused_unread(shared: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.write(b'{"payload": "')
        file.truncate(100 * 2**20)
    assert codes(shared.verify(path)) == [Code.TOO_LARGE.value]


def test_as_much_as_is_read_is_judged(shared: Pipeline) -> None:
    content = shared.evidence().read_bytes()
    full = content + b" " * (envelope.MOST_BYTES - len(content))
    assert shared.verify(shared.file(full)).go
    assert codes(shared.verify(shared.file(full + b" "))) == [Code.TOO_LARGE.value]


# Several signatures

SEVERAL: dict[str, tuple[Callable[[Pipeline], list[PrivateKey]], str]] = {
    "two trusted keys": (lambda made: [made.key, made.keys["second"]], ""),
    "a stranger first": (lambda made: [keys.generate(), made.key], ""),
    "one that expired first": (lambda made: [made.keys["expired"], made.key], ""),
    "a revoked one last": (lambda made: [made.key, made.keys["revoked"]], ""),
    "strangers": (lambda made: [keys.generate(), keys.generate()], Code.UNKNOWN_KEY.value),
    "as many as may be": (lambda made: [*(keys.generate() for _ in range(envelope.MOST_SIGNATURES - 1)), made.key], ""),
    "one more": (lambda made: [made.key] * (envelope.MOST_SIGNATURES + 1), Code.MALFORMED.value),
}


@pytest.mark.parametrize("how", SEVERAL)
def test_several_signatures_count_by_the_best_of_them(shared: Pipeline, how: str) -> None:
    signers, code = SEVERAL[how]
    answer = shared.verify(shared.forged(lambda data: None, *signers(shared)))
    assert codes(answer) == ([code] if code else [])


@pytest.mark.parametrize("broken", [0, 1])
def test_one_broken_signature_of_a_trusted_key_refuses_all(shared: Pipeline, broken: int) -> None:
    evidence = shared.forged(lambda data: None, shared.key, shared.keys["second"])

    def change(data: dict[str, Any]) -> None:
        data["signatures"][broken]["sig"] = data["signatures"][1 - broken]["sig"]

    assert codes(shared.verify(shared.file(edited(evidence, change)))) == [Code.BAD_SIGNATURE.value]
