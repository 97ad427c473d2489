"""Whatever form a secret-looking key's value has, none of its lines gets into any report; what is harmless does."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pytest_pixgates import report
from pytest_pixgates.core.scan import Finding
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.report import excerpt
from pytest_pixgates.report.beside import Beside
from pytest_pixgates.report.masking import masked
from tests.unit.example_runs import record, run, scan

# In each form CANARY is the value of a secret-looking key, and each line with HARMLESS no part of it.
FORMS = {
    "ENV": "FROM HARMLESS\nENV DB_PASSWORD CANARY\nENV PATH HARMLESS",
    "ENV in lower case": "env API_TOKEN CANARY and CANARY\nRUN HARMLESS",
    "ENV in quotes": 'ENV API_TOKEN "CANARY CANARY"\nRUN HARMLESS',
    "ENV over lines": "ENV DB_PASSWORD CAN\\\n  CANARY\\\n  CANARY\nRUN HARMLESS",
    "ENV over lines at one column": "ENV DB_PASSWORD=CAN\\\nCANARY\\\nCANARY\nRUN HARMLESS",
    "ENV whose name comes later": "ENV \\\n  DB_PASSWORD CANARY\nRUN HARMLESS",
    "several in one ENV": 'ENV A=HARMLESS DB_PASSWORD="CANARY" B=HARMLESS C_TOKEN=CANARY',
    "ENV behind ONBUILD": "ONBUILD ENV DB_PASSWORD CANARY\nONBUILD ENV HOST HARMLESS",
    "other commands": "LABEL token CANARY\nset -gx TOKEN CANARY\nsetenv HOST HARMLESS\ndb.password CANARY",
    "literal block": "user: HARMLESS\npassword: |\n  CANARY\n\n  CANARY\nhost: HARMLESS",
    "folded block": "db:\n  password: >-  # CANARY\n    CANARY\n    CANARY\n  host: HARMLESS",
    "block with a tag": "password: !!str |2+\n    CANARY\n   CANARY\nhost: HARMLESS",
    "block in a list": "- user: HARMLESS\n- password: |\n    CANARY\n  user: HARMLESS\n- host: HARMLESS",
    "block in quotes": '"pass\\u0077ord": x\n"password": |\n  CANARY\nhost: HARMLESS',
    "plain over lines": "password: CANARY\n  CANARY\nhost: HARMLESS",
    "on the next line": "password:\n  CANARY\nhost: HARMLESS",
    "a list at the key's own column": "tokens:\n- CANARY\n- CANARY\nhost: HARMLESS",
    "a table of secrets": "secrets:\n  db: CANARY\n  host: {a: CANARY}\nhost: HARMLESS",
    "a block that is commented out": "# password: |\n#   CANARY\n# host: HARMLESS\nhost: HARMLESS",
    "heredoc": "a = 1 # HARMLESS\ntoken = <<EOT\nCANARY\n  CANARY\nEOT\nhost = HARMLESS",
    "indented heredoc": "  token = <<-EOT\n    CANARY\nCANARY\n  EOT\n  host = HARMLESS",
    "heredoc of a shell": "TOKEN=$(cat <<'END'\nCANARY\nEND\n)\nHOST=HARMLESS",
    "default of a variable": 'variable "db_password" {\n  type = HARMLESS\n\n  default = "CANARY"\n}\nvalue = HARMLESS',
    "list over lines": 'tokens = [\n  "CANARY",\n"CANARY"]\nhost = "HARMLESS"',
    "map over lines": 'secret = {\n  a = "CANARY"\n  b = ["CANARY"]\n}\nhost = "HARMLESS"',
    "call over lines": '  x = f(token=join("]", [\n"CANARY"]),\n"HARMLESS")\n  host = "HARMLESS"',
    "string over lines": 'password: "CANARY\nCANARY\nCANARY"\nhost: HARMLESS',
    "escaped quotes over lines": 'password: "CANARY\nCANARY \\"\nCANARY"\nhost: HARMLESS',
    "triple quotes": 'password = """\nCANARY "\nCANARY"""\nhost = "HARMLESS"',
    "backticks": "token := `\nCANARY\n`\nhost := HARMLESS",
    "joined strings": 'password = "CANARY" + "CANARY"\nhost = "HARMLESS"',
    "two strings": 'passwords = "CANARY", "CANARY"\nhost = "HARMLESS"',
    "after a reference": 'password = "${var.name}CANARY"\nhost = "HARMLESS"',
    "default of a reference": "PASSWORD: ${PASSWORD:-CANARY}\nhost: HARMLESS",
    "JSON in a line": '{"user": "HARMLESS", "password": "CANARY", "host": "HARMLESS"}',
    "JSON in JSON": '{"a": "{\\"password\\": \\"CANARY\\"}"}\n"HARMLESS"',
    "JSON over lines": '{"passwords": [\n  "CANARY",\n  "CANARY"\n ],\n "host": "HARMLESS"}',
    "XML": "<password>CANARY</password>\n<host>HARMLESS</host>",
    "XML over lines": "<password>\n  CANARY\n</password>\n<host>HARMLESS</host>",
    "option": "run --user HARMLESS --db-password CANARY CANARY\nrun HARMLESS",
    "option in a list": 'args: ["HARMLESS", "--token", "CANARY"]\nargs: ["HARMLESS"]',
    "option in a list over lines": "args:\n- --token\n- CANARY\n- HARMLESS",
    "variable of a container": "env:\n- name: DB_PASSWORD\n  value: CANARY\n- name: HOST\n  value: HARMLESS",
    "variable whose value is a block": "- name: DB_PASSWORD\n  value: |\n    CANARY\n- name: HOST\n  value: HARMLESS",
    "variable whose name comes later": "- value: CANARY\n  name: DB_PASSWORD\n- value: HARMLESS\n  name: HOST",
    "section": "[db]\nhost = HARMLESS\n[db.secrets]\na = CANARY\n\nb = CANARY\n[other]\nhost = HARMLESS",
    "variable in JSON": '[{"name": "API_TOKEN", "value": "CANARY"},\n{"name": "HOST", "value": "HARMLESS"}]',
    "netrc": "machine HARMLESS\n  password CANARY",
    "subscript": 'config["password"] = "CANARY"\nconfig["host"] = "HARMLESS"',
    "added": "TOKEN += CANARY\nHOST += HARMLESS",
    "with carriage returns": "password: |\r\n  CANARY\r\nhost: HARMLESS\r",
    "never closed": 'password = "\nCANARY\n\nCANARY',
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_gets_into_no_report_wherever_an_excerpt_begins_and_what_is_harmless_does(
    form: str, tmp_path: Path
) -> None:
    lines = FORMS[form].split("\n")
    (tmp_path / "code").write_text(FORMS[form] + "\n", newline="")
    for line in range(1, len(lines) + 1):
        red = run(record(scan(Finding("R1", "bad", "code", line), subjects=(Subject.of(Path("code"), tmp_path),))))
        excerpts = excerpt.of(red, tmp_path, {"infra"})
        reports = [path for path in report.write(red, tmp_path / "reports", Beside(excerpts)) if path.suffix != ".svg"]
        assert {path.name for path in reports} == {"report.html", "summary.md", "results.sarif", "records.json"}
        assert not [path.name for path in reports if "CANARY" in path.read_text()]
        around = "\n".join(lines[max(line - 3, 0) : line + 2])
        assert str(excerpts).count("HARMLESS") == around.count("HARMLESS")


