"""What a deployment waits for `pixgates verify`, beside a Python that only imports the library for signatures.

    python benchmarks/evidence.py [ROUNDS]

Whole processes, in alternation, on evidence of 60 gates and 600 subjects, with a model of 16 MiB to hash. Prints
medians and ratios, and the time on the processor, which other work on the machine stretches less; fails if the median
of `verify` is beyond the bar.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pytest_pixgates.core.record import Record
from pytest_pixgates.core.subject import Subject
from tests.evidence.pipeline import MODEL, Pipeline
from tests.unit.example_runs import record, scan

BAR_SECONDS = 0.3
GATES, SUBJECTS = 60, 600
IMPORT = "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey"
# With bytecode, as an installed package has it.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def prepared(root: Path) -> tuple[Pipeline, Path]:
    """A repository and its evidence."""
    made = Pipeline(root)
    (root / MODEL).write_bytes(os.urandom(16 * 2**20))
    made.git.commit()
    infra, recall = made.records()
    gates = [rendered(made, number) for number in range(GATES)]
    return made, made.evidence(made.run(records=[infra, recall, *gates]), now=time.time())


def rendered(made: Pipeline, number: int) -> Record:
    """A gate that judged a folder, and its share of what was rendered."""
    made_of = (Subject(f"rendered {number}/{n}", f"{number:032}{n:032}", "content") for n in range(SUBJECTS // GATES))
    judged = scan(subjects=(made.subject("iac/prod"), *made_of))
    return record(judged, gate=f"infra/checkov[{number}]", node=f"gates/gates.toml::infra::checkov[{number}]")


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds on the clock and on the processor."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, env=ENVIRONMENT, check=True, capture_output=True)
    clock, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    with tempfile.TemporaryDirectory() as name:
        made, evidence = prepared(Path(name))
        verify = [
            *(str(Path(sys.executable).with_name("pixgates")), "verify", str(evidence), "--env", "prod"),
            *("--subject", f"model={MODEL}"),
        ]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "import of cryptography": [sys.executable, "-c", IMPORT],
            "pixgates verify": verify,
            "pixgates verify, and the commit": [*verify, "--subject", "source=git:HEAD"],
        }
        found: dict[str, list[tuple[float, float]]] = {each: [] for each in commands}
        for number in range(rounds + 1):  # the first writes the bytecode
            for each, command in commands.items():
                took = timed(command, made.root)
                found[each] += [took] * (number > 0)
        base = medians(found["import of cryptography"])
        print(f"{evidence.stat().st_size / 1024:.0f} KiB of evidence; {rounds} rounds; medians")
        for each, took in found.items():
            clock, processor = medians(took)
            print(
                f"{each:<32} {clock * 1000:6.0f} ms (fastest {min(took)[0] * 1000:.0f}), "
                f"{processor * 1000:4.0f} ms on the processor, {clock / base[0]:.1f} times the import"
            )
        return 0 if medians(found["pixgates verify"])[0] <= BAR_SECONDS else 1


def medians(took: list[tuple[float, float]]) -> tuple[float, float]:
    clock, processor = (statistics.median(each) for each in zip(*took, strict=True))
    return clock, processor


if __name__ == "__main__":
    sys.exit(main())
