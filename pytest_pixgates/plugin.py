"""The pytest plugin: options, markers, fixtures; and, where there is a policy, the guard over the run.

This module is imported by every pytest run of whoever installed the package, so it imports only what it needs to
find out that it isn't needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_pixgates import fixtures, hookspecs
from pytest_pixgates.core import environ
from pytest_pixgates.core.errors import PixgatesError, PolicyError

if TYPE_CHECKING:
    from pytest_pixgates.core.family import Family
    from pytest_pixgates.session import GateSession

_session: pytest.StashKey[GateSession] = pytest.StashKey()
# Sections of the policy, and a fixture of pytest, that a family of that name would hide.
_TAKEN = ("pixgates", "environments", "tools", "evidence", "affects", "request")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pixgates", "quality gates (pytest-pixgates)")
    group.addoption("--pixgates-config", metavar="FILE", help="the policy (default: gates/gates.toml in the rootdir)")
    group.addoption("--pixgates-env", metavar="NAME", help="judge for this environment of the policy")
    group.addoption("--pixgates-report-dir", metavar="DIR", help="where records and reports go (default: .pixgates)")
    group.addoption("--pixgates-no-cache", action="store_true", help="measure again whatever is cached")
    parser.addini("pixgates_config", "the policy file, relative to the rootdir", default="")
    parser.addini("pixgates_env", "the environment of the policy to judge for", default="")
    parser.addini("pixgates_report_dir", "where records and reports go, relative to the rootdir", default="")


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


def pytest_pixgates_families() -> list[Family]:
    from pytest_pixgates.data_contract.family import DataContract
    from pytest_pixgates.infra.family import Infra
    from pytest_pixgates.latency.family import Latency
    from pytest_pixgates.model_gate.family import ModelGate

    return [Infra(), DataContract(), ModelGate(), Latency()]


# First, so that the markers are known before another plugin asks for them.
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    families = _register_families(config)
    path = _policy_path(config)
    if path is None:
        return
    if path.parent == config.rootpath:
        raise pytest.UsageError(f"{path}: the policy needs a folder of its own, such as gates/")
    from pytest_pixgates.core import policy as policies
    from pytest_pixgates.session import GateSession

    try:
        environment = _setting(config, "env")
        policy = policies.load(path, environment=environment, families=frozenset(families))
        session = GateSession(config, policy, families, _report_dir(config))
    except PixgatesError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[_session] = session
    for plugin, name in ((session, "pixgates-session"), (session.collection, "pixgates-collection")):
        if config.pluginmanager.register(plugin, name) is None:
            raise pytest.UsageError(f"{name} is blocked, and gates don't run unguarded: use -p no:pixgates")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that uses a family's fixture, before `-m` selects."""
    for item in items:
        for family in fixtures.families_of(item):
            item.add_marker(family)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Explain a comparison with a measurement: what was measured, on how much, the limit, what would decide it."""
    from pytest_pixgates.explain import comparison

    return comparison(op, left, right)


def _register_families(config: pytest.Config) -> dict[str, Family]:
    families: dict[str, Family] = {}
    for family in _families(config):
        if family.name in families:
            raise pytest.UsageError(f"two families of gates are called {family.name}; rename one")
        families[family.name] = family
    for family in families.values():
        config.addinivalue_line("markers", f"{family.name}: {family.summary}")
        for marker, help_text in family.markers.items():
            config.addinivalue_line("markers", f"{marker}: {help_text}")
    config.pluginmanager.register(fixtures.fixtures_of(families, _provide), "pixgates-fixtures")
    return families


def _families(config: pytest.Config) -> Iterator[Family]:
    """What the hook returns. Raises UsageError that says who returned what else."""
    from pytest_pixgates.core.family import Family

    for found in config.hook.pytest_pixgates_families():
        for family in found if isinstance(found, list | tuple) else (found,):
            if not isinstance(family, Family):
                raise pytest.UsageError(f"pytest_pixgates_families returned {family!r}, which is no list of Family")
            name, summary = getattr(family, "name", None), getattr(family, "summary", None)
            if not (isinstance(name, str) and name.isidentifier() and name not in _TAKEN and isinstance(summary, str)):
                what = f"name = {name!r}, summary = {summary!r}"
                raise pytest.UsageError(f"{type(family).__qualname__}: {what}: give a free identifier and a text")
            yield family


def _provide(family: Family, item: pytest.Item) -> object:
    session = item.config.stash.get(_session, None)
    if session is None:
        missing = item.config.rootpath / environ.POLICY
        raise PolicyError(
            f"{missing}: there is no policy, so {family.name} can't judge", remedy="write it: see the README"
        )
    return session.provide(family, item)


def _setting(config: pytest.Config, name: str) -> str:
    """The option, or else the ini key, called `name`."""
    return _option(config, name) or str(config.getini(f"pixgates_{name}"))


def _option(config: pytest.Config, name: str) -> str:
    option = f"--pixgates-{name.replace('_', '-')}"
    given = config.getoption(option)
    if given is not None and not str(given).strip():
        raise pytest.UsageError(f"{option} is empty; leave it out or give it a value")
    return str(given or "")


def _report_dir(config: pytest.Config) -> Path:
    """Where the option says (from here), else the variable (from here too, as for `pixgates verdict`), else the ini."""
    here = config.invocation_params.dir
    if named := _option(config, "report_dir") or environ.report_dir():
        return here / named
    return config.rootpath / (str(config.getini("pixgates_report_dir")) or environ.REPORTS)


def _policy_path(config: pytest.Config) -> Path | None:
    if option := _option(config, "config"):
        return (config.invocation_params.dir / option).absolute()
    if named := config.getini("pixgates_config"):
        return config.rootpath / str(named)
    default = config.rootpath / environ.POLICY
    if os.path.lexists(default):
        return default
    here = config.invocation_params.dir
    for place in (here, *((here / argument.partition("::")[0]).resolve() for argument in config.args)):
        for folder in (place, place.parent):
            if (folder / environ.POLICY).is_file():
                raise pytest.UsageError(
                    f"the rootdir is {config.rootpath}, but the policy is {folder / environ.POLICY}\n"
                    f"  fix: run with --rootdir {folder}, or name the policy with --pixgates-config"
                )
    return None
