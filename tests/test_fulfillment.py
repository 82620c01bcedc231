"""Fulfillment orders: every cell of the table, and what each verb does with units, on both ledgers."""

from __future__ import annotations

from itertools import product

import pytest
from docs_tables import FULFILLMENT, with_fulfillment_states
from ledger_cases import (
    HOUR_US,
    Bench,
    Command,
    LedgerLike,
    Result,
    amend,
    assign,
    cancel,
    fulfill,
    set_on_hand,
    units,
    uuid4,
    work,
)

from ledger.core.documents import DOCUMENTS, allowed_verbs
from ledger.core.ledger import Ledger
from ledger.core.statuses import (
    DocumentKind,
    FulfillmentAction,
    FulfillmentMethod,
    FulfillmentStage,
    FulfillmentState,
    FulfillmentVerb,
    ReservationState,
    Status,
)
from ledger.core.views import DocumentView
from ledger.oracle.stock import OracleLedger

A, B, SKU, OTHER = 0, 1, 0, 1
KIND = DocumentKind.FULFILLMENT_ORDER
(ROW,) = (row for row in DOCUMENTS if row.kind is KIND)
State, Verb, Action, Method = FulfillmentState, FulfillmentVerb, FulfillmentAction, FulfillmentMethod
ACTION_OF = {row.verb: Action(row.actions[0]) for row in ROW.verbs if row.actions}


@pytest.fixture(params=[Ledger, OracleLedger], ids=["fast", "plain"])
def bench(request: pytest.FixtureRequest) -> Bench:
    ledger: LedgerLike = request.param(request_window_us=HOUR_US, retention_us=HOUR_US)
    for name in ("SKU", "OTHER"):
        ledger.define_sku(name)
    for name in ("A", "B"):
        ledger.define_location(name)
    return Bench(ledger)


def given(bench: Bench, *lines: tuple[int, int], method: Method = Method.SHIP, on_hand: int = 10) -> int:
    """An order of some units at A, given to A to be fulfilled; returns the fulfillment order."""
    bench.stock(*((sku, A, on_hand) for sku, _ in lines))
    order = bench.order(*((sku, A, quantity) for sku, quantity in lines))
    return bench.ok(assign(order, A, lines, method=method)).reservation_id


def does(verb: Verb, number: int, *lines: tuple[int, int], **more: int) -> Command:
    return work(verb, [units(sku, ACTION_OF[verb], count) for sku, count in lines], document_id=number, **more)


def done(bench: Bench, verb: Verb, number: int, *lines: tuple[int, int]) -> Result:
    return bench.ok(does(verb, number, *lines))


def view(bench: Bench, number: int) -> DocumentView:
    found = bench.ledger.document(number, KIND)
    assert found is not None
    return found


def state(bench: Bench, number: int) -> State:
    return State(view(bench, number).state)


def stages(bench: Bench, number: int, sku: int = SKU) -> dict[str, int]:
    """Units of a line by stage, those with none left out."""
    (line,) = [line for line in view(bench, number).lines if line.sku == sku]
    return {stage.name: count for stage, count in zip(FulfillmentStage, line.units, strict=False) if count}


def stock(bench: Bench, sku: int = SKU, location: int = A) -> tuple[int, int, int]:
    """Units on hand, committed and available."""
    level = bench.level(sku, location)
    (available,) = bench.available((sku, location))
    return level.on_hand, level.committed, available


# ---- the table -------------------------------------------------------------------------------------------------------

STEPS = {
    State.OPEN: (),
    State.ACCEPTED: (Verb.ACCEPT,),
    State.PICKING: (Verb.START_PICKING,),
    State.PICKED: (Verb.PICK,),
    State.PACKED: (Verb.PACK,),
    State.READY_FOR_PICKUP: (Verb.MAKE_READY,),
    State.SHIPPED: (Verb.SHIP,),
    State.DELIVERED: (Verb.SHIP, Verb.DELIVER),
    State.COLLECTED: (Verb.MAKE_READY, Verb.COLLECT),
    State.REJECTED: (Verb.REJECT,),
    State.CANCELLED: (Verb.CANCEL,),
    State.NOT_COLLECTED: (Verb.MAKE_READY, Verb.GIVE_UP_PICKUP),
}
ARE_COLLECTED = (State.READY_FOR_PICKUP, State.COLLECTED, State.NOT_COLLECTED)
CELLS = {f"{cell.state.name}-{row.verb.name}": (row, cell) for row in ROW.verbs for cell in row.cells if cell.state}


