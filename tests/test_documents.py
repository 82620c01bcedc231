"""Documents: every cell of the table, and transfers on both ledgers."""

from __future__ import annotations

from itertools import product

import pytest
from docs_tables import TRANSFERS, with_states
from ledger_cases import (
    HOUR_US,
    Bench,
    LedgerLike,
    Line,
    advance,
    amend,
    cancel,
    create_transfer,
    fulfill,
    set_policy,
    units,
    uuid4,
)

from engine.operate import corrections
from ledger.core import documents
from ledger.core.documents import DOCUMENTS, NOTHING, Way
from ledger.core.ledger import Ledger
from ledger.core.movements import ROW_OF, Account
from ledger.core.state import LINE_UNITS, TRANSIT
from ledger.core.statuses import (
    DocumentKind,
    ReservationState,
    Status,
    TransferAction,
    TransferStage,
    TransferState,
    TransferVerb,
    Unavailable,
)
from ledger.oracle.forms import FORMS, refusal_of
from ledger.oracle.stock import OracleLedger

A, B, SKU, OTHER = 0, 1, 0, 1
DISPATCH, RECEIVE, CLOSE, FIND, CANCEL = (
    TransferVerb.DISPATCH,
    TransferVerb.RECEIVE,
    TransferVerb.CLOSE,
    TransferVerb.FIND,
    TransferVerb.CANCEL,
)
ACCEPT, SET_ASIDE, LOSE, ADD = (
    TransferAction.ACCEPT,
    TransferAction.SET_ASIDE,
    TransferAction.LOSE,
    TransferAction.ADD,
)
(TRANSFER,) = (row for row in DOCUMENTS if row.kind is DocumentKind.TRANSFER)


@pytest.fixture(params=[Ledger, OracleLedger], ids=["fast", "plain"])
def bench(request: pytest.FixtureRequest) -> Bench:
    ledger: LedgerLike = request.param(request_window_us=HOUR_US, retention_us=HOUR_US)
    for name in ("SKU", "OTHER"):
        ledger.define_sku(name)
    for name in ("A", "B"):
        ledger.define_location(name)
    return Bench(ledger)


def made(bench: Bench, *lines: tuple[int, int], holds: bool = False, order: int = 0) -> int:
    """Make a transfer from A to B; returns its id."""
    return bench.ok(create_transfer(A, B, lines, holds=holds, order=order)).reservation_id


def sent(bench: Bench, *lines: tuple[int, int]) -> int:
    """Make a transfer from A to B and dispatch it all."""
    document_id = made(bench, *lines)
    bench.ok(advance(DISPATCH, document_id=document_id))
    return document_id


def stages(bench: Bench, document_id: int, sku: int = SKU) -> dict[str, int]:
    """Units of a transfer's line by stage, those with none left out."""
    (line,) = [line for line in bench.transfer(document_id).lines if line.sku == sku]
    return {stage.name: count for stage, count in zip(TransferStage, line.units, strict=True) if count}


def state(bench: Bench, document_id: int) -> TransferState:
    return TransferState(bench.transfer(document_id).state)


def on_hand(bench: Bench, sku: int = SKU) -> tuple[int, ...]:
    """Units on hand at A and B."""
    found = [bench.ledger.level(sku, location) for location in (A, B)]
    return tuple(level.on_hand if level else 0 for level in found)


# ---- the table -------------------------------------------------------------------------------------------------------

# What the lines of a verb say that needs some, of a transfer of 10 with 10 dispatched.
LINES = {FIND: [units(SKU, TransferAction.FIND, 1)]}


def brought_to(bench: Bench, wanted: TransferState) -> int:
    """Bring a transfer to a state, with units left for every verb that the state allows."""
    bench.stock((SKU, A, 30))
    document_id = made(bench, (SKU, 10), holds=wanted is TransferState.READY)
    if wanted in (TransferState.DRAFT, TransferState.READY):
        return document_id
    bench.ok(advance(DISPATCH, [units(SKU, TransferAction.SEND, 8)], document_id=document_id))
    if wanted is TransferState.IN_TRANSIT:
        return document_id
    bench.ok(advance(RECEIVE, [units(SKU, ACCEPT, 3), units(SKU, LOSE, 1)], document_id=document_id))
    if wanted is TransferState.RECEIVED:
        bench.ok(advance(DISPATCH, document_id=document_id))
        bench.ok(advance(RECEIVE, document_id=document_id))
    if wanted is TransferState.CLOSED:
        bench.ok(advance(CLOSE, document_id=document_id))
    if wanted is TransferState.CANCELLED:
        bench.ok(advance(CANCEL, document_id=document_id))
    return document_id


