"""Snapshots: what comes back is the ledger that was written, and what is damaged or foreign is never used."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from ledger_cases import MINUTE_US, batch_of, reserve, uuid7
from ledger_properties.callers import COMMANDS, LEVELS, RETENTION_US, WINDOW_US, Callers
from ledger_properties.machine import PROFILE, LedgerMachine
from snapshot_cases import SETTINGS, Shop, open_journal

from ledger.archive import archive_entries
from ledger.book import Book
from ledger.core.ledger import Ledger
from ledger.journal.embedded import EmbeddedServer
from ledger.journal.entry import CHAIN_START
from ledger.journal.errors import JournalCorrupt
from ledger.recovery import BYTES, SEQS, recover
from ledger.sealed import MAGIC_BYTES, SealedFile
from ledger.snapshot import (
    KIND,
    SnapshotDamaged,
    SnapshotOfOtherRelease,
    load_snapshot,
    read_header,
    set_aside,
    snapshots,
    write_snapshot,
)

SEED_COUNT, STEP_COUNT = (50, 1_500) if PROFILE == "thorough" else (3, 120)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path_factory.mktemp("journal")) as server:
        yield server


@pytest.fixture
def shop(server) -> Iterator[Shop]:
    with open_journal(server.url) as journal:
        yield Shop(journal)


# ---- what comes back -------------------------------------------------------------------------------------------------


def test_book_comes_back_as_it_was(shop, tmp_path):
    shop.sell(20)
    path = shop.take_snapshot(tmp_path)
    header, book = load_snapshot(path)
    assert (header.seq, header.chain, header.epoch) == (shop.book.seq, shop.chain, shop.journal.epoch)
    assert header.time_us == shop.time_us
    assert (book.request_window_us, book.retention_us) == tuple(SETTINGS.values())
    assert book.digest() == header.digest == shop.book.digest()
    assert book.verify() == []
    assert book.catalog.location("L-0") == shop.book.catalog.location("L-0")
    assert book.catalog.group_members("all") == [0]


def test_empty_book_comes_back(tmp_path):
    empty = Book(**SETTINGS)
    _, book = load_snapshot(write_snapshot(tmp_path, empty, CHAIN_START, 1))
    assert book.digest() == empty.digest()


class SnapshotMachine(LedgerMachine):
    """The ledgers' machine, in which the fast ledger is written to a snapshot and read again at any time."""

    folder: Path

    def take_over_from_snapshot(self) -> None:
        """An older snapshot and the groups after it make a new standby; a new one, written now, makes the writer."""
        self.settle()
        self.standby, self.fast = self.restored(*self.oldest), self.restored(*self.save())
        assert self.standby.digest() == self.fast.digest()
        self.oldest = self.save()

    def save(self) -> tuple[Path, int]:
        book = Book(**SETTINGS)
        book.ledger = self.fast
        return write_snapshot(self.folder, book, CHAIN_START, 1), len(self.groups)

    def restored(self, path: Path, group_count: int) -> Ledger:
        ledger = load_snapshot(path)[1].ledger
        for group in self.groups[group_count:]:
            ledger.replay(group)
        for location, is_active in self.is_active.items():  # not in the groups: the catalog's
            ledger.set_location_active(location, is_active)
        return ledger


@pytest.mark.parametrize("seed", range(SEED_COUNT))
def test_a_long_day_with_snapshots(seed, tmp_path):
    """Expiry, repeats, slots used again and ids forgotten: all goes on as the plain ledger says."""
    assert tuple(SETTINGS.values()) == (WINDOW_US, RETENTION_US)
    chance = Random(seed)
    callers, machine = Callers(chance), SnapshotMachine()
    machine.folder = tmp_path
    machine.receive_goods([chance.choice([0, 3, 10, 30]) for _ in LEVELS])
    machine.settle()
    machine.oldest = machine.save()
    for _ in range(STEP_COUNT):
        match chance.randrange(12):
            case 0:
                machine.take_over_from_snapshot()
            case 1 | 2:
                machine.settle_now()
            case 3:
                machine.expire_in_parts(chance)
            case _:
                machine.execute_batch(callers.batch(*COMMANDS), callers.step())
        machine.both_read_alike()
        machine.both_are_in_order()
        machine.holds_are_the_sum_of_open_lines()
    machine.teardown()


