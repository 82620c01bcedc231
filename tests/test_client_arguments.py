"""Arguments of the client package: every public method, every argument, wrong values; nothing is ever sent."""

import asyncio
import copy
import dataclasses
import inspect
import math
import pickle
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import onhand.client as api
import pytest
from google.protobuf.message import Message
from newer_engine import CLASSES, Call, good_arguments, method_names, outcomes
from numpy.typing import ArrayLike, NDArray
from onhand.client import commands as build
from onhand.client.arrays import Names
from onhand.client.wire import encode

NOBODY = "127.0.0.1:1"
LONG_AGO = datetime(2026, 1, 1)  # noqa: DTZ001 - naive on purpose

GOOD_RECORDS: dict[type, Any] = {
    api.Order: api.Order([api.OrderLine("A", 1)], api.Destination(1.0, 2.0)),
    api.OrderLine: api.OrderLine("A", 1),
    api.Destination: api.Destination(1.0, 2.0),
    api.NewMovement: api.NewMovement(api.MovementType.SALE, "A", "X", 1),
    api.FulfillmentStep: api.FulfillmentStep("0000000100000000", api.FulfillmentVerb.PICK, [("A", 1)]),
}


# ---- what is wrong for a type ----------------------------------------------------------------------------------------

NOT_TEXT = (5, 1.5, None, True, b"A", ["A"], LONG_AGO, np.int64(5), "half of a pair: \ud800")
NOT_WHOLE = ("1", 1.5, None, True, np.float64(1), np.bool_(True), Decimal(1), 2**70, -(2**70), [1], LONG_AGO)  # noqa: FBT003
NOT_A_NUMBER = ("5", None, True, math.nan, math.inf, -math.inf, 10**400, timedelta(seconds=5), [5.0], LONG_AGO)
NOT_A_FLAG = ("no", 1, 0, None, 1.0, [])
NOT_A_DAY = ("2026-12-05", LONG_AGO, datetime(2026, 1, 1, tzinfo=UTC), 20_000, True)
NOT_A_LIST = (None, "A", b"A", 5, {"A"}, {}, {"A": 1}, iter([]), LONG_AGO)
NO_REQUEST_ID = (5, b"0190a6e4-5c1f-7b32-9c7e-2f5d1a3b4c5d", "no uuid", str(uuid.UUID(int=0)), ["x"], True, LONG_AGO)


class _Strange(IntEnum):
    FIRST = 1


