"""The `data_contract` family: data, judged by the contract that its producer and its readers agreed on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_pixgates.core.family import Context, Family, Gate

if TYPE_CHECKING:
    from pytest_pixgates.core.scan import Scan
    from pytest_pixgates.data_contract.gates import DataContractGates
    from pytest_pixgates.data_contract.policy import DataContractPolicy


class DataContract(Family):
    """Data sets against their contracts, and contracts against each other and their past."""

    name = "data_contract"
    private = True
    summary = "data against its contract (ODCS): every rule, every row, and no value shown"

    def settings(self) -> type:
        from pytest_pixgates.data_contract.policy import DataContractPolicy

        return DataContractPolicy

    def fixture(self, context: Context) -> DataContractGates:
        from pytest_pixgates.data_contract.gates import DataContractGates

        return DataContractGates(context)

    def gates(self, settings: DataContractPolicy, root: Path) -> Iterator[Gate]:
        """One gate per data set; one on the words that contracts share, and one on how each contract changed."""
        from pytest_pixgates.data_contract.about import ABOUT

        for name, data in settings.data.items():
            yield Gate(f"data[{name}]", partial(_data, name), f"data.{name}", about=ABOUT["data"])
            if data.volume:
                yield Gate(f"volume[{name}]", partial(_volume, name), f"data.{name}.volume", about=ABOUT["volume"])
        yield Gate("vocabulary", _vocabulary, "contracts", about=ABOUT["vocabulary"])
        for path in contracts(settings, root):
            yield Gate(f"changes[{path}]", partial(_changes, path), "contracts", about=ABOUT["changes"])


def contracts(settings: DataContractPolicy, root: Path) -> list[str]:
    """The contracts that the policy names, in order; a pattern that matches nothing stands for itself."""
    found: dict[str, None] = {}
    for pattern in settings.contracts:
        paths = sorted(each.relative_to(root).as_posix() for each in root.glob(pattern))
        found |= dict.fromkeys(paths or [pattern])
    return list(found)


def _data(name: str, gates: Any) -> Scan:
    scan: Scan = gates(name)
    return scan


def _volume(name: str, gates: Any) -> Scan:
    scan: Scan = gates.volume(name)
    return scan


def _vocabulary(gates: Any) -> Scan:
    scan: Scan = gates.vocabulary()
    return scan


def _changes(path: str, gates: Any) -> Scan:
    scan: Scan = gates.changes(path)
    return scan
