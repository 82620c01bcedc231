"""Generates Python messages, service stubs and their types from the .proto files.

The wheel's build runs it as a hatch hook; `python proto/generate.py` does the same by hand. The output stands next to
the .proto files and is not checked in: generated code refuses an older protobuf or grpcio than its generator.

A wheel takes compiled kernels with it if `onhand kernels pack` put them into the package (`make wheel` does); it is for
one Python and one platform then, and named so.
"""

import os
import shutil
import sys
import sysconfig
from importlib.resources import files
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # run by hand, without hatchling
    BuildHookInterface = object  # type: ignore[assignment,misc]

ROOT = Path(__file__).parent
KERNELS = ROOT.parent / "ledger" / "_kernels"
GLIBC = "manylinux_2_28"  # that of llvmlite, which loads the code


def generate() -> None:
    """Run protoc over every .proto file; raises RuntimeError if it refuses one."""
    from grpc_tools import protoc  # noqa: PLC0415 - only there while building

    sources = sorted(str(path) for path in ROOT.glob("onhand/**/*.proto"))
    includes = [f"-I{ROOT}", f"-I{files('grpc_tools') / '_proto'}"]
    outputs = [f"--python_out={ROOT}", f"--pyi_out={ROOT}", f"--grpc_python_out={ROOT}", f"--mypy_grpc_out={ROOT}"]
    # The plugin stands beside the interpreter, also where that folder is not on the PATH.
    folders = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    plugin = f"--plugin=protoc-gen-mypy_grpc={shutil.which('protoc-gen-mypy_grpc', path=folders)}"
    if protoc.main(["protoc", plugin, *includes, *outputs, *sources]) != 0:
        raise RuntimeError("protoc refused the contract; its messages are above")
    (ROOT / "onhand" / "py.typed").touch()


class GenerateHook(BuildHookInterface):  # type: ignore[type-arg]
    """Generates before anything is packed, and before an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Run before each build."""
        generate()
        if version == "standard" and (KERNELS / "about.json").exists():
            python = f"cp{sys.version_info.major}{sys.version_info.minor}"
            system = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["pure_python"] = False
            build_data["tag"] = f"{python}-{python}-{system.replace('linux_', f'{GLIBC}_')}"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    generate()
