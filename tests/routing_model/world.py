"""What an engine's desk and the model are both told: a network, its stock, the time, and orders."""

from datetime import timedelta
from random import Random
from typing import Any

from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1 import routing_service_pb2 as routing

from engine.api.desk import METHOD_PATHS, Desk
from engine.errors import RefusedError
from engine.transport import Call
from ledger.book import Book

from . import histories
from .holds import ACTIVE, COMMITTED, Books, Pair, Stock
from .plans import Difference
from .sight import PICKUP, Network, Order, utc

SECOND = 1_000_000
DAY_US = 86_400 * SECOND
WINDOW_US = 60 * SECOND
POSITIONS = {path.rsplit("/", 1)[1]: position for position, path in enumerate(METHOD_PATHS)}
MODULES = (routing, networks, reservations, inventory, catalog)
RESPONSES = {
    name.removesuffix("Response"): getattr(module, name)
    for module in MODULES
    for name in dir(module)
    if name.endswith("Response")
}


class Engine:
    """A book and its desk."""

    def __init__(self, now_us: int) -> None:
        self.book = Book(request_window_us=WINDOW_US, retention_us=WINDOW_US)
        self.now_us = now_us
        self._desk = Desk(self)  # type: ignore[arg-type]  # the methods asked look at the book alone

    def ask(self, request: Any) -> Any:
        """Return the answer to a request, or its refusal."""
        name = type(request).__name__.removesuffix("Request")
        call = Call(1, POSITIONS[name], request.SerializeToString())
        (reply,) = self._desk.answer([call], self.now_us)
        self.book.close_entry(epoch=1)
        if isinstance(reply.response, RefusedError):
            return reply.response
        return RESPONSES[name].FromString(reply.response)


