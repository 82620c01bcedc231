"""The ledger by example: the oracle finds damage."""

from __future__ import annotations

from collections.abc import Callable

from ledger_cases import NOW_US, TTL_US

from ledger.oracle.books import Account, Place
from ledger.oracle.stock import OracleLedger
from ledger_examples.harness import ACTIVE, COMMITTED, SKU_1, A, new_bench


def test_t37_damage_is_found_and_named():
    bench = new_bench(OracleLedger)
    bench.stock((SKU_1, A, 10))
    hold = bench.hold((SKU_1, A, 4))
    books, reservations = bench.ledger.books, bench.ledger.reservations
    damages: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "sum to 0": (
            lambda: books.units.update({Place(SKU_1, Account.FREE, A): 1}),
            lambda: books.units.subtract({Place(SKU_1, Account.FREE, A): 1}),
        ),
        "expected RESERVED 5": (
            lambda: setattr(reservations[hold].lines[SKU_1, A], "open", 5),
            lambda: setattr(reservations[hold].lines[SKU_1, A], "open", 4),
        ),
        "expected COMMITTED 4": (
            lambda: setattr(reservations[hold], "state", COMMITTED),
            lambda: setattr(reservations[hold], "state", ACTIVE),
        ),
        "it ended": (
            lambda: setattr(reservations[hold], "time_us", 0),
            lambda: setattr(reservations[hold], "time_us", NOW_US + TTL_US),
        ),
    }
    for message, (harm, repair) in damages.items():
        harm()
        assert any(message in broken for broken in bench.ledger.verify()), message
        repair()
        assert bench.ledger.verify() == []
