"""Copies what `path` names to $ARTIFACTS/NAME, below the folder that all have in common."""

import os
import shutil
import sys
from pathlib import Path

given = [Path(line.strip()) for line in os.environ["PATHS"].splitlines() if line.strip()]
target = Path(os.environ["ARTIFACTS"]) / os.environ["ARTIFACT"]
if target.exists() and os.environ["OVERWRITE"] != "true":
    sys.exit(f"an artifact {target.name} is there already")
shutil.rmtree(target, ignore_errors=True)


def taken(path: Path, below: Path) -> bool:
    """A folder that is named may be hidden only if hidden ones are asked for: as the action since 4.4."""
    parts = path.parts if below == Path() else path.relative_to(below.parent).parts
    return os.environ["HIDDEN"] == "true" or not any(part.startswith(".") for part in parts)


found = {
    file: each if each.is_dir() else each.parent
    for each in given
    for file in ([each] if each.is_file() else sorted(each.rglob("*")))
    if file.is_file() and taken(file, each)
}
if not found and os.environ["NONE"] == "error":
    sys.exit(f"no file below {', '.join(map(str, given))}")
top = Path(os.path.commonpath(list(found.values()))) if found else Path()
for file in found:
    copy = target / file.relative_to(top)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, copy)
    copy.chmod(0o644)  # a zip of GitHub keeps no mode
print(f"{target.name}: {len(found)} files")
