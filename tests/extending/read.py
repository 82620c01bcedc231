"""A read: what there is of a sku over all locations."""

from extending import Edit, Toy

SERVICE = "proto/onhand/inventory/v1/inventory_service.proto"
API = "engine/api/stock/inventory.py"
CALLS = "proto/onhand/client/async_calls.py"
RESULTS = "proto/onhand/client/results.py"

TOY = Toy(
    heading="A read",
    most=6,
    edits=(
        Edit(
            SERVICE,
            """  // Lists stock levels in the order they were created. NOT_FOUND""",
            """  // Reads what there is of a sku over all locations. NOT_FOUND with reason SKU_NOT_FOUND.
  rpc GetSkuTotals(GetSkuTotalsRequest) returns (GetSkuTotalsResponse);
""",
            "before",
        ),
        Edit(
            SERVICE,
            """// Request of ListStockLevels.
""",
            """// Request of GetSkuTotals.
message GetSkuTotalsRequest {
  // The sku.
  string sku_id = 1;
}

// Response of GetSkuTotals.
message GetSkuTotalsResponse {
  // Units at all locations, in every condition.
  int64 on_hand = 1;
  // Locations that stock the sku.
  int32 location_count = 2;
  // Position in the ledger's order that this answer reflects.
  int64 seq = 3;
}

""",
            "before",
        ),
        Edit(
            "ledger/core/reads.py",
            """    @property
    def level_count(self) -> int:
""",
            """    def sku_totals(self, sku: int) -> tuple[int, int]:
        \"\"\"Return units on hand of a sku over all locations, and how many stock it.\"\"\"
        found = [level for place in range(len(self._location_ids)) if (level := self.level(sku, place))]
        return sum(level.on_hand for level in found), len(found)

""",
            "before",
        ),
        Edit(
            API,
            """METHODS: Final = service_methods(
""",
            """def get_totals(request: service.GetSkuTotalsRequest, around: Surroundings) -> service.GetSkuTotalsResponse:
    \"\"\"Answer GetSkuTotals.\"\"\"
    book = around.book
    on_hand, count = book.ledger.sku_totals(known_sku(book, request.sku_id, "sku_id"))
    return service.GetSkuTotalsResponse(on_hand=on_hand, location_count=count, seq=book.seq)


""",
            "before",
        ),
        Edit(
            API,
            """        "GetStockLevel": ReadHandler(get_level),
""",
            """        "GetSkuTotals": ReadHandler(get_totals),
""",
        ),
        Edit(
            CALLS,
            """    def list_stock_levels(
        self,
""",
            """    async def get_sku_totals(self, sku_id: str, *, deadline_seconds: Seconds | None = None) -> SkuTotals:
        \"\"\"Read what there is of a sku over all locations. Raises SkuNotFound.\"\"\"
        request = inventory.GetSkuTotalsRequest(sku_id=checks.identifier(sku_id, "sku_id"))
        call = Lone(request, lambda response: SkuTotals(response.on_hand, response.location_count))
        return await self._call(call, deadline_seconds)

""",
            "before",
        ),
        Edit(
            CALLS,
            """    SkuAvailability,
    StockLevel,
    TransferState,
    UnavailableReason,
)
""",
            """    SkuTotals,
""",
            "before",
        ),
        Edit(
            CALLS,
            """from onhand.client.errors import OnHandError, RefusedError
""",
            """from onhand.client.lone import Lone
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
        Edit(
            RESULTS,
            """class LocationAvailability(msgspec.Struct""",
            """class SkuTotals(msgspec.Struct, frozen=True, gc=False):
    \"\"\"What there is of a sku over all locations.\"\"\"

    on_hand: int
    location_count: int
    \"\"\"Locations that stock it.\"\"\"


""",
            "before",
        ),
        Edit(
            RESULTS,
            """    "SkuAvailability",
""",
            """    "SkuTotals",
""",
        ),
        Edit(
            "docs/client.md",
            """`get_stock_level`, `list_stock_levels`""",
            """`get_sku_totals`, """,
            "before",
        ),
    ),
    test='''
"""A read: through the client, with its refusals."""

import onhand.client
import pytest
from extending.lives import lives


def write(client):
    client.sku("MUG")
    client.location("X", "Y", "Z")
    client.receive("MUG", "X", 4)
    client.receive("MUG", "Y", 5)


def check(client):
    with onhand.client.Client(client.address) as own:
        assert own.get_sku_totals("MUG") == onhand.client.SkuTotals(9, 2)
        with pytest.raises(onhand.client.SkuNotFound):
            own.get_sku_totals("CUP")


def test_it_is_read(tmp_path):
    lives(tmp_path, write, check)
''',
)
