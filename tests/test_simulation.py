"""The simulator: many small worlds without a violation, planted bugs that it finds, a model that is like the server.

`python -m tests.simulation --seeds 10000` (`make simulate`) looks longer.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from simulation.planted import PLANTED, planted
from simulation.server import JournalServer, ServerError
from simulation.world import live

from ledger.journal.connection import Address, JournalConnection
from ledger.journal.embedded import EmbeddedServer
from ledger.journal.errors import JournalRefused
from ledger.journal.server_functions import (
    APPEND,
    CLAIM,
    RELEASE,
    RENEW,
    REPORT,
    SETTLE,
    STANDBYS,
    TRIM,
    Keys,
    function_call,
    load_functions,
)

ROOT = Path(__file__).parents[1]
SEEDS_PER_TEST = 20
PLANTED_SEEDS_MAX = 400
COMMANDS = 400
KEYS = Keys.of_shard("0")
START_US = 1_790_000_000_000_000
LEASE_MS = 3_600_000
ADDRESSES = ("one:1", "other:1")


# ---- worlds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(0, 2 * SEEDS_PER_TEST, SEEDS_PER_TEST))
def test_no_world_has_a_violation(first):
    reports = [live(seed) for seed in range(first, first + SEEDS_PER_TEST)]
    assert not [(report.seed, report.violation) for report in reports if report.violation]
    assert sum(report.answered_count for report in reports) > 10 * SEEDS_PER_TEST
    assert sum(report.fault_count for report in reports) > 10 * SEEDS_PER_TEST


def test_a_seed_tells_the_same_story_every_time():
    """Also in another process, where sets and dictionaries of text have another order."""
    here = live(7, keeps_story=True)
    assert here.story == live(7, keeps_story=True).story
    ran = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seed", "7"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"digest {here.digest}: no violation" in ran.stdout


# Found after many worlds: `make slow` and `make simulate` wait for them.
FOUND_LATE = {
    "ask_who_rejected",
    "drop_plans_early",
    "drop_torn_tail",
    "misplace_received_units",
    "tell_repeats_the_last_plan",
    "trust_any_snapshot",
}


@pytest.mark.parametrize(
    "bug", [pytest.param(bug, marks=pytest.mark.slow if bug in FOUND_LATE else ()) for bug in PLANTED]
)
def test_a_planted_bug_is_found(bug):
    with planted(bug):
        assert any(live(seed).violation for seed in range(PLANTED_SEEDS_MAX))


# ---- the model of the journal server ---------------------------------------------------------------------------------


class Twins:
    """A real journal server and the model, which get the same commands."""

    def __init__(self, connection: JournalConnection) -> None:
        self.connection = connection
        self.now_us = START_US
        self.model = JournalServer(lambda: self.now_us)
        self.model.execute("FUNCTION", "LOAD", "REPLACE", b"the functions")
        self.epochs: dict[bytes, bytes] = {b"0": b"0"}
        """The model's name of each of the real server's epochs, which have its time in them."""

    def run(self, *arguments: bytes | str | int) -> Any:
        """Run a command at both; returns the model's reply."""
        real = self.real(*(self.real_epoch(each) for each in arguments))
        try:
            modeled: Any = self.model.execute(*arguments)
        except ServerError as error:
            modeled = f"error {error}"
        if arguments[1] == CLAIM and isinstance(real, list):
            self.epochs[real[0]] = modeled[0]
        assert self.named(real) == without_time(modeled), arguments
        return modeled

    def real(self, *arguments: bytes | str | int) -> Any:
        try:
            return self.connection.call(*arguments)
        except JournalRefused as refusal:
            return f"error {refusal.reply}"

    def real_epoch(self, argument: bytes | str | int) -> bytes | str | int:
        """What the real server calls an epoch of the model."""
        names = {modeled: real for real, modeled in self.epochs.items()}
        return names.get(argument, argument) if isinstance(argument, bytes) else argument

    def named(self, reply: Any) -> Any:
        """The reply with the model's names of epochs, and without times."""
        if isinstance(reply, list):
            return [self.named(each) for each in reply]
        if isinstance(reply, str):
            for real, modeled in self.epochs.items():
                reply = reply.replace(real.decode(), modeled.decode()) if len(real) > 1 else reply
            return without_time(reply)
        return self.epochs.get(reply, reply) if isinstance(reply, bytes) else reply

    def end_lease(self) -> None:
        """Let the lease run out at both."""
        self.connection.call("PEXPIRE", KEYS.lease, 1)
        while self.connection.call("GET", KEYS.lease) is not None:
            pass
        if KEYS.lease in self.model.data.expire_us:
            self.model.data.expire_us[KEYS.lease] = self.now_us


