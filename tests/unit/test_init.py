"""`pixgates init`: what it finds, that the policy's reader takes what it writes, and that it never overwrites."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from pytest_pixgates.cli.main import main
from pytest_pixgates.core import policy
from pytest_pixgates.model_gate.policy import FIGURES
from pytest_pixgates.start import look, measure
from pytest_pixgates.start.policy import data_sets

TERRAFORM = {
    "iac/live/dev/main.tf": 'module "net" {\n  source = "../../modules/net"\n}\n',
    "iac/live/dev/.terraform.lock.hcl": "",
    "iac/live/prod/main.tf": 'module "net" {\n  source = "../../modules/net"\n}\n',
    "iac/modules/net/main.tf": "",
    "iac/.terraform/x/main.tf": "",
    "tests/fixtures/main.tf": "",
}
KUBERNETES = {
    "k8s/base/kustomization.yaml": "resources:\n  - app.yaml\n",
    "k8s/base/app.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: app}\n",
    "k8s/overlays/dev/kustomization.yaml": "resources:\n  - ../../base\n",
    "k8s/overlays/prod/kustomization.yaml": 'resources:\n  - "../../base"\ncomponents:\n  - ../../parts/tls\n',
    "k8s/parts/tls/kustomization.yaml": "kind: Component\n",
    "plain/app.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: app}\n",
    "plain/values.yaml": "replicas: 3\n",
    "chart/Chart.yaml": "name: x\n",
    "chart/templates/app.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: app}\n",
}
API = """\
from starlette.applications import Starlette
from starlette.routing import Route

