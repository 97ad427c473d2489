"""External programs are run to a known end: nothing outlives them, nothing is cut, nothing leaks."""

from __future__ import annotations

import os
import signal
import string
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_pixgates.core import process
from pytest_pixgates.core.errors import ToolError, ToolMissing, ToolOutputTooLarge, ToolTimeout
from pytest_pixgates.core.process import Completed, installer_environment, mask, run

LIMIT = 60.0  # seconds; far above what any of these needs


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def shell(script: str) -> list[str]:
    """Starts in a moment, also on a busy machine: for tests whose limit is short."""
    return ["sh", "-c", script]


def is_running(pid: int) -> bool:
    try:
        # A killed orphan may wait for its new parent to reap it: a zombie runs no more.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds: float = 20.0) -> bool:
    give_up = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < give_up:
        time.sleep(0.01)
    return bool(met)


def test_output_and_return_code_are_returned_without_raising(tmp_path):
    code = "import sys; print('seen'); print('wrong', file=sys.stderr); sys.exit(3)"
    done = run(python(code), cwd=tmp_path, timeout=LIMIT)
    assert (done.returncode, done.stdout, done.stderr) == (3, "seen\n", "wrong\n")


def test_a_quick_program_is_not_slowed_down(tmp_path):
    def seconds() -> float:
        started = time.monotonic()
        run(["true"], cwd=tmp_path, timeout=LIMIT)
        return time.monotonic() - started

    assert min(seconds() for _ in range(5)) < 0.2


def test_arguments_reach_the_program_untouched_by_any_shell(tmp_path):
    argument = "$HOME `id` * ; exit 7"
    done = run(python("import sys; print(sys.argv[1])", argument), cwd=tmp_path, timeout=LIMIT)
    assert done.stdout == argument + "\n"


def test_a_signal_is_a_negative_return_code(tmp_path):
    done = run(python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"), cwd=tmp_path, timeout=LIMIT)
    assert done.returncode == -signal.SIGSEGV


def test_a_program_that_reads_its_input_finds_none_and_does_not_wait(tmp_path):
    copy = python("import sys; sys.stdout.write(sys.stdin.read())")
    assert run(copy, cwd=tmp_path, timeout=LIMIT).stdout == ""


def test_large_output_on_both_streams_does_not_deadlock(tmp_path):
    code = "import sys\nfor _ in range(40): sys.stderr.write('e' * 50_000); sys.stdout.write('o' * 50_000)"
    done = run(python(code), cwd=tmp_path, timeout=LIMIT)
    assert (len(done.stdout), len(done.stderr)) == (2_000_000, 2_000_000)


def test_bytes_that_are_not_utf8_are_replaced(tmp_path):
    done = run(python("import os; os.write(1, b'a\\xffb')"), cwd=tmp_path, timeout=LIMIT)
    assert done.stdout == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_beyond_the_limit_is_an_error_never_a_cut(tmp_path, stream):
    endless = python(f"import sys\nwhile True: sys.{stream}.write('x' * 1000)")
    with pytest.raises(ToolOutputTooLarge, match=rf"more than 100,000 bytes to {stream}"):
        run(endless, cwd=tmp_path, timeout=LIMIT, max_output=100_000)


def test_output_of_exactly_the_limit_is_fine(tmp_path):
    done = run(python("print('x' * 999)"), cwd=tmp_path, timeout=LIMIT, max_output=1000)
    assert len(done.stdout) == 1000


def test_a_timeout_names_the_tool_the_seconds_and_the_last_lines(tmp_path):
    hangs = shell("echo loading rules; sleep 600")
    with pytest.raises(ToolTimeout) as caught:
        run(hangs, cwd=tmp_path, timeout=1.0)
    for part in ("sh ", "1 s", "loading rules"):
        assert part in str(caught.value)


def test_a_timeout_ends_grandchildren_too(tmp_path):
    with pytest.raises(ToolTimeout):
        run(shell("sleep 600 & echo $! > pid; wait"), cwd=tmp_path, timeout=1.0)
    pid = int((tmp_path / "pid").read_text())
    assert wait_until(lambda: not is_running(pid))


def test_a_group_that_ignores_the_polite_signal_is_killed(tmp_path):
    with pytest.raises(ToolTimeout):
        run(shell("trap '' TERM; echo $$ > pid; while :; do sleep 600; done"), cwd=tmp_path, timeout=1.0)
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_a_grandchild_that_keeps_the_pipes_open_neither_delays_nor_survives(tmp_path):
    started = time.monotonic()
    done = run(shell("sleep 600 & echo $! > pid; echo done"), cwd=tmp_path, timeout=LIMIT)
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert time.monotonic() - started < LIMIT / 2
    pid = int((tmp_path / "pid").read_text())
    assert wait_until(lambda: not is_running(pid))


def test_an_interrupt_ends_the_group_and_goes_on(tmp_path):
    def interrupt_when_ready():
        wait_until((tmp_path / "ready").exists)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt_when_ready).start()
        with pytest.raises(KeyboardInterrupt):
            run(shell("sleep 600 & echo $! > pid; echo > ready; wait"), cwd=tmp_path, timeout=LIMIT)
    finally:
        signal.signal(signal.SIGINT, before)
    pid = int((tmp_path / "pid").read_text())
    assert wait_until(lambda: not is_running(pid))


