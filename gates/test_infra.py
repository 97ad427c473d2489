"""Gates on the infrastructure that a line of the policy can't express."""

from pathlib import Path

from pytest_pixgates import Measurement

ENVIRONMENTS = Path(__file__).parents[1] / "iac" / "terraform" / "environments"


def test_environments_run_the_same_code(infra):
    code = {
        folder.name: {path.name: path.read_bytes() for path in folder.glob("*.tf")} for folder in ENVIRONMENTS.iterdir()
    }
    differing = sum(files != code["prod"] for files in code.values())
    subjects = (infra.subject(ENVIRONMENTS),)
    assert Measurement.exact("environments unlike prod", differing, n=len(code), subjects=subjects) <= 0