def test_large_book_goes_on_growing(shop, tmp_path):
    """Indexes that split, and columns that were remapped, go on where they were."""
    for _ in range(3):
        shop.run(*(reserve([(0, 0, 1)], request_id=uuid7(shop.time_us, number)) for number in range(4_000)))
    _, book = load_snapshot(shop.take_snapshot(tmp_path))
    twin = Shop(shop.journal, book, shop.chain)
    for each in (shop, twin):
        each.time_us += MINUTE_US
        batch = [reserve([(0, 0, 1)], request_id=uuid7(each.time_us, number)) for number in range(8_000)]
        each.book.execute(batch_of(batch), each.time_us)
        each.book.close_entry(1)
    assert book.digest() == shop.book.digest()
    assert book.verify() == []


def test_another_window_and_retention_are_the_new_owners(shop, tmp_path):
    request_id = uuid7(shop.time_us, 1)
    shop.run(reserve([(0, 0, 1)], request_id=request_id))
    _, book = load_snapshot(shop.take_snapshot(tmp_path), request_window_us=MINUTE_US, retention_us=MINUTE_US)
    assert book.digest() == shop.book.digest()
    for _ in range(2):  # the first ends the window, the second forgets
        book.execute(batch_of([reserve([(0, 0, 1)])]), book.ledger.time_us + 2 * MINUTE_US)
        book.close_entry(1)
    assert not book.ledger.remembers(request_id >> 64, request_id & (2**64 - 1))


# ---- what is damaged -------------------------------------------------------------------------------------------------


def test_every_flipped_bit_is_found(shop, tmp_path):
    shop.sell(3)
    path = shop.take_snapshot(tmp_path)
    whole = path.read_bytes()
    chance = Random(1)
    with SealedFile(path, KIND) as file:
        edges = {start for part in file._parts.values() for start in (part.offset, part.offset + part.size - 1)}
    positions = {
        *edges,
        *range(MAGIC_BYTES),
        *range(len(whole) - 40, len(whole)),
        *chance.sample(range(len(whole)), 150),
    }
    for position in positions:
        damaged = bytearray(whole)
        damaged[position] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(SnapshotDamaged, match=path.name):
            load_snapshot(path)


def test_every_cut_is_found(shop, tmp_path):
    path = shop.take_snapshot(tmp_path)
    whole = path.read_bytes()
    for length in {*range(0, len(whole), 4_999), *range(60), *range(len(whole) - 60, len(whole))}:
        path.write_bytes(whole[:length])
        with pytest.raises(SnapshotDamaged, match=path.name):
            load_snapshot(path)


def test_parts_of_another_snapshot_are_found(shop, tmp_path):
    """Each file is whole, but its digest is of another state: as a bug of ours might write it."""
    header = read_header(shop.take_snapshot(tmp_path))
    shop.book.digest = lambda: bytes(16)
    path = shop.take_snapshot(tmp_path)
    with pytest.raises(SnapshotDamaged, match=f"expected digest {bytes(16).hex()}, found {header.digest.hex()}"):
        load_snapshot(path)


def test_snapshot_of_another_release_says_so(shop, tmp_path, monkeypatch):
    monkeypatch.setattr("ledger.snapshot.FORMAT", 99)
    path = shop.take_snapshot(tmp_path)
    monkeypatch.undo()
    with pytest.raises(SnapshotOfOtherRelease, match=r"format version: expected .*, found 99, of OnHand"):
        load_snapshot(path)
    with Recovering(shop, tmp_path) as recovered:
        assert recovered.snapshot_seq == 0
        assert recovered.damaged == [], "the release that wrote it may come back"


