"""The DSSE envelope: a payload, its type, and signatures over both.

A payload is not parsed before a trusted key vouches for it, so a stranger reaches no more than a small JSON parser.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_pixgates.core import decode, files
from pytest_pixgates.core.trust import TrustedKey
from pytest_pixgates.evidence import keys
from pytest_pixgates.evidence.codes import Code, Refused

PAYLOAD_TYPE = "application/vnd.in-toto+json"
FILE_NAME = "evidence.dsse.json"
MOST_BYTES = 8 * 2**20
MOST_SIGNATURES = 16
# Of a signature, beside what DSSE knows: tells a changed payload from a changed signature. Nothing is believed by it.
_PAYLOAD_SHA256 = "payloadSha256"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature, the id of the key that it claims to be of, and the digest of what it claims to be over."""

    keyid: str
    sig: bytes
    payload_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope as it was read; nothing of it is verified."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding of both."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sealed(payload: bytes, signers: Iterable[keys.PrivateKey]) -> str:
    """`payload` in an envelope that each of `signers` signed, as text."""
    signatures = [
        {
            "keyid": signer.id,
            "sig": base64.b64encode(signer.sign(pae(PAYLOAD_TYPE, payload))).decode(),
            _PAYLOAD_SHA256: hashlib.sha256(payload).hexdigest(),
        }
        for signer in signers
    ]
    data = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": signatures,
    }
    return json.dumps(data, indent=1) + "\n"


def read(path: Path) -> bytes:
    """The content of the file at `path`, which is no larger than evidence may be. Raises Refused."""
    try:
        with files.regular(path) as (file, _):
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise Refused(Code.MISSING, getattr(error, "strerror", None) or "that is no path") from None
    if len(content) > MOST_BYTES:
        raise Refused(Code.TOO_LARGE, f"more than {MOST_BYTES:,} bytes")
    return content


def parse(content: bytes) -> Envelope:
    """Read an envelope. Raises Refused."""
    try:
        data = decode.strict_json(content.decode())
    except (ValueError, RecursionError) as error:
        raise Refused(Code.MALFORMED, _short(error)) from None
    if type(data) is not dict:
        raise Refused(Code.MALFORMED, "not a JSON object")
    if "payload" not in data and ("_type" in data or "predicateType" in data):
        raise Refused(Code.UNSIGNED, "a bare statement")
    payload_type = _text(data, "payloadType")
    if payload_type != PAYLOAD_TYPE:
        raise Refused(Code.WRONG_TYPE, f"not {PAYLOAD_TYPE}")
    signatures = data.get("signatures")
    if signatures is None or signatures == []:
        raise Refused(Code.UNSIGNED)
    if type(signatures) is not list or len(signatures) > MOST_SIGNATURES:
        raise Refused(Code.MALFORMED, f"signatures must be a list of at most {MOST_SIGNATURES}")
    payload = _bytes(_text(data, "payload"), "payload", Code.MALFORMED)
    return Envelope(payload, payload_type, tuple(_signature(each) for each in signatures))


def signers(envelope: Envelope, trusted: Sequence[TrustedKey]) -> list[TrustedKey]:
    """The trusted keys that signed `envelope`, at least one. Raises Refused.

    Signatures of strangers count for nothing, as DSSE says; one that names a trusted key and is not of it refuses all.
    """
    message = pae(envelope.payload_type, envelope.payload)
    found = list[TrustedKey]()
    for signature in envelope.signatures:
        # The id only narrows the choice: without one, every key may be meant.
        meant = [key for key in trusted if signature.keyid in ("", key.id)]
        fitting = [key for key in meant if keys.verifies(key.raw, signature.sig, message)]
        if meant and not fitting and signature.keyid:
            raise Refused(_why_not(envelope, signature), f"key {meant[0].name}")
        found += [key for key in fitting if key not in found]
    if not found:
        raise Refused(Code.UNKNOWN_KEY, ", ".join(sorted({_shown(each.keyid) for each in envelope.signatures})))
    return found


def _why_not(envelope: Envelope, signature: Signature) -> Code:
    actual = hashlib.sha256(envelope.payload).hexdigest()
    altered = signature.payload_sha256 and signature.payload_sha256 != actual
    return Code.ALTERED_PAYLOAD if altered else Code.BAD_SIGNATURE


def _signature(data: Any) -> Signature:
    if type(data) is not dict:
        raise Refused(Code.MALFORMED, "a signature must be an object")
    keyid = _text(data, "keyid") if "keyid" in data else ""
    digest = _text(data, _PAYLOAD_SHA256) if _PAYLOAD_SHA256 in data else ""
    sig = _text(data, "sig")
    return Signature(keyid, _bytes(sig, "sig", Code.BAD_SIGNATURE), digest)


def _text(data: dict[str, Any], name: str) -> str:
    value = data.get(name)
    if type(value) is not str:
        raise Refused(Code.MALFORMED, f"{name} must be a string")
    return value


def _bytes(text: str, name: str, code: Code) -> bytes:
    """What `text` encodes, in either alphabet of base64, as DSSE demands, and in its one canonical form."""
    for alphabet in (b"+/", b"-_"):
        try:
            raw = base64.b64decode(text, altchars=alphabet, validate=True)
        except (ValueError, binascii.Error):
            continue
        if base64.b64encode(raw, altchars=alphabet).decode() == text:
            return raw
    raise Refused(code, f"{name} is not canonical base64")


def _short(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)[:120]


def _shown(keyid: str) -> str:
    return keyid[:16] or "no key named"