def test_an_interrupt_while_a_program_starts_still_ends_it(tmp_path, monkeypatch):
    def start(*args):
        started = process_start(*args)
        assert wait_until((tmp_path / "pid").exists)
        os.kill(os.getpid(), signal.SIGINT)
        return started

    process_start = process._start
    monkeypatch.setattr(process, "_start", start)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(shell("echo $$ > part; mv part pid; sleep 600"), cwd=tmp_path, timeout=LIMIT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert wait_until(lambda: not is_running(int((tmp_path / "pid").read_text())))


def test_programs_in_a_pool_end_with_its_block(tmp_path):
    def work(name):
        return run(shell(f"echo $$ > part-{name}; mv part-{name} {name}; sleep 600"), cwd=tmp_path, timeout=LIMIT)

    working = []

    def interrupted():
        with process.pool(2) as pool:
            working.extend(pool.submit(work, name) for name in ("a", "b"))
            assert wait_until(lambda: all((tmp_path / name).exists() for name in ("a", "b")))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for name, future in zip(("a", "b"), working, strict=True):
        assert not is_running(int((tmp_path / name).read_text()))
        with pytest.raises(ToolError, match="ended together"):
            future.result()
    assert run(shell("echo on"), cwd=tmp_path, timeout=LIMIT).stdout == "on\n"


def test_a_missing_program_is_said_to_be_missing(tmp_path):
    with pytest.raises(ToolMissing, match="no-such-tool: there is no such program"):
        run(["no-such-tool"], cwd=tmp_path, timeout=LIMIT)


def test_a_script_whose_interpreter_is_gone_says_so(tmp_path):
    script = tmp_path / "tool"
    script.write_text("#!/no/such/python\n")
    script.chmod(0o755)
    with pytest.raises(ToolMissing, match="interpreter in its first line"):
        run([script], cwd=tmp_path, timeout=LIMIT)


def test_a_file_that_is_not_executable_is_said_to_be_so(tmp_path):
    (tmp_path / "tool").write_text("")
    with pytest.raises(ToolMissing, match="Permission denied"):
        run([tmp_path / "tool"], cwd=tmp_path, timeout=LIMIT)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ToolError, match=r"cannot run true in .*gone: it is not a folder"):
        run(["true"], cwd=tmp_path / "gone", timeout=LIMIT)


def test_the_environment_is_reduced_to_what_is_allowed_and_given(tmp_path, monkeypatch):
    for name in ("TF_CLI_ARGS", "CKV_CHECK", "PYTHONPATH", "AWS_SECRET_ACCESS_KEY", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "stray")
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "no_proxy", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "wanted")
    show = python("import os; print('\\n'.join(f'{k}={v}' for k, v in os.environ.items()))")
    lines = run(show, cwd=tmp_path, timeout=LIMIT, env={"GIVEN": "1"}).stdout.splitlines()
    seen = dict(line.split("=", 1) for line in lines)
    assert "stray" not in seen.values()
    assert {k for k, v in seen.items() if v == "wanted"} == {
        *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "no_proxy", "XDG_CACHE_HOME")
    }
    assert seen["GIVEN"] == "1"
    assert seen["PATH"] == os.environ["PATH"]


