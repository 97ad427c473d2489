"""The hook that this plugin offers to others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_pixgates.core.family import Family


@pytest.hookspec
def pytest_pixgates_families() -> list[Family]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return families of gates to add.

    Each gets a marker and a fixture of its name, a section in the policy, recording and reports. The families that
    come with pytest-pixgates register here too. See `pytest_pixgates.Family`.
    """
