"""What the largest legal reads make the writer look at: a bounded number of rows a call, and nothing is left out.

Nothing here depends on time: positions in page tokens, and what scans say of themselves, tell how much was looked at.
"""

from collections.abc import Iterator
from random import Random
from types import SimpleNamespace
from typing import Any, Final

import pytest
from bulk.harness import POSITIONS, Side, counts
from bulk_requests import WINDOW_SECONDS
from google.protobuf.message import Message
from harness import new_id
from ledger_cases import Bench, cancel, commit, fulfill, release, reserve
from ledger_examples.harness import WINDOW_US
from onhand.inventory.v1 import bulk_service_pb2 as bulk
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_pb2 as messages
from onhand.inventory.v1 import reservation_service_pb2 as reservations

from bench.pauses_stock import ADMIN, STOCK, largest_requests, narrow_reserves, prepare, wide_reserves
from bench.pauses_work import WORK
from engine.api.desk import METHOD_PATHS, METHODS
from engine.api.methods import StockHandler
from engine.api.stock.calls import prepared
from engine.api.stock.inventory import LEVELS_SCANNED_MAX
from engine.api.stock.reservations import LINES_PER_PAGE_MAX, SCAN_MAX
from engine.errors import RefusedError
from ledger.core import limits
from ledger.core.ledger import Ledger
from ledger.core.limits import MICROSECONDS
from ledger.core.statuses import ReservationState

ANY: Final = -1
WIDE: Final = limits.LINES_PER_RESERVATION_MAX
SKUS, LOCATIONS = 12, 5


# ---- scans of the ledger against a plain look at everything ----------------------------------------------------------


@pytest.fixture(scope="module")
def scanned() -> tuple[Ledger, list[int]]:
    """Levels in a random order, some missing; holds of all states, and slots that are free again."""
    chance = Random(1)
    bench = Bench(Ledger(request_window_us=WINDOW_US, retention_us=WINDOW_US))
    for number in range(SKUS):
        bench.ledger.define_sku(f"S{number}")
    for number in range(LOCATIONS):
        bench.ledger.define_location(f"L{number}")
    pairs = [(sku, location) for sku in range(SKUS) for location in range(LOCATIONS)]
    stocked = chance.sample(pairs, 50)
    bench.stock(*((sku, location, 1_000) for sku, location in stocked))
    made = []
    for number in range(300):
        if number == 150:
            bench.wait(3 * WINDOW_US)
        lines = chance.sample(stocked, chance.choice([1, 1, 2, 5, 20]))
        made.append(bench.ok(reserve([(*level, 1) for level in lines])).reservation_id)
        if chance.random() < 0.4:
            bench.ok(chance.choice([commit, release])(made[-1]))
            if bench.state(made[-1]) == ReservationState.COMMITTED and chance.random() < 0.7:
                bench.ok(chance.choice([fulfill, cancel])(made[-1]))
    return bench.ledger, made


FILTERS = [(sku, location) for sku in (ANY, 0, 7) for location in (ANY, 0, 3)]


@pytest.mark.parametrize(("sku", "location"), FILTERS)
@pytest.mark.parametrize("visits_max", [1, 7, 1_000])
def test_a_scan_of_levels_finds_all_and_looks_at_no_more(scanned, sku, location, visits_max):
    ledger, _ = scanned
    skus, locations = ledger.level_keys(0, ledger.level_count)
    wanted = [
        row
        for row, key in enumerate(zip(skus.tolist(), locations.tolist(), strict=True))
        if sku in (ANY, key[0]) and location in (ANY, key[1])
    ]
    for found_max in (1, 3, 100):
        found, row = [], 0
        while row < ledger.level_count:
            scan = ledger.scan_levels(row, sku=sku, location=location, found_max=found_max, visits_max=visits_max)
            assert scan.visited <= visits_max
            assert len(scan.rows) <= found_max
            assert scan.following > row
            found += scan.rows.tolist()
            row = scan.following
        assert found == wanted