CELLS = {
    f"{cell.state.name}-{row.verb.name}": (row.verb, cell) for row in TRANSFER.verbs for cell in row.cells if cell.state
}


@pytest.mark.parametrize(("verb", "cell"), CELLS.values(), ids=CELLS)
def test_every_cell_does_what_it_says(bench, verb, cell):
    document_id = brought_to(bench, cell.state)
    assert state(bench, document_id) == cell.state
    before = bench.transfer(document_id), on_hand(bench), bench.outside(SKU)
    result = bench.do(advance(verb, LINES.get(verb, []), document_id=document_id))
    if cell.refused != Status.OK:
        assert (result.status, result.state) == (cell.refused, cell.state)
    elif verb is FIND and cell.state is TransferState.IN_TRANSIT:
        assert result.status == Status.QUANTITY_EXCEEDS_OPEN  # nothing can be short yet
    else:
        assert result.status == Status.OK
        meanwhile = [each.state for each in cell.meanwhile if is_any(bench, document_id, each.any_in)]
        assert state(bench, document_id) == [*meanwhile, cell.then][0]
        assert result.version == before[0].version + 1
        return
    assert (bench.transfer(document_id), on_hand(bench), bench.outside(SKU)) == before


def test_the_docs_have_the_same_cells():
    """Where this fails: `python -m tests.docs_tables`."""
    page = TRANSFERS.read_text("utf-8")
    assert with_states(page) == page


def is_any(bench: Bench, document_id: int, wanted: tuple[TransferStage, ...]) -> bool:
    return any(stage.name in stages(bench, document_id) for stage in wanted)


@pytest.mark.parametrize("row", DOCUMENTS, ids=lambda row: row.kind.name)
def test_the_oracle_has_the_same_cells_and_ways(row):
    form = FORMS[row.kind]
    assert (form.held, form.on_the_way) == (row.held, row.in_transit)
    assert form.ended == tuple(each.state for each in row.states if each.has_ended)
    assert form.rules.keys() == {each.verb for each in row.verbs}
    for verb in row.verbs:
        for cell in verb.cells:
            method = verb.methods[0] if verb.methods else 0
            assert (refusal_of(cell.state, verb.verb, form, method) or Status.OK) == cell.refused, (verb.verb, cell)
        assert form.rules[verb.verb].methods == verb.methods
    assert form.steps.keys() == {way.action for way in row.ways}
    for action, steps in form.steps.items():
        assert [told(way) for way in row.ways if way.action == action] == [
            (
                *(step.before, step.after, name(step.source), name(step.target), int(step.at_target)),
                *(step.for_order, step.with_order, step.is_lost),
            )
            for step in steps
        ]


def told(way: Way) -> tuple[object, ...]:
    row = ROW_OF[way.movement]
    has_reason = way.action is SET_ASIDE  # of transfers
    target = row.target_with_reason if has_reason else row.target
    accounts = name(row.source), name(target), int(way.place)
    return way.source, way.target, *accounts, way.commits, way.of_order, way.are_missing


def name(account: Account | None) -> str | None:
    return None if account is None else account.name


def test_numbers_that_no_document_has_find_nothing():
    kind = int(DocumentKind.TRANSFER)
    for before, verb in product(range(documents.NUMBERS), range(documents.NUMBERS)):
        if (before, verb) not in [(cell.state or NOTHING, row.verb) for row in TRANSFER.verbs for cell in row.cells]:
            assert documents.THEN[kind, before, verb] == documents.STATUS[kind, before, verb] == 0
    assert not documents.THEN[0].any()


# ---- transfers -------------------------------------------------------------------------------------------------------


def test_a_draft_holds_nothing(bench):
    bench.stock((SKU, A, 10))
    document_id = made(bench, (SKU, 8))
    bench.hold((SKU, A, 5))
    result = bench.do(advance(DISPATCH, document_id=document_id))
    assert result.status == Status.INSUFFICIENT_STOCK
    assert result.told == [(1, (SKU, A), 8, 5)]
    assert state(bench, document_id) is TransferState.DRAFT
    assert on_hand(bench) == (10, 0)


