"""What the tests of this folder share."""

from typing import Any

from bulk_harness import answer_to, encode, outcomes_of
from bulk_requests import QUANTITY_MAX, START_US, WINDOW_SECONDS, counts, place
from google.protobuf.message import Message
from onhand.columns import dtypes_of
from onhand.inventory.v1 import bulk_service_pb2 as bulk
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.rpcs import rpc_of

from engine.api.desk import METHOD_PATHS, Desk
from engine.errors import RefusedError
from engine.transport import Call
from ledger.book import Book
from ledger.core.limits import MICROSECONDS
from ledger.journal.entry import CHAIN_START, encode_entry

EXECUTE = "ExecuteCommands"


COMMANDS_MAX, LINES_MAX = 8_192, 32_768


POSITIONS = {path.rsplit("/", 1)[1]: position for position, path in enumerate(METHOD_PATHS)}


RESERVE, COMMIT, EXTEND, AMEND, TRANSFER, RECORD, COUNT = (
    bulk.CommandOperation.Value(f"COMMAND_OPERATION_{name}")
    for name in ("RESERVE", "COMMIT", "EXTEND", "AMEND", "TRANSFER", "RECORD_MOVEMENTS", "SET_ON_HAND")
)


OK = bulk.COMMAND_STATUS_OK


class Side:
    """A book and its desk, asked in groups whose time is given."""

    def __init__(self) -> None:
        self.book = Book(request_window_us=WINDOW_SECONDS * MICROSECONDS, retention_us=WINDOW_SECONDS * MICROSECONDS)
        self._desk = Desk(self)  # type: ignore[arg-type]  # writes look at the book alone
        self.entry = b""
        self.now_us = START_US

    def group(self, *requests: Message | bytes | tuple[str, bytes]) -> list[Any]:
        """Answer requests as one group; a response or a RefusedError each. `entry` is what the journal gets."""
        calls = [
            Call(place, POSITIONS[method_of(request)], bytes_of(request)) for place, request in enumerate(requests)
        ]
        self.entry, self.group_count = b"", 0
        replies = self._run(calls)
        while self._desk.is_working:  # what has more lines than a group takes
            replies |= self._run([])
        return [answered(request, replies[place]) for place, request in enumerate(requests)]

    def _run(self, calls: list[Call]) -> dict[int, Any]:
        replies = {reply.call.call_id: reply.response for reply in self._desk.answer(calls, self.now_us)}
        entry = self.book.close_entry(epoch=1)
        self.entry += encode_entry(entry, CHAIN_START)[0] if entry else b""
        self.group_count += 1
        return replies

    def ask(self, request: Message | bytes) -> Any:
        """Answer one request."""
        return self.group(request)[0]

    def stock(self, **levels: int) -> None:
        """Define skus and locations and count what is there: `A_X=10`."""
        names = [name.split("_") for name in levels]
        skus = [catalog_pb2.Sku(sku_id=sku, base_unit="each") for sku in dict.fromkeys(sku for sku, _ in names)]
        places = [place(location) for location in dict.fromkeys(location for _, location in names)]
        self.ask(catalog.UpsertSkusRequest(skus=skus))
        self.ask(catalog.UpsertLocationsRequest(locations=places))
        for (sku, location), units in zip(names, levels.values(), strict=True):
            self.ask(counts((sku, location, units)))


def method_of(request: Message | bytes) -> str:
    return EXECUTE if isinstance(request, bytes) else type(request).__name__.removesuffix("Request")


def bytes_of(request: Message | bytes) -> bytes:
    return request if isinstance(request, bytes) else request.SerializeToString()


def answered(request: Message | bytes, response: bytes | RefusedError) -> Any:
    if isinstance(response, RefusedError):
        assert response.reason != "INTERNAL_ERROR"
        return response
    if isinstance(request, bytes):
        return bulk.ExecuteCommandsResponse.FromString(response)
    return rpc_of(type(request)).response_type.FromString(response)


def told(answer: Any) -> Any:
    """What an answer says, its message for people left out."""
    if not isinstance(answer, RefusedError):
        return answer
    shortages = [short.SerializeToString(deterministic=True) for short in answer.shortages]
    return answer.reason, answer.code, answer.metadata, [problem.field for problem in answer.problems], shortages


def by_columns(side: Side, *requests: Message) -> list[Any]:
    """Run unary requests as one bulk call."""
    response = side.ask(encode(requests))
    assert not isinstance(response, RefusedError), response
    return list(map(answer_to, requests, outcomes_of(response)))


UNITS = (
    f"1 to {QUANTITY_MAX}; also 0 for AMEND and SET_ON_HAND, only 0 for all that is open, also negative for ADJUST, "
    "but not 0"
)


def refused_whole(side: Side, request: Message | bytes, message: str) -> RefusedError:
    """The refusal of a wrong call, of which nothing was written."""
    digest, seq = side.book.digest(), side.book.seq
    refusal = side.ask(request)
    assert isinstance(refusal, RefusedError), refusal
    assert (refusal.reason, refusal.message) == ("VALIDATION_FAILED", message)
    assert [problem.field for problem in refusal.problems] == [message.partition(":")[0]]
    assert (side.book.digest(), side.book.seq, side.entry) == (digest, seq, b"")
    return refusal


def one_line(count: int, **more: Any) -> bulk.ExecuteCommandsRequest:
    """So many reservations of one unit of A at X; what holds for all has one entry."""
    call = bulk.ExecuteCommandsRequest(sku_ids=["A"], location_ids=["X"], operations=[RESERVE] * count, **more)
    call.ttl_us.append(30 * MICROSECONDS)
    call.sku_indexes.extend([0] * count)
    call.location_indexes.append(0)
    call.quantities.append(1)
    return call


DTYPES = dtypes_of(bulk.ExecuteCommandsRequest)
