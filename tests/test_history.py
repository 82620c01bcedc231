"""The history checker can fail: good histories pass, and every bug that is planted is found.

Bugs are planted in two ways: into a history that an engine left, and into engines.
"""

import os
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from faults.checker import Verdict, check
from faults.cluster import Cluster
from faults.history import Answer, Ask, Asked, Event, History
from faults.journal import JournalEntry, read_entries
from faults.load import Load
from faults.owner import Wrote
from faults.planted import BUGS
from faults.processes import WAIT_SECONDS, wait_until
from faults.settle import settle, whole_journal

ROOT = Path(__file__).parent.parent
CLIENTS = 8
RATE = 600.0
ENOUGH = 600
"""Operations of a history."""


class Recorded(NamedTuple):
    """A history and the journal that it left."""

    events: list[Event]
    entries: list[JournalEntry]

    def verdict(self) -> Verdict:
        return check(self.events, self.entries).verdict

    def copy(self) -> "Recorded":
        events = [msgspec.structs.replace(event) for event in self.events]
        return Recorded(events, list(self.entries))


def load_of(cluster: Cluster) -> Load:
    load = Load(cluster.addresses, client_count=CLIENTS, rate=RATE, seed=1)
    load.stock_up()
    return load


def until_enough(load: Load, more: int = ENOUGH) -> None:
    wanted = len(load.history.events) + more
    wait_until(lambda: len(load.history.events) >= wanted, "the clients asked enough")


@pytest.fixture(scope="module")
def good_history(tmp_path_factory) -> Recorded:
    """What a good engine leaves behind."""
    with Cluster(tmp_path_factory.mktemp("good"), engine_count=1) as cluster:
        cluster.primary()
        load = load_of(cluster)
        with load.running():
            until_enough(load)
        checked = settle(load, cluster)
        assert checked.verdict.violations == []
        assert all(wrote.acknowledged for wrote in load.owner.wrote.values())
        load.owner.wrote["UpsertSkus"] = Wrote(10**6, 10**6)
        assert [problem.partition(":")[0] for problem in load.owner.problems(cluster.primary().address)] == [
            "UpsertSkus"
        ], "a write of the catalog that is lost is found"
        return Recorded(load.history.events, list(read_entries(whole_journal(cluster))))


def test_a_good_history_passes(good_history):
    verdict = good_history.verdict()
    assert verdict.violations == []
    assert verdict.counts["operations"] >= ENOUGH


def test_what_a_module_shares_is_made_by_one_worker(good_history, request):
    """Otherwise each worker makes its own, which takes minutes over all modules and is seen nowhere else."""
    assert good_history.events
    assert "PYTEST_XDIST_WORKER" not in os.environ or request.node.nodeid.endswith("@test_history-good_history-")


def test_a_history_survives_its_file(good_history, tmp_path):
    history = History()
    history.events = good_history.events
    history.save(tmp_path / "history.jsonl")
    assert History.load(tmp_path / "history.jsonl").events == good_history.events


# ---- bugs planted into a history -------------------------------------------------------------------------------------


def first(recorded: Recorded, fits: Callable[[Event], bool]) -> Event:
    return next(event for event in recorded.events if event.outcome == "ok" and not event.is_repeat and fits(event))


def is_write(event: Event) -> bool:
    return not event.asked.ask.is_read and event.client != "stock"


def tell(event: Event, **values: object) -> None:
    """Let a client have been told something else."""
    assert event.answer is not None
    event.answer = msgspec.structs.replace(event.answer, **values)


def lose_the_last_entries(recorded: Recorded) -> None:
    """The journal ends before the last write that a client of the history was told of."""
    told = {event.asked.request_id for event in recorded.events if event.answer is not None and event.answer.seq}
    places = [
        place
        for place, entry in enumerate(recorded.entries)
        if any(each.request_id in told for each in entry.written if each.request_id)
    ]
    del recorded.entries[places[-1] :]
    recorded.events[:] = [event for event in recorded.events if not event.asked.ask.is_read]


def lose_an_acknowledged_write(recorded: Recorded) -> None:
    """A client was told OK of a write that the journal never had."""
    made = Asked(Ask.RECORD_MOVEMENTS, "00000000-0000-4000-8000-000000000001", (("sku-0", "shop", 1),), movement="SALE")
    at = recorded.events[-1].invoke
    recorded.events.append(Event("stub-0", made, at, at + 0.01, "ok", Answer(seq=7)))


