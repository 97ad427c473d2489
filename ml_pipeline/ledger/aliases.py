"""MLflow's aliases as a projection of the ledger: they are set to what it says, and never asked what is true.

An alias is named as its environment. What the last environment runs is also the `champion` that gates compare with.
"""

from __future__ import annotations

from collections.abc import Sequence

from ml_pipeline.ledger.history import History


def project(history: History, order: Sequence[str], tracking_uri: str) -> str:
    """Set the aliases of an environment to what is live there. Returns what was done, or why nothing could be.

    MLflow may be down: nothing that is served depends on it, and the next run repairs what this one could not.
    """
    live = history.live
    if live is None:
        return "nothing is live, so no alias is set"
    if not live.release.version.isdecimal():
        return "what is live is of no registry, so no alias is set"
    from ml_pipeline.registration import store
    from ml_pipeline.registry import CHAMPION

    release, name = live.release, history.environment
    aliases = [name, CHAMPION] if name == order[-1] else [name]
    try:
        client = store.connect(tracking_uri)
        with store.asked(tracking_uri):
            for alias in aliases:
                found = store.version_of(client, release.name, alias)
                if found is None or str(found.version) != release.version:
                    client.set_registered_model_alias(release.name, alias, release.version)
    except (ModuleNotFoundError, OSError, ValueError) as error:
        return f"NOT SET, the next run repairs them: {error}"
    return f"{' and '.join(aliases)} of {release.name} are version {release.version}"
