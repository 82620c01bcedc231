"""The programs that benchmarks drive, and where to get them.

`python -m bench.tools` shows which are there; as root on Debian it installs those that are not.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench.rows import BenchError

PACKAGES: Final = {
    "h2load": "nghttp2-client",
    "redis-benchmark": "redis-tools",
    "pgbench": "postgresql",
    "postgres": "postgresql",
    "initdb": "postgresql",
    "psql": "postgresql-client",
}
"""Debian package of each program."""
DEBIAN_POSTGRESQL: Final = Path("/usr/lib/postgresql")
"""Debian keeps the server's programs in <version>/bin below, not on the PATH."""
INSTALL_SECONDS: Final = 600.0
VERSION_SECONDS: Final = 10.0


class ToolMissingError(BenchError):
    """A program is not there; the text says how to get it."""


def find(program: str) -> str:
    """Return where a program is.

    Raises
    ------
    ToolMissingError
        It is not there.
    """
    found = shutil.which(program) or _in_debian_postgresql(program)
    if found is None:
        package = PACKAGES[program]
        raise ToolMissingError(f"{program}: not found; on Debian: apt-get install {package}")
    return found


def _in_debian_postgresql(program: str) -> str | None:
    """Return a program of the newest PostgreSQL that Debian installed."""
    folders = (path for path in DEBIAN_POSTGRESQL.glob("*/bin") if path.parent.name.isdigit())
    for folder in sorted(folders, key=lambda path: int(path.parent.name), reverse=True):
        if (found := folder / program).exists():
            return str(found)
    return None


def missing() -> list[str]:
    """Return the programs that are not there."""
    return [program for program in PACKAGES if not _is_there(program)]


def _is_there(program: str) -> bool:
    try:
        find(program)
    except ToolMissingError:
        return False
    return True


def version_of(program: str) -> str:
    """Return the version of a program of PACKAGES, "not installed" if it is not there."""
    return said_version(find(program)) if _is_there(program) else "not installed"


def said_version(path: str) -> str:
    """Return the version that a program says it has."""
    said = subprocess.run(  # noqa: S603 - a program that benchmarks run
        [path, "--version"], capture_output=True, check=True, text=True, timeout=VERSION_SECONDS
    ).stdout
    number = re.search(r"\d+(\.\d+)+", said)
    return number[0] if number else said.strip()


def _install(packages: list[str]) -> None:
    """Install Debian packages; the service that one of them may bring is not started."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", *arguments], check=True, env=environment, timeout=INSTALL_SECONDS)  # noqa: S603, S607


def main() -> int:
    """Show which programs are there, install the others where that is possible; 1 if one is still missing."""
    packages = sorted({PACKAGES[program] for program in missing()})
    if packages and shutil.which("apt-get") and os.geteuid() == 0:
        _install(packages)
    absent = missing()
    for program in PACKAGES:
        state = f"missing; on Debian: apt-get install {PACKAGES[program]}" if program in absent else find(program)
        print(f"{program}: {state}")  # noqa: T201 - the result
    return 1 if absent else 0


if __name__ == "__main__":
    sys.exit(main())