def wrong_values(annotation: Any) -> Iterator[Any]:
    """Values that an annotation does not allow, also deep inside."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        yield from wrong_values_of_either(frozenset(inner))
    elif get_origin(annotation) is Annotated and inner[0] is float:
        yield from (*NOT_A_NUMBER, 1e300)
    elif origin is Annotated:
        yield from wrong_tuples(inner[1], get_args(inner[0]))
    elif origin is Sequence:
        yield from NOT_A_LIST
        yield from ([bad] for bad in wrong_values(inner[0]))
    elif issubclass(annotation, IntEnum):
        yield from ("SHIP", 99, -1, 1.5, None, True, _Strange.FIRST, annotation(99))
    elif annotation in GOOD_RECORDS:
        yield from (None, "A", 5, {}, (), [])
        for name, hint in get_type_hints(annotation, include_extras=True).items():
            for bad in wrong_values(hint):
                yield GOOD_RECORDS[annotation]._replace(**{name: bad})
    elif issubclass(annotation, Message):
        yield from (None, "A", 5, {}, (), [], api.UnavailableReason.DISPLAY)
    else:
        yield from {str: NOT_TEXT, int: NOT_WHOLE, float: NOT_A_NUMBER, bool: NOT_A_FLAG, date: NOT_A_DAY}[annotation]


def wrong_values_of_either(kinds: frozenset[Any]) -> Iterator[Any]:
    needed = kinds - {type(None)}
    if uuid.UUID in needed:
        yield from (*NO_REQUEST_ID, *([] if type(None) in kinds else [None]))
    elif str in needed:
        yield from (5, None, [5], {"A": 1})
    else:
        (kind,) = needed
        yield from (bad for bad in wrong_values(kind) if bad is not None or type(None) not in kinds)


def wrong_tuples(names: tuple[str, ...], kinds: tuple[Any, ...]) -> Iterator[Any]:
    good: tuple[Any, ...] = ("A", "X", 1) if len(names) == 3 else ("A", 1)
    yield from (None, "AX1", 5, (), good[:-1], (*good, 1))
    for place, kind in enumerate(kinds):
        # An empty name, and what fits no limit, are wrong as well.
        for bad in (*wrong_values(kind), "" if kind is str else -(2**31)):
            yield [*good[:place], bad, *good[place + 1 :]]


WRONG_NAMES = (
    None,
    "A",
    b"A",
    5,
    {"A"},
    iter(["A"]),
    [None],
    [5],
    [b"A"],
    [["A"]],
    [""],
    np.array([["A"]]),
    np.array([5]),
)
WRONG_CODED = (
    api.Coded("A", np.array([0])),
    api.Coded([5], np.array([0])),
    api.Coded(["A"], np.array([0.0])),
    api.Coded(["A"], np.array([[0]])),
    api.Coded(["A"], np.array([1])),
    api.Coded(["A"], None),
)
WRONG_COLUMNS = ("A", ["A"], 1.5, [1.5], None, True, [True], [None], [[1], [1, 2]], [[1]], 2**70, [2**64], [1, 1, 1])
WRONG_IDS = (
    "A",
    [api.new_request_id()],
    np.zeros((1, 16), np.int64),
    api.new_request_ids(2),
    np.zeros((1, 16), np.uint8),
)
ARRAYS: dict[Any, Sequence[Any]] = {
    Names: (*WRONG_NAMES, *WRONG_CODED),
    ArrayLike: WRONG_COLUMNS,
    NDArray[np.uint8] | None: WRONG_IDS,
    api.CommandColumns: (None, [], {"operations": [1]}),
}


# ---- every method and argument ---------------------------------------------------------------------------------------


def parameters(method: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Names and annotations of what a method takes, those of its options with them."""
    plain = inspect.unwrap(method)
    hints = get_type_hints(plain, include_extras=True)
    for name, parameter in inspect.signature(plain).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            yield from get_type_hints(get_args(hints[name])[0], include_extras=True).items()
        elif name != "self":
            yield name, hints[name]


def values_of(annotation: Any) -> list[Any]:
    return [*(ARRAYS[annotation] if annotation in ARRAYS else wrong_values(annotation))]


def refusals(kind: Any, calls: Sequence[Call]) -> list[api.ValidationFailed]:
    """What the calls raise, which nobody answers: wrong arguments are refused before anything is sent."""
    found = outcomes(kind, NOBODY, calls, deadline_seconds=0.05)
    for call, outcome in zip(calls, found, strict=True):
        assert isinstance(outcome, api.ValidationFailed), (call, repr(outcome))
        assert (outcome.problems[0].field, outcome.reason) == (outcome.field, "VALIDATION_FAILED")
        assert str(outcome).startswith(f"{outcome.field}: ")
        assert " object at 0x" not in str(outcome)
        assert len(str(outcome)) < 500
    return found


EVERY_METHOD = pytest.mark.parametrize(
    ("kind", "method"),
    [pytest.param(kind, name, id=f"{kind.__name__}.{name}") for kind in CLASSES for name in method_names(kind)],
)


@EVERY_METHOD
def test_a_wrong_argument_is_named_with_what_was_expected_and_what_it_was(kind: Any, method: str) -> None:
    good = good_arguments(kind, method)
    wrong = [(name, value) for name, hint in parameters(getattr(kind, method)) for value in values_of(hint)]
    calls = [Call(method, (), good | {name: value}) for name, value in wrong]
    for (name, value), error in zip(wrong, refusals(kind, calls), strict=True):
        root = re.split(r"[.\[]", error.field)[0]
        assert root == name or (root, name) == ("ttl", "ttl_seconds"), (value, str(error))
        assert re.search(r"expected .*, was .", str(error), re.DOTALL), (value, str(error))


@EVERY_METHOD
def test_names_that_a_method_has_not_are_refused_with_the_nearest(kind: Any, method: str) -> None:
    good = good_arguments(kind, method)
    names = [name for name, _ in parameters(getattr(kind, method))]
    calls = [Call(method, (), good | {name[:1] + name[2:]: 1}) for name in names]
    for name, error in zip(names, refusals(kind, calls), strict=True):
        assert error.field == name[:1] + name[2:]
        assert str(error).endswith(f"{method} has no such argument; did you mean {name}?")
    (far,) = refusals(kind, [Call(method, (), good | {"qwxz": 1})])
    assert str(far) == f"qwxz: {method} has no such argument; it has {', '.join(names)}."