@pytest.mark.parametrize(("sku", "location"), FILTERS)
@pytest.mark.parametrize("state", [0, 1, 2, 3, 5, 6])
def test_a_scan_of_reservations_finds_all_and_looks_at_no_more(scanned, sku, location, state):
    ledger, made = scanned
    views = {each: view for each in made if (view := ledger.reservation(each)) is not None}
    wanted = {
        each
        for each, view in views.items()
        if state in (0, view.state)
        and any(sku in (ANY, line.sku) and location in (ANY, line.location) for line in view.lines)
    }
    assert wanted or sku != ANY or location != ANY
    for found_max, lines_max, visits_max in ((1, 1, 1), (3, 1_000, 30), (100, 10, 50), (1_000, 1_000, 10_000)):
        found: list[int] = []
        slot = 0
        while slot < ledger.reservation_slots:
            scan = ledger.scan_reservations(
                slot,
                state=state,
                sku=sku,
                location=location,
                found_max=found_max,
                lines_max=lines_max,
                visits_max=visits_max,
            )
            page = ledger.reservations_at(scan.rows)
            assert scan.visited <= visits_max + WIDE
            assert len(page) <= found_max
            assert sum(len(view.lines) for _, view in page) < lines_max + WIDE
            assert all(views[each] == view for each, view in page)
            found += [each for each, _ in page]
            slot = scan.following
        assert len(found) == len(set(found))
        assert set(found) == wanted


# ---- the largest legal reads, as callers see them --------------------------------------------------------------------


