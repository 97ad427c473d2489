"""The manifests of a release: an overlay as kustomize renders it, with the digests of its images and its model put in.

What comes out is what `promote --manifests` keeps and `deploy --target kubernetes` applies, byte for byte.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SECONDS = 60
_HASH = re.compile(r"-[a-z0-9]{10}$")  # what kustomize adds to the name of a generated ConfigMap
_IMAGE = re.compile(r"(?P<name>[^=@]+)=(?:(?P<repository>[^=@]+)@)?(?P<digest>sha256:[0-9a-f]{64})")


def render(overlay: Path, images: Sequence[str], model: str, kubectl: str) -> bytes:
    """The manifest. `images` are NAME=[REPOSITORY@]sha256:HEX, `model` the sha256 of model.onnx. Raises ValueError."""
    from ml_pipeline.targets import Unfit
    from ml_pipeline.targets.manifests import read

    try:
        plain = read(_kustomize(overlay, kubectl))
        with tempfile.TemporaryDirectory(prefix="pixgates-") as name:
            above = Path(name).resolve()
            whole = {
                "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
                "resources": [os.path.relpath(overlay.resolve(), above)],
                "images": _images(plain.images, images),
                "configMapGenerator": _models(plain.objects, model),
            }  # fmt: skip
            (above / "kustomization.yaml").write_text(json.dumps(whole, indent=1))
            return _kustomize(above, kubectl)
    except Unfit as unfit:
        raise ValueError(f"{overlay}: {unfit}") from None


def _images(found: Sequence[str], given: Sequence[str]) -> list[dict[str, str]]:
    """What kustomize is told of each image. Raises ValueError unless each that is there is given, and no other."""
    named = {}
    for each in given:
        match = _IMAGE.fullmatch(each)
        if match is None:
            raise ValueError(f"--image {each} is not NAME=sha256:HEX or NAME=REPOSITORY@sha256:HEX")
        named[match["name"]] = match
    known = {repository.rpartition("/")[2]: repository for repository in map(_repository, found)}
    if known.keys() != named.keys():
        raise ValueError(f"the images are {', '.join(sorted(known))}: name each with --image, and no other")
    return [
        {"name": known[name], "newName": match["repository"] or known[name], "digest": match["digest"]}
        for name, match in sorted(named.items())
    ]


def _repository(image: str) -> str:
    """The name of an image without digest and tag."""
    name = image.partition("@")[0]
    folder, _, last = name.rpartition("/")
    return f"{folder}/{last.partition(':')[0]}" if folder else last.partition(":")[0]


def _models(objects: Sequence[Mapping[str, Any]], model: str) -> list[dict[str, Any]]:
    """The ConfigMaps that say where a model is: each is told the digest, and a place that no other release has."""
    from ml_pipeline.targets.manifests import MODEL_SHA256, MODEL_URI

    made = []
    for each in objects:
        uri = (each.get("data") or {}).get(MODEL_URI) if each["kind"] == "ConfigMap" else None
        if uri:
            literals = [f"{MODEL_URI}={uri.rstrip('/')}/{model}/model", f"{MODEL_SHA256}={model}"]
            made.append({"name": _HASH.sub("", each["metadata"]["name"]), "namespace": each["metadata"]["namespace"],
                         "behavior": "merge", "literals": literals})  # fmt: skip
    if not made:
        raise ValueError(f"no ConfigMap says by {MODEL_URI} where the models are")
    return made


def _kustomize(folder: Path, kubectl: str) -> bytes:
    command = [kubectl, "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    if done.returncode:
        raise ValueError(f"kubectl kustomize: {done.stderr.decode(errors='replace').strip()[-600:]}")
    return done.stdout


def add_arguments(parsers: Any) -> None:
    """The subcommand `render`."""
    from ml_pipeline.targets import add_kubectl

    parser = parsers.add_parser("render", help="write the manifests of a release", description=__doc__)
    parser.set_defaults(run=run, step="render")
    parser.add_argument("--overlay", type=Path, required=True, help="its folder, such as iac/k8s/overlays/dev")
    parser.add_argument(
        "--image", action="append", default=[], metavar="NAME=[REPOSITORY@]sha256:HEX", help="each image, by digest"
    )
    parser.add_argument("--model", required=True, help="folder of `train`, or the sha256 of its model.onnx")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    add_kubectl(parser)


def run(arguments: argparse.Namespace) -> None:
    """Render as the arguments ask. Raises ValueError, OSError."""
    from ml_pipeline import folders
    from ml_pipeline.targets import kubectl

    made = render(arguments.overlay, arguments.image, _digest(arguments.model), str(kubectl(arguments.kubectl)))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    folders.write(arguments.out, made)
    print(f"{arguments.out}: {len(made)} bytes")


def _digest(model: str) -> str:
    from ml_pipeline import folders

    digest = model.removeprefix("sha256:")
    return digest if re.fullmatch("[0-9a-f]{64}", digest) else folders.digest(Path(model) / "model.onnx")