def write_twice(recorded: Recorded) -> None:
    """One request id has two records."""
    entry = next(entry for entry in recorded.entries if entry.written[0].request_id)
    place = recorded.entries.index(entry)
    later = recorded.entries[place + 1]
    again = later.written[0]._replace(request_id=entry.written[0].request_id, operation=entry.written[0].operation)
    recorded.entries[place + 1] = later._replace(written=(again, *later.written[1:]))


def write_what_nobody_asked(recorded: Recorded) -> None:
    event = first(recorded, is_write)
    recorded.events[:] = [each for each in recorded.events if each.asked.request_id != event.asked.request_id]


def tell_another_seq(recorded: Recorded) -> None:
    event = first(recorded, is_write)
    assert event.answer is not None
    tell(event, seq=event.answer.seq + 1)


def tell_another_version(recorded: Recorded) -> None:
    event = first(recorded, lambda event: event.asked.ask is Ask.COMMIT and event.answer.reason == "OK")
    tell(event, version=event.answer.version + 1)


def tell_another_reservation(recorded: Recorded) -> None:
    event = first(recorded, lambda event: event.asked.ask is Ask.RESERVE and event.answer.reason == "OK")
    tell(event, reservation_id="00000001ffffffff")


def tell_more_than_is_left(recorded: Recorded) -> None:
    event = first(recorded, lambda event: event.answer.reason == "INSUFFICIENT_STOCK")
    sku, location, requested, available = event.answer.shortages[0]
    tell(event, shortages=((sku, location, requested, available + 1), *event.answer.shortages[1:]))


def refuse_what_there_was(recorded: Recorded) -> None:
    event = first(recorded, lambda event: event.asked.ask is Ask.RESERVE and event.answer.reason == "OK")
    event.answer = Answer(reason="INSUFFICIENT_STOCK", shortages=(("sku-0", "shop", 1, 0),))


def answer_a_repeat_anew(recorded: Recorded) -> None:
    event = next(event for event in recorded.events if event.is_repeat and event.answer.seq)
    tell(event, seq=event.answer.seq + 1)


def take_a_request_id_twice(recorded: Recorded) -> None:
    event = next(event for event in recorded.events if event.answer.reason == "REQUEST_ID_REUSED")
    event.answer = Answer(seq=1)


def refuse_and_do_it(recorded: Recorded) -> None:
    event = first(recorded, is_write)
    event.outcome, event.answer = "fail", None


def answer_late(recorded: Recorded) -> None:
    """A write began after later ones had been answered."""
    event = first(recorded, is_write)
    event.invoke = recorded.events[-1].end
    event.end = event.invoke + 0.01


def read_the_past(recorded: Recorded) -> None:
    """A read is true, but of a time before it began."""
    event = first(recorded, lambda event: event.asked.ask is Ask.AVAILABILITY)
    event.invoke = recorded.events[-1].end
    event.end = event.invoke + 0.01


def read_a_unit_more(recorded: Recorded) -> None:
    event = first(recorded, lambda event: event.asked.ask is Ask.LEVEL)
    row = event.answer.values[0]
    tell(event, values=((*row[:2], row[2] + 1, *row[3:]),))


def read_what_is_not_durable(recorded: Recorded) -> None:
    event = first(recorded, lambda event: event.asked.ask is Ask.AVAILABILITY)
    tell(event, seq=recorded.entries[-1].last_seq + 1)


def expire_too_early(recorded: Recorded) -> None:
    """An entry that ends holds says that it was written when the one before was."""
    place = next(
        place
        for place, entry in enumerate(recorded.entries)
        if any(written.operation.name == "EXPIRE" for written in entry.written)
    )
    before = recorded.entries[place - 1].time_us
    recorded.entries[place] = recorded.entries[place]._replace(time_us=before)