def test_one_that_holds_has_its_units_when_it_leaves(bench):
    bench.stock((SKU, A, 10))
    document_id = made(bench, (SKU, 8), holds=True)
    assert bench.available((SKU, A)) == [2]
    assert bench.level(SKU, A).committed == 8
    bench.ok(advance(DISPATCH, [units(SKU, TransferAction.SEND, 5)], document_id=document_id))
    assert stages(bench, document_id) == {"HELD": 3, "IN_TRANSIT": 5}
    assert (bench.level(SKU, A).committed, on_hand(bench), bench.outside(SKU)["TRANSIT"]) == (3, (5, 0), 5)
    bench.ok(advance(CANCEL, document_id=document_id))
    assert (bench.available((SKU, A)), stages(bench, document_id)) == ([10], {"RETURNED": 5, "WITHDRAWN": 3})


def test_safety_stock_leaves_only_where_the_caller_says_so(bench):
    bench.stock((SKU, A, 10))
    bench.ok(set_policy(SKU, A, safety_stock=4, backorder_limit=100))
    document_id = made(bench, (SKU, 8))
    refused = bench.do(advance(DISPATCH, document_id=document_id))
    assert (refused.status, refused.told) == (Status.INSUFFICIENT_STOCK, [(1, (SKU, A), 8, 6)])
    bench.ok(advance(DISPATCH, document_id=document_id, uses_safety_stock=True))
    assert on_hand(bench) == (2, 0)
    again = bench.do(create_transfer(A, B, [(SKU, 3)], holds=True, uses_safety_stock=True))
    assert (again.status, again.told) == (Status.INSUFFICIENT_STOCK, [(1, (SKU, A), 3, 2)])


def test_sent_received_in_parts_and_one_short(bench):
    bench.stock((SKU, A, 30))
    document_id = sent(bench, (SKU, 10))
    books = [(on_hand(bench), bench.outside(SKU))]
    for lines in ([units(SKU, ACCEPT, 4)], [units(SKU, ACCEPT, 5)]):
        bench.ok(advance(RECEIVE, lines, document_id=document_id))
        books.append((on_hand(bench), bench.outside(SKU)))
    bench.ok(advance(CLOSE, document_id=document_id))
    books.append((on_hand(bench), bench.outside(SKU)))
    supplied = {"SUPPLIER": -30}
    assert books == [
        ((20, 0), supplied | {"TRANSIT": 10}),
        ((20, 4), supplied | {"TRANSIT": 6}),
        ((20, 9), supplied | {"TRANSIT": 1}),
        ((20, 9), supplied | {"SHRINKAGE": 1}),
    ]
    bench.ok(advance(FIND, [units(SKU, TransferAction.FIND_AT_SOURCE, 1)], document_id=document_id))
    assert (on_hand(bench), bench.outside(SKU)) == ((21, 9), supplied)
    assert stages(bench, document_id) == {"RECEIVED": 9, "FOUND": 1}
    assert state(bench, document_id) is TransferState.CLOSED


def test_damaged_units_arrive_and_are_not_for_sale(bench):
    bench.stock((SKU, A, 30))
    document_id = sent(bench, (SKU, 10))
    lines = [units(SKU, ACCEPT, 7), units(SKU, SET_ASIDE, 3, Unavailable.DAMAGED)]
    bench.ok(advance(RECEIVE, lines, document_id=document_id))
    assert (on_hand(bench), bench.available((SKU, B)), "TRANSIT" in bench.outside(SKU)) == ((20, 10), [7], False)
    assert bench.level(SKU, B).unavailable == {Unavailable.DAMAGED: 3}
    assert state(bench, document_id) is TransferState.RECEIVED


