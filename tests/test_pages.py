"""The pages for each reader: their commands run as pasted, in order, on a new engine, and print what the page shows."""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import capacity
import pytest
from engines import ForkedEngine
from onhand.rules.reasons import REASONS
from typer.testing import CliRunner

from engine.cli import app

DOCS = Path(__file__).parent.parent / "docs"
OTHERS = {"failed to connect"}
"""Messages that are gRPC's own."""
PAGES = ("storefront", "till", "oms", "sre")


class Command(NamedTuple):
    words: list[str]
    shows: list[str]


def commands_of(page: str) -> Iterator[Command]:
    """The commands of a page, each with the lines below it that are no part of it."""
    for block in re.findall(r"```console\n(.*?)```", (DOCS / f"{page}.md").read_text("utf-8"), re.DOTALL):
        for text in re.split(r"(?m)^\$ onhand ", block)[1:]:
            lines = text.splitlines()
            count = next(count for count in range(1, len(lines) + 1) if is_whole("\n".join(lines[:count])))
            yield Command(shlex.split("\n".join(lines[:count])), lines[count:])


def is_whole(text: str) -> bool:
    return text.count("'") % 2 == 0


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_do_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["--port", "0", "--data-folder", str(tmp_path / "data")]
    with ForkedEngine(flags, log_file=tmp_path / "engine.log") as engine:
        runner = CliRunner(env={"ONHAND_ADDRESS": engine.address, "COLUMNS": "200"})
        for command in commands_of(page):
            result = runner.invoke(app, command.words)
            told = result.stdout + result.stderr
            is_refused = any(re.fullmatch(r"[A-Z_]+ [A-Z_]+", line) for line in command.shows)
            assert result.exit_code == is_refused, (command, told)
            for line in command.shows:
                assert " ".join(line.split()) in " ".join(told.split()), (command, told)


def test_links_of_all_pages_lead_somewhere():
    wrong = []
    for page in [*DOCS.glob("*.md"), DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
            path, _, anchor = target.partition("#")
            if path.startswith(("http:", "https:")):
                continue
            file = page.parent / path if path else page
            if not file.exists() or (anchor and anchor not in anchors_of(file)):
                wrong.append(f"{page.name}: {target}")
    assert wrong == []


def anchors_of(page: Path) -> set[str]:
    titles = re.findall(r"(?m)^#+ (.*)$", page.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_readme_names_every_page():
    readme = (DOCS.parent / "README.md").read_text("utf-8")
    missing = [page.name for page in DOCS.glob("*.md") if f"docs/{page.name}" not in readme]
    assert missing == [], os.fspath(DOCS)


def test_tests_are_said_to_be_where_they_are():
    folder = Path(__file__).parent
    page = (folder / "README.md").read_text("utf-8").partition("## Track record")[0]
    rows = re.findall(r"(?m)^\| (`[^|]*`) \|", page)
    told = {name.rstrip("/") for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert [name for name in sorted(told) if not (folder / name).exists()] == []
    there = {path.name for path in folder.glob("test_*.py")} | {path.parent.name for path in folder.glob("*/test_*.py")}
    assert there - told == set()


# ---- capacity, troubleshooting ---------------------------------------------------------------------------------------


def test_the_table_of_capacity_is_what_its_formula_gives():
    rows = re.findall(r"(?m)^\| \d.* GiB \|.*\|$", (DOCS / "capacity.md").read_text("utf-8"))
    assert rows == [capacity.row_of(shop) for shop in capacity.SHOPS]


def test_every_reason_of_a_refusal_has_its_row():
    rows = re.findall(r"(?m)^\| ([A-Z_, ]+) \|", (DOCS / "troubleshooting.md").read_text("utf-8"))
    told = [reason for row in rows for reason in row.split(", ")]
    assert sorted(told) == sorted([*REASONS, "DEADLINE_EXCEEDED"])


def test_messages_that_are_explained_are_those_of_the_code():
    """What stands in the first column, with a blank in it or behind it, is told somewhere."""
    text = (DOCS / "troubleshooting.md").read_text("utf-8")
    told = [words for cell in re.findall(r"(?m)^\| ([^|]+) \|", text) for words in re.findall(r"`([^`]+)`", cell)]
    sources = "".join(
        re.sub(r'"\s*\n\s*f?"', "", path.read_text("utf-8"))
        for folder in ("engine", "ledger", "proto/onhand/addresses.py")
        for path in ([*(DOCS.parent / folder).rglob("*.py")] or [DOCS.parent / folder])
    )
    messages = [words for words in told if " " in words and not words.startswith("onhand ")]
    assert len(messages) > 20
    assert [words for words in messages if words not in sources and words not in OTHERS] == []