def hold_what_is_not_there(recorded: Recorded) -> None:
    """A hold of a million units in the journal's own records."""
    place, position, written = next(
        (place, position, written)
        for place, entry in enumerate(recorded.entries)
        for position, written in enumerate(entry.written)
        if written.operation.name == "RESERVE" and written.movements
    )
    level, kind, reason, _ = written.movements[0]
    huge = written._replace(movements=((level, kind, reason, 10**6),))
    entry = recorded.entries[place]
    changed = (*entry.written[:position], huge, *entry.written[position + 1 :])
    recorded.entries[place] = entry._replace(written=changed)


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (lose_the_last_entries, "lost"),
        (lose_an_acknowledged_write, "lost"),
        (write_twice, "duplicated"),
        (write_what_nobody_asked, "unasked"),
        (tell_another_seq, "answer"),
        (tell_another_version, "answer"),
        (tell_another_reservation, "answer"),
        (tell_more_than_is_left, "answer"),
        (refuse_what_there_was, "answer"),
        (answer_a_repeat_anew, "answer"),
        (take_a_request_id_twice, "answer"),
        (refuse_and_do_it, "undone"),
        (answer_late, "order"),
        (read_the_past, "order"),
        (read_a_unit_more, "read"),
        (read_what_is_not_durable, "read"),
        (expire_too_early, "journal"),
        (hold_what_is_not_there, "oversold"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_bug_in_a_history_is_found(good_history, plant, kind):
    recorded = good_history.copy()
    plant(recorded)
    assert kind in recorded.verdict().kinds()


# ---- bugs planted into engines ---------------------------------------------------------------------------------------


def planted(name: str, folder: Path, engine_count: int = 1) -> Cluster:
    command = (sys.executable, "-m", "tests.faults.planted", name)
    return Cluster(folder, engine_count=engine_count, command=command)


def verdict_of(load: Load, cluster: Cluster) -> Verdict:
    return check(load.history.events, read_entries(whole_journal(cluster))).verdict


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def sale(units: int) -> Asked:
    return Asked(Ask.RECORD_MOVEMENTS, str(uuid.uuid4()), (("sku-0", "shop", units),), movement="SALE")


@pytest.mark.slow
def test_an_acknowledgment_before_its_durability_is_found(tmp_path):
    with planted("acknowledge-before-durable", tmp_path) as cluster:
        engine = cluster.primary()
        load = load_of(cluster)
        assert load.ask_of(engine.address, sale(5))
        engine.kill()
        assert "lost" in verdict_of(load, cluster).kinds()


@pytest.mark.slow
@pytest.mark.parametrize(("bug", "kind"), [("forget-a-refusals-id", "lost"), ("count-a-hold-after-expiry", "journal")])
def test_a_bug_that_needs_no_crash_is_found(tmp_path, bug, kind):
    with planted(bug, tmp_path) as cluster:
        cluster.primary()
        load = load_of(cluster)
        with load.running():
            until_enough(load)
        assert kind in verdict_of(load, cluster).kinds()


@pytest.mark.slow
def test_a_dropped_tail_of_an_entry_is_found(tmp_path):
    with planted("drop-the-tail-of-a-torn-entry", tmp_path) as cluster:
        cluster.primary()
        load = load_of(cluster)
        with load.running():
            until_enough(load)
            cluster.engines[0].kill()
            cluster.revive()
            load.history.wait_for_write(time.monotonic(), WAIT_SECONDS)
            until_enough(load, 100)
        assert {"read", "answer"} & verdict_of(load, cluster).kinds()


@pytest.mark.slow
def test_a_missing_epoch_check_is_found(tmp_path):
    """The primary sleeps through its lease; when it wakes up, it answers as if nothing had happened."""
    with planted("skip-the-epoch-check", tmp_path, engine_count=2) as cluster:
        standby, primary = cluster.standby(), cluster.primary()
        load = load_of(cluster)
        sold = sale(5)
        stale = Asked(Ask.AVAILABILITY, lines=(("sku-0", "", 0),))
        with primary.stopped():
            wait_until(lambda: load.ask_of(standby.address, sold), "the standby took over and sold")
        wait_until(lambda: load.ask_of(primary.address, stale), "the primary that slept answers")
        assert "order" in verdict_of(load, cluster).kinds()


def test_every_planted_bug_is_looked_for():
    assert set(BUGS) == {
        "skip-the-epoch-check",
        "acknowledge-before-durable",
        "forget-a-refusals-id",
        "count-a-hold-after-expiry",
        "drop-the-tail-of-a-torn-entry",
        "fail-inside-a-write",  # no bug that a history shows: tests/test_standby.py
    }
