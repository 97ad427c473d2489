"""How the worker is told of Kafka: by options and by the variables that its StatefulSet gives it."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ml_pipeline import __main__ as cli
from ml_pipeline.streaming.kafka import OWN, Topics, connection
from ml_pipeline.streaming.worker import Settings
from tests.stream.made import World


@pytest.mark.parametrize(
    ("protocol", "mechanism", "made"),
    [
        (None, None, {}),
        ("SSL", None, {"security.protocol": "SSL"}),
        ("SASL_SSL", "PLAIN", {"security.protocol": "SASL_SSL", "sasl.mechanisms": "PLAIN"}),
    ],
)
def test_the_environment_becomes_properties_of_the_clients(
    protocol: str | None, mechanism: str | None, made: dict[str, str]
) -> None:
    assert connection(protocol, mechanism, None) == made


def test_a_file_of_properties_counts_before_the_environment(tmp_path: Path) -> None:
    (tmp_path / "kafka").write_text("# of this machine\nsecurity.protocol = PLAINTEXT\n\nssl.ca.location=ca=1.pem\n")
    made = connection("SSL", None, tmp_path / "kafka")
    assert made == {"security.protocol": "PLAINTEXT", "ssl.ca.location": "ca=1.pem"}


@pytest.mark.parametrize("line", ["acks", *(f"{name}=1" for name in sorted(OWN))])
def test_a_file_can_not_say_what_exactly_once_depends_on(tmp_path: Path, line: str) -> None:
    (tmp_path / "kafka").write_text(f"{line}\n")
    with pytest.raises(ValueError, match="exactly once depends on it" if "=" in line else "is no name=value"):
        connection(None, None, tmp_path / "kafka")


def test_a_role_of_aws_signs_a_token_for_its_region_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("REGION", "sa-east-1"), ("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret")):
        monkeypatch.setenv(f"AWS_{name}", value)
    made = connection("SASL_SSL", "AWS_MSK_IAM", None)
    token, ends = made.pop("oauth_cb")("")
    assert made == {"security.protocol": "SASL_SSL", "sasl.mechanisms": "OAUTHBEARER"}
    url = urlsplit(base64.urlsafe_b64decode(token + "==").decode())
    assert (url.hostname, "Action=kafka-cluster%3AConnect" in url.query) == ("kafka.sa-east-1.amazonaws.com", True)
    assert time.time() < ends < time.time() + 3600


@pytest.mark.parametrize("protocol", [None, "PLAINTEXT", "SASL_PLAINTEXT", "SSL"])
def test_a_token_of_aws_goes_over_no_open_line(monkeypatch: pytest.MonkeyPatch, protocol: str | None) -> None:
    monkeypatch.setenv("AWS_REGION", "sa-east-1")
    with pytest.raises(ValueError, match="needs SASL_SSL"):
        connection(protocol, "AWS_MSK_IAM", None)


def test_a_token_of_aws_needs_a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    with pytest.raises(ValueError, match=r"\$AWS_REGION"):
        connection("SASL_SSL", "AWS_MSK_IAM", None)


def test_two_topics_of_one_name_are_refused() -> None:
    assert Settings("127.0.0.1:1", "group", "a").topics == Topics()
    with pytest.raises(ValueError, match="one topic can't be two"):
        Settings("127.0.0.1:1", "group", "a", topics=Topics(dead_letter="transactions"))


def test_without_brokers_the_worker_says_how_to_name_them(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    assert cli.main(["stream", "--model", str(world.model), "--accounts", str(world.data)]) == 2
    assert "$KAFKA_BOOTSTRAP_SERVERS" in capsys.readouterr().err
