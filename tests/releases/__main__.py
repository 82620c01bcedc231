"""`python -m tests.releases`: make what the release in work leaves behind, once, when it goes out.

It starts this checkout's engine in an empty folder, tells it a story, stops it, and writes down how it answers then.
`--format` only writes the shape of the format in work, and adds its digest to what earlier releases left.
"""

import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent.parent))  # as pytest has it

from engine.launch import EngineProcess
from ledger.formats import FORMAT, RELEASE

from . import FOLDER, FORMAT_IN_WORK, STORED, Opened, Told, opened, unpack_data
from .code import CODE
from .shapes import shapes
from .story import Storyteller

ROOT: Final = FOLDER.parent.parent
FLAGS: Final = ("--port", "0", "--snapshots-kept", "2", "--drain-seconds", "1")
MODULES: Final = ("engine", "ledger", "routing", "proto/onhand")
LEFT_OUT: Final = ("engine/demo/", "engine/load/example", "proto/onhand/client/")
"""What an engine that serves does not need."""


def make(release: str) -> None:
    """Make the folder of this release."""
    place = FOLDER / release
    place.mkdir()
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary) / "data"
        flags = [*FLAGS, "--data-folder", str(data)]
        with EngineProcess(flags, log_file=Path(temporary) / "log") as engine, Storyteller(engine.address) as client:
            client.tell()
            asked = client.asked
        with zipfile.ZipFile(place / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(data.rglob("*")):
                if path.is_file() and path.suffix not in (".log", ".lock"):
                    archive.write(path, Path("data") / path.relative_to(data))
    with tempfile.TemporaryDirectory() as temporary, opened(unpack_data(release, Path(temporary))) as found:
        told = Told({str(FORMAT): found.book.digest().hex()}, found.book.seq, answers(found, asked))
    (place / "answers.json").write_text(json.dumps(told._asdict(), ensure_ascii=False, separators=(",", ":")))
    write_code(place / CODE)
    FORMAT_IN_WORK.rename(place / FORMAT_IN_WORK.name)


def answers(found: Opened, asked: list[tuple[str, bytes]]) -> list[tuple[str, str, object]]:
    """Ask everything again that changes nothing, and write down what comes of it."""
    kept = []
    for path, request in asked:
        answer = found.answer(path, request)
        if found.book.has_open_entry:
            raise AssertionError(f"{path} wrote something")
        kept.append((path, request.hex(), answer))
    return kept


def write_code(target: Path) -> None:
    """Pack the modules that an engine needs to serve, and the list of the packages that they need."""
    listed = subprocess.run(["git", "ls-files", *MODULES], cwd=ROOT, check=True, capture_output=True, text=True)
    names = [name for name in listed.stdout.split() if not name.endswith((".proto", ".md"))]
    names.append("requirements.lock")
    names += [str(path.relative_to(ROOT)) for path in (ROOT / "proto/onhand").rglob("*_pb2*.py")]
    with tarfile.open(target, "w:xz", preset=9) as archive:
        for name in sorted(names):
            if not name.startswith(LEFT_OUT):
                archive.add(ROOT / name, name, filter=without_owner)


def without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Keep nothing of whose file it was, and when."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def add_digests() -> None:
    """Add the digest of this format to what each release left."""
    for release in STORED:
        with tempfile.TemporaryDirectory() as temporary, opened(unpack_data(release, Path(temporary))) as found:
            told = Told.of(release)
            digests = told.digests | {str(FORMAT): found.book.digest().hex()}
        path = FOLDER / release / "answers.json"
        path.write_text(json.dumps(told._replace(digests=digests)._asdict(), ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--format"]):
        sys.exit(__doc__)
    if not sys.argv[1:]:
        make(RELEASE)
    elif RELEASE not in STORED:
        FORMAT_IN_WORK.write_text(shapes())
        add_digests()
