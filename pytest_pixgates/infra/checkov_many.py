"""Runs checkov many times for the price of one start; executed by checkov's own Python, not by ours.

Nearly all of checkov's time goes into importing it. This imports it once and then, for each job, forks and does what
checkov's launcher does, so that a job says exactly what the command line would, and leaves nothing behind for the next.

    python -I checkov_many.py JOBS FOLDER CORES

JOBS is a JSON file: a list of argument lists. Of job 3 FOLDER then holds 3.out, 3.err and, if it ended, 3.rc.
"""

import json
import os
import sys
import warnings
from pathlib import Path


def run(argv: list[str], out: Path) -> None:
    """Become checkov with `argv`: its output to out.out and out.err, its return code to out.rc."""
    for descriptor, suffix in ((1, ".out"), (2, ".err")):
        handle = os.open(out.with_suffix(suffix), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, descriptor)
    from checkov.main import Checkov

    try:
        code = Checkov(argv).run()
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    out.with_suffix(".rc").write_text(str(code or 0))


def main() -> int:
    jobs, folder, cores = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), int(sys.argv[3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=SyntaxWarning)
        import checkov.main  # noqa: F401 - for the children
    running: set[int] = set()
    for number, argv in enumerate(jobs):
        if len(running) >= cores:
            running.discard(os.wait()[0])
        child = os.fork()
        if child == 0:
            try:
                run(argv, folder / str(number))
            finally:
                os._exit(0)
        running.add(child)
    while running:
        running.discard(os.wait()[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
