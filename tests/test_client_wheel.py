"""The package `onhand-client`: all that a client needs, and nothing of the engine."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
CLIENT = tomllib.loads((ROOT / "proto" / "pyproject.toml").read_text())
ENGINE = tomllib.loads((ROOT / "pyproject.toml").read_text())
OF_THE_ENGINE = ("engine", "ledger", "routing", "numba", "redis", "pygrpc_native", "uvloop")
NAME = re.compile(r"[A-Za-z0-9._-]+")

# What a till does, by both clients, in an environment of its own.
PROGRAM = """
import asyncio
import importlib.util
import sys

import onhand.client
from onhand.client import AsyncClient, Client, Coded, InsufficientStock

address, sku, place, *foreign = sys.argv[1:]
assert onhand.client.__file__.startswith(sys.prefix), onhand.client.__file__
assert not [name for name in foreign if importlib.util.find_spec(name)]

with Client(address) as client:
    client.receive([(sku, place, 5)], reference="delivery")
    held = client.reserve([(sku, place, 2)], ttl_seconds=60)
    assert client.commit(held.reservation_id).state.name == "COMMITTED"
    try:
        client.reserve([(sku, place, 9)], ttl_seconds=60)
    except InsufficientStock as error:
        assert error.shortages[0].available == 3
    assert client.reserve_many(Coded([sku], [0, 0]), [place], 1, ttl_seconds=60).ok.all()
    assert client.get_stock_level(sku, place).available == 1


async def main():
    async with AsyncClient(address) as client:
        await client.sell([(sku, place, 1)])
        return await client.get_stock_level(sku, place)


assert asyncio.run(main()).on_hand == 4
"""


def name_of(requirement: str) -> str:
    """The distribution that a requirement is for."""
    found = NAME.match(requirement)
    assert found
    return found[0]


def with_theirs(names: list[str]) -> dict[str, str]:
    """Distributions and all that they need, with the versions that are installed here."""
    found: dict[str, str] = {}
    while names:
        name = names.pop()
        if name not in found:
            found[name] = version(name)
            names += [name_of(needed) for needed in requires(name) or () if "extra ==" not in needed]
    return found


def run(*command: str | Path, **more: Any) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_needs_what_the_engine_needs_of_it():
    assert CLIENT["build-system"] == ENGINE["build-system"]
    assert set(CLIENT["project"]["dependencies"]) < set(ENGINE["project"]["dependencies"])
    assert CLIENT["project"]["requires-python"] == ENGINE["project"]["requires-python"]


@pytest.mark.slow
def test_its_wheel_works_where_there_is_no_engine(client, tmp_path):
    """What it needs comes from where `make install` has it from; only the versions installed here are taken."""
    source, wheels, folder = tmp_path / "source", tmp_path / "dist", tmp_path / "venv"
    # A copy, since the build writes generated code, which other tests import just now.
    shutil.copytree(ROOT / "proto", source / "proto", ignore=shutil.ignore_patterns("examples", "__pycache__"))
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", wheels, source / "proto")
    (wheel,) = wheels.iterdir()
    assert wheel.name == f"onhand_client-{ENGINE['project']['version']}-py3-none-any.whl"
    needed = with_theirs([name_of(one) for one in CLIENT["project"]["dependencies"]])
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    install = (sys.executable, "-m", "uv", "pip", "install", "--no-deps", "--python", folder / "bin" / "python")
    run(*install, wheel, *(f"{name}=={number}" for name, number in needed.items()))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    client.sku("A")
    client.location("X")
    names = (client.address, client.name("A"), client.name("X"))
    run(folder / "bin" / "python", "-I", "-c", PROGRAM, *names, *OF_THE_ENGINE, cwd=tmp_path, env=environment)
