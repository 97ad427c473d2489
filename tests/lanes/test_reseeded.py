"""The whole policy, over worlds simulated, trained and judged anew: a good model passes, a bad one fails where it must.

Each world has as many payments as `make data` simulates, for fewer leave the policy of this repository undecided in
some, and takes some minutes. PIXGATES_RESEEDED sets how many worlds it is (1; in the nightly run 40). tests/e2e judges
a small one, by a policy of its own, with every push.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.e2e.pipeline import CHAMPION, FAIRNESS, MODELS, RECALL, Judged, Project, World, register

ROOT = Path(__file__).parents[2]
REPEATS = int(os.environ.get("PIXGATES_RESEEDED", "1"))
FIRST = 1_000  # seeds from here on are those of no other test
SHARE = 0.95
MUST_FAIL = {"without_features": RECALL, "penalised": FAIRNESS, "weaker": CHAMPION}
WORLD = World(rows=1_000_000, accounts=10_000, fraud_rate=0.003, budget=0.003)


def own_policy() -> str:
    """What this repository's policy says of models."""
    tables = re.split(r"(?m)^(?=\[)", (ROOT / "gates" / "gates.toml").read_text())
    found = "".join(each for each in tables if re.match(r"\[+model_gate[].]", each))
    assert found, "gates/gates.toml has no [model_gate]"
    return found


def judge(policy: str, seed: int, root: Path) -> dict[str, Judged]:
    """What the policy says of each model of one world.

    The champion of the reference was trained likewise with another seed; that of the weaker model is the reference.
    """
    WORLD.simulate(root / "data", seed)
    project = Project(root / "project")
    project.policy(policy)
    versions: dict[str, str] = {}
    found = {}
    for name in ("twin", *MODELS):
        which, trained = ("reference", seed + 1) if name == "twin" else (name, seed)
        WORLD.train(root / "data", root / name, which, trained)
        register(root / name, project.registry)
        versions[name] = str(len(versions) + 1)
        if name == "twin":
            continue
        project.take(root / name)
        project.alias(champion=versions["twin" if name == "reference" else "reference"])
        found[name] = project.pytest()
    return found


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Judged]]:
    policy = own_policy()
    return [judge(policy, seed, tmp_path_factory.mktemp(f"seed-{seed}")) for seed in range(FIRST, FIRST + REPEATS)]


def test_a_good_model_passes_the_whole_policy(judged: list[dict[str, Judged]]) -> None:
    passed = [each["reference"].code == 0 and not each["reference"].outcomes.keys() - each["reference"].named("PASS")
              for each in judged]  # fmt: skip
    missed = [each["reference"].text[-3_000:] for each, good in zip(judged, passed, strict=True) if not good]
    assert sum(passed) >= SHARE * len(passed), missed


@pytest.mark.parametrize("model", MUST_FAIL)
def test_a_bad_model_fails_at_the_gate_that_is_there_for_it(judged: list[dict[str, Judged]], model: str) -> None:
    failed = [each[model].outcomes[MUST_FAIL[model]] == "FAIL" and not each[model].named("ERROR") for each in judged]
    missed = [each[model].text[-3_000:] for each, bad in zip(judged, failed, strict=True) if not bad]
    assert sum(failed) >= SHARE * len(failed), missed
    assert all(each[model].code == 1 for each in judged)
