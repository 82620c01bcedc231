"""The programs of proto/examples/node, as docs/clients.md shows them, run by Node against a real engine."""

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from conftest import TRANSPORTS
from engines import ForkedEngine
from routing_harness import RoutingClient

from engine.load.sample import fill

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "proto" / "examples"
FOLDER = EXAMPLES / "node"
DOCS = ROOT / "docs" / "clients.md"
PROGRAMS = ("grpc.js", "connect.js")
NODE_MIN = 20
TTL_SECONDS = 900


@pytest.fixture(scope="module")
def installed() -> Path:
    """The programs with what they need, installed as their lock file says; whoever runs slow tests has Node and npm."""
    for tool in ("node", "npm"):
        assert shutil.which(tool), f"{tool}: expected Node.js {NODE_MIN} or newer with npm on the PATH, was not found."
    version = subprocess.check_output(["node", "--version"], text=True).strip()
    assert int(version[1:].split(".")[0]) >= NODE_MIN, f"node: expected version {NODE_MIN} or newer, was {version}."
    for command in (["npm", "ci", "--no-audit", "--no-fund"], ["npm", "run", "generate"]):
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"`{' '.join(command)}`, which may need the npm registry, said: {done.stderr}"
    return FOLDER


@pytest.fixture
def shop(tmp_path: Path, transport: str) -> Iterator[RoutingClient]:
    """The sample shop, on an engine of its own."""
    flags = ["--port", "0", "--data-folder", str(tmp_path / "data"), "--transport", transport]
    with ForkedEngine(flags, log_file=tmp_path / "engine.log") as process, RoutingClient(process.address) as client:
        assert fill(process.address).startswith("sample: a shop")
        yield client


class LosesFirstAnswers(grpc.GenericRpcHandler):
    """Passes calls on to an engine, but of each new request the answer is lost."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._seen: set[bytes] = set()
        self.lost_count = 0

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def handle(payload: bytes, context: grpc.ServicerContext) -> Any:
            try:
                answer = self._channel.unary_unary(details.method)(payload)
            except grpc.RpcError as error:
                context.set_trailing_metadata(error.trailing_metadata())
                context.abort(error.code(), error.details())
            if payload not in self._seen:
                self._seen.add(payload)
                self.lost_count += 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost")
            return answer

        return grpc.unary_unary_rpc_method_handler(handle)


def run(folder: Path, program: str, address: str) -> list[str]:
    """What a program prints."""
    command = ["node", program, address]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def check(told: list[str], shop: RoutingClient, began: datetime) -> None:
    """Hold what a program printed against what the engine has now."""
    once, until, short, *wrong = told
    assert once == "held once: true"
    held = datetime.fromisoformat(until.removeprefix("until ")) - began
    assert TTL_SECONDS - 1 < held.total_seconds() <= TTL_SECONDS + 60  # in milliseconds
    assert short == "INSUFFICIENT_STOCK: 36 left of JEANS-32"
    assert [line.split(": ")[1] for line in wrong] == ["lines[0].location_id", "lines[0].quantity", "ttl"]
    assert shop.level("JEANS-32", "S-VIENNA").reserved == 2


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_holds_repeats_reads_refusals_and_dates(installed, shop, program):
    began = datetime.now(UTC)
    check(run(installed, program, shop.address), shop, began)


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS[:1])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_whose_answers_are_lost_does_nothing_twice(installed, shop, program):
    losing = LosesFirstAnswers(shop.channel)
    server = grpc.server(ThreadPoolExecutor(4), handlers=[losing])
    port, began = server.add_insecure_port("127.0.0.1:0"), datetime.now(UTC)
    server.start()
    try:
        check(run(installed, program, f"127.0.0.1:{port}"), shop, began)
    finally:
        server.stop(None).wait()
    assert losing.lost_count == 1  # of the hold: refusals are not lost


@pytest.mark.parametrize(
    ("program", "language"),
    [("node/grpc.js", "js"), ("node/connect.js", "js"), ("java/Cart.java", "java"), ("go/main.go", "go")],
)
def test_the_docs_show_the_programs_as_they_are(program, language):
    text = (EXAMPLES / program).read_text(encoding="utf-8")
    assert f"```{language}\n{text}```" in DOCS.read_text(encoding="utf-8")
