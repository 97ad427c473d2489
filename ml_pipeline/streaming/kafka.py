"""How the worker's clients find Kafka: its topics, and the properties that its environment decides on."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
AWS_MSK_IAM = "AWS_MSK_IAM"  # as Amazon's clients name it; what goes over the wire is OAUTHBEARER
# What exactly once depends on.
OWN = frozenset(
    {"transactional.id", "group.id", "isolation.level", "enable.auto.commit", "enable.idempotence", "acks"}
)  # fmt: skip


class Topics(NamedTuple):
    """The names of the topics. iac/topics.json declares them."""

    transactions: str = "transactions"
    processed: str = "processed_transactions"
    aggregated: str = "transactions_aggregated"
    dead_letter: str = "transactions_dead_letter"


def connection(protocol: str | None, mechanism: str | None, file: Path | None) -> dict[str, Any]:
    """Properties for all clients; those of the file count. Raises ValueError, OSError for what can't be."""
    made: dict[str, Any] = {} if protocol is None else {"security.protocol": protocol}
    if mechanism == AWS_MSK_IAM:
        if protocol != "SASL_SSL":
            raise ValueError(f"{AWS_MSK_IAM} needs SASL_SSL: its tokens are for nobody else to see")
        made |= {"sasl.mechanisms": "OAUTHBEARER", "oauth_cb": _tokens_of_aws()}
    elif mechanism is not None:
        made["sasl.mechanisms"] = mechanism
    return made | (properties(file) if file else {})


def properties(path: Path) -> dict[str, str]:
    """`name=value` by line. Raises ValueError for any other line, or for what the worker must decide itself."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    given = [line.partition("=") for line in lines if line and not line.startswith("#")]
    if wrong := [name for name, equals, _ in given if not equals]:
        raise ValueError(f"{path}: {wrong[0]!r} is no name=value")
    if taken := sorted(OWN & {name.strip() for name, _, _ in given}):
        raise ValueError(f"{path}: {', '.join(taken)} can't be set: exactly once depends on it")
    return {name.strip(): value.strip() for name, _, value in given}


def _tokens_of_aws() -> Callable[[str], tuple[str, float]]:
    """What Kafka's clients ask for a token and the second in which it ends, signed as the role of this process."""
    from aws_msk_iam_sasl_signer import MSKAuthTokenProvider

    region = os.environ.get("AWS_REGION")
    if not region:
        raise ValueError(f"{AWS_MSK_IAM} needs the region of the brokers in $AWS_REGION")
    logging.getLogger("botocore").setLevel(logging.INFO)  # below that, it logs what it signs, session token and all

    def token(_: str) -> tuple[str, float]:
        signed, ends = MSKAuthTokenProvider.generate_auth_token(region)
        return signed, ends / 1000

    return token
