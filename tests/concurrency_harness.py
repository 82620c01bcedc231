"""Many clients at once, each on a connection of its own; and what they are told, as plain values."""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from faults.processes import WAIT_SECONDS
from harness import Client, Refused
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_pb2
from onhand.inventory.v1 import reservation_service_pb2 as reservations

Refusals = Counter[str]


class OwnConnection(Client):
    """A client that shares its connection with no other."""

    def __init__(self, address: str, prefix: str) -> None:
        super().__init__(address, prefix)
        shared = self.channel
        self.channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        for name in ("reservations", "inventory", "catalog", "admin"):
            setattr(self, name, type(getattr(self, name))(self.channel))
        shared.close()


def at_once(tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run each task in a thread of its own, all let go at one moment; a refusal is a result."""
    barrier = threading.Barrier(len(tasks))

    def run(task: Callable[[], Any]) -> Any:
        barrier.wait(WAIT_SECONDS)
        try:
            return task()
        except Refused as refused:
            return refused

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(run, tasks))


def each_of(clients: Sequence[Client], work: Callable[[Client, int], Any]) -> list[Any]:
    """Let each client do the same work at once; it gets the client and its number."""
    return at_once([lambda each=each, number=number: work(each, number) for number, each in enumerate(clients)])


def attempt(call: Callable[..., Any], *arguments: Any, expected: Collection[str], **more: Any) -> Any:
    """Call, and return what came of it: a response, or a refusal for a reason that is expected."""
    try:
        return call(*arguments, **more)
    except Refused as refused:
        if refused.reason not in expected:
            raise
        return refused


def reasons_of(results: Sequence[Any]) -> Refusals:
    return Counter(result.reason if isinstance(result, Refused) else "" for result in results)


def listed(client: Client, **filters: str) -> list[reservation_pb2.Reservation]:
    """All reservations that a filter selects."""
    found: list[reservation_pb2.Reservation] = []
    token = ""
    while True:
        request = reservations.ListReservationsRequest(page_size=1_000, page_token=token, **filters)
        page = client.call(client.reservations.ListReservations, request)
        found.extend(page.reservations)
        token = page.next_page_token
        if not token:
            return found


def open_units(client: Client, sku: str, state: reservation_pb2.ReservationState) -> Counter[str]:
    """Open units of a sku by location, over all reservations of a state."""
    units: Counter[str] = Counter()
    for reservation in listed(client, sku_id=client.name(sku)):
        if reservation.state == state:
            for line in reservation.lines:
                if line.sku_id == client.name(sku):
                    units[line.location_id] += line.open_quantity
    return units


def all_levels(client: Client, sku: str) -> inventory.ListStockLevelsResponse:
    """All levels of a sku, as they are at one seq."""
    request = inventory.ListStockLevelsRequest(page_size=1_000, sku_id=client.name(sku))
    response = client.call(client.inventory.ListStockLevels, request)
    assert not response.next_page_token
    return response


def seconds_of(timestamp: Any) -> float:
    return timestamp.ToNanoseconds() / 1e9