def test_more_than_is_on_the_way_is_named_unexpected_or_refused(bench):
    bench.stock((SKU, A, 5), (OTHER, A, 1))
    document_id = sent(bench, (SKU, 5))
    bench.ok(advance(RECEIVE, [units(SKU, ACCEPT, 2)], document_id=document_id))
    refused = bench.do(advance(RECEIVE, [units(SKU, ACCEPT, 2), units(SKU, LOSE, 2)], document_id=document_id))
    assert (refused.status, refused.told) == (Status.QUANTITY_EXCEEDS_OPEN, [(2, (SKU, A), 2, 1)])
    assert stages(bench, document_id) == {"IN_TRANSIT": 3, "RECEIVED": 2}
    lines = [units(SKU, ACCEPT, 3), units(SKU, ADD, 1), units(OTHER, ADD, 2)]
    bench.ok(advance(RECEIVE, lines, document_id=document_id))
    assert state(bench, document_id) is TransferState.RECEIVED
    assert (on_hand(bench), on_hand(bench, OTHER)) == ((0, 6), (1, 2))
    assert (bench.outside(SKU)["UNEXPLAINED"], bench.outside(OTHER)["UNEXPLAINED"]) == (-1, -2)


def test_what_is_cancelled_on_the_way_comes_back_or_is_written_off(bench):
    bench.stock((SKU, A, 25))
    document_id = sent(bench, (SKU, 10))
    bench.ok(advance(RECEIVE, [units(SKU, ACCEPT, 4)], document_id=document_id))
    bench.ok(advance(CANCEL, [units(SKU, LOSE, 1)], document_id=document_id))
    assert (on_hand(bench), bench.outside(SKU)) == ((20, 4), {"SUPPLIER": -25, "SHRINKAGE": 1})
    assert state(bench, document_id) is TransferState.CANCELLED
    assert bench.do(advance(RECEIVE, document_id=document_id)).status == Status.DOCUMENT_ENDED


def test_a_place_that_was_closed_still_receives(bench):
    bench.stock((SKU, A, 5))
    document_id = sent(bench, (SKU, 5))
    for location in (A, B):
        bench.ledger.set_location_active(location, active=False)
    bench.ok(advance(RECEIVE, document_id=document_id))
    assert on_hand(bench) == (0, 5)


def test_two_clerks_see_each_other(bench):
    bench.stock((SKU, A, 10))
    document_id = made(bench, (SKU, 8))
    bench.ok(advance(DISPATCH, document_id=document_id, expected_version=1))
    late = bench.do(advance(CANCEL, document_id=document_id, expected_version=1))
    assert (late.status, late.version) == (Status.VERSION_MISMATCH, 2)


def test_a_repeat_gets_the_first_answer_also_of_a_refusal(bench):
    bench.stock((SKU, A, 10))
    create = create_transfer(A, B, [(SKU, 8)], request_id=uuid4(1))
    first = bench.ok(create)
    assert bench.do(create).answer == first.answer
    refused = bench.do(advance(RECEIVE, document_id=first.reservation_id, request_id=uuid4(2)))
    dispatch = advance(DISPATCH, document_id=first.reservation_id, request_id=uuid4(3))
    assert bench.ok(dispatch).answer == bench.do(dispatch).answer
    again = bench.do(advance(RECEIVE, document_id=first.reservation_id, request_id=uuid4(2)))
    assert (refused.status, again.answer) == (Status.DOCUMENT_NOT_BEGUN, refused.answer)
    assert bench.outside(SKU)["TRANSIT"] == 8
    other = bench.do(create_transfer(A, B, [(SKU, 7)], request_id=uuid4(1)))
    assert other.status == Status.REQUEST_ID_REUSED


def test_what_cannot_begin(bench):
    bench.stock((SKU, A, 10))
    for command, status in (
        (create_transfer(A, B, [(-7, 1)]), Status.SKU_NOT_FOUND),
        (create_transfer(A, -7, [(SKU, 1)]), Status.LOCATION_NOT_FOUND),
        (create_transfer(B, A, [(SKU, 1)]), Status.NOT_STOCKED_HERE),
        (create_transfer(A, B, [(SKU, 11)], holds=True), Status.INSUFFICIENT_STOCK),
        (create_transfer(A, B, [(SKU, 1)], order=77), Status.RESERVATION_NOT_FOUND),
        (create_transfer(A, B, [(SKU, 1)], order=bench.hold((SKU, A, 1))), Status.RESERVATION_NOT_COMMITTED),
        (create_transfer(A, B, [(SKU, 2)], order=bench.order((SKU, A, 1))), Status.QUANTITY_EXCEEDS_OPEN),
        (advance(DISPATCH, document_id=77), Status.DOCUMENT_NOT_FOUND),
    ):
        assert bench.do(command).status == status, command


