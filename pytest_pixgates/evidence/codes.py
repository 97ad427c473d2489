"""Why evidence is refused: one code for each reason, with what it means and what to do next."""

from __future__ import annotations

import enum

from pytest_pixgates.core.refusal import Refusal


class Code(enum.Enum):
    """A reason to refuse; its value is what `--json` and the terminal show."""

    meaning: str
    remedy: str

    def __new__(cls, value: str, meaning: str, remedy: str) -> Code:
        code = object.__new__(cls)
        code._value_, code.meaning, code.remedy = value, meaning, remedy
        return code

    MISSING = "missing", "there is no evidence", "sign the run (pixgates sign), and name the file that it wrote"
    TOO_LARGE = "too-large", "it is larger than any evidence", "name the file that `pixgates sign` wrote"
    MALFORMED = "malformed", "it is not evidence in strict JSON", "take the file as `pixgates sign` wrote it"
    UNSIGNED = "unsigned", "nobody signed it", "sign the run: pixgates sign"
    WRONG_TYPE = "wrong-type", "it is a statement of another type", "name the file that `pixgates sign` wrote"
    SCHEMA_NEWER = "schema-newer", "a later version wrote it", "verify with the version that signed, or a later one"

    UNKNOWN_KEY = "unknown-key", "the policy trusts no such key", "have the key reviewed into [[evidence.keys]]"
    KEY_NOT_ALLOWED = (
        "key-not-allowed",
        "its key may not sign for this environment",
        "sign with a key of this environment",
    )
    KEY_NOT_YET_VALID = "key-not-yet-valid", "its key was not valid yet", "sign with a key that is valid"
    KEY_EXPIRED = "key-expired", "its key is no longer valid", "sign again, with a key that is valid"
    KEY_REVOKED = "key-revoked", "its key is revoked", "run the gates again, and sign with another key"
    BAD_SIGNATURE = "bad-signature", "the signature is not of its key", "take the file as `pixgates sign` wrote it"
    ALTERED_PAYLOAD = (
        "altered-payload",
        "the payload is not the one that was signed",
        "take the file as `pixgates sign` wrote it, and find out who changed it",
    )

    OTHER_ENVIRONMENT = (
        "other-environment",
        "it is for another environment",
        "run the gates with --pixgates-env for this one, and sign",
    )
    OTHER_POLICY = (
        "other-policy",
        "it was judged by another policy",
        "run the gates with the policy that is here, and sign",
    )
    OTHER_SUBJECT = (
        "other-subject",
        "it is for something else of that name",
        "deploy what was judged, or run the gates on this, and sign",
    )
    SUBJECT_MISSING = "subject-missing", "it says nothing of this", "sign with --subject, or correct the name"
    SUBJECT_NOT_ASKED = (
        "subject-not-asked",
        "the policy wants it asked for",
        "verify with --subject for each of the environment's `subjects`",
    )
    SUBJECT_UNJUDGED = (
        "subject-unjudged",
        "no gate judged it",
        "judge it, or have its name reviewed into the environment's `unjudged`",
    )
    GATE_ABSENT = "gate-absent", "a required gate is not in it", "run the gate, sign, and name all the evidence"
    GATE_NOT_PASSED = "gate-not-passed", "a gate did not pass", "mend what it found, run the gates again, and sign"
    SIGNED_AS_FAILED = (
        "signed-as-failed",
        "its signer says FAILED",
        "run all that is required, or sign each job's part with --part",
    )

    EXPIRED = "expired", "it is too old", "run the gates again, and sign"
    FROM_FUTURE = "from-future", "its times lie in the future", "set the clocks, then run the gates again, and sign"
    WAIVER_EXPIRED = (
        "waiver-expired",
        "what it tolerates has expired since",
        "mend the finding or have the waiver reviewed again, run the gates, and sign",
    )
    NONCE_USED = "nonce-used", "it was used before", "run the gates again, and sign: evidence counts once"
    NONCE_UNCHECKED = (
        "nonce-unchecked",
        "it may have been used before",
        "name the ledger: verify --ledger, for the policy says single_use",
    )
    LEDGER_UNREADABLE = (
        "ledger-unreadable",
        "what was used can't be told",
        "restore the ledger; a new one begins with: echo '{}' > FILE",
    )
    NOT_RECORDED = (
        "not-recorded",
        "it is not the evidence that was authorised then",
        "take the evidence whose digest the ledger recorded",
    )

    def refusal(self, where: str, what: str = "") -> Refusal:
        """This reason, of `where`."""
        return Refusal(self.value, where, f"{self.meaning}: {what}" if what else self.meaning, self.remedy)


class Refused(Exception):  # noqa: N818 - it is an answer
    """Evidence that can't be read any further, and why."""

    def __init__(self, code: Code, what: str = "") -> None:
        super().__init__(code.value)
        self.code = code
        self.what = what
