"""The lane `cloud`: the environment dev applied to an emulator of AWS. `make cloud`; says NOT RUN where it can't.

What the emulator can't do is left out of the apply by override files in a copy, planned all the same, and listed.
"""

from __future__ import annotations

import datetime
import json
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_pixgates.core import environ
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.infra import terraform
from tests.apply.world import WAITS, Pipeline, World
from tests.lanes.conftest import IAC, Stack, copy_of_iac, needed_by, not_covered

OVERRIDES = Path(__file__).with_name("cloud")
ACCOUNT = "111122223333"  # dev's: the provider refuses every other
MANY = "-parallelism=30"

# A new environment is made at once, which no later plan may do; and without nodes, brokers and
# the state's nodes nobody has their groups.
WAIVED = (
    ("plan-blast-radius", "environments/dev/dev.tfplan", ""),
    ("CKV2_AWS_5", "modules/cluster/security_groups.tf", "module.cluster.aws_security_group.nodes"),
    ("CKV2_AWS_5", "modules/streaming/security_groups.tf", "module.streaming.aws_security_group.brokers"),
    ("CKV2_AWS_5", "modules/valkey/security_groups.tf", "module.valkey.aws_security_group.this"),
)
WAIVER = """\
[[infra]]
id = "{rule} {path}"
rule = "{rule}"
path = "iac/terraform/{path}"
resource = "{resource}"
owner = "platform"
reason = "Only where AWS is emulated."
expires = {soon}

"""
# Where a state lies in production: in a bucket, with its lock beside it.
BACKEND = """\
  backend "s3" {
    bucket                      = "states"
    key                         = "dev.tfstate"
    region                      = "sa-east-1"
    use_lockfile                = true
    use_path_style              = true
    skip_credentials_validation = true
    skip_requesting_account_id  = true
    skip_metadata_api_check     = true
  }
"""

LEFT_OUT = {
    "module.cluster.aws_eks_access_entry.this": "moto has no access entries",
    "module.cluster.aws_eks_access_policy_association.this": "moto has no access entries",
    "module.cluster.aws_eks_addon.network": "moto has no add-ons",
    "module.cluster.aws_eks_addon.workload": "moto has no add-ons",
    "module.cluster.aws_eks_node_group.this": "moto starts no nodes",
    "module.cluster.aws_launch_template.node": "moto's launch templates never plan clean",
    "module.observability.aws_budgets_budget.this": "moto's answer crashes the provider",
    "module.observability.aws_eks_addon.logs": "moto has no add-ons",
    "module.streaming.aws_msk_cluster.this": "moto's brokers stay CREATING",
    "module.streaming.aws_msk_configuration.this": "moto has no configurations of brokers",
    "module.valkey.aws_elasticache_replication_group.this": "moto knows no nodes of a replication group",
    "module.valkey.aws_elasticache_subnet_group.this": "moto can't delete a group of subnets",
}


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    """Its address: AWS as moto knows it, on loopback, with the account of dev."""
    with needed_by("cloud"), pytest.MonkeyPatch.context() as patch:
        from moto.moto_server.threaded_moto_server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.WARNING)  # or it buries a failure in a line for each request
        patch.setenv("MOTO_ACCOUNT_ID", ACCOUNT)
        patch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        try:
            yield f"http://{host}:{port}"
        finally:
            server.stop()


@pytest.fixture
def env(emulator: str, tmp_path: Path) -> dict[str, str]:
    """Every request goes to the emulator: AWS itself is out of reach, whatever an override forgets."""
    mirror = environ.terraform_mirror()
    credentials = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_EC2_METADATA_DISABLED": "true"}
    (tmp_path / "scratch").mkdir()
    settings = terraform.environment(tmp_path / "scratch", Path(mirror) if mirror else None)
    token = {"TF_VAR_valkey_token": "0123456789abcdef" * 2}
    return settings | credentials | token | {"AWS_ENDPOINT_URL": emulator}


def dev(repository: Path, env: dict[str, str], overrides: str) -> Stack:
    """The environment dev as it is in the repository, beside those of OVERRIDES that are below that folder."""
    copy_of_iac(repository)
    shutil.copytree(OVERRIDES / overrides, repository / "iac" / overrides, dirs_exist_ok=True)
    return initialised(Stack(repository, "environments/dev", env))


def initialised(stack: Stack) -> Stack:
    with needed_by("cloud"):
        done = stack.run("init", "-input=false", "-lockfile=readonly")
        if done.returncode != 0:
            raise PixgatesError(f"the provider for AWS can't be had:\n{done.tail()}")
    return stack


def addresses(module: dict[str, Any]) -> set[str]:
    """What a module of `terraform show -json` declares, without keys of instances."""
    own = {each["address"] for each in module.get("resources", []) if each["mode"] == "managed"}
    below = (addresses(child) for child in module.get("child_modules", []))
    return {re.sub(r"\[[^\]]*\]", "", address) for address in own}.union(*below)


