"""A kind of document: a loan, whose units leave a location and come back to it."""

from extending import Edit, Toy

TOY = Toy(
    heading="A kind of document",
    edits=(
        Edit(
            "ledger/core/statuses.py",
            """    FULFILLMENT_ORDER = 2


class TransferState(IntEnum):
""",
            """    FULFILLMENT_ORDER = 2
    LOAN = 3


class LoanState(IntEnum):
    \"\"\"Life of a loan; the values are those of the wire.\"\"\"

    READY = 1
    LENT = 2
    RETURNED = 3


class LoanVerb(IntEnum):
    \"\"\"What can be done with a loan.\"\"\"

    CREATE = 1
    LEND = 2
    BRING_BACK = 3


class LoanStage(IntEnum):
    \"\"\"Where the units of a loan's line are: each column of its quantities.\"\"\"

    HELD = 1
    OUT = 2
    BACK = 3


class LoanAction(IntEnum):
    \"\"\"What a line of a verb says of its units.\"\"\"

    HOLD = 1
    LEND = 2
    BRING_BACK = 3


class TransferState(IntEnum):
""",
            "instead",
        ),
        Edit(
            "ledger/core/documents.py",
            """DOCUMENTS: Final = (_transfer(), _fulfillment_order())
""",
            """def _loan() -> DocumentRow:
    state, verb, stage, action = LoanState, LoanVerb, LoanStage, LoanAction
    too_early = _refused((state.READY,), Status.DOCUMENT_NOT_BEGUN)
    too_late = _refused((state.RETURNED,), Status.DOCUMENT_ENDED)
    back = Cell(state.LENT, state.RETURNED, meanwhile=(Meanwhile((stage.HELD, stage.OUT), state.LENT),))
    return DocumentRow(
        DocumentKind.LOAN,
        Operation.ADVANCE,
        states=(
            StateRow(state.READY, (stage.HELD,), (stage.HELD,)),
            StateRow(state.LENT, tuple(stage), (stage.HELD, stage.OUT)),
            StateRow(state.RETURNED, (stage.BACK,), has_ended=True),
        ),
        verbs=(
            VerbRow(verb.CREATE, (Cell(None, state.READY),), (action.HOLD,), needs_lines=True),
            VerbRow(
                verb.LEND,
                (*_in((state.READY, state.LENT), state.LENT), *too_late),
                (action.LEND,),
                rest=(action.LEND,),
            ),
            VerbRow(verb.BRING_BACK, (*too_early, back, *too_late), (action.BRING_BACK,), rest=(action.BRING_BACK,)),
        ),
        ways=(
            Way(action.HOLD, None, stage.HELD, Kind.COMMIT_FREE, Place.SOURCE, Needs.FREE),
            Way(action.LEND, stage.HELD, stage.OUT, Kind.HELD_OUT, Place.SOURCE, Needs.THERE),
            Way(action.BRING_BACK, stage.OUT, stage.BACK, Kind.TRANSFER_IN, Place.SOURCE),
        ),
        held=(stage.HELD,),
        in_transit=(stage.OUT,),
    )


DOCUMENTS: Final = (_transfer(), _fulfillment_order(), _loan())
""",
            "instead",
        ),
        Edit(
            "ledger/core/documents.py",
            """    FulfillmentVerb,
    Kind,
""",
            """    LoanAction,
    LoanStage,
    LoanState,
    LoanVerb,
""",
        ),
        Edit(
            "ledger/oracle/forms.py",
            """FORMS: Final[Mapping[int, Form]] = {
""",
            """def when_back(found: Document) -> LoanState:
    \"\"\"Tell the state of a loan of which units came back.\"\"\"
    return LoanState.LENT if found.units_in(LoanStage.HELD, LoanStage.OUT) else LoanState.RETURNED


LOAN: Final = Form(
    {
        LoanAction.HOLD: [Step(None, LoanStage.HELD, Account.FREE, Account.COMMITTED)],
        LoanAction.LEND: [Step(LoanStage.HELD, LoanStage.OUT, Account.COMMITTED, Account.TRANSIT)],
        LoanAction.BRING_BACK: [Step(LoanStage.OUT, LoanStage.BACK, Account.TRANSIT, Account.FREE)],
    },
    {
        LoanVerb.CREATE: Rule(always(LoanState.READY)),
        LoanVerb.LEND: Rule(always(LoanState.LENT), rest=(LoanAction.LEND,)),
        LoanVerb.BRING_BACK: Rule(when_back, of_drafts=False, rest=(LoanAction.BRING_BACK,)),
    },
    (LoanState.READY,),
    (LoanState.RETURNED,),
    (LoanStage.HELD, LoanStage.OUT),
    (LoanStage.HELD,),
    (LoanStage.OUT,),
)
""",
            "before",
        ),
        Edit(
            "ledger/oracle/forms.py",
            """    DocumentKind.TRANSFER: Form(""",
            """    DocumentKind.LOAN: LOAN,
""",
            "before",
        ),
        Edit(
            "ledger/oracle/forms.py",
            """    FulfillmentVerb,
    Status,
""",
            """    LoanAction,
    LoanStage,
    LoanState,
    LoanVerb,
""",
        ),
    ),
    test='''
"""A kind of document: random verbs on both ledgers, compared; then over a replay and from an image."""

import random

import pytest
from ledger_cases import HOUR_US, NOW_US, Bench, Command, Line, batch_of, receive, record
from test_parts import Image

from ledger.book import Book
from ledger.core.ledger import Ledger
from ledger.core.records import ANY_SKU, NO_LOCATION
from ledger.core.statuses import DocumentKind, LoanAction, LoanState, LoanVerb, Operation, Status
from ledger.journal.entry import CHAIN_START, decode_entry, encode_entry
from ledger.oracle.stock import OracleLedger

KIND = DocumentKind.LOAN


def verb_of(verb, lines=(), document_id=0):
    source, target = (0, 1) if verb is LoanVerb.CREATE else (NO_LOCATION, NO_LOCATION)
    head = Line(ANY_SKU, source, target, kind=verb, reason=KIND)
    return Command(Operation.ADVANCE, (head, *lines), reservation_id=document_id)


def said(chance):
    return [(sku, chance.randint(1, 4)) for sku in sorted(chance.sample((0, 1), chance.randint(0, 2)))]


def named(ledger):
    for name in ("A", "B"):
        ledger.define_sku(name)
        ledger.define_location(name)
    return ledger


def test_both_ledgers_decide_alike():
    benches = [Bench(named(kind(request_window_us=HOUR_US, retention_us=HOUR_US))) for kind in (Ledger, OracleLedger)]
    for bench in benches:
        bench.stock((0, 0, 40), (1, 0, 40))
    chance, ids = random.Random(1), [(0, 0)]
    seen = set()
    for _ in range(300):
        verb, lines, pair = chance.choice(list(LoanVerb)), said(chance), chance.choice(ids[-4:])
        action = LoanAction(verb)
        if verb is LoanVerb.CREATE:
            lines, pair = lines or [(0, 1)], (0, 0)
        results = []
        for bench, number in zip(benches, pair, strict=True):
            units = [Line(sku, NO_LOCATION, kind=action, quantity=count) for sku, count in lines]
            results.append(bench.do(verb_of(verb, units, number)))
        fast, plain = (result._replace(reservation_id=0) for result in results)
        assert fast == plain
        if verb is LoanVerb.CREATE and fast.status == Status.OK:
            ids.append(tuple(result.reservation_id for result in results))
        seen.add((verb, fast.status, fast.state))
        assert benches[0].level(0, 0) == benches[1].level(0, 0)
        views = [bench.ledger.document(number, KIND) for bench, number in zip(benches, ids[-1], strict=True)]
        assert views[0] == views[1]
    assert {state for _, status, state in seen if status == Status.OK} == set(LoanState)
    assert {status for _, status, _ in seen} > {Status.DOCUMENT_NOT_BEGUN, Status.DOCUMENT_ENDED}


def test_it_is_in_journal_and_image():
    book, copy = (Book(request_window_us=HOUR_US, retention_us=HOUR_US) for _ in range(2))
    for each in (book, copy):
        named(each.ledger)
    steps = [
        record(receive(0, 0, 9)),
        verb_of(LoanVerb.CREATE, [Line(0, NO_LOCATION, kind=LoanAction.HOLD, quantity=5)]),
    ]
    chain = CHAIN_START
    for command in steps:
        outcome = book.execute(batch_of([command]), NOW_US).outcomes[0]
        assert outcome["status"] == Status.OK
    number = int(outcome["reservation_id"])
    lent = book.execute(batch_of([verb_of(LoanVerb.LEND, (), number)]), NOW_US).outcomes[0]
    assert (lent["status"], lent["state"]) == (Status.OK, LoanState.LENT)
    copy.replay(decode_entry(encode_entry(book.close_entry(epoch=1), chain)[0], chain)[0])
    assert book.digest() == copy.digest()
    third = Book(request_window_us=HOUR_US, retention_us=HOUR_US)
    third.restore(Image({name: bytes(part) for name, part in book.image().items()}))
    for each in (book, copy, third):
        view = each.ledger.document(number, KIND)
        assert (view.state, view.lines[0].units) == (LoanState.LENT, book.ledger.document(number, KIND).lines[0].units)
        assert [violation for violation in each.ledger.verify() if "document" in violation.invariant] == []
        assert each.ledger.document(number, DocumentKind.TRANSFER) is None
''',
)
