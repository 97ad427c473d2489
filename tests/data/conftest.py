"""A repository with a contract and data, judged in this process."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pytest_pixgates.core import policy
from pytest_pixgates.core.family import Context
from pytest_pixgates.core.scan import Scan
from pytest_pixgates.data_contract.gates import DataContractGates
from pytest_pixgates.data_contract.policy import DataContractPolicy

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: payments
version: 1.0.0
status: active
schema:
  - name: payments
    properties:
      - name: id
        logicalType: integer
        primaryKey: true
        classification: confidential
        description: The payment's number.
      - name: cpf
        logicalType: string
        classification: restricted
        description: The payer's CPF.
        logicalTypeOptions:
          pattern: ^[0-9]{11}$
      - name: channel
        logicalType: string
        required: true
        classification: public
        description: Where it came from.
        quality:
          - metric: invalidValues
            arguments:
              validValues: [app, web]
            mustBe: 0
      - name: amount
        logicalType: number
        classification: confidential
        description: In R$.
        logicalTypeOptions:
          minimum: 0
      - name: paid_at
        logicalType: timestamp
        classification: internal
        description: When.
"""
COLUMNS = ("id", "cpf", "channel", "amount", "paid_at")


def payments(count: int = 4, **changed: Any) -> pl.DataFrame:
    """Payments that fit the contract, with columns changed."""
    start = datetime.datetime(2026, 8, 1, 12, tzinfo=datetime.UTC)
    columns = {
        "id": list(range(1, count + 1)),
        "cpf": [f"{number:011d}" for number in range(1, count + 1)],
        "channel": ["app", "web"] * (count // 2) + ["app"] * (count % 2),
        "amount": [float(number) for number in range(1, count + 1)],
        "paid_at": [start + datetime.timedelta(hours=number) for number in range(count)],
    }
    return pl.DataFrame(columns | changed, strict=False)


@dataclass
class Repository:
    """A repository under `root`."""

    root: Path

    def write(self, name: str, content: str | bytes | pl.DataFrame) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pl.DataFrame):
            writers = {".parquet": content.write_parquet, ".csv": content.write_csv, ".ndjson": content.write_ndjson,
                       ".arrow": content.write_ipc}  # fmt: skip
            writers[path.suffix](path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def contract(self, text: str, name: str = "payments") -> None:
        self.write(f"gates/contracts/{name}.odcs.yaml", text)

    def gates(self, section: str = "") -> DataContractGates:
        """The fixture, under a policy whose section [data_contract] goes on with `section`."""
        path = self.write("gates/gates.toml", f"[data_contract]\n{section}")
        read = policy.load(path, families=frozenset({"data_contract"}))
        settings = read.settings("data_contract", DataContractPolicy)
        return DataContractGates(Context(read, settings, scratch=self.root))

    def judged(self, content: Any, name: str = "data.parquet") -> Scan:
        """What the gate says of a file with this content, or of a frame that is handed over (`name` is "")."""
        if not name:
            return self.gates()("payments", content)
        self.write(name, content)
        return self.gates()("payments", name)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("PIXGATES_HMAC_KEY", "k" * 32)
    made = Repository(tmp_path)
    made.contract(CONTRACT)
    return made
