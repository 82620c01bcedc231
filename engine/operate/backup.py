"""`onhand backup` and `onhand restore`: what a shard keeps, into a folder; and a lost journal, anew from a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from engine.config import EngineConfig
from engine.operate.commands import Folder, Journal, Shard, offline_commands
from engine.operate.terminal import AsJson, complain, fail, show, shown_time

if TYPE_CHECKING:  # loads numba
    from engine.operate.offline import Offline
    from ledger.recovery import Report
    from ledger.restore import Kept

ATTEMPTS_MAX: Final = 3
"""Of a backup whose journal is trimmed while it is read: the archive has then what the journal had."""


def backup(
    target: Annotated[Path, typer.Argument(help="Folder of the backup; what it has already is not copied again.")],
    *,
    folder: Folder = None,
    journal: Journal = "",
    shard: Shard = 0,
    verify: Annotated[bool, typer.Option(help="Rebuild the ledger from the backup and compare its digests.")] = True,
    as_json: AsJson = None,
) -> None:
    """Copy what an engine keeps, running or not: the newest snapshot, the archive, and the journal up to now.

    The engine is not asked and does not wait. Exit code 1 if the backup cannot be restored up to now.
    """
    console = Console(stderr=True)
    with offline_commands(folder, journal, shard) as offline:
        kept = EngineConfig.model_construct(data_folder=target)
        values = _copied(offline, folder, kept)
        if verify:
            values |= _verified(offline, kept, values["seq"], console)
    show(values, as_json, f"Backup of {offline.name}")


def _copied(offline: "Offline", source: Path | None, kept: EngineConfig) -> dict[str, Any]:
    from ledger.backup import copy_shard  # noqa: PLC0415 - loads numba
    from ledger.journal.errors import JournalTrimmed  # noqa: PLC0415 - the same

    theirs = EngineConfig.model_construct(data_folder=source) if source else None
    snapshots, archive = (theirs.snapshot_folder, theirs.archive_folder) if theirs else (None, None)
    for attempt in range(ATTEMPTS_MAX):
        try:
            copied = copy_shard(offline.journal, snapshots, archive, kept.snapshot_folder, kept.archive_folder)
            break
        except JournalTrimmed:
            if attempt == ATTEMPTS_MAX - 1:
                raise
    if copied.hole:
        complain(f"history: the entries of seq {copied.hole[0]} to {copied.hole[1]} are kept nowhere any more")
    return {
        "backup": str(kept.data_folder),
        "seq": copied.seq,
        "first_seq": copied.first_seq,
        "snapshot": str(copied.snapshot or ""),
        "added_entries": copied.entry_count,
    }


def _verified(offline: "Offline", kept: EngineConfig, seq: int, console: Console) -> dict[str, Any]:
    """Rebuild the ledger as a restore would; the command ends if that does not come to the same seq."""
    found = _rebuilt(kept, int(offline.journal.shard), console)
    for each in found.refused:
        complain(each)
    violations = list(found.book.verify())
    if found.book.seq != seq or violations:
        what = f"the ledger has {len(violations)} violations" if violations else f"it reaches seq {found.book.seq} only"
        raise fail(f"{kept.data_folder}: expected a backup that can be restored up to seq {seq}: {what}")
    return {
        "verified": True,
        "time": shown_time(found.book.ledger.time_us),
        "digests_compared": found.replayer.compared_count,
        "digest": found.book.digest().hex(),
    }


def restore(
    *,
    folder: Annotated[Path, typer.Option(help="Data folder or backup: its snapshots and its archive are read.")],
    journal: Annotated[
        str, typer.Option(help="Empty journal server, redis://… or unix://…; else an embedded one.", metavar="URL")
    ] = "",
    shard: Shard = 0,
    as_json: AsJson = None,
) -> None:
    """Begin a lost journal anew from snapshots and archive, under a new epoch. Nothing is written over.

    Says up to which write and time it goes: what was acknowledged later is not in it. Then serve with the same folder.
    """
    console = Console(stderr=True)
    with offline_commands(folder, journal, shard, may_be_new=True) as offline:
        from ledger.journal.stream import StreamJournal  # noqa: PLC0415 - loads numba
        from ledger.restore import refuse_used  # noqa: PLC0415 - the same
        from ledger.restore import restore as begin_anew  # noqa: PLC0415 - the same

        refuse_used(offline.journal)
        kept = EngineConfig.model_construct(data_folder=folder)
        found = _rebuilt(kept, shard, console)
        with StreamJournal(offline.journal.url, shard=str(shard)) as target:
            restored = begin_anew(target, found, kept.snapshot_folder, kept.archive_folder)
    for each in found.refused:
        complain(each)
    if restored.aside:
        complain(f"the archive goes on after a gap, up to seq {found.beyond_seq}: that is in {restored.aside} now")
    values = {
        "restored_seq": restored.seq,
        "restored_time": shown_time(restored.time_us),
        "may_be_missing": f"what was acknowledged after {shown_time(restored.time_us)}",
        "next_seq": restored.next_seq,
        "epoch": restored.epoch,
        "snapshot": str(restored.snapshot),
        "digests_compared": found.replayer.compared_count,
        **found.book.counts(),
    }
    show(values, as_json, f"Restored at {offline.name}")


def _rebuilt(kept: EngineConfig, shard: int, console: Console) -> "Kept":
    from engine.operate.offline import book_settings  # noqa: PLC0415 - loads numba
    from ledger.restore import rebuild  # noqa: PLC0415 - the same

    with _progress(console) as report:
        settings = {**book_settings(), "shard": shard}
        return rebuild(kept.snapshot_folder, kept.archive_folder, settings, report)


@contextmanager
def _progress(console: Console) -> Iterator["Report"]:
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("rebuilding")

        def report(what: str, done: int, total: int, /) -> None:
            progress.update(task, description=f"rebuilding: {what}", completed=done, total=total)

        yield report