def test_an_ended_transfer_is_forgotten(bench):
    bench.stock((SKU, A, 10))
    document_id = sent(bench, (SKU, 5))
    bench.ok(advance(RECEIVE, document_id=document_id))
    bench.live(minutes=59)
    assert bench.ledger.document(document_id, DocumentKind.TRANSFER) is not None
    bench.live(minutes=4)
    assert bench.ledger.document(document_id, DocumentKind.TRANSFER) is None
    assert made(bench, (SKU, 1)) != document_id


# ---- for an order ----------------------------------------------------------------------------------------------------


def test_units_for_an_order_are_committed_where_they_arrive(bench):
    bench.stock((SKU, A, 10))
    order = bench.order((SKU, A, 4))
    document_id = made(bench, (SKU, 3), order=order)
    assert state(bench, document_id) is TransferState.READY
    assert bench.lines(order) == [(SKU, A, 1, 1, 0)]
    assert bench.level(SKU, A).committed == 4
    bench.ok(advance(DISPATCH, document_id=document_id))
    assert (bench.level(SKU, A).committed, on_hand(bench)) == (1, (7, 0))
    bench.ok(advance(RECEIVE, [units(SKU, ACCEPT, 2), units(SKU, ADD, 1)], document_id=document_id))
    assert bench.lines(order) == [(SKU, A, 1, 1, 0), (SKU, B, 2, 2, 0)]
    assert (bench.level(SKU, B).committed, bench.available((SKU, B))) == (2, [1])
    bench.ok(advance(CANCEL, document_id=document_id))
    assert bench.lines(order) == [(SKU, A, 2, 2, 0), (SKU, B, 2, 2, 0)]
    bench.ok(fulfill(order))
    assert on_hand(bench) == (6, 1)


def test_an_order_does_not_end_before_its_units_have_come(bench):
    bench.stock((SKU, A, 10))
    order = bench.order((SKU, A, 4))
    document_id = made(bench, (SKU, 3), order=order)
    bench.ok(fulfill(order))
    bench.live(minutes=70)
    bench.ok(advance(DISPATCH, document_id=document_id))
    bench.ok(advance(RECEIVE, document_id=document_id))
    assert bench.lines(order) == [(SKU, A, 1, 0, 1), (SKU, B, 3, 3, 0)]
    bench.ok(fulfill(order))
    assert on_hand(bench) == (6, 0)


def test_an_order_that_is_all_on_the_way_ends_with_what_came(bench):
    bench.stock((SKU, A, 10))
    order = bench.order((SKU, A, 4))
    document_id = made(bench, (SKU, 4), order=order)
    bench.ok(advance(DISPATCH, document_id=document_id))
    assert bench.state(order) is ReservationState.COMMITTED
    bench.ok(advance(CLOSE, document_id=document_id))
    assert bench.do(fulfill(order)).status == Status.RESERVATION_NOT_COMMITTED
    bench.ok(advance(FIND, [units(SKU, TransferAction.FIND, 4)], document_id=document_id))
    assert bench.available((SKU, B)) == [4]


def test_units_of_an_order_that_was_cancelled_meanwhile_are_free(bench):
    bench.stock((SKU, A, 10))
    order = bench.order((SKU, A, 4))
    document_id = made(bench, (SKU, 4), order=order)
    bench.ok(cancel(order))
    bench.ok(advance(DISPATCH, document_id=document_id))
    bench.ok(advance(RECEIVE, document_id=document_id))
    assert (bench.level(SKU, B).committed, bench.available((SKU, B))) == (0, [4])


def test_an_order_that_is_amended_to_nothing_still_waits(bench):
    bench.stock((SKU, A, 10))
    order = bench.order((SKU, A, 4))
    document_id = made(bench, (SKU, 3), order=order)
    bench.ok(amend(order, [(SKU, A, 0)]))
    bench.ok(advance(DISPATCH, document_id=document_id))
    bench.ok(advance(RECEIVE, document_id=document_id))
    assert bench.lines(order) == [(SKU, B, 3, 3, 0)]


# ---- what others read of it ------------------------------------------------------------------------------------------


