"""What was measured on, and with which versions."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil

from bench.tools import said_version, version_of
from ledger.journal.embedded import find_server_binary

CPU_INFO: Final = Path("/proc/cpuinfo")
LIBRARIES: Final = ("grpcio", "pygrpc-native", "numba", "numpy", "protobuf", "uvloop")
PROGRAMS: Final = ("postgres", "pgbench", "h2load", "redis-benchmark")
GIBIBYTE: Final = 2**30


def describe_machine() -> dict[str, str]:
    """Return processor, cores, memory and kernel."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / GIBIBYTE:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
    }


def _processor() -> str:
    """Return the model's name, where the kernel tells it."""
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text("utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def describe_versions() -> dict[str, str]:
    """Return the versions of Python, of the libraries that matter here, and of the programs."""
    return {
        "Python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        "valkey-server": said_version(str(find_server_binary())),
        **{name: version_of(name) for name in PROGRAMS},
    }