def shown(stack: Stack, *plan: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(stack.must("show", "-json", *plan).stdout)
    return document


def not_compared() -> Iterator[str]:
    """What the overrides keep out of the clean plan, as address.argument."""
    for path in sorted(OVERRIDES.glob("terraform/modules/*/*.tf")):
        for block in re.split(r"\n(?=resource )", path.read_text()):
            kind = re.search(r'resource "(\w+)" "(\w+)"', block)
            for argument in re.findall(r"ignore_changes = \[(\w+)\]", block):
                assert kind
                yield f"module.{path.parent.name}.{kind[1]}.{kind[2]}.{argument}"


def test_dev_is_applied_plans_clean_shows_a_change_behind_it_and_is_destroyed(
    env: dict[str, str], emulator: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    whole = dev(tmp_path / "whole", env, "terraform/environments")
    whole.must("plan", "-input=false", "-out=whole.tfplan")
    declared = addresses(shown(whole, "whole.tfplan")["planned_values"]["root_module"])

    stack = dev(tmp_path / "applied", env, "terraform")
    emulated = ("-input=false", "-var=emulated=true")
    done = pipeline(stack).applied()
    assert "dev: is as it is declared" in done.stdout  # planned again, and clean
    assert not list(stack.folder.glob("*.tfplan"))
    assert declared - addresses(shown(stack)["values"]["root_module"]) == set(LEFT_OUT)
    for name, why in LEFT_OUT.items():
        not_covered(request.config, f"{name}: planned, not applied: {why}")
    for name in not_compared():
        not_covered(request.config, f"{name}: applied, not compared")

    storage = s3(emulator)
    storage.delete_public_access_block(Bucket=f"pixgates-dev-data-{ACCOUNT}-sa-east-1")
    opened = stack.plan(MANY, *emulated)
    assert opened.returncode == 2, opened.stdout + opened.tail()
    assert 'aws_s3_bucket_public_access_block.this["data"] will be created' in opened.stdout

    assert len(storage.list_buckets()["Buckets"]) == 4
    stack.must("destroy", "-auto-approve", MANY, *emulated, timeout=300)
    assert storage.list_buckets()["Buckets"] == []
    assert "values" not in shown(stack)


def pipeline(stack: Stack) -> Pipeline:
    """What takes `stack` through gates and evidence, by the policy of this repository; its first plan is large."""
    (stack.folder / "backend.hcl").unlink()  # the state lies in a file
    many = {f"TF_CLI_ARGS_{command}": MANY for command in ("plan", "apply")}
    made = Pipeline(stack.repository, env={**stack.env, **many, "TF_VAR_emulated": "true"})
    shutil.copytree(IAC.parent / "plans", made.root / "plans", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(IAC.parent / ".gitignore", made.root)
    with (made.root / "plans/gates.toml").open("a") as policy:
        policy.write(made.trusted())
    soon = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1)
    waivers = (WAIVER.format(rule=rule, path=path, resource=each, soon=soon) for rule, path, each in WAIVED)
    made.write("plans/waivers.toml", "".join(waivers))
    made.write("pyproject.toml", "[tool.pytest.ini_options]\n")
    made.git.commit()
    return made


def s3(emulator: str) -> Any:
    """A client that is not Terraform's."""
    import boto3

    key = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
    return boto3.client("s3", endpoint_url=emulator, region_name="sa-east-1", **key)


def test_another_account_is_refused(env: dict[str, str], tmp_path: Path) -> None:
    stack = dev(tmp_path / "repository", env, "terraform/environments")
    done = stack.plan("-var=account_id=444455556666")
    assert done.returncode == 1, done.stdout
    assert f"AWS account ID not allowed: {ACCOUNT}" in done.stderr


def test_an_emulated_prod_is_refused(env: dict[str, str], tmp_path: Path) -> None:
    copy_of_iac(tmp_path / "repository")
    stack = Stack(tmp_path / "repository", "environments/prod", env)
    shutil.copy(OVERRIDES / "terraform/environments/dev/emulator_override.tf", stack.folder)
    done = initialised(stack).plan("-var=emulated=true")
    assert done.returncode == 1, done.stdout
    assert "Only dev can be emulated" in done.stderr


def test_the_lock_that_a_killed_run_left_in_the_bucket_is_taken_away_and_no_other(
    env: dict[str, str], emulator: str, tmp_path: Path
) -> None:
    def held() -> dict[str, Any]:
        names = [each["Key"] for each in storage.list_objects_v2(Bucket="states").get("Contents", [])]
        there = "dev.tfstate.tflock" in names
        return json.load(storage.get_object(Bucket="states", Key="dev.tfstate.tflock")["Body"]) if there else {}

    storage = s3(emulator)
    storage.create_bucket(Bucket="states", CreateBucketConfiguration={"LocationConstraint": "sa-east-1"})
    world = World(tmp_path / "repository", env=env, backend=BACKEND)
    world.declare(1, WAITS.format(began=tmp_path / "began", go=tmp_path / "go"))
    world.vouched()
    with world.applying(tmp_path) as running:
        busy = world.run("--plan")
        assert busy.returncode == 1
        assert "(OperationTypeApply, " in busy.stderr
        world.kill(running)
        left = held()
        assert left["Operation"] == "OperationTypeApply"
        recovered = world.run("--plan")  # what was half made may be planned to be replaced, so not "passed"
    assert "3/3 gate" in recovered.stdout, recovered.stderr
    assert f"lock {left['ID']}" in recovered.stdout
    assert "was killed, so it is taken away" in recovered.stdout
    assert held() == {}

    foreign = {**left, "Who": "ci@runner-7"}
    storage.put_object(Bucket="states", Key="dev.tfstate.tflock", Body=json.dumps(foreign))
    refused = world.run("--plan")
    assert refused.returncode == 1
    assert f"STOP: lock {left['ID']}, held by ci@runner-7 (OperationTypeApply, " in refused.stderr
    assert held() == foreign
    assert "taken away as asked" in world.run("--plan", "--unlock", left["ID"]).stdout
    assert held() == {}
    storage.delete_object(Bucket="states", Key="dev.tfstate")
    storage.delete_bucket(Bucket="states")
