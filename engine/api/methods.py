"""What a method of the API is, what handles its calls, and what that works with."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import xxhash
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray
from onhand.routing.v1.routing_service_pb2 import PlanFulfillmentRequest
from onhand.rpcs import rpcs_of

from engine.errors import RefusedError
from ledger.book import Book
from ledger.core.documents import OPERATION_OF
from ledger.core.records import ANY_SKU, COMMAND, DETAIL, HAS_REQUEST_ID, LINE, NO_LOCATION, Answer, Batch
from ledger.core.statuses import Operation, Status

OF_DOCUMENTS: Final = frozenset(OPERATION_OF.values())
"""Operations of which a command has a head before its lines."""
Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class Line(NamedTuple):
    """One line of a command, with the names and the fields that refusals speak of."""

    field: str
    """Of the message that holds the names; empty for the request itself."""
    sku_id: str
    location_id: str
    quantity: int
    to_location_id: str = ""
    kind: int = 0
    reason: int = 0
    to_quantity: int = 0
    location_path: str = ""
    """Field of the location, if it is not the line's."""
    to_location_path: str = ""
    method: int = 0

    def path(self, name: str) -> str:
        """Return the field of one of the line's names."""
        if name == "location_id" and self.location_path:
            return self.location_path
        if name == "to_location_id" and self.to_location_path:
            return self.to_location_path
        return f"{self.field}.{name}" if self.field else name


class Notes(NamedTuple):
    """What a caller says about a write, for the history."""

    reference: str = ""
    actor: str = ""

    def digest(self) -> int:
        """64 bits of what they say: they are part of what a request id stands for."""
        return xxhash.xxh3_64_intdigest(f"{len(self.reference)}:{self.reference}{self.actor}".encode())


NO_NOTES = Notes()


class Command(NamedTuple):
    """One stock command of a request."""

    operation: Operation
    lines: Sequence[Line]
    request_id: tuple[int, int] | None
    flags: int = 0
    reservation_id: int = 0
    ttl_us: int = 0
    expected_version: int = 0
    status: Status = Status.OK
    """Of what was decided elsewhere: what is answered, and remembered with the request id; as is the result."""
    result: int = 0
    notes: Notes = NO_NOTES
    content: int = 0
    any_sku: bool = False
    """TRANSFER of all that is open at the location: the one line names no sku."""


class Outcome(NamedTuple):
    """What came of one command."""

    status: int
    flags: int
    state: int
    field: int
    version: int
    seq: int
    reservation_id: int
    time_us: int
    details: NDArray[Any]
    """Dtype DETAIL."""


Made = TypeVar("Made")
Work = Generator[Callable[[], Any] | None, Any, Made]
"""A response that takes longer than a group may. It yields a function that needs nothing of the writer, and goes on
with its result in a later group, in the writer again, at the time `book.ledger.group_time_us`; what the function raises
is raised there. Where it yields None it goes on with the next group."""


class StockHandler(NamedTuple, Generic[Request, Response]):
    """Of a method that runs stock commands; all that wait run as one batch."""

    read: Callable[[Request], list[Command]]
    """Checks the request by itself, in any thread; raises RefusedError."""
    answer: Callable[[Request, Sequence[Command], Sequence[Outcome], Book], Response]
    """Raises RefusedError."""
    bound: Callable[[Sequence[Command], Book], None] | None = None
    """Checks how much the commands concern, in the writer, before they run; raises RefusedError."""


PlanRequest = tuple[PlanFulfillmentRequest, bytes]
"""An order, and the bytes that are kept of it."""


class PlanHandler(NamedTuple, Generic[Request, Response]):
    """Of a method that plans orders; those of all calls that wait are planned as one batch."""

    orders: Callable[[Request, bytes], Sequence[PlanRequest]]
    """Returns the orders of a request, given with its bytes; raises RefusedError."""
    answer: Callable[[Request, Sequence[Any], Book, int], Response | bytes | Work[Response | bytes]]
    """Takes what came of each order, see `engine.api.routing.order_batches.PlanResult`; raises RefusedError."""


class LoneHandler(NamedTuple, Generic[Request, Response]):
    """Of a method that writes by itself, not as part of the batch: it changes the catalog, or brings its own batch."""

    run: Callable[[Request, Book, int], Response | Work[Response]]
    """Takes the time of the group, microseconds; raises RefusedError."""
    routes: bool = False
    """Whether it needs the routers of the network as it is."""


