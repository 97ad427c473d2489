"""The files of a release where its pods look for them: below an address that holds the digest of the model.

So no release lies where another one did, and an older one that comes back finds its own.
"""

from __future__ import annotations

from typing import Any

from ml_pipeline.targets import Unfit, Unit


def publish(unit: Unit, uri: str) -> None:
    """Put model and evaluation below `…/DIGEST`, of which `uri` is the folder `model`; what is there already stays.

    Raises Unfit if it can't, or if other bytes are there.
    """
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    release = unit.release
    files = {f"model/{name}": digest for name, digest in release.files.items()}
    files["evaluation/evaluation.json"] = release.evaluation
    base = uri.rpartition("/")[0]
    try:
        store = from_url(base, **({"mkdir": True} if base.startswith("file:") else {}))
        for name, digest in files.items():
            _put(store, f"{base}/{name}", name, unit.kept(digest))
    except (BaseError, ValueError) as error:
        raise Unfit(f"the model can't be put to {base}: {str(error).partition(chr(10))[0][:300]}") from None


def _put(store: Any, where: str, name: str, data: bytes) -> None:
    from obstore.exceptions import AlreadyExistsError

    try:
        store.put(name, data, mode="create")
    except AlreadyExistsError:
        if bytes(store.get(name).bytes()) != data:
            said = f"{where} is there with another content, and is never overwritten; find out who put it there"
            raise Unfit(said) from None
