"""The operators' commands of `onhand`: of a running engine, or offline of a data folder or a journal."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import grpc
import typer
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from rich.console import Console

from engine.config import ENVIRONMENT_PREFIX
from engine.operate.status import status_as_read
from engine.operate.tables import table_of_one
from engine.operate.terminal import (
    ADDRESS_DEFAULT,
    CALL_SECONDS,
    EXIT_FAILED,
    EXIT_USAGE,
    Address,
    AsJson,
    as_dict,
    asking,
    complain,
    fail,
    place_kernels,
    show,
    show_as,
    show_rows,
    warm_up_kernels,
)
from ledger.core.ids import SHARD_MAX
from ledger.journal.connection import Address as JournalAddress

if TYPE_CHECKING:  # loads numba
    from engine.operate.offline import Offline

VERIFY_SECONDS: Final = 300.0
CHECKPOINT_SECONDS: Final = 600.0
CHECKPOINT_POLL_SECONDS: Final = 0.1
HISTORY_LIMIT_DEFAULT: Final = 100

Folder = Annotated[
    Path | None,
    typer.Option(help="Read a data folder instead of asking an engine: its snapshots, its archive and its journal."),
]
Journal = Annotated[
    str, typer.Option(help="Read a journal server, redis://… or unix://…, instead of the folder's own.", metavar="URL")
]
Shard = Annotated[
    int,
    typer.Option(min=0, max=SHARD_MAX, help="Which shard of the journal is read.", envvar=f"{ENVIRONMENT_PREFIX}SHARD"),
]
Sku = Annotated[str, typer.Option(help="Sku id.")]
Location = Annotated[str, typer.Option(help="Location id.")]

inspect_app = typer.Typer(help="Look into what an engine keeps.", no_args_is_help=True)


@contextmanager
def offline_commands(folder: Path | None, journal: str, shard: int, *, may_be_new: bool = False) -> "Iterator[Offline]":
    """Yield what can be read; an error of it ends the command: exit code 2 for a wrong journal URL, else 1."""
    place_kernels()
    from engine.errors import RefusedError  # noqa: PLC0415 - the other commands start faster without numba
    from engine.operate.offline import OperatorError, open_offline  # noqa: PLC0415 - the same
    from ledger.journal.errors import JournalError  # noqa: PLC0415 - the same
    from ledger.warmup import is_compiled  # noqa: PLC0415 - the same

    _check_source(folder, journal)
    if not is_compiled():
        warm_up_kernels(Console(stderr=True))
    try:
        with open_offline(folder, journal, shard, may_be_new=may_be_new) as offline:
            yield offline
    except (JournalError, OperatorError, RefusedError, OSError) as error:
        raise fail(str(error)) from error


def _check_source(folder: Path | None, journal: str) -> None:
    if folder is None and not journal:
        raise fail("expected --folder, --journal or both", EXIT_USAGE)
    if not journal:
        return
    try:
        JournalAddress(journal)
    except ValueError as error:
        raise fail(str(error), EXIT_USAGE) from error


def _end(is_ok: bool) -> None:
    if not is_ok:
        raise typer.Exit(EXIT_FAILED)


# ---- a running engine ------------------------------------------------------------------------------------------------


def status(address: Address = ADDRESS_DEFAULT, as_json: AsJson = None) -> None:
    """Show positions, counts and settings of a running engine (AdminService.GetStatus)."""
    with asking(address) as channel:
        response = AdminServiceStub(channel).GetStatus(admin.GetStatusRequest(), timeout=CALL_SECONDS)
    values, now = as_dict(response), datetime.now(UTC)
    show_as(values, as_json, lambda _: table_of_one(status_as_read(values, now), f"OnHand at {address}"))


def checkpoint(address: Address = ADDRESS_DEFAULT, as_json: AsJson = None) -> None:
    """Let a running engine take a snapshot, and wait until it is durable. Exit code 1 if it was not written."""
    console = Console(stderr=True)
    with asking(address) as channel, console.status("taking a snapshot"):
        stub = AdminServiceStub(channel)
        before = stub.GetStatus(admin.GetStatusRequest(), timeout=CALL_SECONDS)
        seq = stub.Checkpoint(admin.CheckpointRequest(), timeout=CALL_SECONDS).seq
        after = _await_checkpoint(stub, seq, before.checkpoint_ended_count)
    values = {
        "snapshot_seq": after.snapshot_seq,
        "snapshot_bytes": after.snapshot_bytes,
        "snapshot_seconds": after.snapshot_seconds,
        "checkpoint_pause_seconds_max": after.checkpoint_pause_seconds_max,
        "trimmed_seq": after.trimmed_seq,
        "archived_seq": after.archived_seq,
    }
    show(values, as_json, f"Snapshot of {address}")


def _await_checkpoint(stub: AdminServiceStub, seq: int, ended_before: int) -> admin.GetStatusResponse:
    """Return the status once a checkpoint of a position has ended; end the command if it fails, or takes too long."""
    deadline = time.monotonic() + CHECKPOINT_SECONDS
    while True:
        found = stub.GetStatus(admin.GetStatusRequest(), timeout=CALL_SECONDS)
        if found.checkpoint_ended_count > ended_before and found.checkpoint_failure:
            raise fail(found.checkpoint_failure)
        if found.checkpoint_ended_count > ended_before and found.snapshot_seq >= seq:
            return found
        if time.monotonic() > deadline:
            waited = f"no snapshot of seq {seq} within {CHECKPOINT_SECONDS:g} s"
            raise fail(f"{waited}; the last one is of seq {found.snapshot_seq}. {found.checkpoint_failure}".rstrip())
        time.sleep(CHECKPOINT_POLL_SECONDS)


def call(
    *,
    method: Annotated[str, typer.Argument(help="Name in the contract, such as ReserveStock, bare or full.")] = "",
    request: Annotated[
        str, typer.Argument(help="The request as JSON; - reads it from standard input.", metavar="JSON")
    ] = "",
    address: Address = ADDRESS_DEFAULT,
    deadline: Annotated[str, typer.Option(help="How long to wait for the answer.", metavar="TIME")] = "10s",
    shows_all: Annotated[bool, typer.Option("--list", help="List all methods.")] = False,
    shows_fields: Annotated[bool, typer.Option("--help-message", help="Show the fields of the request.")] = False,
) -> None:
    """Call any method of the contract, and show the answer as JSON. Exit code 1 if it is refused, 2 for wrong use.

    A write without a request_id gets one, told on standard error: to repeat the call, give it the same.
    """
    from engine.operate import call as calls  # noqa: PLC0415 - loads the whole contract

    if shows_all:
        print("\n".join(calls.methods()))  # noqa: T201 - what was asked for
        return
    try:
        rpc = calls.method_named(method)
        if shows_fields:
            print(calls.fields_of(rpc))  # noqa: T201 - what was asked for
            return
        message = calls.request_of(rpc, sys.stdin.read() if request == "-" else request)
        seconds = calls.deadline_seconds(deadline)
    except calls.CallError as error:
        raise fail(str(error), EXIT_USAGE) from error
    with grpc.insecure_channel(address) as channel:
        try:
            print(calls.call(channel, rpc, message, seconds))  # noqa: T201 - the answer
        except grpc.RpcError as error:
            raise fail(f"{address} answered {calls.told_of_refusal(error)}") from error


# ---- either ----------------------------------------------------------------------------------------------------------


def verify(
    *,
    address: Address = ADDRESS_DEFAULT,
    folder: Folder = None,
    journal: Journal = "",
    shard: Shard = 0,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Offline: replay all there ever was, without snapshots.")
    ] = False,
    as_json: AsJson = None,
) -> None:
    """Recount the ledger of a running engine (AdminService.VerifyLedger), or of a folder or journal without one.

    Exit code 1 on a violation, and on damage.
    """
    if folder or journal:
        _verify_offline(folder, journal, shard, from_start, as_json)
        return
    if from_start:
        raise fail("from-start: expected --folder or --journal with it", EXIT_USAGE)
    with asking(address) as channel:
        response = AdminServiceStub(channel).VerifyLedger(admin.VerifyLedgerRequest(), timeout=VERIFY_SECONDS)
    values = as_dict(response)
    values["violations"] = [
        f"{found.invariant}: {found.subject}: expected {found.expected}, was {found.actual}"
        for found in response.violations
    ]
    show({"verify": "ok" if response.ok else "violated", **values}, as_json, f"Ledger at {address}")
    _end(response.ok)


def _verify_offline(folder: Path | None, journal: str, shard: int, from_start: bool, as_json: bool | None) -> None:
    with offline_commands(folder, journal, shard) as offline:
        from engine.operate.verify import verify_offline  # noqa: PLC0415 - loads numba

        values = verify_offline(offline, Console(stderr=True), from_start=from_start)
    for found in (*values["digest_mismatches"], *values["refused_snapshots"]):
        complain(found)
    show(values, as_json, f"Ledger of {offline.name}")
    _end(values["ok"] and not values["refused_snapshots"])


def history(
    *,
    sku: Sku = "",
    location: Location = "",
    reservation: Annotated[str, typer.Option(help="Reservation id.")] = "",
    from_seq: Annotated[int, typer.Option(min=0, help="First seq to show; 0 for the oldest kept.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="Most movements to show.")] = HISTORY_LIMIT_DEFAULT,
    address: Address = ADDRESS_DEFAULT,
    folder: Folder = None,
    journal: Journal = "",
    shard: Shard = 0,
    as_json: AsJson = None,
) -> None:
    """Show movements, the oldest first (InventoryService.ListMovements), or offline those of archive and journal."""
    if reservation and not re.fullmatch(r"[0-9a-fA-F]{16}", reservation):
        raise fail(f"--reservation: expected 16 hexadecimal digits, was {reservation}", EXIT_USAGE)
    place_kernels()
    from engine.operate.history import Wanted, history_offline, history_online, movement_as_read  # noqa: PLC0415 - loads numba

    wanted = Wanted(sku, location, reservation, from_seq, limit)
    if folder or journal:
        with offline_commands(folder, journal, shard) as offline:
            rows = history_offline(offline, wanted, Console(stderr=True))
    else:
        with asking(address) as channel:
            rows = history_online(channel, wanted)
    show_rows(rows, as_json, "Movements, UTC", movement_as_read)


# ---- offline ---------------------------------------------------------------------------------------------------------


def replay(
    *,
    to: Annotated[int, typer.Option(help="Position to stop after.", metavar="SEQ")],
    folder: Folder = None,
    journal: Journal = "",
    shard: Shard = 0,
    sku: Sku = "",
    location: Location = "",
    out: Annotated[Path | None, typer.Option(help="Folder to write a snapshot of it into.", metavar="FOLDER")] = None,
    as_json: AsJson = None,
) -> None:
    """Replay a journal up to a position into a scratch ledger: what it was then. Exit code 1 on a violation."""
    if bool(sku) != bool(location):
        raise fail("sku, location: expected both or neither", EXIT_USAGE)
    with offline_commands(folder, journal, shard) as offline:
        from engine.operate.replay import describe_level_then, describe_past, replay_to, write_past  # noqa: PLC0415

        past = replay_to(offline, to, Console(stderr=True))
        values = describe_past(past)
        if sku:
            values["stock_level"] = describe_level_then(past.scratch.book, sku, location)
        if out:
            values["snapshot"] = str(write_past(offline, past, out))
    show(values, as_json, f"{offline.name} at seq {to}")
    _end(values["ok"])


def repair(
    *,
    folder: Folder = None,
    journal: Journal = "",
    shard: Shard = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what could be done. There is nothing else.")] = False,
    address: Address = ADDRESS_DEFAULT,
    as_json: AsJson = None,
) -> None:
    """Say what each violation of a folder or journal means, and what could make it right. Nothing is ever written.

    Exit code 1 if there is something to repair.
    """
    if not dry_run:
        raise fail("expected --dry-run: corrections are shown, and a person runs them", EXIT_USAGE)
    with offline_commands(folder, journal, shard) as offline:
        from engine.operate.repair import plan_repair  # noqa: PLC0415 - loads numba

        values = plan_repair(offline, address, Console(stderr=True))
    show(values, as_json, f"Repair of {offline.name}")
    _end(values["repair"] == "nothing to repair")


# ---- inspect ---------------------------------------------------------------------------------------------------------


@inspect_app.command("snapshot")
def inspect_snapshot(
    path: Annotated[Path, typer.Argument(help="A snapshot, a folder of snapshots, or a data folder.")],
    as_json: AsJson = None,
) -> None:
    """Show what is in snapshots, and whether it is what was written. Exit code 1 on damage."""
    place_kernels()
    from engine.operate.inspect import inspect_snapshots  # noqa: PLC0415 - loads numba
    from engine.operate.offline import OperatorError  # noqa: PLC0415 - the same

    try:
        found = inspect_snapshots(path)
    except (OperatorError, OSError) as error:
        raise fail(str(error)) from error
    if len(found) == 1:
        show(found[0], as_json, "Snapshot")
    else:
        show_rows(found, as_json, "Snapshots")
    _end(all(each["ok"] for each in found))


@inspect_app.command("journal")
def inspect_journal(
    folder: Folder = None,
    journal: Journal = "",
    shard: Shard = 0,
    seq: Annotated[int | None, typer.Option(min=1, help="Show the entry that holds this position.")] = None,
    as_json: AsJson = None,
) -> None:
    """Show what is in a journal, and whether its checksums follow from each other. Exit code 1 on damage."""
    with offline_commands(folder, journal, shard) as offline:
        from engine.operate import inspect  # noqa: PLC0415 - loads numba

        if seq is not None:
            show(inspect.inspect_entry(offline, seq), as_json, f"Entry of {offline.name}")
            return
        values = inspect.inspect_journal(offline, Console(stderr=True))
    show(values, as_json, "Journal")
    _end(values["ok"])


@inspect_app.command("lease")
def inspect_lease(folder: Folder = None, journal: Journal = "", shard: Shard = 0, as_json: AsJson = None) -> None:
    """Show who writes a journal now, for how long without a renewal, and how far behind each standby is."""
    with offline_commands(folder, journal, shard) as offline:
        from engine.operate import inspect  # noqa: PLC0415 - loads numba

        values = inspect.inspect_lease(offline)
    show(values, as_json, "Lease")


@inspect_app.command("limits")
def inspect_limits(as_json: AsJson = None) -> None:
    """Show every limit that is enforced: value, unit and reason."""
    from engine.operate import limits  # noqa: PLC0415 - loads the transports

    show_rows(limits.inspect_limits(), as_json, "Limits")