def without_time(reply: Any) -> Any:
    """A refusal without how long the lease still holds; of a full server, only that it is full."""
    if not isinstance(reply, str):
        return reply
    words = reply.split(" ")
    if "OOM" in words[:2]:
        return "error OOM"
    return " ".join([*words[:2], *words[3:]]) if words[1] == "HELD" else reply


@pytest.fixture
def twins(tmp_path) -> Iterator[Twins]:
    with EmbeddedServer(tmp_path / "data") as server:
        connection = JournalConnection(Address(server.url), 5.0)
        load_functions(connection)
        yield Twins(connection)
        connection.close()


class Callers:
    """Random commands: mostly those of a writer that does everything right, and all that others may send meanwhile."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.epochs = [b"0"]
        self.tails = [b"0-0 " + bytes(16)]
        self.seq = 0

    def some_epoch(self) -> bytes:
        return self.epochs[-1] if self.chance.random() < 0.8 else self.chance.choice(self.epochs)

    def some_id(self) -> str:
        return f"{self.chance.randint(1, self.seq + 2)}-0"

    def append(self) -> tuple[Any, ...]:
        self.seq += self.chance.randint(1, 3)
        tail = self.tails[-1] if self.chance.random() < 0.9 else self.chance.choice(self.tails)
        payload = self.chance.randbytes(self.chance.choice([16, 40]))
        return function_call(APPEND, KEYS, self.some_epoch(), f"{self.seq}-0", tail, payload)

    def command(self) -> tuple[Any, ...]:
        chance = self.chance
        address = chance.choice(ADDRESSES)
        others = [
            function_call(CLAIM, KEYS, address, LEASE_MS, chance.choice(["wait", "wait", "force"])),
            function_call(RENEW, KEYS, self.some_epoch(), address, LEASE_MS),
            function_call(RELEASE, KEYS, self.some_epoch()),
            function_call(SETTLE, KEYS),
            function_call(TRIM, KEYS, self.some_epoch(), self.some_id()),
            function_call(REPORT, KEYS, address, self.seq),
            function_call(STANDBYS, KEYS),
            ("XRANGE", KEYS.journal, self.some_id(), "+", "COUNT", chance.randint(1, 4)),
            ("XRANGE", KEYS.journal, self.some_id(), self.some_id()),
            ("MGET", KEYS.epoch, KEYS.tail),
            ("GET", KEYS.lease),
            ("WAITAOF", 1, 0, 100),
        ]
        return self.append() if chance.random() < 0.5 else chance.choice(others)

    def see(self, command: tuple[Any, ...], reply: Any) -> None:
        """Remember what a writer learns."""
        if command[1] == CLAIM and isinstance(reply, list):
            self.epochs.append(reply[0])
        if command[1] == APPEND and isinstance(reply, bytes):
            self.tails.append(reply + b" " + command[-1][:16])


@pytest.mark.parametrize("seed", range(3))
def test_the_model_answers_as_the_server_does(twins, seed):
    callers = Callers(seed)
    for _ in range(COMMANDS):
        twins.now_us += 1_000
        command = callers.command()
        callers.see(command, twins.run(*command))
        if callers.chance.random() < 0.05:
            twins.end_lease()
        if callers.chance.random() < 0.05:
            twins.model.is_full = not twins.model.is_full
            twins.connection.call("CONFIG", "SET", "maxmemory", int(twins.model.is_full))
    assert len(callers.tails) > 20
    assert len(callers.epochs) > 5
