"""Generates `actuary.v1` from protos/ when the package is built or installed: no generated code is committed.

`python hatch_build.py` does it in place, for whoever has changed a proto.
"""

from __future__ import annotations

import importlib.resources
import os
import pathlib
import sys
import sysconfig
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # run by hand in an environment that has no hatchling
    BuildHookInterface = object

ROOT = pathlib.Path(__file__).parent
TARGET = ROOT / "services" / "actuary" / "v1"


def generate() -> None:
    """Writes the messages, stubs and their types of every proto into services/actuary/v1."""
    from grpc_tools import protoc

    protos = sorted((ROOT / "protos").rglob("*.proto"))
    installed = importlib.resources.files("google").joinpath("..")
    includes = {
        str(installed),
        sysconfig.get_path("purelib"),
        str(importlib.resources.files("grpc_tools") / "_proto"),
    }
    # protoc looks for its plugins on the PATH; a build environment's scripts are beside its Python
    scripts = os.pathsep.join(
        dict.fromkeys([sysconfig.get_path("scripts"), str(pathlib.Path(sys.executable).parent)])
    )
    os.environ["PATH"] = scripts + os.pathsep + os.environ.get("PATH", "")
    TARGET.mkdir(parents=True, exist_ok=True)
    (TARGET / "__init__.py").write_text('"""Generated from protos/; do not edit."""\n')
    out = ROOT / "services"
    arguments = ["protoc", f"-I{ROOT / 'protos'}", *(f"-I{path}" for path in includes)]
    arguments += [
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet:{out}",
    ]
    if protoc.main(arguments + [str(path.relative_to(ROOT / "protos")) for path in protos]) != 0:
        raise RuntimeError("protoc failed: see its messages above; the protos are in protos/actuary/v1")


class GenerateProtos(BuildHookInterface):  # type: ignore[misc]
    """Hatchling's hook, run for wheels and editable installs."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generates, and tells hatchling to take along what git ignores."""
        generate()
        build_data["artifacts"].append("services/actuary/v1/*")


if __name__ == "__main__":
    generate()