def at_once(work: Work[Made]) -> Made:
    """Return the response of a work that waits for nothing but the next group."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            made: Made = end.value
            return made


class ReadHandler(NamedTuple, Generic[Request, Response]):
    """Of a method that changes nothing; it sees all that the batch it came with wrote."""

    run: Callable[[Request, "Surroundings"], Response | Work[Response | bytes]]
    """Raises RefusedError."""
    routes: bool = False
    """Whether it needs the routers of the network as it is."""


class Surroundings(Protocol):
    """What reads may look at beside the book."""

    @property
    def book(self) -> Book:
        """Ledger and catalog."""

    def status(self) -> dict[str, Any]:
        """Positions, settings and measures of the running engine, by field of GetStatusResponse."""

    def history(self, first_seq: int, entry_count: int) -> Iterable[Any]:
        """Journal entries from the one that holds first_seq on; ends before entry_count where they are large."""

    def kept_ranges(self) -> Sequence[tuple[int, int]]:
        """First and last position of each part of archive and journal that is without a gap, in order."""

    def read_snapshot(self, name: str, offset: int) -> tuple[str, int, bytes] | None:
        """Name, length and a piece of a snapshot's file; None if there is none of that name. "" is the newest."""

    def aside(self, work: Callable[[], bytes]) -> Generator[None, None, bytes]:
        """Give what `work` returns, worked out beside the writer over what is in memory when this begins."""

    def request_checkpoint(self) -> int:
        """Let a snapshot be taken soon; returns the position that it will have at least."""


WriteHandler = StockHandler[Any, Any] | PlanHandler[Any, Any] | LoneHandler[Any, Any]
Handler = WriteHandler | ReadHandler[Any, Any]


class Method(NamedTuple):
    """One rpc of the contract, and what handles its calls."""

    path: str
    request_type: type[Any]
    handler: Handler


def service_methods(service: ServiceDescriptor, handlers: Mapping[str, Handler]) -> Sequence[Method]:
    """Return the methods of a service, in the order of the contract; each of its rpcs has a handler, by its name."""
    rpcs = rpcs_of(service)
    assert {rpc.name for rpc in rpcs} == handlers.keys(), f"{service.full_name}: each rpc has exactly one handler"
    return tuple(Method(rpc.path, rpc.request_type, handlers[rpc.name]) for rpc in rpcs)


def parse(method: Method, payload: bytes) -> Any:
    """Decode a request.

    Raises
    ------
    RefusedError
        The bytes are not a message of the method's type; text that is not UTF-8 counts as such.
    """
    try:
        return method.request_type.FromString(payload)
    except DecodeError as error:
        expected = method.request_type.DESCRIPTOR.full_name
        raise RefusedError(
            "VALIDATION_FAILED", f"request: expected a {expected}, was {len(payload)} bytes that are none: {error}."
        ) from error


class BatchBuilder:
    """Collects the commands of many calls into the arrays of one batch."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._commands: list[tuple[int, ...]] = []
        self._lines: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        """Commands collected so far."""
        return len(self._commands)

    def add(self, command: Command) -> None:
        """Append a command; names become the ledger's indexes."""
        start = len(self._lines)
        ledger = self._book.ledger
        is_of_document = command.operation in OF_DOCUMENTS
        if is_of_document:
            self._add_lines_of_document(command.lines)
        for line in command.lines if not is_of_document else ():
            self._lines.append(
                (
                    ANY_SKU if command.any_sku else ledger.sku_index(line.sku_id),
                    ledger.location_index(line.location_id),
                    ledger.location_index(line.to_location_id) if line.to_location_id else NO_LOCATION,
                    line.kind,
                    line.reason,
                    0,
                    line.quantity,
                    line.to_quantity,
                )
            )
        high, low = command.request_id or (0, 0)
        content = command.content
        if command.notes is not NO_NOTES:
            content ^= command.notes.digest()
        self._commands.append(
            (
                command.operation,
                command.flags | (HAS_REQUEST_ID if command.request_id else 0),
                len(command.lines),
                start,
                command.expected_version,
                command.status,
                command.reservation_id,
                command.ttl_us,
                high,
                low,
                content,
                command.result,
            )
        )

    def _add_lines_of_document(self, lines: Sequence[Line]) -> None:
        """Append head and lines of an ADVANCE: only the head of one that begins has locations."""
        ledger = self._book.ledger
        head = lines[0]
        is_new = bool(head.to_location_id)
        source = ledger.location_index(head.location_id) if is_new else NO_LOCATION
        target = ledger.location_index(head.to_location_id) if is_new else NO_LOCATION
        self._lines.append(
            (ANY_SKU, source, target, head.kind, head.reason, head.method, head.quantity, head.to_quantity)
        )
        for line in lines[1:]:
            sku = ledger.sku_index(line.sku_id)
            self._lines.append((sku, NO_LOCATION, NO_LOCATION, line.kind, line.reason, 0, line.quantity, 0))

    def take(self) -> Batch:
        """Return the batch and begin a new one."""
        batch = Batch(np.array(self._commands, COMMAND), np.array(self._lines, LINE))
        self._commands, self._lines = [], []
        return batch


NO_DETAILS = np.zeros(0, DETAIL)


def outcomes_of(answer: Answer) -> list[Outcome]:
    """Return the outcomes of a batch, each with its details."""
    outcomes = []
    for *values, start, count in answer.outcomes.tolist():
        details = answer.details[start : start + count] if count else NO_DETAILS
        outcomes.append(Outcome._make((*values, details)))
    return outcomes