@pytest.fixture(scope="module")
def busy() -> Side:
    """A desk with more reservations than one page looks at, wide ones last."""
    side = Side()
    side.stock(**{f"{sku_id}_{place}": 0 for sku_id in names(WIDE) for place in ("STORE-000", "STORE-001")})
    side.ask(counts(*((sku_id, "STORE-000", limits.QUANTITY_MAX) for sku_id in names(WIDE))))
    for _ in range(SCAN_MAX // limits.COMMANDS_PER_CALL_MAX + 1):
        side.ask(narrow_reserves(limits.COMMANDS_PER_CALL_MAX, WIDE).SerializeToString())
    side.ask(wide_reserves(100).SerializeToString())
    return side


def names(count: int) -> list[str]:
    return [f"SKU-{number:06}" for number in range(count)]


def pages(side: Side, request: Any) -> Iterator[Any]:
    """All pages, with the position at which each began."""
    while True:
        page = side.ask(request)
        yield int(request.page_token or 0), page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


@pytest.mark.parametrize(
    "filters",
    [{}, {"state": messages.RESERVATION_STATE_COMMITTED}, {"sku_id": "SKU-000099"}, {"location_id": "STORE-001"}],
    ids=str,
)
def test_a_page_of_reservations_looks_at_a_bounded_number_of_rows(busy, filters):
    total = busy.book.ledger.reservation_slots
    assert total > SCAN_MAX
    found = set()
    for start, page in pages(busy, reservations.ListReservationsRequest(page_size=1_000, **filters)):
        following = int(page.next_page_token or total)
        assert start < following <= start + SCAN_MAX
        shown = [line for each in page.reservations for line in each.lines]
        assert len(shown) < LINES_PER_PAGE_MAX + WIDE
        found |= {each.reservation_id for each in page.reservations}
    wide, narrow = 100, total - 100
    expected = {0: total, 1: 0 if "state" in filters or "location_id" in filters else wide + narrow // WIDE}
    assert abs(len(found) - expected[len(filters)]) <= SCAN_MAX // limits.COMMANDS_PER_CALL_MAX + 1


@pytest.mark.parametrize("listed_max", [0, 3, 4_096])
@pytest.mark.parametrize("size", [1, 4, 100])
def test_a_reference_that_many_have_is_found_all_the_same(monkeypatch, listed_max, size):
    """Whether the index lists them, or knows no more than that they are many."""
    monkeypatch.setattr("ledger.parts.references.LISTED_MAX", listed_max)
    monkeypatch.setattr("engine.api.stock.reservations.SCAN_MAX", 5)
    monkeypatch.setattr("engine.api.stock.reservations.LINES_PER_PAGE_MAX", 6)
    chance, side = Random(size), Side()
    side.stock(A_X=1_000, A_Y=1_000)

    def held(reference: str) -> tuple[str, str, str]:
        line = messages.LineQuantity(sku_id="A", location_id=chance.choice("XY"), quantity=1)
        request = reservations.ReserveStockRequest(lines=[line], reference=reference)
        request.ttl.FromSeconds(60)
        return reference, line.location_id, side.ask(request).reservation_id

    over = [held("web") for _ in range(10)]
    side.now_us += (60 + 2 * WINDOW_SECONDS) * MICROSECONDS
    side.ask(counts(("A", "X", 900)))  # with which they are forgotten
    made = [held("") for _ in over[5:]]  # in slots of which a reference was said
    made += [held(chance.choice(["", "web", "shop"])) for _ in range(35)]
    for place in ("", "X"):
        wanted = {each for reference, at, each in made if reference == "web" and place in ("", at)}
        found = []
        for _, page in pages(
            side, reservations.ListReservationsRequest(reference="web", location_id=place, page_size=size)
        ):
            assert len(page.reservations) <= size
            found += [each.reservation_id for each in page.reservations]
        assert found == sorted(wanted, key=lambda each: int(each, 16) & 0xFFFFFFFF)
        assert len(wanted) > 3
        assert not wanted & {each for *_, each in over}


@pytest.mark.parametrize(
    "filters", [{}, {"sku_id": "SKU-000099"}, {"location_id": "STORE-001"}, {"suspect_only": True}], ids=str
)
def test_a_page_of_levels_looks_at_a_bounded_number_of_rows(busy, filters):
    total = busy.book.ledger.level_count
    found = []
    for start, page in pages(busy, inventory.ListStockLevelsRequest(page_size=7, **filters)):
        assert int(page.next_page_token or total) <= start + LEVELS_SCANNED_MAX
        assert len(page.stock_levels) <= 7
        found += [(level.sku_id, level.location_id) for level in page.stock_levels]
    expected = [(sku_id, place) for sku_id in names(WIDE) for place in ("STORE-000", "STORE-001")]
    wanted = [level for level in expected if {"sku_id": level[0], "location_id": level[1]}.items() >= filters.items()]
    assert sorted(found) == sorted(wanted)
    assert len(found) == len(set(found))


def test_the_largest_requests_of_the_benchmark_are_legal():
    side = Side()
    side.stock(**{f"{sku_id}_{place}": 10**9 for sku_id in names(150) for place in ("STORE-000", "STORE-001")})

    def call(path: str, request: Message) -> bytes:
        name = path.rsplit("/", 1)[1]
        answer = side.ask(request.SerializeToString() if name == "ExecuteCommands" else request)
        assert not isinstance(answer, RefusedError), (name, answer)
        assert {bulk.COMMAND_STATUS_OK} >= set(getattr(answer, "statuses", ())), name
        return answer.SerializeToString()

    asked = set()
    for rpc, size, request in largest_requests(prepare(call, skus=150, locations=2)):
        if rpc != STOCK + "ListMovements" and not rpc.startswith(ADMIN):  # what needs more than a desk
            call(rpc, request)
        asked.add((rpc, size))
    packages = {path.split(".v1.")[0] for path in (STOCK, ADMIN, WORK)}
    paths = {path for path in METHOD_PATHS if path.split(".v1.")[0] in packages}
    assert {rpc for rpc, _ in asked} == paths


def test_large_calls_are_read_by_names_alone():
    """They are read by another thread while the writer changes everything else."""
    of_names = SimpleNamespace(ledger=SimpleNamespace(sku_index=lambda _: 0, location_index=lambda _: 0))
    side, read = Side(), set()
    side.stock(**{f"{sku_id}_{place}": 10**9 for sku_id in names(150) for place in ("STORE-000", "STORE-001")})

    def call(path: str, request: Message) -> bytes:
        is_bulk = path.endswith("ExecuteCommands")
        return side.ask(request.SerializeToString() if is_bulk else request).SerializeToString()

    for rpc, _, request in largest_requests(prepare(call, skus=150, locations=2)):
        handler = METHODS[METHOD_PATHS.index(rpc)].handler
        if isinstance(handler, StockHandler):
            assert prepared(handler, request, of_names).commands
            read.add(rpc)
    line = messages.LineQuantity(sku_id="S", location_id="L", quantity=1)
    one = reservations.ReserveStockRequest(reservation_id=f"{1:016x}", request_id=new_id(), lines=[line])
    one.ttl.FromSeconds(1)
    batch = reservations.BatchReserveStockRequest(requests=[one])
    handler = METHODS[POSITIONS["BatchReserveStock"]].handler
    assert prepared(handler, batch, of_names).commands
    assert read == {METHOD_PATHS[place] for place, each in enumerate(METHODS) if isinstance(each.handler, StockHandler)}