@pytest.mark.parametrize(
    "text",
    [
        'resource "aws_secretsmanager_secret" "db" {\n  name = "db"\n  kms_key_id = aws_kms_key.db.arn\n}',
        "automountServiceAccountToken: false\nservice:\n  port: 80",
        "  password = var.password\n  host     = var.host",
        "  TOKEN: ${{ secrets.TOKEN }}\n  HOST: a",
        'variable "db_password" {\n  type      = string\n  sensitive = true\n}',
        'variable "size" {\n  default = 3\n}',
        "RUN --mount=type=secret,id=npm,target=/home/app/.npmrc npm ci\nENV HOME /home/app",
        "metadata:\n  name: token-service\nspec:\n  value: 3",
        "def rotate(tokens):\n    return len(tokens)",
        "user_data = <<EOT\nhost: a\nEOT",
        "labels: |\n  a\n  b",
        "# Passwords are kept elsewhere.\nhost = 1",
        "",
    ],
)
def test_lines_without_a_secret_are_as_they_were(text: str) -> None:
    assert list(masked(text.split("\n"))) == text.split("\n")


def test_what_is_hidden_keeps_its_place() -> None:
    lines = ["a:", "  password: |", "    one", "", "      two", "  host: b"]
    assert list(masked(lines)) == ["a:", "  password: ***", "    ***", "", "      ***", "  host: b"]


@pytest.mark.parametrize(
    "text",
    [
        "a" * 2000,
        "token" * 400,
        "-" * 2000,
        " " * 2000,
        '"' * 2000,
        "- " * 999 + "x",
        "set " * 500,
        "[" + "token " * 300,
    ],
)
def test_a_hostile_line_takes_no_time(text: str) -> None:
    began = time.process_time()
    list(masked([text] * 20))
    assert time.process_time() - began < 2
