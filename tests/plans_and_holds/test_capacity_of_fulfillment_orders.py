"""Plans follow their holds: capacity of units that a location was told of, and of those that it rejects."""

from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.order.v1 import fulfillment_pb2
from onhand.order.v1 import fulfillment_service_pb2 as fulfillment
from routing_harness import order, plan_request, shipped

from plans_and_holds.harness import refused, reject


def work(verb: str, number: str, **units: int) -> fulfillment.AdvanceFulfillmentOrderRequest:
    return fulfillment.AdvanceFulfillmentOrderRequest(
        fulfillment_order_id=number,
        verb=f"FULFILLMENT_VERB_{verb}",
        lines=[fulfillment_pb2.FulfillmentQuantity(sku_id=sku, quantity=count) for sku, count in units.items()],
    )


def test_units_that_a_location_was_told_of_take_its_capacity_until_they_are_let_go(side):
    made = side.ask(plan_request(order(("S", 6))))
    side.ask(reservations.CommitReservationRequest(reservation_id=made.reservation_id))
    told = fulfillment.CreateFulfillmentOrderRequest(
        reservation_id=made.reservation_id,
        location_id="A",
        lines=[fulfillment_pb2.FulfillmentQuantity(sku_id="S", quantity=5)],
    )
    number = side.ask(told).fulfillment_order_id
    assert side.load == {"A": 6}
    for verb, units, load in (
        ("REJECT", 1, 6),  # the order holds it there again
        ("CANCEL", 1, 5),
        ("SHORT_PICK", 1, 4),
        ("SHIP", 1, 4),  # the location did the work
    ):
        side.ask(work(verb, number, S=units))
        assert side.load == {"A": load}, verb
        assert side.book.verify() == []
    rest, other = work("SHORT_PICK", number, S=1), told
    del other.lines[:]
    other.lines.add(sku_id="S", quantity=1)
    side.group(rest, other)
    assert side.load == {"A": 3}
    totals = [{"sku_id": "S", "location_id": "A", "quantity": 1}]
    side.ask(reservations.AmendReservationRequest(reservation_id=made.reservation_id, lines=totals))
    assert side.load == {"A": 2}
    assert side.book.verify() == []


def test_a_rejected_unit_is_planned_elsewhere(side):
    made = side.ask(plan_request(order(("S", 2))))
    side.ask(reservations.CommitReservationRequest(reservation_id=made.reservation_id))
    told = fulfillment.CreateFulfillmentOrderRequest(
        reservation_id=made.reservation_id,
        location_id="A",
        lines=[fulfillment_pb2.FulfillmentQuantity(sku_id="S", quantity=2)],
    )
    number = side.ask(told).fulfillment_order_id
    assert refused(side, reject(made.reservation_id, "A")).reason == "QUANTITY_EXCEEDS_OPEN"
    side.ask(work("REJECT", number, S=1))
    plan = side.ask(reject(made.reservation_id, "A")).plan
    assert shipped(plan) == {("S", "B"): 1}
    assert side.load == {"A": 1, "B": 1}
    side.ask(work("SHIP", number))
    assert side.book.verify() == []


def test_a_line_that_can_count_no_further_is_no_violation(side):
    """What leaves for it is told with the fulfillment orders alone."""
    top = 2**31 - 1
    made = side.ask(plan_request(order(("S", 1)))).reservation_id
    side.ask(reservations.CommitReservationRequest(reservation_id=made))
    receive = inventory.RecordMovementsRequest()
    for _ in range(2):
        receive.movements.add(type="MOVEMENT_TYPE_RECEIVE", sku_id="S", location_id="A", quantity=top)
    side.ask(receive)
    numbers: list[str] = []
    for _ in range(2):
        totals = [{"sku_id": "S", "location_id": "A", "quantity": top}]
        side.ask(reservations.AmendReservationRequest(reservation_id=made, lines=totals))
        told = fulfillment.CreateFulfillmentOrderRequest(reservation_id=made, location_id="A")
        told.lines.add(sku_id="S", quantity=top)
        numbers.append(side.ask(told).fulfillment_order_id)
    for number in numbers:
        side.ask(work("SHIP", number))
    assert side.book.verify() == []
