"""The same objects judge the same without pytest: in plain unittest, and in a script."""

# ruff: noqa: PT009, PT027 - unittest as its users write it

from __future__ import annotations

import ast
import json
import subprocess
import sys
import unittest
from pathlib import Path

from pytest_pixgates.core import record
from pytest_pixgates.core.measurement import Measurement
from pytest_pixgates.core.scan import Scan, ToolUse
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Outcome, any_of

SCRIPT = """
import json, sys
from pytest_pixgates import Measurement, Outcome, Scan, Subject, ToolUse, any_of

recall = Measurement("recall", 0.82, 0.79, 0.85, 900)
tool, subject = ToolUse("checkov", "3.3.30", "ab"), Subject("iac", "cd")
clean = Scan("checkov", "iac", scanned={"files": 2}, tools=(tool,), subjects=(subject,))
verdicts = [recall >= 0.75, recall >= 0.80, recall >= 0.90, recall >= "fast", any_of(recall >= 0.9, recall <= 0.9)]
outcomes = [verdict.outcome.value for verdict in verdicts] + [clean.outcome.value, Scan("checkov", "iac").outcome.value]
print(json.dumps({"outcomes": outcomes, "pytest": [name for name in sys.modules if name.split(".")[0] in FOREIGN]}))
sys.exit(0 if recall >= float(sys.argv[1]) else 1)
""".replace("FOREIGN", '("pytest", "_pytest", "pluggy")')
EXPECTED = ["PASS", "INCONCLUSIVE", "FAIL", "ERROR", "PASS", "PASS", "ERROR"]
CORE = Path(record.__file__).parent


class PlainPython(unittest.TestCase):
    def setUp(self) -> None:
        self.recall = Measurement("recall", 0.82, 0.79, 0.85, 900)

    def test_verdicts_are_the_same_in_unittest(self) -> None:
        tool, subject = ToolUse("checkov", "3.3.30", "ab"), Subject("iac", "cd")
        clean = Scan("checkov", "iac", scanned={"files": 2}, tools=(tool,), subjects=(subject,))
        recall = self.recall
        verdicts = [recall >= 0.75, recall >= 0.80, recall >= 0.90, recall >= "fast"]
        verdicts += [any_of(recall >= 0.9, recall <= 0.9)]
        outcomes = [*(verdict.outcome for verdict in verdicts), clean.outcome, Scan("checkov", "iac").outcome]
        self.assertEqual([outcome.value for outcome in outcomes], EXPECTED)

    def test_assert_true_passes_for_pass_only(self) -> None:
        self.assertTrue(self.recall >= 0.75)
        for verdict in (self.recall >= 0.80, self.recall >= 0.90, self.recall >= "fast"):
            with self.assertRaises(AssertionError):
                self.assertTrue(verdict)

    def test_assert_greater_equal_takes_the_verdict(self) -> None:
        self.assertGreaterEqual(self.recall, 0.75)
        with self.assertRaises(AssertionError):
            self.assertGreaterEqual(self.recall, 0.80)

    def test_assert_equal_would_hide_the_interval(self) -> None:
        with self.assertRaises(TypeError):
            self.assertEqual(self.recall, 0.82)
        self.assertEqual(self.recall.value, 0.82)

    def test_verdicts_are_the_same_in_a_script_that_never_loads_pytest(self) -> None:
        for limit, code in (("0.75", 0), ("0.80", 1)):
            done = subprocess.run([sys.executable, "-c", SCRIPT, limit], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (code, ""))
            self.assertEqual(json.loads(done.stdout), {"outcomes": EXPECTED, "pytest": []})

    def test_no_module_of_the_core_imports_pytest(self) -> None:
        modules = list(CORE.glob("*.py"))
        self.assertIn(CORE / "verdict.py", modules)
        for path in modules:
            imported = {
                name.split(".")[0]
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for name in (
                    [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
                )
            }
            self.assertFalse(imported & {"pytest", "_pytest", "pluggy"}, path)

    def test_the_run_of_a_script_can_be_worth_something_too(self) -> None:
        check = record.Check.of(self.recall >= 0.75)
        self.assertIs(check.verdict.outcome, Outcome.PASS)


if __name__ == "__main__":
    unittest.main()