def test_installers_get_their_own_settings_but_no_other_destination(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://example.test/simple")
    monkeypatch.setenv("GOPROXY", "https://example.test/go")
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("GOBIN", "/elsewhere")
    environment = installer_environment()
    assert environment["PIP_INDEX_URL"] == "https://example.test/simple"
    assert environment["GOPROXY"] == "https://example.test/go"
    assert "/elsewhere" not in environment.values()


# ---- masking

WHOLE_SECRETS = {
    "AWS key": "AKIAIOSFODNN7EXAMPLE",
    "AWS session key": "ASIAIOSFODNN7EXAMPLE",
    "GitHub token": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "GitHub fine-grained token": "github_pat_11ABCDEFG0123456789_abcdefghijklmnop",
    "GitLab token": "glpat-abcdefghij0123456789",
    "Slack token": "xoxb-123456789012-abcdefghijkl",
    "JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0",
    "private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nabc=\n-----END RSA PRIVATE KEY-----",
}


@pytest.mark.parametrize("secret", WHOLE_SECRETS.values(), ids=WHOLE_SECRETS.keys())
def test_known_secret_shapes_are_masked_and_the_rest_is_kept(secret):
    assert mask(f"before {secret} after") == "before *** after"


def test_a_private_key_that_was_cut_off_is_masked_to_the_end():
    assert mask("x -----BEGIN PRIVATE KEY-----\nMIIEow") == "x ***"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("cloning https://user:hunter2@example.test/x", "hunter2"),
        ("postgres://user:p@ss:word@example.test/x", "p@ss:word"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ('{"authorization": "token abcdef"}', "abcdef"),
        ("sent bearer abc.def-ghi", "abc.def-ghi"),
    ],
)
def test_secrets_in_their_surroundings_are_masked(text, secret):
    assert secret not in mask(text)
    assert mask(text).startswith(text.split()[0][:5])


def test_text_without_secrets_is_unchanged():
    text = 'Error: Invalid reference\n  on main.tf line 3: token = var.token  https://example.test/a:b@c\n{"x": 1}'
    assert mask(text) == text


SECRETS = st.text(string.ascii_letters + string.digits + "+/=%&é ", min_size=6, max_size=40).filter(
    lambda value: len(value.strip()) >= 6
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(secrets=st.lists(SECRETS, min_size=1, max_size=4), parts=st.lists(st.text(max_size=30), min_size=5, max_size=5))
def test_no_value_of_a_secret_variable_is_ever_left(monkeypatch, secrets, parts):
    """Also where secrets overlap, touch, contain each other or stand in a URL."""
    text = parts[-1].join(part + secret + secrets[0][3:] for part, secret in zip(parts, secrets, strict=False))
    with monkeypatch.context() as patch:
        for number, secret in enumerate(secrets):
            patch.setenv(f"SERVICE_{number}_API_KEY", secret)
        masked = mask(text)
    assert not [secret for secret in secrets if secret in masked]


def test_a_secret_is_also_masked_percent_encoded_and_line_by_line(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "pa/ss word")
    monkeypatch.setenv("SIGNING_PRIVATE_KEY", "first-line-of-the-key\nsecond-line-of-the-key")
    text = "pa%2Fss%20word |  first-line-of-the-key\n |  second-line-of-the-key"
    assert mask(text) == "*** |  ***\n |  ***"


def test_short_values_are_not_taken_for_secrets(monkeypatch):
    monkeypatch.setenv("USE_TOKEN", "true")
    assert mask("this is true") == "this is true"


def test_stdout_stays_raw_for_parsers_while_the_tail_is_masked(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "s3cr3t-value")
    done = run(["echo", "s3cr3t-value"], cwd=tmp_path, timeout=LIMIT)
    assert done.stdout == "s3cr3t-value\n"
    assert done.tail() == "***"


def test_the_tail_masks_before_it_cuts():
    key = WHOLE_SECRETS["private key"]
    done = Completed(1, "", f"start\n{key}\nlast")
    assert done.tail(2) == "***\nlast"


def test_the_tail_is_of_stdout_when_stderr_is_empty():
    assert Completed(1, "1\n2\n3\n", "").tail(2) == "2\n3"


def test_error_texts_are_masked(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "s3cr3t-value")
    with pytest.raises(ToolTimeout) as caught:
        run(shell("echo s3cr3t-value; sleep 600"), cwd=tmp_path, timeout=1.0)
    assert "s3cr3t-value" not in str(caught.value)
    assert "***" in str(caught.value)
    with pytest.raises(ToolMissing) as missing:
        run(["s3cr3t-value"], cwd=tmp_path, timeout=LIMIT)
    assert "s3cr3t-value" not in str(missing.value)
