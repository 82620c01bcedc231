"""Wrong input of every kind: it is refused by the field's name, nothing is written, and the engine goes on."""

import pytest

pytest.register_assert_rewrite("bad_input.harness")  # what differs is told, as in the tests