def brought_to(bench: Bench, wanted: State, method: Method | None = None) -> int:
    """Bring a fulfillment order of 4 units, by the method that it takes, to a state, by steps that may be left out."""
    method = method or (Method.PICKUP if wanted in ARE_COLLECTED else Method.SHIP)
    number = given(bench, (SKU, 4), method=method)
    if wanted in (State.CANCELLED, State.SHIPPED, State.COLLECTED):  # some of it is to be put back
        done(bench, Verb.PICK, number)
        done(bench, Verb.CANCEL, number, (SKU, 1))
    for verb in STEPS[wanted]:
        done(bench, verb, number)
    return number


def lines_for(verb: Verb) -> list[tuple[int, int]]:
    return [(SKU, 1)] if verb is Verb.SHORT_PICK else []


@pytest.mark.parametrize(("row", "cell"), CELLS.values(), ids=CELLS)
def test_every_cell_does_what_it_says(bench, row, cell):
    number = brought_to(bench, cell.state)
    method = Method(view(bench, number).method)
    assert state(bench, number) == cell.state
    before = view(bench, number), stock(bench), bench.outside(SKU)
    result = bench.do(does(row.verb, number, *lines_for(row.verb)))
    if cell.refused != Status.OK or (row.methods and method not in row.methods):
        assert (result.status, result.state, result.version) == (Status.VERB_NOT_ALLOWED, cell.state, method)
        assert row.verb not in allowed_verbs(KIND, cell.state, method)
        assert (view(bench, number), stock(bench), bench.outside(SKU)) == before
        return
    assert row.verb in allowed_verbs(KIND, cell.state, method)
    if row.verb is Verb.PUT_BACK and "TO_PUT_BACK" not in str(stages(bench, number)) and result.status != Status.OK:
        assert result.status == Status.QUANTITY_EXCEEDS_OPEN
        return
    assert result.status == Status.OK
    meanwhile = [each.state for each in cell.meanwhile if any(s.name in stages(bench, number) for s in each.any_in)]
    assert state(bench, number) == [*meanwhile, cell.then][0]
    assert result.version == before[0].version + 1


@pytest.mark.parametrize(("wanted", "method"), list(product(State, Method)), ids=lambda each: each.name)
def test_a_verb_of_another_method_is_refused_as_one_of_another_state(bench, wanted, method):
    if (method in (Method.PICKUP, Method.SHIP_TO_STORE)) != (wanted in ARE_COLLECTED) and wanted not in (
        *(State.OPEN, State.ACCEPTED, State.PICKING, State.PICKED, State.PACKED),
        *(State.REJECTED, State.CANCELLED),
    ):
        return  # it never comes there
    number = given(bench, (SKU, 4), method=method)
    for verb in STEPS[wanted]:
        done(bench, verb, number)
    for verb in Verb:
        if verb is Verb.CREATE:
            continue
        allowed = verb in allowed_verbs(KIND, wanted, method)
        version = view(bench, number).version
        result = bench.do(does(verb, number, *lines_for(verb), expected_version=version))
        assert (result.status == Status.VERB_NOT_ALLOWED) == (not allowed), (verb, result)
        if result.status == Status.OK:
            return  # it has gone on


def test_the_docs_have_the_same_cells():
    """Where this fails: `python -m tests.docs_tables`."""
    page = FULFILLMENT.read_text("utf-8")
    assert with_fulfillment_states(page) == page


# ---- what a verb does with units -------------------------------------------------------------------------------------


