"""Fixtures: a real engine with its real embedded journal, one for each transport, shared by the whole run.

Three workers run the tests, since two would wait for engines a fifth of the time. What tests of one module share, and
takes seconds to make, is made by one of them.
"""

import gc
import zlib
from collections.abc import Iterator, Sequence

import pytest
from engines import ForkedEngine
from harness import Client

from engine.warmup import warm_up

TRANSPORTS = ("native", "grpcio")
ON_BOTH = (
    "test_bytes_that_are_no_request.py",
    "test_call.py",
    "test_clients_that_misbehave.py",
    "test_overload.py",
    "test_smoke.py",
    "transport",
)
"""Files and folders of what transports do themselves, each test of which `make test` runs on both."""
COLLECT_SELDOM = (50_000, 10, 20)
SHARED = (
    "day",
    "good_history",
    "lasting",
    "load_engine",
    "measured",
    "own_engine",
    "scanned",
    "served",
    "shared",
    "written",
    "year_start",
)
"""Fixtures of modules that start engines, or take as long."""


def pytest_sessionstart() -> None:
    """Reading the tests makes objects that stay, and hardly any garbage."""
    gc.set_threshold(*COLLECT_SELDOM)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Say who runs what, before a worker names its tests."""
    for item in items:
        _run_in_one_worker(item)
        _run_on_one_transport(item)


def _run_in_one_worker(item: pytest.Item) -> None:
    """Let the tests that share a fixture that takes long run where it is."""
    callspec = getattr(item, "callspec", None)
    for name in SHARED:
        if name in getattr(item, "fixturenames", ()):
            which = callspec.params.get(name, "") if callspec else ""
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem}-{name}-{which}"))


def _run_on_one_transport(item: pytest.Item) -> None:
    """Leave half of the tests of what is behind the transports, each on the other one, to `make slow`."""
    params = item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
    transports = [value for value in params if isinstance(value, str) and value in TRANSPORTS]
    if transports and not set(ON_BOTH) & set(item.path.parts):
        its_number = zlib.crc32(item.nodeid.replace(transports[0], "").encode())
        if TRANSPORTS[its_number % len(TRANSPORTS)] != transports[0]:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def _kernels() -> None:
    """Compile the kernels before any test's time is measured."""
    warm_up(lambda _: None)


@pytest.fixture(scope="module", autouse=True)
def _what_stays() -> None:
    """Let the collector pass over what is there; looking at thousands of tests again and again took a fifth of the run.

    For each module anew, as an engine in this process leaves nothing passed over when it ends.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_SELDOM)


@pytest.fixture(scope="session", params=TRANSPORTS)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedEngine]:
    """A serving engine; tests share it and keep apart by names of their own."""
    folder = tmp_path_factory.mktemp(f"engine-{request.param}")
    flags = ["--port", "0", "--data-folder", str(folder / "data"), "--transport", request.param]
    flags += ["--archive-seconds", "600"]  # nobody reads it, and hundreds of processes would write it
    with ForkedEngine(flags, log_file=folder / "engine.log") as process:
        yield process


@pytest.fixture
def client(engine: ForkedEngine, request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of the shared engine whose skus and locations are this test's own."""
    with Client(engine.address, prefix=f"{abs(hash(request.node.nodeid)):x}-") as made:
        yield made
