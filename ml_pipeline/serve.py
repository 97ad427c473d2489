"""The service that decides on each payment before it goes on. How it behaves: docs/serving.md."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any

MODEL, STATE, CONTRACTS = "ml_pipeline/model", "ml_pipeline/state", Path("gates/contracts")
LONGEST = 1_000_000_000  # seconds
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def add_arguments(steps: Any) -> None:
    """The subcommand `serve`."""
    parser = steps.add_parser("serve", help="decide on payments over HTTP", description=__doc__)
    parser.set_defaults(run=run, step="serve")
    _arguments(parser)


def _arguments(parser: argparse.ArgumentParser) -> None:
    from_environment(
        parser, "--model", "MODEL_URI", MODEL, "folder of `train`, or a URL such as s3://bucket/models/fraud"
    )
    parser.add_argument("--promoted", help="record of the digests to serve (evaluation/evaluation.json beside --model)")
    model_sha256_argument(parser)
    state_arguments(parser)
    log_level_argument(parser)
    parser.add_argument("--contracts", type=Path, default=CONTRACTS, help="folder of the contracts (%(default)s)")
    parser.add_argument(
        "--forget", action="store_true", help="leave the state's folder as it is: for a rehearsal"
    )  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="0 takes one that is free (%(default)s)")
    parser.add_argument("--fd", type=int, help="a listening socket that was inherited, instead of host and port")
    parser.add_argument("--queue", type=int, default=200, help="payments that may wait; more get 503 (%(default)s)")
    parser.add_argument("--wait-ms", type=float, default=50, help="how long one may wait; then 503 (%(default)s)")
    parser.add_argument("--ahead", type=float, default=60, help="seconds a payment may be of the future (%(default)s)")
    parser.add_argument("--drain", type=float, default=20, help="seconds to end open connections in (%(default)s)")


def model_sha256_argument(parser: argparse.ArgumentParser) -> None:
    """Which model alone may be loaded."""
    from_environment(
        parser, "--model-sha256", "MODEL_SHA256", None, "digest of model.onnx; no other is loaded", _sha256
    )


def log_level_argument(parser: argparse.ArgumentParser) -> None:
    """How much is logged."""
    from_environment(parser, "--log-level", "LOG_LEVEL", "INFO", f"one of {', '.join(LEVELS)}", _level)


def state_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the account state is, and with which key."""
    says = "folder of the account state, or URL of a Redis or Valkey; @FILE for one that stands in a file"
    from_environment(parser, "--state", "STATE_URL", STATE, says, _stated)
    from_environment(parser, "--hash-key", "HASH_KEY_FILE", None, "file with the key of all hashes of ids", Path)


def from_environment(
    parser: argparse.ArgumentParser, option: str, name: str, otherwise: str | None, says: str, kind: Any = str
) -> None:
    """An option that a variable of the environment gives as well."""
    default = os.environ.get(name) or otherwise
    shown = "" if otherwise is None else f", else {otherwise}"
    parser.add_argument(option, type=kind, default=default, help=f"{says} (${name}{shown})")


def _stated(text: str) -> str:
    """What `text` says, or the file that it names: an address with a password should stand in no list of processes."""
    if not text.startswith("@"):
        return text
    try:
        stated = Path(text[1:]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{text[1:]} can't be read: {error}") from None
    if not stated:
        raise argparse.ArgumentTypeError(f"{text[1:]} is empty")
    return stated


def _level(name: str) -> str:
    if name.upper() not in LEVELS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(LEVELS)}")
    return name.upper()


def _sha256(digest: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise argparse.ArgumentTypeError(f"{digest!r} is no sha256")
    return digest


def run(arguments: argparse.Namespace) -> None:
    """Serve until a signal ends it. Raises ValueError or OSError with what to change."""
    if arguments.queue < 1 or not arguments.wait_ms > 0:
        raise ValueError("--queue and --wait-ms must be above 0")
    if not 0 <= arguments.ahead <= LONGEST or not 0 <= arguments.drain <= LONGEST:
        raise ValueError(f"--ahead and --drain must be 0 to {LONGEST:,} seconds")
    from ml_pipeline.serving.server import Settings, serve

    serve(
        Settings(
            model=arguments.model, promoted=arguments.promoted, state=arguments.state, forget=arguments.forget,
            hash_key=arguments.hash_key, model_sha256=arguments.model_sha256,
            contracts=arguments.contracts, host=arguments.host, port=arguments.port, fd=arguments.fd,
            queue=arguments.queue, wait=arguments.wait_ms / 1000, ahead=arguments.ahead, drain=arguments.drain,
            log_level=arguments.log_level,
        )
    )  # fmt: skip


def main() -> int:
    """`python -m ml_pipeline.serve`, as the image starts it: without the other steps."""
    parser = argparse.ArgumentParser(prog="python -m ml_pipeline.serve", description=__doc__)
    _arguments(parser)
    try:
        run(parser.parse_args())
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"{parser.prog}: {error.name} is missing: pip install -e '.[serve]'", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
