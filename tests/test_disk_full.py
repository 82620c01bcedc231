"""An engine whose disk gets full: refusals, log and status say so, and it goes on by itself once there is room."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from faults.processes import WAIT_SECONDS, wait_until
from harness import Client, Refused

from engine.launch import EngineProcess

DISK_BYTES = 24 * 1024**2
MOVEMENTS = 5_000
"""Of a write that fits no page that the journal's file has begun: such a page has room on a full disk, too."""


def can_mount() -> bool:
    if not sys.platform.startswith("linux") or not shutil.which("unshare"):
        return False
    words = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return os.geteuid() == 0 and subprocess.run(words, capture_output=True, check=False).returncode == 0


class SmallDisk(EngineProcess):
    """An engine that sees a small disk of its own at its data folder; the disk goes when its last process does."""

    folder: Path

    def _spawn(self, errors):
        mount = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'
        engine = [sys.executable, "-m", "engine", "serve", *self._flags]
        return subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", mount, "sh", str(DISK_BYTES), str(self.folder), *engine],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )

    def on_disk(self, name: str) -> Path:
        """A file of the disk, as other processes see it."""
        return Path(f"/proc/{self.process.pid}/root") / str(self.folder / name).lstrip("/")

    def fill(self) -> None:
        """Leave nothing free."""
        with self.on_disk("filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(bytes(65_536)):
                    pass
            except OSError:
                return

    def make_room(self) -> None:
        self.on_disk("filler").unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    engine = SmallDisk(["--port", "0", "--data-folder", str(folder)], log_file=tmp_path / "engine.log")
    engine.folder = folder
    with engine:
        yield engine


@pytest.mark.skipif(not can_mount(), reason="only root can mount a small disk")
def test_a_full_disk_is_told_where_it_is_full(small_disk, tmp_path):
    told = f"no space left on {small_disk.folder}"
    with Client(small_disk.address) as client:
        client.sku("A")
        client.location("X")
        client.receive("A", "X", 1_000)

        def refusal() -> str:
            try:
                client.level("A", "X")
            except Refused as error:
                return f"{error.reason}: {error.message}"
            return ""

        chance, units = Random(1), 0
        request = client.movement_request("RECEIVE", "A", "X", 1)
        (first,) = request.movements
        del request.movements[:]
        for _ in range(MOVEMENTS):
            request.movements.add().CopyFrom(first)
            request.movements[-1].quantity = chance.randint(1, 1_000_000)
            units += request.movements[-1].quantity
        small_disk.fill()
        write = client.inventory.RecordMovements.future(request, timeout=WAIT_SECONDS)
        wait_until(lambda: told in refusal())
        assert refusal().startswith("JOURNAL_UNAVAILABLE: ")
        warnings = list(client.status().warnings)
        assert f"the journal server does not do its part: nothing is acknowledged: {told}" in warnings
        assert told in (tmp_path / "engine.log").read_text()
        assert not write.done(), "whether it is durable is not known"
        small_disk.make_room()
        assert write.result().seq
        wait_until(lambda: not refusal())
        assert client.level("A", "X").on_hand == 1_000 + units
        assert not [each for each in client.status().warnings if told in each]
        assert client.verify().ok
