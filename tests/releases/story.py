"""A day of a small shop, told to an engine: something of everything that a data folder can hold."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from faults.processes import wait_until
from google.protobuf.timestamp_pb2 import Timestamp
from harness import Refused, new_id
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.inventory.v1 import catalog_pb2, reservation_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1 import routing_service_pb2 as routing
from routing_harness import RoutingClient, a_network, location_routing, order

LIVES: Final[tuple[tuple[Any, ...], ...]] = (
    ("SHIP",),
    ("SHIP", "ACCEPT"),
    ("SHIP", "START_PICKING", ("PICK", 1), ("SHORT_PICK", 1)),
    ("SHIP", "PICK"),
    ("DELIVERY", "PACK", ("SHIP", 1)),
    ("PICKUP", "MAKE_READY", ("COLLECT", 1)),
    ("SHIP", ("REJECT", 1), "SHIP"),
    ("SHIP", "SHIP", "DELIVER"),
    ("PICKUP", "MAKE_READY", "COLLECT"),
    ("SHIP", "REJECT"),
    ("SHIP", "PICK", "CANCEL", ("PUT_BACK", 1)),
    ("SHIP_TO_STORE", "MAKE_READY", "GIVE_UP_PICKUP"),
)
"""Of fulfillment orders: the method, and verbs, some of them with units."""
UNITS: Final = {(sku, location): 40 for sku in "ABC" for location in ("L-1", "L-2", "L-3")}


def can_be_repeated(request: Any) -> bool:
    """Tell whether a request that was answered changes nothing when it comes again."""
    if type(request).__name__.startswith(("Get", "List", "Explain")):
        return "Status" not in type(request).__name__
    if getattr(request, "requests", ()):
        return all(map(can_be_repeated, request.requests))
    return bool(getattr(request, "request_id", "") or getattr(request, "validate_only", False))


class Storyteller(RoutingClient):
    """A client that keeps what it asked and can be asked again: reads, and writes with a request id."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.asked: list[tuple[str, bytes]] = []
        self.planned: dict[str, None] = {}
        """Reservations that plans hold."""

    def call(self, method: Any, request: Any, timeout: float = 60.0) -> Any:
        if can_be_repeated(request):
            self.asked.append((method._method.decode(), request.SerializeToString()))
        answer = super().call(method, request, timeout)
        if isinstance(answer, routing.PlanFulfillmentResponse) and answer.reservation_id:
            self.planned[answer.reservation_id] = None
        return answer

    def refused(self, ask: Callable[..., Any], *arguments: Any, **more: Any) -> None:
        """Ask what is refused."""
        try:
            answer = ask(*arguments, **more)
        except Refused:
            return
        raise AssertionError(f"expected a refusal, was {answer}")

    def checkpoint(self) -> None:
        """Have a snapshot taken, and the journal archived and trimmed."""
        before = self.status().checkpoint_ended_count
        self.call(self.admin.Checkpoint, admin.CheckpointRequest())
        wait_until(lambda: self.status().checkpoint_ended_count > before or None, "the checkpoint ended")
        assert not self.status().checkpoint_failure

    # ---- chapters

    def tell(self) -> None:
        """All of it."""
        self.open_shop()
        self.reserve_in_every_state()
        self.checkpoint()
        self.move_stock()
        self.fulfill_orders()
        self.checkpoint()
        self.plan_orders()
        self.checkpoint()
        self.go_on()
        self.checkpoint()
        self.sell_the_rest()
        self.look()

    def open_shop(self) -> None:
        self.build({"L-1": 100, "L-2": 300, "L-3": 900}, UNITS, {"L-2": {"units_per_day": 6}})
        self.location("L-OFF", active=False, groups=["closed"])
        for ask in (self.call, partial(self.refused, self.call)):
            sku = catalog_pb2.Sku(sku_id="D", base_unit="each", display_name="Dünger")
            ask(self.catalog.CreateSku, catalog.CreateSkuRequest(sku=sku, request_id=new_id()))
        skus = [catalog_pb2.Sku(sku_id=name, base_unit="each", weight_milligrams=9) for name in "ABCE"]
        self.call(self.catalog.UpsertSkus, catalog.UpsertSkusRequest(skus=skus, request_id=new_id()))
        location = catalog_pb2.Location(location_id="L-3", display_name="far away", version=9)
        stale = catalog.UpdateLocationRequest(location=location, request_id=new_id())
        stale.update_mask.paths.append("display_name")
        self.refused(self.call, self.catalog.UpdateLocation, stale)
        self.policy("A", "L-1", safety_stock=3)
        self.policy("D", "L-3", backorder_limit=5)
        self.move("MARK_UNAVAILABLE", "B", "L-1", 4, reason="DAMAGED", request_id=new_id())
        self.move("WRITE_OFF", "B", "L-1", 1, reason="DAMAGED")
        self.move("MARK_AVAILABLE", "B", "L-1", 1, reason="DAMAGED")
        self.move("RETURN", "C", "L-3", 1, reason="RETURN_INSPECTION")
        self.move("ADJUST", "C", "L-3", -1)
        self.move("TRANSFER", "C", "L-1", 5, to_location="L-2", request_id=new_id())
        self.move("SALE", "C", "L-1", 1, reference="receipt 7", actor="till 2")
        self.count("C", "L-3", 33, request_id=new_id())
        self.refused(self.move, "RECEIVE", "Z", "L-1", 1, request_id=new_id())

    def reserve_in_every_state(self) -> None:
        active = self.reserve(("A", "L-1", 2), ("B", "L-2", 1), ttl=14_000, request_id=new_id(), reference="cart 1")
        self.extend(active.reservation_id, 14_300, request_id=new_id())
        moved = self.reserve(("A", "L-1", 4), ttl=14_000).reservation_id
        self.transfer(moved, "L-1", "L-2", ("A", 2), request_id=new_id())
        self.amend(moved, ("A", "L-1", 1), expected_version=2, request_id=new_id())
        committed = self.reserve(("B", "L-2", 5), ("C", "L-2", 5)).reservation_id
        self.commit(committed, request_id=new_id())
        self.fulfill(committed, ("B", "L-2", 2), request_id=new_id())
        self.cancel(committed, ("C", "L-2", 1), request_id=new_id())
        fulfilled = self.reserve(("C", "L-3", 3)).reservation_id
        self.commit(fulfilled, ("C", "L-3", 2))
        self.fulfill(fulfilled)
        released = self.reserve(("C", "L-3", 3)).reservation_id
        self.release(released, request_id=new_id())
        self.refused(self.commit, released, request_id=new_id())
        self.reserve(("C", "L-1", 1), ttl=0.001)
        self.reserve(("D", "L-3", 4), ttl=14_000)
        self.refused(self.reserve, ("A", "L-1", 900), ("B", "L-1", 901), request_id=new_id())
        self.reserve(("A", "L-3", 900), ttl=14_000, allow_partial=True, request_id=new_id())

    def move_stock(self) -> None:
        """Transfers in every state, and of an order."""
        self.create_transfer("L-3", "L-2", ("B", 1), request_id=new_id())
        self.create_transfer(
            "L-3", "L-2", ("B", 2), hold=True, due_time=Timestamp(seconds=1_900_000_000), request_id=new_id()
        )
        committed = self.reserve(("B", "L-3", 3), reference="order 5").reservation_id
        self.commit(committed)
        for_order = self.create_transfer("L-3", "L-2", ("B", 2), reservation_id=committed).transfer_id
        self.dispatch(for_order, request_id=new_id())
        some, all_of_it, lost, back = (
            self.create_transfer("L-3", "L-2", ("B", 4), reference="TO-1").transfer_id for _ in range(4)
        )
        self.dispatch(some, ("B", 3))
        self.arrive(some, ("B", 1, "GOOD"), ("B", 1, "UNAVAILABLE", "DAMAGED"), request_id=new_id())
        self.dispatch(all_of_it)
        self.arrive(all_of_it, ("B", 4, "GOOD"), ("B", 1, "UNEXPECTED"))
        self.dispatch(lost)
        self.close_transfer(lost, request_id=new_id())
        self.find_units(lost, "B", 1)
        self.dispatch(back, ("B", 2))
        self.cancel_transfer(back, ("B", 1), request_id=new_id())
        self.refused(self.dispatch, back, request_id=new_id())

    def fulfill_orders(self) -> None:
        """Fulfillment orders in every state."""
        for method, *verbs in LIVES:
            order_id = self.reserve(("C", "L-2", 3)).reservation_id
            self.commit(order_id)
            kind = f"FULFILLMENT_METHOD_{method}"
            number = self.assign(order_id, "L-2", ("C", 3), method=kind, request_id=new_id()).fulfillment_order_id
            for verb in verbs:
                name, *units = (verb,) if isinstance(verb, str) else verb
                self.advance(number, name, *(("C", count) for count in units), request_id=new_id())
            self.get_work(number)
        self.refused(self.advance, number, "SHIP", request_id=new_id())

    def plan_orders(self) -> None:
        made = self.plan(order(("B", 3), ("C", 1)), ttl=14_000, reference="order 7", request_id=new_id())
        self.reject(made.reservation_id, "L-1", ("B", 2), request_id=new_id())
        self.refused(self.reject, made.reservation_id, "L-3", ("C", 999), request_id=new_id())
        rejected = self.plan(order(("B", 3)), ttl=14_000, reference="order 8")
        self.reject(rejected.reservation_id, "L-1")
        self.count("B", "L-1", 30)
        for units in (1, 4_000):  # of the second one nothing is held
            self.plan(order(("C", units), ship_complete=True), ttl=14_000, request_id=new_id())
        arrived = self.plan(order(("C", 2)), ttl=14_000).reservation_id
        self.transfer(arrived, "L-1", "L-2")
        let_go = self.plan(order(("C", 2)), ttl=14_000, reference="order 9").reservation_id
        self.release(let_go)
        cart = self.reserve(("C", "L-1", 1), ttl=14_000, reference="cart 2").reservation_id
        self.reserve(("C", "L-2", 2), ttl=14_000, reservation_id=cart, expected_version=1, request_id=new_id())
        self.plan(order(("C", 1)), ttl=14_000, reservation_id=cart, request_id=new_id())
        self.refused(self.plan, order(("C", 1)), ttl=14_000, reservation_id=let_go, request_id=new_id())

    def go_on(self) -> None:
        """After a change of the network: plans are made over another view."""
        self.put_network(
            a_network(rejection_days=9),
            [location_routing(name) for name in ("L-1", "L-2", "L-3")],
            request_id=new_id(),
        )
        self.plan(order(("A", 1), ("C", 2)), ttl=14_000, reference="order 10", request_id=new_id())
        moved = networks.UpsertLocationRoutingRequest(locations=[location_routing("L-2", units_per_day=9)])
        self.call(self.network.UpsertLocationRouting, moved)
        self.plan(order(("C", 2)), ttl=14_000)

    def sell_the_rest(self) -> None:
        """What no snapshot has, in the journal's last entries."""
        self.reserve(("A", "L-2", 1), ttl=14_000, request_id=new_id())
        holds = [self.reserve_request(("C", "L-1", 1), ttl=13_000 + each, request_id=new_id()) for each in range(9)]
        many = reservations.BatchReserveStockRequest(requests=holds)
        self.call(self.reservations.BatchReserveStock, many)
        self.plan(order(("A", 2)), ttl=14_000, reference="order 11", request_id=new_id())
        self.sku("LAST")
        self.refused(self.reserve, ("A", "L-2", 901), request_id=new_id())

    # ---- reads

    def look(self) -> None:
        """Ask for all that can be read."""
        self.call(self.inventory.ListStockLevels, inventory.ListStockLevelsRequest(page_size=1000))
        self.call(self.inventory.ListStockLevels, inventory.ListStockLevelsRequest(page_size=1000, suspect_only=True))
        for state in (0, *reservation_pb2.ReservationState.values()):
            request = reservations.ListReservationsRequest(page_size=1000, state=state)
            self.call(self.reservations.ListReservations, request)
        self.list_transfers()
        self.call(self.catalog.ListSkus, catalog.ListSkusRequest(page_size=1000))
        self.call(self.catalog.ListLocations, catalog.ListLocationsRequest(page_size=1000))
        self.movements()
        self.call(self.network.GetNetwork, networks.GetNetworkRequest())
        for reservation_id in self.planned:
            self.explain(reservation_id=reservation_id)
        self.refused(self.explain, reservation_id=f"{1 << 32:016x}")
        # whom rejections concern, and what capacity is left, are seen by who plans
        for reference in ("order 7", "order 8"):
            self.plan(order(("B", 3)), reference=reference, validate_only=True)
        self.plan(order(("C", 60)), validate_only=True)
