"""Checkpoints and the archive: history stays whole while the journal is trimmed, whatever ends in the middle of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from faults.processes import has_ended, wait_until
from ledger_cases import SECOND_US
from snapshot_cases import SETTINGS, Shop, open_journal

from engine.shard.checkpoint import RETRY_SECONDS, Checkpointer, Keeping
from ledger import archive
from ledger.archive import (
    ArchiveDamaged,
    archive_entries,
    archived_from,
    archived_seq,
    prune_archive,
    read_archive,
)
from ledger.book import Book
from ledger.history import History
from ledger.journal.embedded import EmbeddedServer
from ledger.journal.entry import CHAIN_START, decode_entry
from ledger.journal.errors import JournalCorrupt, JournalTrimmed
from ledger.journal.stream import StreamJournal
from ledger.recovery import recover
from ledger.replay import Replayer
from ledger.sealed import TEMPORARY_SUFFIX
from ledger.snapshot import read_header, snapshots

Entries = list[tuple[int, bytes]]
DAY_SECONDS = 24 * 3_600


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path_factory.mktemp("journal")) as server:
        yield server


@pytest.fixture
def shop(server) -> Iterator[Shop]:
    with open_journal(server.url) as journal:
        yield Shop(journal)


class Keeper:
    """A checkpointer with a clock that tests move."""

    def __init__(self, shop: Shop, folder: Path, **changed) -> None:
        self.shop = shop
        self.folder, self.archive_folder = folder / "snapshots", folder / "history"
        self.now = 0.0
        self.digests: list[tuple[int, bytes]] = []
        self.trim_count = 0
        keeping = Keeping(
            self.folder,
            self.archive_folder,
            seconds=900,
            journal_bytes=2**30,
            snapshots=2,
            history_seconds=30 * DAY_SECONDS,
            archive_seconds=0,
        )
        on_digest = changed.pop("on_digest", lambda seq, digest: self.digests.append((seq, digest)))
        self.checkpointer = Checkpointer(
            shop.book,
            shop.journal,
            keeping._replace(**changed),
            monotonic=lambda: self.now,
            on_digest=on_digest,
            after_trim=self._count_trim,
        )

    def _count_trim(self) -> None:
        self.trim_count += 1

    def begin(self) -> None:
        self.checkpointer.begin(self.shop.chain, self.shop.journal.epoch)

    def finish(self) -> dict:
        self.wait_until(lambda: not self.checkpointer.is_running)
        return self.checkpointer.status()

    def wait_until(self, holds: Callable[[], bool]) -> None:
        def holds_by_now() -> bool:
            self.checkpointer.poll()
            return holds()

        if not holds():
            wait_until(holds_by_now, "the checkpoint goes on")

    def run(self) -> dict:
        assert self.checkpointer.is_due()
        self.begin()
        return self.finish()

    def run_requested(self) -> dict:
        self.checkpointer.request()
        return self.run()


@pytest.fixture
def keeper(shop, tmp_path) -> Iterator[Keeper]:
    keeper = Keeper(shop, tmp_path)
    yield keeper
    keeper.checkpointer.close()


def history(keeper: Keeper, after_seq: int = 0) -> Entries:
    """All there is: the archive, then the journal."""
    archived = list(read_archive(keeper.archive_folder, after_seq))
    return archived + list(keeper.shop.journal.read(archived[-1][0] if archived else after_seq))


def replayed(entries: Entries) -> Replayer:
    replayer = Replayer(Book(**SETTINGS), CHAIN_START)
    for last_seq, payload in entries:
        replayer.apply(last_seq, payload)
    return replayer


# ---- checkpoints -----------------------------------------------------------------------------------------------------


def test_an_engine_that_changes_its_role_ends_what_it_archives(shop, keeper):
    shop.sell(5)
    keeper.checkpointer.request()
    keeper.begin()
    keeper.wait_until(lambda: keeper.checkpointer._archiver is not None)
    keeper.checkpointer.close()
    assert not keeper.checkpointer.is_running


def test_checkpoint_archives_and_trims_and_history_stays_whole(shop, keeper):
    before = []
    for number in range(3):
        shop.sell(5)
        seq = shop.book.seq
        status = keeper.run_requested()
        assert keeper.digests[-1] == (seq, shop.book.digest())
        assert (status["snapshot_seq"], status["archived_seq"], status["checkpoint_failure"]) == (seq, seq, "")
        before.append(seq)
        kept = shop.journal.first_seq_kept()
        # Up to the older snapshot, whose own entry stays; with one snapshot only, all of it.
        assert status["trimmed_seq"] == kept - 1 == (before[-2] - 1 if number else 0)
    assert [read_header(path).seq for path in snapshots(keeper.folder)] == before[:0:-1]
    shop.sell(2)
    replayer = replayed(history(keeper))
    assert replayer.book.digest() == shop.book.digest()
    newest, _ = snapshots(keeper.folder)
    for expected in (before[2], before[1]):  # then the newest is damaged: nothing that the one before needs is trimmed
        recovered = recover(shop.journal, keeper.folder, **SETTINGS)
        assert recovered.snapshot_seq == expected
        assert recovered.replayer.book.digest() == shop.book.digest()
        newest.write_bytes(b"damaged")


def test_due_by_time_by_bytes_and_by_request_but_not_without_anything_new(shop, tmp_path):
    keeper = Keeper(shop, tmp_path, seconds=900, journal_bytes=2_000, on_digest=None)
    due = keeper.checkpointer.is_due
    assert not due()
    keeper.now += 900
    assert due()
    keeper.run()
    keeper.now += 9_000
    assert not due(), "nothing was written since"
    shop.sell(1)
    assert due()
    keeper.run()
    assert not due()
    while not due():
        shop.sell(1)
    status = keeper.checkpointer.status()
    assert 2_000 <= status["journal_bytes_since_checkpoint"] < 3_000
    assert status["checkpoint_journal_bytes"] == 2_000
    assert keeper.run()["journal_bytes_since_checkpoint"] == 0
    assert not due()
    keeper.checkpointer.request()
    assert keeper.checkpointer.is_busy
    assert due(), "what a request asks for may be room in the journal"


def test_zero_seconds_are_never(shop, tmp_path):
    keeper = Keeper(shop, tmp_path, seconds=0)
    keeper.now += 10**9
    assert not keeper.checkpointer.is_due()


def test_a_new_checkpointer_begins_where_the_last_one_ended(shop, keeper, tmp_path):
    before = keeper.run_requested()
    again = Keeper(shop, tmp_path)
    after = again.checkpointer.status()
    same = ("snapshot_seq", "snapshot_time_us", "snapshot_bytes", "trimmed_seq", "archived_seq")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    again.now += 900
    assert not again.checkpointer.is_due()


def test_standby_takes_snapshots_archives_and_leaves_the_journal_alone(shop, tmp_path):
    keeper = Keeper(shop, tmp_path, on_digest=None, snapshots=1)
    for _ in range(2):
        shop.sell(3)
        status = keeper.run_requested()
    assert status["snapshot_seq"] == shop.book.seq
    assert (status["trimmed_seq"], status["archived_seq"], shop.journal.first_seq_kept()) == (0, shop.book.seq, 1)
    assert len(snapshots(keeper.folder)) == 1


def test_standby_holds_the_trim_back(shop, tmp_path):
    keeper = Keeper(shop, tmp_path, snapshots=1)
    shop.journal.report_standby("standby:1", 3)
    shop.sell(9)
    assert keeper.run_requested()["trimmed_seq"] < 3 < shop.book.seq
    assert next(shop.journal.read(0))[0] == 3
    shop.journal.report_standby("standby:1", shop.book.seq)
    assert keeper.run_requested()["trimmed_seq"] == shop.book.seq - 1, "a request with nothing new trims all the same"


def test_writer_goes_on_while_the_snapshot_is_written(shop, keeper):
    shop.sell(3)
    digest, seq = shop.book.digest(), shop.book.seq
    keeper.begin()
    shop.sell(20)
    keeper.finish()
    assert keeper.digests == [(seq, digest)]
    assert recover(shop.journal, keeper.folder, **SETTINGS).replayer.book.digest() == shop.book.digest()


def test_killed_child_leaves_the_old_snapshots_and_is_tried_again(shop, tmp_path):
    keeper = Keeper(shop, tmp_path, on_digest=None)
    keeper.run_requested()
    old = snapshots(keeper.folder)
    shop.sell(1)
    keeper.begin()
    os.kill(keeper.checkpointer._child.pid, signal.SIGKILL)
    failure = keeper.finish()["checkpoint_failure"]
    if read_header(snapshots(keeper.folder)[0]).seq != shop.book.seq:  # unless it was faster
        assert failure == "the snapshot was not written: its process ended with code -9"
        assert snapshots(keeper.folder) == old
        assert not keeper.checkpointer.is_due()
        keeper.now += RETRY_SECONDS
        assert keeper.run()["checkpoint_failure"] == ""
    assert not list(keeper.folder.glob(f"*{TEMPORARY_SUFFIX}"))


def test_failed_write_says_why_and_is_tried_again(shop, tmp_path):
    keeper = Keeper(shop, tmp_path, on_digest=None)
    keeper.folder.write_text("not a folder")
    status = keeper.run_requested()
    assert "the snapshot was not written: FileExistsError" in status["checkpoint_failure"]
    keeper.folder.unlink()
    keeper.now += RETRY_SECONDS
    assert keeper.run()["checkpoint_failure"] == ""
    assert read_header(snapshots(keeper.folder)[0]).seq == shop.book.seq


def test_failed_archive_trims_nothing_and_is_tried_again(shop, tmp_path):
    keeper = Keeper(shop, tmp_path, snapshots=1)
    shop.sell(3)
    keeper.archive_folder.write_text("not a folder")
    status = keeper.run_requested()
    assert "the journal was not archived" in status["checkpoint_failure"]
    assert "Traceback" not in status["checkpoint_failure"]
    assert shop.journal.first_seq_kept() == 1
    keeper.archive_folder.unlink()
    keeper.now += RETRY_SECONDS
    status = keeper.run()
    assert (status["checkpoint_failure"], status["trimmed_seq"]) == ("", shop.book.seq - 1)


def test_temporary_files_of_a_killed_engine_are_removed(shop, keeper, tmp_path):
    keeper.folder.mkdir()
    left = keeper.folder / f"1{TEMPORARY_SUFFIX}"
    left.write_bytes(b"half")
    Keeper(shop, tmp_path)
    assert not left.exists()


def test_closing_ends_what_runs(shop, keeper):
    shop.sell(1)
    keeper.begin()
    child = psutil.Process(keeper.checkpointer._child.pid)
    keeper.checkpointer.close()
    assert not keeper.checkpointer.is_running
    assert has_ended(child)


def test_child_holds_nothing_of_the_engine(keeper):
    """A connection that the engine closes ends for its peer, though the child still runs."""
    reader, writer = os.pipe()
    keeper.begin()
    os.close(writer)
    assert os.read(reader, 1) == b"", "the child has closed its copy"
    os.close(reader)
    keeper.finish()


def test_server_short_of_memory_is_relieved(tmp_path):
    with EmbeddedServer(tmp_path / "data") as server, open_journal(server.url) as journal:
        shop = Shop(journal)
        keeper = Keeper(shop, tmp_path)
        shop.sell(20)
        journal._writer.call("CONFIG", "SET", "maxmemory", journal.memory().used_bytes + 2**18)
        assert not keeper.checkpointer.is_due(), "it asks once in a while"
        keeper.now += 10
        seq = shop.book.seq
        assert keeper.run()["trimmed_seq"] == seq - 1, "also with one snapshot only"
        shop.sell(1)
        keeper.now += 10
        assert not keeper.checkpointer.is_due(), "there is nothing to be gained"
        journal._writer.call("CONFIG", "SET", "maxmemory", 1)
        keeper.checkpointer.request()
        assert keeper.run()["trimmed_seq"] == seq, "works at the limit"


# ---- the archive -----------------------------------------------------------------------------------------------------


def test_archive_gives_back_the_journals_entries(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "SEGMENT_BYTES", 1_000)
    shop.sell(30)
    entries = list(shop.journal.read(0))
    assert archived_seq(tmp_path) == 0
    assert archived_from(tmp_path / "none", 7) == 7
    for up_to in (entries[3][0], entries[3][0], entries[20][0] - 1, 10**9):
        archive_entries(shop.journal, tmp_path, up_to)
        assert list(read_archive(tmp_path, 0)) == [entry for entry in entries if entry[0] <= up_to]
    assert len(list(tmp_path.iterdir())) > 3
    assert (archived_from(tmp_path, shop.book.seq + 1), archived_seq(tmp_path)) == (1, shop.book.seq)
    for after in (0, 1, 7, shop.book.seq - 1, shop.book.seq):
        assert list(read_archive(tmp_path, after)) == [entry for entry in entries if entry[0] > after]


def test_overlapping_segments_are_read_once(shop, tmp_path):
    shop.sell(20)
    entries = list(shop.journal.read(0))
    archive._write_segment(tmp_path, entries[:10], 1, shop.time_us)
    archive._write_segment(tmp_path, entries[:4], 1, shop.time_us)
    archive._write_segment(tmp_path, entries[7:], decode_entry(entries[7][1], None)[0].first_seq, shop.time_us)
    assert list(read_archive(tmp_path, 0)) == entries


def test_every_flipped_byte_of_a_segment_names_its_file(shop, tmp_path):
    archive_entries(shop.journal, tmp_path, shop.book.seq)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(ArchiveDamaged, match=path.name):
            list(read_archive(tmp_path, 0))
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ArchiveDamaged, match=path.name):
            list(read_archive(tmp_path, 0))


def test_a_segment_that_is_not_full_becomes_a_longer_one(shop, tmp_path):
    for _ in range(3):
        shop.sell(3)
        archive_entries(shop.journal, tmp_path, shop.book.seq)
        assert list(read_archive(tmp_path, 0)) == list(shop.journal.read(0))
        assert len(list(tmp_path.iterdir())) == 1
    shop.time_us += archive.SEGMENT_US
    shop.sell(1)
    archive_entries(shop.journal, tmp_path, shop.book.seq)
    assert list(read_archive(tmp_path, 0)) == list(shop.journal.read(0))
    assert len(list(tmp_path.iterdir())) == 2


def test_one_that_was_not_deleted_when_it_became_longer_is_deleted_later(shop, tmp_path, monkeypatch):
    shop.sell(3)
    archive_entries(shop.journal, tmp_path, shop.book.seq)
    shop.sell(3)
    monkeypatch.setattr(Path, "unlink", lambda _: (_ for _ in ()).throw(OSError("crash")))
    with pytest.raises(OSError, match="crash"):
        archive_entries(shop.journal, tmp_path, shop.book.seq)
    monkeypatch.undo()
    assert len(list(tmp_path.iterdir())) == 2
    assert list(read_archive(tmp_path, 0)) == list(shop.journal.read(0))
    archive_entries(shop.journal, tmp_path, shop.book.seq)
    assert len(list(tmp_path.iterdir())) == 1
    assert list(read_archive(tmp_path, 0)) == list(shop.journal.read(0))


def test_old_segments_are_deleted_the_oldest_first(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "SEGMENT_US", 0)
    times, seqs = [], []
    for _ in range(3):
        shop.sell(3)
        archive_entries(shop.journal, tmp_path, shop.book.seq)
        times.append(shop.time_us)
        seqs.append(shop.book.seq)
    prune_archive(tmp_path, times[0])
    assert archived_from(tmp_path, shop.book.seq + 1) == 1
    prune_archive(tmp_path, times[0] + 1)
    assert archived_from(tmp_path, shop.book.seq + 1) == seqs[0] + 1
    prune_archive(tmp_path, times[2] + 1)
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_not_ours_are_left_alone(shop, tmp_path):
    shop.sell(3)
    archive_entries(shop.journal, tmp_path, shop.book.seq)
    (tmp_path / "my-backup.segment").write_bytes(b"")
    assert archived_seq(tmp_path) == shop.book.seq
    assert list(read_archive(tmp_path, 0)) == list(shop.journal.read(0))


def test_a_gap_between_archives_is_no_history(shop, tmp_path):
    """Engines that were the primary in turn have archived in turn, each on its own disk."""
    shop.sell(3)
    archive_entries(shop.journal, tmp_path, shop.book.seq)
    archived = shop.book.seq
    shop.sell(3)
    shop.journal.trim_before(shop.book.seq)
    kept = shop.book.seq
    shop.sell(3)
    whole = History(shop.journal, tmp_path)
    assert whole.first_seq_kept() == kept
    assert [last_seq for last_seq, _ in whole.entries(kept - 1)] == [kept, kept + 1, kept + 2, kept + 3]
    for after, missing in ((0, archived + 1), (archived, archived + 1), (kept - 2, kept - 1)):
        with pytest.raises(JournalTrimmed, match=f"expected entries from seq {missing} on, found them from seq {kept}"):
            list(whole.entries(after))
    with pytest.raises(JournalTrimmed):
        recover(shop.journal, None, archive_folder=tmp_path, **SETTINGS)


def test_checkpoints_delete_old_segments(shop, tmp_path):
    keeper = Keeper(shop, tmp_path, history_seconds=60)
    shop.sell(1)
    first = archive_entries(shop.journal, keeper.archive_folder, shop.book.seq)
    shop.time_us += archive.SEGMENT_US + SECOND_US
    shop.sell(1)
    keeper.run_requested()
    assert archived_from(keeper.archive_folder, shop.book.seq + 1) == first + 1


def shop_that_lost_entries(server: EmbeddedServer, journal: StreamJournal, folder: Path) -> tuple[int, Shop]:
    """The last seq of an archive, and a shop whose journal has only the first half of what was archived."""
    with open_journal(server.url) as lost:
        shop = Shop(lost)
        shop.sell(10)
        kept = list(lost.read(0))
        shop.sell(10)
        archive_entries(lost, folder, shop.book.seq)
    Shop(journal)
    for last_seq, payload in kept[2:]:
        journal.append(last_seq, payload)
    replayer = replayed(kept)
    return shop.book.seq, Shop(journal, replayer.book, replayer.chain)


def test_what_the_journal_lost_leaves_the_archive(server, tmp_path, monkeypatch):
    """A journal that went backwards: the next writer skips the lost seqs, and history tells nothing of them."""
    monkeypatch.setattr(archive, "SEGMENT_BYTES", 1_000)
    with open_journal(server.url) as journal:
        lost_seq, again = shop_that_lost_entries(server, journal, tmp_path)
        again.book.skip_to(lost_seq)
        again.sell(5)
        archive_entries(journal, tmp_path, again.book.seq)
        assert list(read_archive(tmp_path, 0)) == list(journal.read(0))
        assert archived_from(tmp_path, again.book.seq + 1) == 1


@pytest.mark.parametrize("sold", [1, 5, 30])
def test_what_the_journal_lost_leaves_the_archive_of_who_did_not_hear_of_it(server, tmp_path, monkeypatch, sold):
    """The next writer did not know of the lost entries, and used their seqs again."""
    monkeypatch.setattr(archive, "SEGMENT_BYTES", 1_000)
    with open_journal(server.url) as journal:
        lost_seq, again = shop_that_lost_entries(server, journal, tmp_path)
        again.sell(sold)
        recovered = recover(journal, None, archive_folder=tmp_path, **SETTINGS)
        assert recovered.seq_floor == (lost_seq if sold < 30 else 0)
        archive_entries(journal, tmp_path, again.book.seq)
        assert list(read_archive(tmp_path, 0)) == list(journal.read(0))


def test_what_was_written_between_checkpoints_is_archived_once_it_is_durable(shop, tmp_path):
    keeper = Keeper(shop, tmp_path, archive_seconds=10)
    shop.sell(3)
    before = shop.book.seq
    for now in (0, 5, 10):
        keeper.now = now
        shop.sell(1)
        keeper.checkpointer.poll()
        keeper.finish()
    assert before < archived_seq(keeper.archive_folder) < shop.book.seq
    assert list(read_archive(keeper.archive_folder, 0)) == list(shop.journal.read(0))[:-1]
    assert (keeper.digests, keeper.trim_count) == ([], 0)


def test_history_goes_on_across_what_is_missing_and_says_what(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "SEGMENT_US", 0)
    ends = []
    for _ in range(4):
        shop.sell(5)
        ends.append(archive_entries(shop.journal, tmp_path, shop.book.seq))
    entries = list(shop.journal.read(0))
    while shop.journal.trim_before(ends[3]):
        pass
    kept = shop.journal.first_seq_kept()
    sorted(tmp_path.iterdir())[1].unlink()
    whole = History(shop.journal, tmp_path)
    assert whole.ranges() == [(1, ends[0]), (ends[1] + 1, ends[3])]
    with_gap = [each for each in entries if not ends[0] < each[0] <= ends[1]]
    assert list(whole.entries(0, across_gaps=True)) == with_gap
    with pytest.raises(JournalTrimmed):
        list(whole.entries(0))
    for segment in sorted(tmp_path.iterdir())[1:]:
        segment.unlink()
    assert whole.ranges() == [(1, ends[0]), (kept, ends[3])]
    expected = [each for each in entries if each[0] <= ends[0] or each[0] >= kept]
    assert list(whole.entries(0, across_gaps=True)) == expected
    assert list(whole.entries(ends[0] + 1, across_gaps=True)) == expected[-1:]


def test_entries_that_do_not_follow_are_not_archived(shop, tmp_path):
    shop.sell(3)
    payload = bytearray(list(shop.journal.read(0))[-1][1])
    shop.journal.append(shop.book.seq + 1, bytes(payload))
    with pytest.raises(JournalCorrupt, match="checksum chain"):
        archive_entries(shop.journal, tmp_path, 10**9)