def test_units_stay_committed_until_they_leave(bench):
    number = given(bench, (SKU, 3))
    assert stock(bench) == (10, 3, 7)
    for verb in (Verb.ACCEPT, Verb.START_PICKING, Verb.PICK, Verb.PACK):
        done(bench, verb, number)
        assert stock(bench) == (10, 3, 7)
    done(bench, Verb.SHIP, number)
    assert (stock(bench), bench.outside(SKU)["CUSTOMER"]) == ((7, 0, 7), 3)


def test_its_order_has_them_again_once_they_are_fulfilled(bench):
    bench.stock((SKU, A, 10))
    order = bench.order((SKU, A, 5))
    number = bench.ok(assign(order, A, [(SKU, 3)])).reservation_id
    assert bench.lines(order) == [(SKU, A, 2, 2, 0)]
    bench.ok(amend(order, [(SKU, A, 3)]))
    bench.ok(amend(order, [(SKU, A, 2)]))
    assert bench.do(fulfill(order, [(SKU, A, 3)])).status == Status.QUANTITY_EXCEEDS_OPEN
    done(bench, Verb.SHIP, number, (SKU, 2))
    assert (bench.lines(order), state(bench, number)) == ([(SKU, A, 4, 2, 2)], State.OPEN)
    done(bench, Verb.SHIP, number)
    assert bench.lines(order) == [(SKU, A, 5, 2, 3)]
    bench.ok(fulfill(order))
    assert bench.state(order) is ReservationState.FULFILLED


def test_an_order_waits_for_all_that_is_being_done_for_it(bench):
    bench.stock((SKU, A, 10))
    order = bench.order((SKU, A, 4))
    first, second = (bench.ok(assign(order, A, [(SKU, 2)])).reservation_id for _ in range(2))
    done(bench, Verb.SHIP, first)
    assert bench.state(order) is ReservationState.COMMITTED
    done(bench, Verb.CANCEL, second)
    assert bench.state(order) is ReservationState.FULFILLED
    assert bench.lines(order) == [(SKU, A, 2, 0, 2)]


def test_fo1_a_part_is_shipped_and_the_rest_later(bench):
    number = given(bench, (SKU, 3))
    done(bench, Verb.PACK, number)
    done(bench, Verb.SHIP, number, (SKU, 2))
    assert (stock(bench)[:2], state(bench, number)) == ((8, 1), State.PACKED)
    assert stages(bench, number) == {"PICKED": 1, "SHIPPED": 2}
    done(bench, Verb.SHIP, number)
    assert (stock(bench), state(bench, number)) == ((7, 0, 7), State.SHIPPED)


def test_fo3_more_than_there_is_is_refused(bench):
    number = given(bench, (SKU, 3))
    done(bench, Verb.PACK, number)
    refused = bench.do(does(Verb.SHIP, number, (SKU, 4)))
    assert (refused.status, refused.told) == (Status.QUANTITY_EXCEEDS_OPEN, [(1, (SKU, A), 4, 3)])
    assert bench.do(does(Verb.SHIP, number, (OTHER, 1))).status == Status.QUANTITY_EXCEEDS_OPEN
    assert stages(bench, number) == {"PICKED": 3}


def test_fo6_a_shelf_that_has_less_ships_nothing_and_may_still_pick_short(bench):
    number = given(bench, (SKU, 3), on_hand=3)
    done(bench, Verb.PACK, number)
    bench.ok(set_on_hand([(SKU, A, 1)]))
    refused = bench.do(does(Verb.SHIP, number))
    assert (refused.status, refused.told) == (Status.INSUFFICIENT_STOCK, [(1, (SKU, A), 3, 1)])
    done(bench, Verb.SHORT_PICK, number, (SKU, 2))
    assert (stock(bench), stages(bench, number)) == ((1, 1, 0), {"PICKED": 1, "MISSING": 2})
    assert "SHRINKAGE" in bench.outside(SKU)
    done(bench, Verb.SHIP, number)
    assert stock(bench) == (0, 0, 0)


