"""A private key comes from a file, a variable or a command, and is seen nowhere else: not in output, not in errors."""

from __future__ import annotations

import base64
import copy
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from pytest_pixgates.cli.main import main
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.evidence import keys
from pytest_pixgates.evidence.keys import PrivateKey
from tests.evidence.pipeline import Pipeline

MESSAGE = b"what is signed"
VARIABLE = "CI_EVIDENCE"


def stored(path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


def der(key: PrivateKey) -> str:
    return "".join(key.pem().splitlines()[1:-1])


def test_what_a_key_signs_only_its_public_part_verifies() -> None:
    one, two = keys.generate(), keys.generate()
    assert keys.verifies(one.public, one.sign(MESSAGE), MESSAGE)
    assert not keys.verifies(two.public, one.sign(MESSAGE), MESSAGE)
    assert not keys.verifies(one.public, one.sign(MESSAGE), MESSAGE + b".")
    for signature in (b"", b"x", one.sign(MESSAGE)[:-1], one.sign(MESSAGE) + b"x", b"\0" * 64, b"\xff" * 64):
        assert not keys.verifies(one.public, signature, MESSAGE)


@pytest.mark.parametrize("form", [PrivateKey.pem, der])
def test_a_key_is_the_same_from_wherever_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Callable[[PrivateKey], str]
) -> None:
    key = keys.generate()
    file = stored(tmp_path / "key.pem", form(key))
    monkeypatch.setenv(VARIABLE, form(key))
    found = [keys.from_file(file), keys.from_environment(VARIABLE), keys.from_command(f"cat {file}")]
    assert {each.id for each in found} == {key.id}
    assert VARIABLE not in os.environ


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o601, 0o644])
def test_a_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = stored(tmp_path / "key.pem", keys.generate().pem(), mode)
    with pytest.raises(PixgatesError, match="can be read by others"):
        keys.from_file(path)
    path.chmod(0o400)
    assert keys.from_file(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path / "key.pem", keys.generate().pem())
    os.chown(path, 12345, -1)
    with pytest.raises(PixgatesError, match="another user"):
        keys.from_file(path)


def test_a_link_counts_by_what_it_points_to(tmp_path: Path) -> None:
    link = tmp_path / "link.pem"
    link.symlink_to(stored(tmp_path / "key.pem", keys.generate().pem(), 0o644))
    with pytest.raises(PixgatesError, match="can be read by others"):
        keys.from_file(link)
    link.resolve().chmod(0o600)
    assert keys.from_file(link)


def other_kind() -> bytes:
    pkcs8, pem = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(pem, pkcs8, serialization.NoEncryption())


def with_password() -> bytes:
    pkcs8, pem = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
    return ed25519.Ed25519PrivateKey.generate().private_bytes(
        pem, pkcs8, serialization.BestAvailableEncryption(b"secret")
    )


def public() -> bytes:
    spki, pem = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.Encoding.PEM
    return ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(pem, spki)


NO_KEYS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"\n",
    "noise": lambda: b"\x80\xff" * 40,
    "cut short": lambda: keys.generate().pem().encode()[:-40],
    "a changed byte": lambda: keys.generate().pem().replace("MC4C", "MC5C").encode(),
    "only the seed": lambda: base64.b64encode(os.urandom(32)),
    "another kind": other_kind,
    "with a password": with_password,
    "the public part": public,
    "too large": lambda: b"x" * 100_000,
}


@pytest.mark.parametrize("how", NO_KEYS)
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    content = NO_KEYS[how]()
    monkeypatch.setenv(VARIABLE, content.decode(errors="replace").replace("\0", ""))
    file = stored(tmp_path / "key.pem", content)
    for ask in (
        lambda: keys.from_file(file),
        lambda: keys.from_environment(VARIABLE),
        lambda: keys.from_command(f"cat {file}"),
    ):
        with pytest.raises(PixgatesError) as caught:
            ask()
        assert not canaries(content.decode(errors="replace")) & canaries(said(caught.value))