class World:
    """One network, its stock, its time and its orders."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = Random(seed)
        self.start = chance.choice(histories.MOMENTS) + timedelta(minutes=chance.randint(0, 2_000))
        self.engine = Engine(round(self.start.timestamp()) * SECOND)
        self.books = Books()
        self.story: list[str] = []
        self.cases = 0
        self.numbers = 0
        self.locations = {
            name: histories.a_location(chance, name)
            for name in [f"L{index}" for index in range(chance.choice([1, 2, 3, 3, 4, 4, 5, 6]))]
        }
        self.skus = {sku.sku_id: sku for sku in histories.some_skus(chance)}
        self.message = histories.a_network(chance, list(self.locations), self.start)
        self.routing = histories.some_routing(chance, self.message, list(self.locations))
        self._build()

    # ---- both sides --------------------------------------------------------------------------------------------------

    def tell(self, text: str) -> None:
        """Add a line to the story."""
        self.story.append(f"{utc(self.engine.now_us):%Y-%m-%d %H:%M:%S.%f} {text}")

    def ask(self, request: Any) -> Any:
        """Ask the engine."""
        told = " ".join(str(request).split())
        self.tell(f"{type(request).__name__} {{ {told} }}")
        answer = self.engine.ask(request)
        if isinstance(answer, RefusedError):
            self.story[-1] += f" -> {answer.reason}: {answer}"
        return answer

    def done(self, request: Any) -> Any:
        """Ask what must not be refused."""
        answer = self.ask(request)
        if isinstance(answer, RefusedError):
            raise Difference(f"{type(request).__name__}: expected an answer, was {answer}")
        return answer

    def _build(self) -> None:
        chance = self.chance
        self.done(catalog.UpsertLocationsRequest(locations=self.locations.values()))
        self.done(catalog.UpsertSkusRequest(skus=self.skus.values()))
        for name in self.locations:
            for sku in self.skus:
                if chance.random() < 0.75:
                    self._count((sku, name), chance.choice([0, 1, 2, 3, 5, 9]))
        for pair in list(self.books.levels):
            if chance.random() < 0.3:
                self._policy(pair)
        self._write_network()

    def _write_network(self) -> None:
        self.done(
            networks.UpsertNetworkRequest(network=self.message, locations=self.routing.values(), replace_locations=True)
        )
        self.network = Network.of(self.message, self.locations, self.routing, self.skus)

    def _count(self, pair: Pair, units: int) -> None:
        count = inventory.OnHandCount(sku_id=pair[0], location_id=pair[1], on_hand=units)
        self.done(inventory.SetOnHandRequest(counts=[count]))
        self.books.levels.setdefault(pair, Stock(0)).on_hand = units

    def _policy(self, pair: Pair) -> None:
        stock = self.books.levels[pair]
        stock.safety, stock.backorder = self.chance.choice([0, 1, 3]), self.chance.choice([0, 0, 2, 4])
        self.done(
            inventory.SetStockPolicyRequest(
                sku_id=pair[0], location_id=pair[1], safety_stock=stock.safety, backorder_limit=stock.backorder
            )
        )

    # ---- what changes ------------------------------------------------------------------------------------------------

    def change_stock(self) -> None:
        """Count a level, or change its policy."""
        pair = self.chance.choice([(sku, name) for sku in self.skus for name in self.locations])
        if pair in self.books.levels and self.chance.random() < 0.4:
            self._policy(pair)
        else:
            self._count(pair, self.chance.choice([0, 1, 2, 4, 8]))

    def change_network(self) -> None:
        """Close or open a location, or change the network."""
        chance = self.chance
        if chance.random() < 0.5:
            name = chance.choice(list(self.locations))
            self.locations[name].active = not self.locations[name].active
            self.done(catalog.UpsertLocationsRequest(locations=[self.locations[name]]))
        elif chance.random() < 0.5:
            name = chance.choice(list(self.routing))
            self.routing |= histories.some_routing(chance, self.message, [name])
        else:
            place = chance.randrange(len(self.message.profiles))
            old = self.message.profiles[place]
            old.CopyFrom(histories.a_profile(chance, old.name, old.version + 1))
        self._write_network()

    def pass_time(self) -> None:
        """Let some time pass."""
        hours = 3_600 * SECOND
        waits = [0, 0, SECOND, 40 * SECOND, 29 * 60 * SECOND, hours, 5 * hours, 23 * hours, 3 * DAY_US]
        self.engine.now_us += self.chance.choice(waits) + self.chance.choice([0, 1])
        for name in self.books.expire(self.engine.now_us):
            self.tell(f"{name} expires")

    # ---- orders ------------------------------------------------------------------------------------------------------

    @property
    def open_holds(self) -> list[str]:
        """Reservations that hold something."""
        return [name for name, hold in self.books.holds.items() if hold.state in (ACTIVE, COMMITTED) and hold.open]

    def order(
        self,
        request: routing.PlanFulfillmentRequest,
        rejected: frozenset[Pair] = frozenset(),
        network: Network | None = None,
    ) -> Order:
        """Return an order as the model sees it now."""
        now, network = utc(self.engine.now_us), network or self.network
        return Order(
            request.order,
            network,
            network.profile(request.profile),
            now,
            self.books.seen_levels(),
            self.books.loads(network, now),
            rejected,
            request.max_shipments,
        )

    def stores(self) -> list[str]:
        """Locations that offer PICKUP."""
        return [name for name, place in self.network.places.items() if PICKUP in place.methods]

    def a_request(self) -> routing.PlanFulfillmentRequest:
        """An order to plan."""
        chance = self.chance
        self.numbers += 1
        request = routing.PlanFulfillmentRequest(
            order=histories.an_order(chance, self.stores(), utc(self.engine.now_us)),
            profile=chance.choice(["", "", "rush"]),
            strategy=histories.choose(chance, [0, 2, 3, 4], 0.2),
            max_shipments=chance.choice([0, 0, 0, 1, 2]),
            validate_only=chance.random() < 0.3,
            explain=chance.random() < 0.15,
            reference=f"O{chance.randint(0, self.numbers)}" if chance.random() < 0.5 else "",
        )
        request.ttl.FromMicroseconds(chance.choice([1, 30, 1_800, 14_400]) * SECOND)
        return request
