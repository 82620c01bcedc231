"""An operation of the ledger with a decision of its own: all free units of a stock level go to quarantine."""

from extending import Edit, Toy

SERVICE = "proto/onhand/inventory/v1/inventory_service.proto"
API = "engine/api/stock/inventory.py"
CALLS = "proto/onhand/client/async_calls.py"
EXECUTE = "ledger/core/kernels/execute.py"
ORACLE = "ledger/oracle/stock.py"

TOY = Toy(
    heading="An operation of the ledger",
    edits=(
        Edit(
            "ledger/core/statuses.py",
            """    ADVANCE_FULFILLMENT = 17  # ADVANCE of a fulfillment order
""",
            """    QUARANTINE = 18  # all free units of a stock level
""",
        ),
        Edit(
            "ledger/core/operations.py",
            """    OperationRow(Operation.ADVANCE_FULFILLMENT, ADVANCES_DOCUMENT, 0, _ADVANCED),
""",
            """    OperationRow(Operation.QUARANTINE, 0, 1, 1, quantity_min=0),
""",
        ),
        Edit(
            "ledger/core/kernels/facts.py",
            """@helper
def is_named(places, mask, level):
""",
            """@helper
def decide_quarantine(state, command, lines, work, out, record, time_us):
    \"\"\"Put all free units of one stock level into quarantine; refused where there are none.\"\"\"
    status = look_up(state, command, lines, work, out)
    if status != OK:
        return status
    level = np.int64(work.levels[0])
    if level < 0:
        return refuse_line(out, NOT_STOCKED_HERE, 0)
    free = state.level_stock[level, FREE_UNITS]
    if free <= 0:
        answer(out, 0, level, 1, 0)
        return INSUFFICIENT_STOCK
    # from here on it must succeed
    emit(out, level, MARK_UNAVAILABLE, QUARANTINED, free)
    record.time_us = time_us
    return OK


""",
            "before",
        ),
        Edit(
            "ledger/core/kernels/facts.py",
            """COUNT = int(Kind.COUNT)
""",
            """FREE_UNITS = int(Account.FREE)
MARK_UNAVAILABLE = int(Kind.MARK_UNAVAILABLE)
QUARANTINED = int(Unavailable.QUARANTINE)
NOT_STOCKED_HERE = int(Status.NOT_STOCKED_HERE)
""",
        ),
        Edit(
            "ledger/core/kernels/facts.py",
            """from ledger.core.kernels.decide import OK, look_up
""",
            """from ledger.core.kernels.decide import OK, look_up, refuse_line
""",
            "instead",
        ),
        Edit(
            "ledger/core/kernels/facts.py",
            """from ledger.core.statuses import Kind, Status
""",
            """from ledger.core.statuses import Kind, Status, Unavailable
""",
            "instead",
        ),
        Edit(
            EXECUTE,
            "from ledger.core.kernels.facts import decide_counts, decide_movements, decide_policy, report_oversold\n",
            "from ledger.core.kernels.facts import decide_quarantine\n",
        ),
        Edit(
            EXECUTE,
            "ADVANCE_FULFILLMENT = int(Operation.ADVANCE_FULFILLMENT)\n",
            "QUARANTINE = int(Operation.QUARANTINE)\n",
        ),
        Edit(
            EXECUTE,
            """        return decide_advance(state, command, lines, work, out, record, time_us)
""",
            """    if operation == QUARANTINE:
        return decide_quarantine(state, command, lines, work, out, record, time_us)
""",
        ),
        Edit(
            ORACLE,
            """            Operation.ADVANCE_FULFILLMENT: self._advance,
""",
            """            Operation.QUARANTINE: self._quarantine,
""",
        ),
        Edit(
            ORACLE,
            """    def _tell_what_was_decided(self, command: Command) -> Result:
""",
            """    def _quarantine(self, command: Command) -> Result:
        (line,) = command.lines
        causes = self._unknown(command.lines)
        if not causes.refusal() and line.level not in self.books.policies:
            causes.add(Status.NOT_STOCKED_HERE)
        free = self.books.at(line.level, Account.FREE)
        if not causes.refusal() and free <= 0:
            causes.add(Status.INSUFFICIENT_STOCK, level=line.level, requested=1)
        refusal = causes.refusal()
        if refusal:
            return refusal
        quarantine = place(line.level, Account.UNAVAILABLE, Unavailable.QUARANTINE)
        self.books.move(free, place(line.level, Account.FREE), quarantine)
        return Result(Status.OK)

""",
            "before",
        ),
        Edit(
            ORACLE,
            """from ledger.core.statuses import Kind, Operation, ReservationState, Status
""",
            """from ledger.core.statuses import Kind, Operation, ReservationState, Status, Unavailable
""",
            "instead",
        ),
        Edit(
            ORACLE,
            """    all_open,
)
from ledger.oracle.documents import Documents
""",
            """    all_open,
    place,
)
from ledger.oracle.documents import Documents
""",
            "instead",
        ),
        Edit(
            SERVICE,
            """  // Lists movements from a position on, in the ledger's order.
  // OUT_OF_RANGE""",
            """  // Puts all free units of a stock level into quarantine. NOT_FOUND with reason SKU_NOT_FOUND, LOCATION_NOT_FOUND or
  // NOT_STOCKED_HERE; FAILED_PRECONDITION with reason INSUFFICIENT_STOCK where none is free.
  rpc QuarantineStock(QuarantineStockRequest) returns (QuarantineStockResponse);
""",
            "before",
        ),
        Edit(
            SERVICE,
            """// Request of ListMovements.
""",
            """// Request of QuarantineStock.
message QuarantineStockRequest {
  // The sku.
  string sku_id = 1;
  // The location.
  string location_id = 2;
  // Makes a repeat of this call harmless; a UUID, empty for none.
  string request_id = 3;
  // The caller's reference, at most 64 bytes of UTF-8; kept in the history.
  string reference = 4;
  // Who did it, at most 64 bytes of UTF-8; kept in the history.
  string actor = 5;
}

// Response of QuarantineStock.
message QuarantineStockResponse {
  // Position of this write in the ledger's order.
  int64 seq = 1;
}

""",
            "before",
        ),
        Edit(
            API,
            """def oversold_levels(outcome: Outcome, book: Book)""",
            """def read_quarantine(request: service.QuarantineStockRequest) -> list[Command]:
    \"\"\"Check QuarantineStock.\"\"\"
    names = fields.identifier(request.sku_id, "sku_id"), fields.identifier(request.location_id, "location_id")
    line = Line("", *names, 0)
    request_id = fields.request_id(request.request_id)
    return [Command(Operation.QUARANTINE, [line], request_id, notes=notes_of(request))]


def answer_quarantine(
    _: service.QuarantineStockRequest, commands: Sequence[Command], outcomes: Sequence[Outcome], book: Book
) -> service.QuarantineStockResponse:
    \"\"\"Answer QuarantineStock.\"\"\"
    raise_refusal(commands[0], outcomes[0], book)
    return service.QuarantineStockResponse(seq=outcomes[0].seq)


""",
            "before",
        ),
        Edit(
            API,
            """        "SetStockPolicy": StockHandler(read_policy, answer_policy),
""",
            """        "QuarantineStock": StockHandler(read_quarantine, answer_quarantine),
""",
        ),
        Edit(
            CALLS,
            """    async def availability(
""",
            """    async def quarantine_stock(self, sku_id: str, location_id: str, **options: Unpack[WriteOptions]) -> int:
        \"\"\"Put all free units of a stock level into quarantine. Returns the seq. Raises InsufficientStock.\"\"\"
        request = inventory.QuarantineStockRequest(
            sku_id=checks.identifier(sku_id, "sku_id"),
            location_id=checks.identifier(location_id, "location_id"),
            **noted(options),
        )
        call = Lone(request, lambda response: int(response.seq), request.request_id)
        return await self._call(call, options.get("deadline_seconds"))

""",
            "before",
        ),
        Edit(
            CALLS,
            """from onhand.client.errors import OnHandError, RefusedError
""",
            """from onhand.client.lone import Lone, noted
""",
        ),
        Edit(
            CALLS,
            """from onhand.inventory.v1 import transfer_service_pb2 as transfer_service
""",
            """from onhand.inventory.v1 import inventory_service_pb2 as inventory
""",
            "before",
        ),
        Edit("docs/client.md", "`set_on_hand`, `set_stock_policy`", "`quarantine_stock`, ", "before"),
    ),
    test='''
"""An operation: by the client, with its refusals and repeats, and the same on both ledgers."""

import random

import onhand.client
import pytest
from extending.lives import lives
from ledger_cases import HOUR_US, Bench, Command, Line, receive, record, uuid4
from onhand.client import InsufficientStock, NotStockedHere

from ledger.core.ledger import Ledger
from ledger.core.statuses import Operation
from ledger.oracle.stock import OracleLedger

KEY = "018f0000-0000-4000-8000-000000000001"


def write(client):
    client.sku("MUG", "CUP")
    client.location("X")
    client.receive("MUG", "X", 9)
    with onhand.client.Client(client.address) as own:
        own.reserve([("MUG", "X", 2)], ttl_seconds=600)
        first = own.quarantine_stock("MUG", "X", request_id=KEY, actor="Ann")
        assert own.quarantine_stock("MUG", "X", request_id=KEY, actor="Ann") == first
        with pytest.raises(InsufficientStock):
            own.quarantine_stock("MUG", "X")
        with pytest.raises(NotStockedHere):
            own.quarantine_stock("CUP", "X")


def check(client):
    level = client.level("MUG", "X")
    assert (level.on_hand, level.unavailable, level.reserved, level.available) == (9, 7, 2, 0)


def test_stock_goes_to_quarantine(tmp_path):
    lives(tmp_path, write, check)


def test_both_ledgers_decide_alike():
    benches = [Bench(kind(request_window_us=HOUR_US, retention_us=HOUR_US)) for kind in (Ledger, OracleLedger)]
    for bench in benches:
        for name in ("A", "B"):
            bench.ledger.define_sku(name)
            bench.ledger.define_location(name)
    chance = random.Random(1)
    for number in range(1, 200):
        sku, location = chance.choice([0, 1, -7]), chance.choice([0, 1, -7])
        command = Command(Operation.QUARANTINE, (Line(sku, location),), request_id=chance.choice([None, uuid4(number)]))
        if chance.randrange(3) == 0:
            command = record(receive(abs(sku) % 2, abs(location) % 2, 3))
        fast, plain = (bench.do(command)._replace(time_us=0) for bench in benches)
        assert fast == plain
''',
)