def test_fo8_what_is_not_found_is_offered_to_nobody(bench):
    number = given(bench, (SKU, 6), on_hand=6)
    done(bench, Verb.START_PICKING, number)
    done(bench, Verb.SHORT_PICK, number, (SKU, 2))
    assert (state(bench, number), stages(bench, number)) == (State.PICKING, {"OPEN": 4, "MISSING": 2})
    assert (stock(bench), bench.outside(SKU)["SHRINKAGE"]) == ((4, 4, 0), 2)
    done(bench, Verb.SHORT_PICK, number, (SKU, 4))
    assert (state(bench, number), stock(bench)) == (State.REJECTED, (0, 0, 0))


def test_a_gap_that_the_books_know_is_closed_by_what_is_missing_first(bench):
    number = given(bench, (SKU, 4), on_hand=6)
    bench.ok(set_on_hand([(SKU, A, 3)]))  # one fewer than was promised
    done(bench, Verb.SHORT_PICK, number, (SKU, 2))
    assert stock(bench) == (2, 2, 0)


def test_what_is_rejected_is_held_for_the_order_again(bench):
    bench.stock((SKU, A, 10), (OTHER, A, 10))
    order = bench.order((SKU, A, 2), (OTHER, A, 1))
    number = bench.ok(assign(order, A, [(SKU, 2), (OTHER, 1)])).reservation_id
    done(bench, Verb.PICK, number, (SKU, 1))
    done(bench, Verb.REJECT, number, (SKU, 2))
    assert (state(bench, number), bench.lines(order)) == (State.PICKING, [(SKU, A, 2, 2, 0)])
    assert stock(bench) == (10, 2, 8)
    done(bench, Verb.REJECT, number)
    assert (state(bench, number), bench.lines(order)) == (State.REJECTED, [(SKU, A, 2, 2, 0), (OTHER, A, 1, 1, 0)])
    again = bench.ok(assign(order, A, [(SKU, 2), (OTHER, 1)])).reservation_id
    done(bench, Verb.SHIP, again)
    assert bench.state(order) is ReservationState.FULFILLED


def test_what_is_rejected_when_nobody_wants_it_any_more_is_free(bench):
    bench.stock((SKU, A, 10))
    order = bench.order((SKU, A, 4))
    number = bench.ok(assign(order, A, [(SKU, 3)])).reservation_id
    bench.ok(cancel(order))
    assert stock(bench) == (10, 3, 7)
    done(bench, Verb.REJECT, number)
    assert (stock(bench), state(bench, number)) == ((10, 0, 10), State.REJECTED)


def test_units_that_left_after_the_order_was_given_up_are_told_by_it(bench):
    bench.stock((SKU, A, 10))
    order = bench.order((SKU, A, 4))
    number = bench.ok(assign(order, A, [(SKU, 3)])).reservation_id
    bench.ok(cancel(order))
    done(bench, Verb.SHIP, number)
    assert (stock(bench), bench.lines(order)) == ((7, 0, 7), [(SKU, A, 4, 0, 3)])


def test_what_was_picked_and_is_cancelled_is_to_be_put_back(bench):
    number = given(bench, (SKU, 5))
    done(bench, Verb.PICK, number, (SKU, 2))
    done(bench, Verb.CANCEL, number, (SKU, 4))
    assert stages(bench, number) == {"PICKED": 1, "CANCELLED": 3, "TO_PUT_BACK": 1}
    assert (stock(bench), state(bench, number)) == ((10, 1, 9), State.PICKED)
    done(bench, Verb.PUT_BACK, number)
    assert stages(bench, number) == {"PICKED": 1, "CANCELLED": 4}
    assert bench.do(does(Verb.PUT_BACK, number)).status == Status.QUANTITY_EXCEEDS_OPEN


def test_o2_what_was_shipped_is_not_cancelled_with_the_rest(bench):
    number = given(bench, (SKU, 5), on_hand=100)
    done(bench, Verb.SHIP, number, (SKU, 3))
    done(bench, Verb.CANCEL, number)
    assert (state(bench, number), stock(bench)) == (State.SHIPPED, (97, 0, 97))
    assert stages(bench, number) == {"SHIPPED": 3, "CANCELLED": 2}
    assert bench.do(does(Verb.CANCEL, number)).status == Status.VERB_NOT_ALLOWED


