"""Benchmarks: every one runs to its end at a tiny size, and none of them passes a wrong total."""

import json
import uuid
from types import SimpleNamespace

import numpy as np
import pytest
from engines import ForkedEngine
from harness import Client
from typer.testing import CliRunner

from bench import pauses, routing_calls, shop
from bench.__main__ import app, measure_one
from bench.names import location_name, sku_name
from bench.peers.postgresql import PostgresqlPeer
from bench.peers.valkey_function import PIPELINE_DEPTH, ValkeyPeer
from bench.registry import BENCHES
from bench.request_ids import random_request_ids
from bench.rows import BenchError, Question, Run, Sample, Target
from bench.shop import Shop
from bench.tools import ToolMissingError, missing
from engine.api.desk import METHOD_PATHS

QUESTION = Question("tiny", "calls/s", "in a test", "the other", Target("ratio", "≥", 2))
VALUE = Question("tiny.value", "ms", "in a test", target=Target("value", "≤", 2))


@pytest.fixture(autouse=True)
def _started_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines start as forks: what starting costs is measured elsewhere."""
    for module in (pauses, routing_calls, shop):
        monkeypatch.setattr(module, "EngineProcess", ForkedEngine)


def run_of(name: str, pairs: int = 1) -> Run:
    return Run(bench=name, pairs=pairs, is_quick=True, commit="test")


SLOW = ("unary", "unary-open-loop", "hot", "scale", "expiry", "routing")
"""Left to `make slow` and to `make bench` itself."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in BENCHES if name != "pauses"],
)
def test_every_benchmark_runs_and_its_totals_are_right(name: str) -> None:
    rows = measure_one(BENCHES[name], run_of(name))
    assert [row.problems for row in rows] == [[]] * len(rows)
    assert {row.name for row in rows} >= {question.name for question in BENCHES[name].QUESTIONS}
    for row in rows:
        assert row.verified or row.missing
        assert row.missing or (row.value is not None and row.value > 0)
        assert row.missing or bool(row.reference) == bool(row.reference_value)


@pytest.mark.slow
def test_each_rpc_has_a_row_among_the_pauses() -> None:
    rows = measure_one(BENCHES["pauses"], run_of("pauses"))
    assert [row.problems for row in rows] == [[]] * len(rows)
    measured = {row.name.split(".")[1].split("_")[0] for row in rows if "." in row.name}
    assert measured == {path.rsplit("/", 1)[1] for path in METHOD_PATHS} | {"nothing"}


# ---- a wrong total ---------------------------------------------------------------------------------------------------


def reserve_unseen(shop: Shop) -> None:
    """Reserve a unit that no benchmark counts."""
    with Client(shop.address) as client:
        client.reserve((sku_name(0), location_name(0), 1))


def test_reservation_that_nobody_made_fails_the_row_and_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory
) -> None:
    def measure(run: Run):
        with Shop(skus=2, locations=2) as shop:
            assert shop.check(0) == []
            reserve_unseen(shop)
            yield run.row(VALUE, [Sample(1.0, shop.check(0))])

    monkeypatch.setitem(BENCHES, "reads", SimpleNamespace(QUESTIONS=(VALUE,), measure=measure))
    result = CliRunner().invoke(app, ["reads", "--json", str(tmp_path / "rows.json")])
    assert result.exit_code == 1
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert row["verified"] is False
    assert row["problems"] == [
        "active reservations: expected 0, was 1",
        "reserved units, summed: expected 0, was 1",
    ]
    assert "WRONG" in result.stdout


def test_missed_target_is_shown_and_does_not_fail_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(run: Run):
        yield run.row(QUESTION, [Sample(1.0)], [Sample(1.0)])

    monkeypatch.setitem(BENCHES, "reads", SimpleNamespace(QUESTIONS=(QUESTION,), measure=measure))
    result = CliRunner().invoke(app, ["reads"])
    assert result.exit_code == 0
    assert "NO" in result.stdout


@pytest.mark.skipif("redis-benchmark" in missing(), reason="redis-benchmark is not installed")
def test_valkey_function_that_takes_too_much_is_found() -> None:
    with ValkeyPeer() as peer:
        assert peer.reserve(PIPELINE_DEPTH).wrong == []
        peer._connection.call("DECRBY", "stock:000000000007", "1")
        assert peer.reserve(PIPELINE_DEPTH).wrong == ["Valkey function, units taken: expected 64, was 65"]


@pytest.mark.skipif("postgres" in missing(), reason="postgresql is not installed")
def test_postgresql_function_that_takes_too_much_is_found() -> None:
    with PostgresqlPeer() as peer:
        assert peer.reserve(16, is_hot=True).wrong == []
        peer._sql("UPDATE stock SET available = available - 1 WHERE sku = 2")
        assert peer.reserve(16, is_hot=False).wrong == ["PostgreSQL function, units taken: expected 32, was 33"]


# ---- rows ------------------------------------------------------------------------------------------------------------


def test_ratio_is_the_median_of_the_pairs_ratios() -> None:
    ours, reference = [Sample(10), Sample(30), Sample(8)], [Sample(5), Sample(10), Sample(8)]
    row = run_of("tiny").row(QUESTION, ours, reference)
    assert (row.value, row.reference_value, row.ratio, row.met) == (10, 8, 2, True)
    assert row.pairs == [[10, 5], [30, 10], [8, 8]]


def test_sides_are_measured_in_turn() -> None:
    order: list[str] = []

    def side(name: str) -> Sample:
        order.append(name)
        return Sample(len(order))

    ours, other = run_of("tiny", pairs=2).in_turn(lambda: side("A"), lambda: side("B"))
    assert order == ["A", "B", "A", "B"]
    assert [sample.value for sample in ours + other] == [1, 3, 2, 4]


@pytest.mark.parametrize(("value", "met"), [(2.0, True), (2.1, False)])
def test_target_that_is_a_most(value: float, met: bool) -> None:
    assert run_of("tiny").row(VALUE, [Sample(value)]).met is met


def failing(error: Exception):
    def measure(run: Run):
        yield run.row(VALUE, [Sample(1.0)])
        raise error

    return SimpleNamespace(QUESTIONS=(VALUE, QUESTION), measure=measure)


def test_missing_tool_is_named_and_not_skipped() -> None:
    first, second = measure_one(failing(ToolMissingError("h2load: apt-get install nghttp2-client")), run_of("tiny"))
    assert first.verified
    assert (second.name, second.verified, second.problems) == ("tiny", False, [])
    assert second.missing == "h2load: apt-get install nghttp2-client"


def test_benchmark_that_fails_says_why() -> None:
    _, second = measure_one(failing(BenchError("h2load ended")), run_of("tiny"))
    assert second.problems == ["BenchError: h2load ended"]


def test_request_ids_are_version_7_and_unique() -> None:
    ids = random_request_ids(1_000, np.random.default_rng(1))
    found = [uuid.UUID(bytes=row.tobytes()) for row in ids]
    assert {(one.version, one.variant) for one in found} == {(7, uuid.RFC_4122)}
    assert len(set(found)) == 1_000