def test_a_snapshot_that_cannot_be_written_leaves_nothing(shop, tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        shop.take_snapshot(tmp_path)
    assert list(tmp_path.iterdir()) == []


# ---- recovery --------------------------------------------------------------------------------------------------------


class Recovering:
    """What a start finds; checked against the shop, and against a replay of the whole journal if there is one."""

    def __init__(self, shop: Shop, folder: Path | None, **settings) -> None:
        self.recovered = recover(shop.journal, folder, **(SETTINGS | settings))
        self.shop = shop

    def __enter__(self):
        return self.recovered

    def __exit__(self, *_) -> None:
        assert self.recovered.replayer.book.digest() == self.shop.book.digest()
        assert self.recovered.replayer.chain == self.shop.chain
        assert self.recovered.replayer.book.verify() == []


def test_newest_snapshot_and_the_tail_are_the_whole(shop, tmp_path):
    seqs = []
    for _ in range(3):
        shop.sell(4)
        seqs.append(read_header(shop.take_snapshot(tmp_path)).seq)
    shop.sell(5)
    heard = []
    recovered = recover(shop.journal, tmp_path, **SETTINGS, report=lambda *step: heard.append(step))
    assert [read_header(path).seq for path in snapshots(tmp_path)] == seqs[::-1]
    assert (recovered.snapshot_seq, recovered.seq_floor, recovered.refused) == (seqs[-1], 0, [])
    assert recovered.replayer.entry_count == 5
    assert recovered.replayer.book.digest() == shop.book.digest()
    assert [step for step in heard if step[0] == SEQS][-1] == (SEQS, shop.book.seq, shop.book.seq)
    assert all(before[1] <= after[1] for before, after in pairwise([step for step in heard if step[0] == BYTES]))


def test_damaged_snapshots_fall_back(shop, tmp_path):
    paths = []
    for _ in range(2):
        shop.sell(3)
        paths.append(shop.take_snapshot(tmp_path))
    older = read_header(paths[0])
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    with Recovering(shop, tmp_path) as recovered:
        assert recovered.snapshot_seq == older.seq
        assert paths[1].name in recovered.refused[0]
        assert recovered.damaged == [paths[1]]
    set_aside(paths[1])
    assert snapshots(tmp_path) == paths[:1], "the damaged one is out of the way"
    paths[0].write_bytes(b"garbage")
    with Recovering(shop, tmp_path) as recovered:
        assert recovered.snapshot_seq == 0
    with Recovering(shop, None) as recovered:
        assert recovered.refused == []


def test_trimmed_journal_without_a_snapshot_is_refused(shop, tmp_path):
    shop.sell(5)
    path = shop.take_snapshot(tmp_path)
    seq = shop.book.seq
    shop.journal.trim_before(seq)
    shop.sell(2)
    with Recovering(shop, tmp_path) as recovered:
        assert recovered.snapshot_seq == seq
    shop.journal.trim_before(seq + 1)  # the snapshot's own entry is gone as well; the next one follows it
    with Recovering(shop, tmp_path) as recovered:
        assert recovered.snapshot_seq == seq
    path.unlink()
    with pytest.raises(JournalCorrupt, match=f"begins at seq {seq + 1}: There is no snapshot"):
        recover(shop.journal, tmp_path, **SETTINGS)


def test_snapshot_that_contradicts_the_writers_digest_falls_back(shop, tmp_path):
    """It is whole, but not what the writer had: damaged memory, or a bug of ours in the process that wrote it."""
    shop.sell(3)
    older = read_header(shop.take_snapshot(tmp_path))
    shop.sell(3)
    digest = shop.book.digest()
    shop.book.mark_digest()
    shop.book.tell_digest(shop.book.seq, digest)
    stock = shop.book.ledger._columns["level_stock"].array
    stock[0] += 1
    path = shop.take_snapshot(tmp_path)
    stock[0] -= 1
    shop.sell(2)
    with Recovering(shop, tmp_path) as recovered:
        assert recovered.snapshot_seq == older.seq
        assert path.name in recovered.refused[0]
        assert digest.hex() in recovered.refused[0]
        assert recovered.replayer.compared_count == 1


def test_a_journal_that_is_gone_is_not_taken_for_one_that_went_backwards(server, shop, tmp_path):
    shop.take_snapshot(tmp_path)
    with open_journal(server.url) as empty, pytest.raises(JournalCorrupt, match="found none"):
        recover(empty, tmp_path, **SETTINGS)


def test_an_archive_stands_in_for_snapshots_that_are_damaged(shop, tmp_path):
    archive = tmp_path / "history"
    shop.sell(5)
    path = shop.take_snapshot(tmp_path)
    archive_entries(shop.journal, archive, shop.book.seq)
    shop.journal.trim_before(shop.book.seq)
    shop.sell(2)
    path.write_bytes(b"garbage")
    with Recovering(shop, tmp_path, archive_folder=archive) as recovered:
        assert recovered.snapshot_seq == 0
    with pytest.raises(JournalCorrupt, match="expected a snapshot to begin with"):
        recover(shop.journal, tmp_path, **SETTINGS)


def test_foreign_snapshot_is_refused(server, shop, tmp_path):
    with open_journal(server.url) as other:
        foreign = Shop(other)
        foreign.time_us += 1
        foreign.sell(3)
        path = foreign.take_snapshot(tmp_path)
    shop.sell(10)
    with Recovering(shop, tmp_path) as recovered:
        assert recovered.snapshot_seq == 0
        assert recovered.seq_floor == 0
        assert "no entry that ends at seq" in recovered.refused[0]
    assert path.exists()
    shop.journal.trim_before(shop.book.seq)
    with pytest.raises(JournalCorrupt, match="no entry that ends at seq"):
        recover(shop.journal, tmp_path, **SETTINGS)


def test_snapshot_beyond_the_journals_end_is_not_used_and_its_seqs_never_again(shop, tmp_path):
    shop.sell(3)
    older = read_header(shop.take_snapshot(tmp_path)).seq
    ahead = Shop(shop.journal, load_snapshot(shop.take_snapshot(tmp_path))[1], shop.chain)
    ahead.append = lambda: ahead.book.close_entry(1)  # acknowledged by nobody: the journal lost it
    ahead.sell(5)
    ahead.take_snapshot(tmp_path)
    with Recovering(shop, tmp_path) as recovered:
        assert recovered.snapshot_seq == older
        assert recovered.seq_floor == ahead.book.seq
        assert "the journal lost entries" in recovered.refused[0]


def test_skipped_seqs_are_told_before_a_snapshot(shop, tmp_path):
    shop.book.skip_to(shop.book.seq + 10)
    assert shop.book.has_open_entry
    with pytest.raises(AssertionError):
        shop.take_snapshot(tmp_path)
    shop.sell(1)
    assert not shop.book.has_open_entry
    shop.take_snapshot(tmp_path)
    shop.sell(1)
    with Recovering(shop, tmp_path) as recovered:
        assert recovered.replayer.entry_count == 1


def test_every_snapshot_of_a_journal_leads_to_the_same(shop, tmp_path):
    """Snapshots at random positions, with expiry, forgetting and recycling between them: tails of all lengths agree."""
    chance = Random(7)
    for _ in range(30):
        shop.time_us += chance.choice([0, 0, MINUTE_US, SETTINGS["request_window_us"]])
        shop.run(
            *(
                reserve([(0, 0, 1)], ttl_us=chance.choice([1, MINUTE_US]), request_id=uuid7(shop.time_us, number))
                for number in range(chance.randint(1, 300))
            )
        )
        if chance.randrange(3) == 0:
            shop.take_snapshot(tmp_path / f"{shop.book.seq}")
    for folder in tmp_path.iterdir():
        with Recovering(shop, folder) as recovered:
            assert recovered.snapshot_seq == int(folder.name)
    with Recovering(shop, None) as recovered:
        assert recovered.replayer.entry_count == 32