@pytest.mark.parametrize("verb", [Verb.SHORT_PICK, Verb.REJECT, Verb.CANCEL, Verb.SHIP])
def test_where_nothing_is_to_be_picked_any_more_all_is_picked(bench, verb):
    number = given(bench, (SKU, 3), (OTHER, 1))
    done(bench, Verb.PICK, number, (SKU, 3))
    assert state(bench, number) is State.PICKING
    done(bench, verb, number, (OTHER, 1))
    assert state(bench, number) is State.PICKED


def test_p8_a_part_is_collected_and_the_rest_stays_ready(bench):
    number = given(bench, (SKU, 3), method=Method.PICKUP)
    done(bench, Verb.MAKE_READY, number)
    done(bench, Verb.COLLECT, number, (SKU, 1))
    assert (state(bench, number), stock(bench)) == (State.READY_FOR_PICKUP, (9, 2, 7))
    done(bench, Verb.COLLECT, number)
    assert (state(bench, number), stock(bench)) == (State.COLLECTED, (7, 0, 7))


def test_p9_what_nobody_collected_is_for_sale_again(bench):
    number = given(bench, (SKU, 2), method=Method.PICKUP, on_hand=6)
    done(bench, Verb.MAKE_READY, number)
    done(bench, Verb.GIVE_UP_PICKUP, number)
    assert (state(bench, number), stock(bench)) == (State.NOT_COLLECTED, (6, 0, 6))
    assert stages(bench, number) == {"TO_PUT_BACK": 2}
    assert bench.do(does(Verb.COLLECT, number)).status == Status.VERB_NOT_ALLOWED


def test_fo51_of_two_clerks_one_is_told_the_version(bench):
    number = given(bench, (SKU, 2))
    bench.ok(does(Verb.ACCEPT, number, expected_version=1))
    late = bench.do(does(Verb.ACCEPT, number, expected_version=1))
    assert (late.status, late.version) == (Status.VERSION_MISMATCH, 2)


def test_a_repeat_gets_the_first_answer_also_of_a_refusal(bench):
    bench.stock((SKU, A, 10))
    order = bench.order((SKU, A, 4))
    create = assign(order, A, [(SKU, 3)], request_id=uuid4(1))
    first = bench.ok(create)
    assert bench.do(create).answer == first.answer
    number = first.reservation_id
    refused = bench.do(does(Verb.COLLECT, number, request_id=uuid4(2)))
    assert bench.do(does(Verb.COLLECT, number, request_id=uuid4(2))).answer == refused.answer
    assert (refused.status, refused.version) == (Status.VERB_NOT_ALLOWED, Method.SHIP)
    other = assign(order, A, [(SKU, 3)], method=Method.PICKUP, request_id=uuid4(1))
    assert bench.do(other).status == Status.REQUEST_ID_REUSED


def test_what_cannot_begin(bench):
    bench.stock((SKU, A, 10))
    order = bench.order((SKU, A, 2))
    for command, status in (
        (assign(order, A, [(-7, 1)]), Status.SKU_NOT_FOUND),
        (assign(order, -7, [(SKU, 1)]), Status.LOCATION_NOT_FOUND),
        (assign(order, B, [(SKU, 1)]), Status.NOT_STOCKED_HERE),
        (assign(77, A, [(SKU, 1)]), Status.RESERVATION_NOT_FOUND),
        (assign(bench.hold((SKU, A, 1)), A, [(SKU, 1)]), Status.RESERVATION_NOT_COMMITTED),
        (assign(order, A, [(SKU, 3)]), Status.QUANTITY_EXCEEDS_OPEN),
        (does(Verb.ACCEPT, 77), Status.DOCUMENT_NOT_FOUND),
    ):
        assert bench.do(command).status == status, command


def test_one_that_ended_is_forgotten(bench):
    number = given(bench, (SKU, 2))
    done(bench, Verb.SHIP, number)
    bench.live(minutes=59)
    done(bench, Verb.DELIVER, number)
    bench.live(minutes=4)
    assert bench.ledger.document(number, KIND) is None
