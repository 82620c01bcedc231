"""The engine of the release before this one, in an environment of its own."""

import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final

CODE: Final = "code.tar.xz"
FOLDER: Final = Path(__file__).parent
PLACE: Final = FOLDER.parent.parent / "build" / "releases"
ENVIRONMENT: Final = ".venv"
LOCK: Final = "requirements.lock"


def prepared_code() -> Path:
    """Unpack the modules of the release before this one, have its kernels compiled, and return their folder.

    It is the same place each time: its environment, with the packages that it was released with, and its kernels, which
    take some minutes, are there the next time.
    """
    packed = max(FOLDER.glob(f"*/{CODE}"))
    place = PLACE / packed.parent.name
    if not (place / LOCK).exists():
        with tarfile.open(packed) as archive:
            archive.extractall(place, filter="data")
    if not python_of(place).exists():
        _make_environment(place)
    subprocess.run([python_of(place), "-E", "-m", "engine.warmup"], cwd=place, check=True, capture_output=True)
    return place


def python_of(code: Path) -> Path:
    """Return the Python of a release's environment."""
    return code / ENVIRONMENT / "bin" / "python"


def _make_environment(place: Path) -> None:
    """Install what the release was locked to, and the release where it lies."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / ENVIRONMENT], check=True)
    command = [Path(sys.executable).with_name("uv"), "pip", "install", "--quiet", "--require-hashes"]
    command += ["--python", python_of(place), "--requirement", place / LOCK]
    subprocess.run(command, check=True)
    (packages,) = (place / ENVIRONMENT / "lib").glob("python*/site-packages")
    (packages / "onhand.pth").write_text(f"{place}\n{place / 'proto'}\n")
    version = f"{place.name}.0"
    described = packages / f"onhand-{version}.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: onhand\nVersion: {version}\n")
