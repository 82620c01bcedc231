"""The plain ledger and the fast one, driven side by side.

`callers` makes up what is sent, `journal_book` reads the stock from what the journal says, `machine` runs both ledgers
and a standby, and holds them against each other.
"""

import pytest

pytest.register_assert_rewrite("ledger_properties.machine", "ledger_properties.journal_book")  # as in the tests