def test_a_replay_and_an_image_have_the_same_transfers():
    first = Ledger(request_window_us=HOUR_US, retention_us=HOUR_US)
    other = Ledger(request_window_us=HOUR_US, retention_us=HOUR_US)
    for ledger in (first, other):
        for each in ("SKU", "OTHER"):
            ledger.define_sku(each)
        for each in ("A", "B"):
            ledger.define_location(each)
    bench = Replayed(first, other)
    bench.stock((SKU, A, 30), (OTHER, A, 30))
    order = bench.order((OTHER, A, 4))
    for document_id in (sent(bench, (SKU, 10), (OTHER, 3)), made(bench, (OTHER, 3), order=order)):
        bench.do(advance(DISPATCH, document_id=document_id))
        lines: list[Line] = [units(OTHER, ACCEPT, 1), units(SKU, ADD, 2)]
        bench.ok(advance(RECEIVE, lines, document_id=document_id))
    copy = Ledger(request_window_us=HOUR_US, retention_us=HOUR_US)
    copy.restore(Parts(other.image()))
    assert copy.digest() == first.digest()
    assert copy.verify() == []
    counts = copy.counts()
    others = dict.fromkeys(set(DocumentKind) - {DocumentKind.TRANSFER}, 0)
    assert counts.open_documents == {DocumentKind.TRANSFER: 2} | others
    assert counts.ended_documents == {DocumentKind.TRANSFER: 0} | others


class Replayed(Bench):
    """A bench whose groups another ledger replays."""

    def __init__(self, ledger: Ledger, other: Ledger) -> None:
        super().__init__(ledger)
        self.first, self.other = ledger, other

    def run(self, *commands, after_us=0):
        taken = self.first.take_group
        self.first.take_group = lambda: self.replayed(taken())  # type: ignore[method-assign]
        results = super().run(*commands, after_us=after_us)
        self.first.take_group = taken  # type: ignore[method-assign]
        return results

    def replayed(self, group):
        if group is not None:
            self.other.replay(group)
            assert self.other.digest() == self.first.digest()
        return group


class Parts:
    """An image in memory."""

    def __init__(self, parts) -> None:
        self.parts = {key: bytes(part) for key, part in parts.items()}

    def has(self, name: str) -> bool:
        return name in self.parts

    def read(self, name: str) -> bytes:
        return self.parts[name]

    def read_into(self, name: str, target: memoryview) -> None:
        target[:] = self.parts[name]


# ---- damage ----------------------------------------------------------------------------------------------------------


def damage_transit(ledger: Ledger) -> None:
    ledger._columns["sku_outside"].array[SKU, TRANSIT] += 1


def damage_stage(ledger: Ledger) -> None:
    ledger._columns["document_lines"].array[0, LINE_UNITS + TransferStage.WITHDRAWN] = 1


def damage_state(ledger: Ledger) -> None:
    ledger._columns["documents"].array["state"][0] = TransferState.DRAFT


def damage_hold(ledger: Ledger) -> None:
    ledger._columns["document_lines"].array[1, LINE_UNITS + TransferStage.HELD] += 1


def damage_waiting(ledger: Ledger) -> None:
    ledger._columns["reservations"].array["awaits"][0] += 1


def damage_chain(ledger: Ledger) -> None:
    ledger._columns["documents"].array["first_line"][1] = 1


DAMAGE = {
    damage_transit: {"transit_matches_documents", "units_are_conserved"},
    damage_stage: {"units_fit_state"},
    damage_state: {"units_fit_state"},
    damage_hold: {"committed_matches_reservations"},
    damage_waiting: {"documents_are_awaited"},
    damage_chain: {"document_lines_have_one_owner", "units_fit_state", "transit_matches_documents"},
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damage_is_found_and_named(damage):
    ledger = Ledger(request_window_us=HOUR_US, retention_us=HOUR_US)
    ledger.define_sku("SKU")
    for place in ("A", "B"):
        ledger.define_location(place)
    bench = Bench(ledger)
    bench.stock((SKU, A, 30))
    order = bench.order((SKU, A, 4))
    sent(bench, (SKU, 10))
    made(bench, (SKU, 3), order=order)
    damage(ledger)
    found = {each.invariant for each in ledger.verify()}
    assert found >= DAMAGE[damage]
    assert found <= {*corrections.OTHERS, *corrections.HELD, *corrections.LEVELS}, "repair says what each means"