@EVERY_METHOD
def test_arguments_in_wrong_places_or_missing_are_refused(kind: Any, method: str) -> None:
    good = good_arguments(kind, method)
    plain = list(inspect.signature(getattr(kind, method)).parameters.values())[1:]
    by_position = [each.name for each in plain if each.kind is each.POSITIONAL_OR_KEYWORD]
    given = [good.get(name) for name in by_position]
    named = {name: value for name, value in good.items() if name not in by_position}
    (misplaced,) = refusals(kind, [Call(method, (*given, 900), named)])
    assert f"expected at most {len(given)} by position" in str(misplaced)
    required = [each.name for each in plain if each.default is each.empty and each.kind is not each.VAR_KEYWORD]
    calls = [Call(method, (), {key: value for key, value in good.items() if key != name}) for name in required]
    for name, error in zip(required, refusals(kind, calls), strict=True):
        assert str(error).startswith(f"{name}: expected a value")
    if by_position:
        (twice,) = refusals(kind, [Call(method, given, named | {by_position[0]: given[0]})])
        assert str(twice) == f"{by_position[0]}: expected it once, was given by position and by name."


def test_the_way_out_is_told() -> None:
    line = [("A", "X", 1)]
    told = refusals(
        api.Client,
        [
            Call("reserve", (line, 900), {}),
            Call("reserve", (line,), {"ttl_seconds": 900, "refrence": "cart"}),
            Call("sell", ([("A", 1)],), {}),
            Call("availability", ("JEANS-32",), {}),
            Call("plan_fulfillment", (api.Order([api.OrderLine("A", 1, "PICKUP")]),), {}),
        ],
    )
    assert [str(error) for error in told] == [
        "ttl_seconds: expected at most 1 by position: lines; was 2. Give ttl_seconds by its name.",
        "refrence: reserve has no such argument; did you mean reference?",
        "lines[0]: expected (sku_id, location_id, quantity), was ('A', 1) (tuple).",
        "sku_ids: expected a list of text, was 'JEANS-32' (str).",
        (
            "order.lines[0].method: expected a FulfillmentMethod: SHIP, PICKUP, SHIP_TO_STORE, DELIVERY, "
            "was 'PICKUP' (str)."
        ),
    ]


@pytest.mark.parametrize("kind", CLASSES)
def test_a_client_is_made_of_right_arguments(kind: Any) -> None:
    async def make(*args: Any, **named: Any) -> Any:
        return kind(*args, **named)

    wrong = {
        "address": (5, None, [5]),
        "deadline_seconds": NOT_A_NUMBER,
        "retries_max": ("1", 1.5, True),
        "interceptors": (None, 5, "A"),
    }
    for name, values in wrong.items():
        for value in values:
            with pytest.raises(api.ValidationFailed, match=f"^{name}"):
                asyncio.run(make(**{"address": NOBODY} | {name: value}))
    with pytest.raises(api.ValidationFailed, match=r"^retry_max: .* did you mean retries_max"):
        asyncio.run(make(NOBODY, retry_max=1))
    with pytest.raises(api.ValidationFailed, match=r"^deadline_seconds: expected at most 1 by position"):
        asyncio.run(make(NOBODY, 5.0))


@pytest.mark.parametrize("kind", [*GOOD_RECORDS, api.Coded, api.CommandColumns])
def test_values_that_users_make_are_made_of_right_arguments(kind: Any) -> None:
    names = list(inspect.signature(kind).parameters)
    for name in names:
        with pytest.raises(api.ValidationFailed) as caught:
            kind(**{name[:-1]: None})
        assert str(caught.value) == f"{name[:-1]}: {kind.__name__} has no such argument; did you mean {name}?"
    with pytest.raises(api.ValidationFailed, match=f"expected at most {len(names)} by position"):
        kind(*names, None)
    with pytest.raises(api.ValidationFailed, match=f"^{names[0]}: expected it once"):
        kind(None, **{names[0]: None})


