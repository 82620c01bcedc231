"""A resource beside the ledger: a notice of a location."""

from extending import Edit, Toy, new

CALLS = "proto/onhand/client/async_calls.py"
RESULTS = "proto/onhand/client/results.py"
REGISTRY = "ledger/parts/registry.py"

TOY = Toy(
    heading="A resource beside the ledger",
    most=8,
    edits=(
        new(
            "ledger/parts/notices.py",
            '''
"""Notices of locations: what whoever sends somebody there should know."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from ledger.core.ledger import Ledger
from ledger.core.views import Violation
from ledger.parts.part import Change, Part


class Notice(Change, frozen=True, tag="notice"):
    """The notice of a location; an empty text: it has none any more."""

    location_id: str
    text: str


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(dict[str, str])


class Notices(Part):
    """Notices by location."""

    name = "notices"
    changes = (Notice,)

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._texts: dict[str, str] = {}

    def of(self, location_id: str) -> str:
        """Return the notice of a location; empty if it has none."""
        return self._texts.get(location_id, "")

    def put(self, changes: Sequence[Change], time_us: int) -> None:  # noqa: ARG002 - a notice has no time
        """Keep notices."""
        for change in changes:
            if isinstance(change, Notice):
                self._put(change.location_id, change.text)

    def _put(self, location_id: str, text: str) -> None:
        before = self._texts.pop(location_id, "")
        if before:
            self.sum.remove((location_id, before))
        if text:
            self._texts[location_id] = text
            self.sum.add((location_id, text))

    def image(self) -> bytes:
        """Return all of it, for `restore`."""
        return _encoder.encode(self._texts)

    def restore(self, image: bytes) -> None:
        """Become what an image says."""
        self._texts = _decoder.decode(image)

    def rows(self) -> Iterable[Any]:
        """Give each notice."""
        yield from self._texts.items()

    def verify(self) -> Iterator[Violation]:
        """Find notices of locations that there are not."""
        yield from super().verify()
        for location_id in self._texts:
            if self._ledger.location_index(location_id) < 0:
                yield Violation("notices_are_of_locations", location_id, 1, 0)
''',
        ),
        Edit(
            REGISTRY,
            "from ledger.parts.part import Change, Part\n",
            "from ledger.parts.notices import Notices\n",
            "before",
        ),
        Edit(REGISTRY, "    references: References\n", "    notices: Notices\n"),
        Edit(
            REGISTRY,
            "Refusals(ledger), references)\n",
            "Refusals(ledger), references, Notices(ledger))\n",
            "instead",
        ),
        new(
            "ledger/oracle/notices.py",
            '''
"""Notices in plain Python."""


class OracleNotices:
    """The last text of each location."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def set(self, location_id: str, text: str) -> None:
        """Set the notice of a location."""
        self.texts[location_id] = text

    def told(self) -> dict[str, str]:
        """Return those that there are."""
        return {location_id: text for location_id, text in self.texts.items() if text}
''',
        ),
        new(
            "proto/onhand/inventory/v1/notice_service.proto",
            """
syntax = "proto3";

package onhand.inventory.v1;

// Notices of locations.
service NoticeService {
  // Sets the notice of a location. NOT_FOUND with reason LOCATION_NOT_FOUND.
  rpc SetNotice(SetNoticeRequest) returns (SetNoticeResponse);
  // Reads the notice of a location. NOT_FOUND with reason LOCATION_NOT_FOUND.
  rpc GetNotice(GetNoticeRequest) returns (GetNoticeResponse);
}

// Request of SetNotice.
message SetNoticeRequest {
  // The location.
  string location_id = 1;
  // What is to be known, at most 256 bytes of UTF-8; empty for nothing any more.
  string text = 2;
  // Makes a repeat of this call harmless; a UUID, empty for none.
  string request_id = 3;
}

// Response of SetNotice.
message SetNoticeResponse {
  // Position of this write in the ledger's order.
  int64 seq = 1;
}

// Request of GetNotice.
message GetNoticeRequest {
  // The location.
  string location_id = 1;
}

// Response of GetNotice.
message GetNoticeResponse {
  // What is to be known; empty if there is nothing.
  string text = 1;
  // Position in the ledger's order that this answer reflects.
  int64 seq = 2;
}
""",
        ),
        new(
            "engine/api/stock/notices.py",
            '''
"""NoticeService: notices of locations."""

from typing import Final

from onhand.inventory.v1 import notice_service_pb2 as service

from engine.api import fields
from engine.api.lookups import known_location
from engine.api.methods import LoneHandler, ReadHandler, Surroundings, service_methods
from engine.api.stock.catalog import Decision, change
from ledger.book import Book
from ledger.core import limits
from ledger.core.statuses import Status
from ledger.parts.notices import Notice


def set_notice(request: service.SetNoticeRequest, book: Book, time_us: int) -> service.SetNoticeResponse:
    """Answer SetNotice."""
    name = fields.identifier(request.location_id, "location_id")
    notice = Notice(name, fields.text(request.text, "text", limits.NAME_BYTES_MAX))
    is_known = book.catalog.location(name) is not None
    decision = Decision(resources=[notice]) if is_known else Decision(Status.LOCATION_NOT_FOUND)
    seq, _ = change(
        book, request, decision, time_us, lambda told: fields.missing(told.status.name, "location_id", "location", name)
    )
    return service.SetNoticeResponse(seq=seq)


def get_notice(request: service.GetNoticeRequest, around: Surroundings) -> service.GetNoticeResponse:
    """Answer GetNotice."""
    book = around.book
    known_location(book, request.location_id, "location_id")
    return service.GetNoticeResponse(text=book.parts.notices.of(request.location_id), seq=book.seq)


METHODS: Final = service_methods(
    service.DESCRIPTOR.services_by_name["NoticeService"],
    {"SetNotice": LoneHandler(set_notice), "GetNotice": ReadHandler(get_notice)},
)
''',
        ),
        Edit(
            CALLS,
            """    async def status(self, *,""",
            """    async def set_notice(
        self,
        location_id: str,
        text: str,
        *,
        request_id: str | uuid.UUID | None = None,
        deadline_seconds: Seconds | None = None,
    ) -> int:
        \"\"\"Set the notice of a location; empty for none. Returns the seq. Raises LocationNotFound.\"\"\"
        request = notices.SetNoticeRequest(
            location_id=checks.identifier(location_id, "location_id"),
            text=text,
            request_id=request_id_text(request_id_bytes(request_id)),
        )
        return await self._call(Lone(request, lambda response: int(response.seq), request.request_id), deadline_seconds)

    async def get_notice(self, location_id: str, *, deadline_seconds: Seconds | None = None) -> Notice:
        \"\"\"Read the notice of a location. Raises LocationNotFound.\"\"\"
        request = notices.GetNoticeRequest(location_id=checks.identifier(location_id, "location_id"))
        return await self._call(Lone(request, lambda response: Notice(location_id, response.text)), deadline_seconds)

""",
            "before",
        ),
        Edit(
            CALLS,
            """    KeptHistory,
    Movement,
    RequestOutcome,
    Reservation,
    ReservationState,
""",
            """    KeptHistory,
    Movement,
    Notice,
    RequestOutcome,
    Reservation,
    ReservationState,
""",
            "instead",
        ),
        Edit(
            CALLS,
            """from onhand.client.transfers import Transfer, TransferChanged""",
            """from onhand.client.lone import Lone
from onhand.client.request_ids import request_id_bytes, request_id_text
from onhand.inventory.v1 import notice_service_pb2 as notices
""",
            "before",
        ),
        Edit(
            RESULTS,
            """# ---- of writes ----""",
            """class Notice(msgspec.Struct, frozen=True, gc=False):
    \"\"\"What is to be known of a location.\"\"\"

    location_id: str
    text: str
    \"\"\"Empty: nothing.\"\"\"


""",
            "before",
        ),
        Edit(
            RESULTS,
            """    "MovementType",
""",
            """    "Notice",
""",
        ),
        Edit(
            "docs/client.md",
            """| arrays | `reserve_many`, `execute` |
""",
            """| notices of locations | `set_notice`, `get_notice` |
""",
        ),
    ),
    tests=(
        Edit(
            "tests/test_parts.py",
            """        yield {name: bytes(part) for name, part in found.book.image().items()}
""",
            """        found.book.parts.notices._put(found.book.catalog.locations[0].location_id, "closed")
""",
            "before",
        ),
        Edit(
            "tests/test_parts.py",
            """    "orders_have_rejections":""",
            """    "notices_are_of_locations": lambda book: book.parts.notices._texts.update(nowhere="closed"),
""",
            "before",
        ),
    ),
    test='''
"""A resource: by the client, journaled, in snapshots and digests, recounted, and what its oracle says."""

import random

import onhand.client
import pytest
from extending.lives import lives
from ledger_cases import batch_of
from ledger_cases import change_catalog as nothing_but_a_seq
from onhand.client import LocationNotFound, Notice, ValidationFailed

from ledger.book import Book
from ledger.journal.entry import CHAIN_START, decode_entry, encode_entry
from ledger.oracle.notices import OracleNotices
from ledger.parts import notices

KEY = "018f0000-0000-4000-8000-000000000001"


def write(client):
    client.location("X", "Y")
    with onhand.client.Client(client.address) as own:
        first = own.set_notice("X", "closed", request_id=KEY)
        own.set_notice("Y", "full")
        own.set_notice("X", "open")
        assert own.set_notice("X", "closed", request_id=KEY) == first, "a repeat is answered, and not done"
        with pytest.raises(LocationNotFound):
            own.set_notice("Z", "nowhere")
        with pytest.raises(ValidationFailed, match="text: expected at most 256 bytes"):
            own.set_notice("X", "x" * 257)


def check(client):
    with onhand.client.Client(client.address) as own:
        assert [own.get_notice(name) for name in ("X", "Y")] == [Notice("X", "open"), Notice("Y", "full")]


def test_it_is_kept(tmp_path):
    lives(tmp_path, write, check)


def test_it_is_what_its_oracle_says():
    chance, oracle = random.Random(1), OracleNotices()
    book, copy = (Book(request_window_us=10, retention_us=10) for _ in range(2))
    chain = CHAIN_START
    for now_us in range(1, 300):
        name, text = chance.choice("XYZ"), chance.choice(["", "open", "closed"])
        book.change_catalog(batch_of([nothing_but_a_seq()]), [notices.Notice(name, text)], now_us)
        oracle.set(name, text)
        payload, following = encode_entry(book.close_entry(epoch=1), chain)
        copy.replay(decode_entry(payload, chain)[0])
        chain = following
        for each in (book, copy):
            assert each.parts.notices._texts == oracle.told()
        assert book.digest() == copy.digest()
''',
)