app = Starlette(routes=[Route("/healthz", ready), Route("/score/{id}", one), Route("/score", score, methods=["POST"])])
"""


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    subprocess.run(["git", "init", "--quiet", "--initial-branch=trunk", "."], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def scores(root: Path, name: str = "evaluation/scores.csv", header: str = "id,label,score", hits: int = 160) -> None:
    rows = [f"p{i},1,{0.9 if i < hits else 0.2}" for i in range(200)]
    rows += [f"n{i},0,{0.7 if i < 30 else 0.1}" for i in range(1800)]
    write(root, {name: "\n".join([header, *rows]) + "\n"})


def proposed(root: Path) -> dict:
    assert main(["init"]) == 0
    return tomllib.loads((root / "gates/gates.toml").read_text())


def test_terraform_roots_and_the_modules_that_they_call_are_told_apart(repository):
    write(repository, TERRAFORM)
    infra = proposed(repository)["infra"]
    assert infra["checkov"] == ["iac/live/*"]
    assert infra["tflint"] == ["iac/live/*", "iac/modules/net"]
    assert sorted(infra["terraform"]) == ["iac/live/*"]  # a module without a lock file is not initialised by itself
    assert "iac/live/prod: `terraform init` there" in (repository / "gates/gates.toml").read_text()


def test_a_stack_at_the_top_is_the_whole_repository_and_says_so(repository):
    write(repository, {"main.tf": "", ".terraform.lock.hcl": ""})
    assert proposed(repository)["infra"] == {"terraform": ["."], "tflint": ["."], "checkov": ["."]}
    assert '# "." is judged with all that is in it' in (repository / "gates/gates.toml").read_text()


def test_overlays_are_judged_rendered_and_what_they_are_built_on_is_not(repository, capsys):
    write(repository, KUBERNETES)
    infra = proposed(repository)["infra"]
    assert infra["kubernetes"] == ["k8s/overlays/*"]
    assert infra["checkov"] == ["k8s/overlays/*", "plain"]
    assert infra["consistency"]["overlays"] == ["k8s/overlays/*"]
    assert "chart: Helm charts are not judged" in capsys.readouterr().out


def test_dockerfiles_are_named_as_they_are(repository):
    write(repository, {"Dockerfile": "FROM x\n", "a[1]/web.Dockerfile": "FROM x\n", "Dockerfile.dockerignore": "x\n"})
    infra = proposed(repository)["infra"]
    assert infra["hadolint"] == infra["checkov"] == ["Dockerfile", "a[[]1]/web.Dockerfile"]
    from pytest_pixgates.infra.family import matches

    assert [each for glob in infra["hadolint"] for each in matches(repository, glob, with_files=True)] == [
        "Dockerfile",
        "a[1]/web.Dockerfile",
    ]


def test_tables_get_a_contract_to_be_described(repository):
    write(repository, {f"data/payments/date=2026-08-0{day}/part-0.csv": "id,amount\n1,2\n" for day in (1, 2)})
    write(repository, {"data/accounts.csv": "id\n1\n", "other/accounts.csv": "id\n1\n"})
    data = proposed(repository)["data_contract"]["data"]
    assert {name: each["path"] for name, each in data.items()} == {
        "accounts": "data/accounts.csv",
        "payments": "data/payments",
        "other_accounts": "other/accounts.csv",
    }
    for name in data:
        draft = yaml.safe_load((repository / f"gates/contracts/{name}.odcs.yaml").read_text())
        assert draft["schema"][0]["name"] == name


@pytest.mark.parametrize("header", ["id,label,score", "id,is_fraud,probability", "id,Y_True,Y_Proba"])
def test_limits_are_what_was_measured_and_pass_by_no_means(repository, header):
    scores(repository, header=header)
    model = proposed(repository)["model_gate"]
    _, label, score = header.split(",")
    assert (model["label"], model["score"], model["threshold"]) == (label, score, 0.5)
    assert model["limits"] == {
        "recall": {"at_least": 0.8},
        "precision": {"at_least": 0.8422},
        "false_positive_rate": {"at_most": 0.01666},
        "roc_auc": {"at_least": 0.9967},
    }
    text = (repository / "gates/gates.toml").read_text()
    assert all("REVIEW: measured" in line for line in text.splitlines() if line.split(" ")[0] in model["limits"])
    assert "data_contract" not in proposed_again(repository)  # the scores are the model's, not data of their own


def proposed_again(root: Path) -> dict:
    return tomllib.loads((root / "gates/gates.toml").read_text())


@pytest.mark.parametrize("hits", [0, 1, 100, 199, 200])
def test_no_proposed_limit_passes_on_the_data_that_it_comes_from(repository, hits):
    from pytest_pixgates.core.limit import Limit
    from pytest_pixgates.model_gate import read
    from pytest_pixgates.model_gate.policy import ModelGatePolicy

    scores(repository, hits=hits)
    assert main(["init"]) == 0
    settings = policy.load(repository / "gates/gates.toml").settings("model_gate", ModelGatePolicy)
    assert settings.limits
    rows = read.scores(settings.scores, settings, repository, alpha=0.05)
    for name, limit in settings.limits.items():
        assert name in FIGURES
        assert isinstance(limit, Limit)
        assert not limit.judge(getattr(rows, name)), name


@pytest.mark.parametrize("bad", ["label,score\n1,nope\n", "label,score\n1,7\n", "label,score\n"])
def test_scores_that_can_not_be_measured_still_give_a_limit_that_nothing_passes(repository, bad):
    write(repository, {"scores.csv": bad})
    assert proposed(repository)["model_gate"]["limits"] == {"recall": {"at_least": 1.0}}


def test_without_the_libraries_scores_are_told_by_their_header(repository, monkeypatch):
    scores(repository)
    monkeypatch.setattr(measure, "_EXTRA", ("no_such_module",))
    assert proposed(repository)["model_gate"]["limits"] == {"recall": {"at_least": 1.0}}


def test_a_proposed_limit_is_rounded_to_the_side_that_is_harder_to_meet():
    assert measure.rounded(0.83331, up=True) == 0.8334
    assert measure.rounded(0.83339, up=False) == 0.8333
    assert measure.rounded(1.0, up=True) == 1.0


@pytest.mark.parametrize(
    ("file", "text", "start"),
    [
        ("app.py", API, ["{python}", "-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--port", "{port}"]),
        (
            "src/shop/web.py",
            API,
            [
                "{python}",
                "-m",
                "uvicorn",
                "shop.web:app",
                "--host",
                "127.0.0.1",
                "--port",
                "{port}",
                "--app-dir",
                "src",
            ],
        ),
        (
            "shop.py",
            "import flask\nserver = flask.Flask(__name__)\n@server.get('/healthz')\ndef ready(): ...\n"
            "@server.post('/score')\ndef score(): ...\n",
            ["{python}", "-m", "flask", "--app", "shop:server", "run", "--port", "{port}"],
        ),
    ],
)
def test_an_application_is_started_and_asked_what_it_answers(repository, file, text, start):
    write(repository, {file: text})
    latency = proposed(repository)["latency"]
    assert (latency["start"], latency["ready"], latency["subjects"]) == (start, "/healthz", [file])
    assert latency["endpoints"]["main"] == {"path": "/score", "requests": "gates/requests.ndjson"}
    assert latency["limits"] == {"p99": "1us"}  # nothing passes it
    assert (repository / "gates/requests.ndjson").read_text() == "{}\n"


def test_everything_at_once_is_taken_by_the_reader_and_required(repository):
    write(repository, TERRAFORM | KUBERNETES | {"app.py": API, "data/x.csv": "a\n1\n", "Dockerfile": "FROM x\n"})
    scores(repository)
    found = proposed(repository)
    assert found["environments"]["prod"]["requires"] == ["infra", "data_contract", "model_gate", "latency"]
    workflow = yaml.safe_load((repository / ".github/workflows/gates.yml").read_text())
    steps = [step.get("run", "") for step in workflow["jobs"]["gates"]["steps"]]
    assert any("pytest-pixgates[infra,data,model,latency]==" in step for step in steps)
    assert "pixgates tools install terraform tflint checkov hadolint kubectl locust" in steps
    assert steps[-3:-1] == ["pytest gates", "pixgates verdict"]
    assert workflow[True]["push"]["branches"] == ["trunk"]
    assert all(
        len(step["uses"].partition("@")[2]) == 40 for step in workflow["jobs"]["gates"]["steps"] if "uses" in step
    )
    hooks = yaml.safe_load((repository / ".pre-commit-config.yaml").read_text())
    assert hooks["repos"][0]["hooks"][0]["entry"] == "pixgates pre-push"


def test_a_dry_run_writes_nothing_and_its_diff_applies_to_the_same(repository, tmp_path_factory, capsys):
    write(repository, TERRAFORM | {"app.py": API})
    before = sorted(repository.rglob("*"))
    capsys.readouterr()
    assert main(["init", "--dry-run"]) == 0
    diff = capsys.readouterr().out
    assert sorted(repository.rglob("*")) == before
    other = tmp_path_factory.mktemp("other")
    subprocess.run(["git", "init", "--quiet", "."], cwd=other, check=True)
    subprocess.run(["git", "apply"], cwd=other, input=diff, text=True, check=True)
    assert main(["init"]) == 0
    for name in ("gates/gates.toml", "gates/requests.ndjson", ".github/workflows/gates.yml", ".pre-commit-config.yaml"):
        assert (other / name).read_text() == (repository / name).read_text(), name


@pytest.mark.parametrize(
    "mine", ["gates/gates.toml", ".github/workflows/gates.yml", ".pre-commit-config.yaml", "gates/requests.ndjson"]
)
@pytest.mark.parametrize("linked", [False, True])
def test_nothing_is_overwritten(repository, mine, linked, capsys):
    write(repository, {"app.py": API})
    path = repository / mine
    path.parent.mkdir(parents=True, exist_ok=True)
    own = "# mine\n"
    if linked and mine != "gates/gates.toml":
        path.symlink_to("nowhere")  # even what leads nowhere is somebody's
    else:
        path.write_text(own)
    assert main(["init"]) == 0
    assert f"kept    {mine}" in capsys.readouterr().out
    assert main(["init"]) == 0
    assert path.is_symlink() or path.read_text() == own
    assert not (repository / "nowhere").exists()


def test_a_policy_that_is_there_gets_what_is_missing_beside_it(repository):
    write(repository, {"gates/gates.toml": "[latency]\n"})
    assert main(["init"]) == 0
    assert "pixgates tools install locust" in (repository / ".github/workflows/gates.yml").read_text()


def test_a_product_inside_of_a_repository_gets_no_workflow_of_its_own(repository, capsys):
    write(repository / "shop", {"Dockerfile": "FROM x\n"})
    assert main(["init", "shop"]) == 0
    assert (repository / "shop/gates/gates.toml").is_file()
    assert not list(repository.glob("**/.github"))
    assert "they belong into" in capsys.readouterr().out


def test_where_nothing_can_be_judged_nothing_is_written(repository, capsys):
    write(repository, {"README.md": "# x\n", "tests/data.csv": "a\n1\n", "lib.py": "x = 1\n"})
    assert main(["init"]) == 1
    assert "holds nothing to judge" in capsys.readouterr().err
    assert not (repository / "gates").exists()


@pytest.mark.parametrize("folder", ["no/such", "file"])
def test_what_is_no_folder_is_a_usage_error(repository, folder):
    (repository / "file").write_text("")
    assert main(["init", folder]) == 4


def test_a_folder_that_can_not_be_written_is_one_clean_message(repository, capsys):
    write(repository, {"Dockerfile": "FROM x\n", "gates": "a file in the way\n"})
    assert main(["init"]) == 1
    assert "gates" in capsys.readouterr().err


def test_names_that_no_policy_can_hold_are_passed_over(repository):
    write(repository, {"a\nb.csv": "x\n1\n", "ok.csv": "x\n1\n", "caf\u00e9.csv": "x\n1\n"})
    data = proposed(repository)["data_contract"]["data"]
    assert [each["path"] for each in data.values()] == ["caf\u00e9.csv", "ok.csv"]


def test_other_peoples_code_is_not_looked_into(repository):
    write(repository, {"env/pyvenv.cfg": "", "env/lib/app.py": API, "node_modules/x/Dockerfile": "FROM x\n"})
    assert look.look(repository) == look.Found()


def test_data_sets_are_named_apart():
    assert data_sets(["a/x.csv", "b/x.csv", "x.csv", "-.csv"]) == {"x": "a/x.csv", "b_x": "b/x.csv"}


def test_too_many_files_are_no_repository(repository, monkeypatch):
    monkeypatch.setattr(look, "MOST_FILES", 2)
    write(repository, {f"{each}.txt": "" for each in range(3)})
    assert main(["init"]) == 4


def test_the_tables_that_init_finds_are_those_that_the_gates_read():
    from pytest_pixgates.data_contract.tables import FORMATS
    from pytest_pixgates.model_gate.read import _READERS

    assert set(look.TABLES) == set(FORMATS) >= set(_READERS)