@pytest.mark.parametrize("path", ["", "nothing.pem", ".", "nul\0l", "/dev/zero"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PixgatesError):
        keys.from_file(Path(path))


@pytest.mark.parametrize("command", ["", "  ", "'", "no-such-program", "false", "sh -c 'echo {}; exit 3'", "yes {}"])
def test_a_command_that_gives_no_key_is_refused_and_what_it_said_is_not_shown(command: str) -> None:
    key = der(keys.generate())
    with pytest.raises(PixgatesError) as caught:
        keys.from_command(command.replace("{}", key))
    assert not canaries(key) & canaries(said(caught.value))


def test_a_command_has_its_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    key = keys.generate()
    monkeypatch.setenv("VAULT_TOKEN", der(key))
    assert keys.from_command("printenv VAULT_TOKEN").id == key.id


# Canaries: pieces of a key that must be found nowhere.


def canaries(text: str) -> set[str]:
    return {text[at : at + 12] for at in range(max(len(text) - 11, 0)) if " " not in text[at : at + 12]}


def secret(key: PrivateKey) -> set[str]:
    """Pieces of all forms of the secret part of `key`."""
    raw = key._key.private_bytes_raw()
    forms = (base64.b64encode(raw).decode(), raw.hex(), der(key)[20:])
    return {piece for form in forms for piece in canaries(form)}


def said(error: BaseException) -> str:
    """All that a crash report of `error` could show, also the errors behind it and the variables of its frames."""
    summary = traceback.TracebackException.from_exception(error, capture_locals=False)
    chain, text = error, "".join(summary.format())
    while chain is not None:
        text += repr(chain) + str(chain) + repr(getattr(chain, "__notes__", ""))
        chain = chain.__cause__ or chain.__context__  # type: ignore[assignment]
    return text


def test_a_key_does_not_show_itself() -> None:
    key = keys.generate()
    shown = f"{key} {key!r} {[key]} {vars(type(key))}"
    assert not secret(key) & canaries(shown)
    for leak in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(key)


@pytest.mark.parametrize("option", ["--key", "--key-env", "--key-command"])
@pytest.mark.parametrize("form", [PrivateKey.pem, der])
def test_a_key_given_where_its_place_was_asked_is_not_shown(
    shared: Pipeline, capfd: pytest.CaptureFixture[str], option: str, form: Callable[[PrivateKey], str]
) -> None:
    """`--key "$KEY"` is the mistake that everybody makes once."""
    key = keys.generate()
    assert (
        main(["sign", "--env", "prod", "--config", str(shared.root / "gates/gates.toml"), f"{option}={form(key)}"]) != 0
    )
    out, err = capfd.readouterr()
    assert err
    assert not secret(key) & canaries(out + err)


@pytest.mark.parametrize("command", ["keygen", "sign", "verify"])
def test_without_the_library_each_command_says_what_to_install(shared: Pipeline, tmp_path: Path, command: str) -> None:
    """As in an installation without the extra: the import fails."""
    (tmp_path / "cryptography.py").write_text("raise ImportError('not here')")
    key, asked = stored(tmp_path / "key.pem", shared.key.pem()), f"model=sha256:{shared.model()}"
    arguments = {
        "keygen": [str(tmp_path / "new.pem"), "--name", "x"],
        "sign": ["--key", str(key), "--config", str(shared.root / "gates/gates.toml")],
        "verify": [str(shared.evidence()), "--subject", asked, "--config", str(shared.root / "gates/gates.toml")],
    }
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pytest_pixgates.cli.main import main; "
        "sys.exit(main(sys.argv[2:]))"
    )
    argv = [sys.executable, "-c", code, str(tmp_path), command, *arguments[command], "--env", "prod"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 1
    assert "pytest-pixgates[evidence]" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "new.pem").exists()