def test_values_that_users_make_can_be_copied_and_sent_to_other_processes() -> None:
    for good in GOOD_RECORDS.values():
        assert copy.deepcopy(good) == pickle.loads(pickle.dumps(good)) == good._replace() == good


WRONG_OF_COLUMNS: dict[str, Sequence[Any]] = {
    **dict.fromkeys(("skus", "locations"), (*WRONG_NAMES, *WRONG_CODED)),
    "to_locations": (*WRONG_NAMES, *WRONG_CODED),
    # An empty text is no reference, and as good as none.
    **dict.fromkeys(("references", "actors"), (*(each for each in WRONG_NAMES if each != [""]), *WRONG_CODED)),
    **dict.fromkeys(
        ("operations", "movement_types", "unavailable_reasons", "conditions"), (*WRONG_COLUMNS, [99], [-1], [255])
    ),
    **dict.fromkeys(("line_counts", "reservation_ids"), (*WRONG_COLUMNS, [-1])),
    **dict.fromkeys(("quantities", "ttl_us", "expected_versions", "due_times_us"), (*WRONG_COLUMNS, [-(2**70)])),
    **dict.fromkeys(
        ("allow_partial", "hold", "use_safety_stock", "at_source"),
        ("no", ["A"], 1, [1], [0.0], [None], [[True]], [True, False]),
    ),
    "request_ids": WRONG_IDS,
}


@pytest.mark.parametrize("kind", CLASSES)
def test_a_wrong_column_is_named(kind: Any) -> None:
    good = {"operations": [9], "skus": ["A"], "locations": ["X"], "quantities": [1], "movement_types": [2]}
    fields = [each.name for each in dataclasses.fields(api.CommandColumns)]
    optional = {each.name for each in dataclasses.fields(api.CommandColumns) if each.default is None}
    wrong = [
        (name, value)
        for name in fields
        for value in WRONG_OF_COLUMNS[name]
        if value is not None or name not in optional
    ]
    calls = [Call("execute", (api.CommandColumns(**good | {name: value}),), {}) for name, value in wrong]
    for (name, value), error in zip(wrong, refusals(kind, calls), strict=True):
        named = {name} if name != "line_counts" else {name, "skus"}
        if name == "operations" and value == [1, 1, 1]:
            continue  # three commands: then the other columns are too short
        assert re.split(r"[.\[]", error.field)[0] in named, (name, value, str(error))


# ---- what is right ---------------------------------------------------------------------------------------------------


def test_scalars_of_numpy_are_as_good_as_plain_ones() -> None:
    mine = uuid.uuid4()
    yes = np.bool_(True)  # noqa: FBT003
    plain = build.reserve([("A", "X", 2)], ttl_seconds=2, allow_partial=True, request_id=mine)
    for lines in ([(np.str_("A"), np.str_("X"), np.int32(2))], np.array([("A", "X", 2)], object), (["A", "X", 2],)):
        made = build.reserve(lines, ttl_seconds=np.float32(2), allow_partial=yes, request_id=str(mine))
        assert encode([made]) == encode([plain])
    moved = [api.NewMovement(np.int8(4), np.str_("A"), "X", np.int64(-2))]
    made = build.record_movements(moved, request_id=mine)
    assert encode([made]) == encode([build.adjust([("A", "X", -2)], request_id=mine)])


def test_a_deadline_that_has_passed_is_no_wrong_argument() -> None:
    with api.Client(NOBODY) as client:
        with pytest.raises(api.NotSent):
            client.sell([("A", "X", 1)], deadline_seconds=-0.5)
        with pytest.raises(api.NoAnswer):
            client.status(deadline_seconds=-0.5)


def test_signatures_are_those_that_callers_see() -> None:
    for kind in CLASSES:
        for method in method_names(kind):
            assert next(iter(inspect.signature(getattr(kind, method)).parameters)) == "self"
            assert getattr(kind, method).__doc__
            is_list = "Iterator" in str(inspect.signature(getattr(kind, method)).return_annotation)
            assert inspect.iscoroutinefunction(getattr(kind, method)) == (kind is api.AsyncClient and not is_list)
    assert method_names(api.Client) == method_names(api.AsyncClient)
    for method in method_names(api.Client):
        ours, theirs = (dict(parameters(getattr(kind, method))) for kind in CLASSES)
        assert ours == theirs
