"""What docs/extending.md says, tried: a toy of each kind is added to a copy by exactly the places that it lists."""

import re
from pathlib import Path

import pytest
from extending import NAMES, ROOT, Toy, extended, run, toys

DOCS = ROOT / "docs" / "extending.md"
TOYS = toys()
SUITES = (
    "tests/test_documents.py",
    "tests/test_tables.py",
    "tests/test_methods.py",
    "tests/test_rules.py",
    "tests/test_parts.py",
    "tests/test_releases.py",
    "tests/load_files",
    "tests/test_ledger_properties.py",
)
"""Tests that derive what they compare from tables: a toy is in them as soon as it is in these."""
STORY = "tests/test_releases.py::test_the_story_of_a_release_has_something_of_everything"


def section(heading: str) -> str:
    """What docs/extending.md says under a heading."""
    (found,) = re.findall(rf"(?ms)^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", DOCS.read_text("utf-8"))
    return found


def listed(heading: str) -> list[str]:
    """The files of the numbered places under a heading."""
    return re.findall(r"(?m)^\d+\. `([^`]+)`", section(heading))


@pytest.fixture(params=TOYS)
def toy(request: pytest.FixtureRequest) -> Toy:
    return TOYS[request.param]


def test_what_the_docs_say_can_be_found_where_they_say(toy):
    """Where this fails a place has moved: mend the toy in tests/extending, and docs/extending.md with it."""
    for edit in [*toy.edits, *toy.tests]:
        if edit.anchor:
            assert (ROOT / edit.path).read_text("utf-8").count(edit.anchor) == 1, f"{edit.path}: {edit.anchor}"
        else:
            assert not (ROOT / edit.path).exists(), edit.path


def test_the_docs_list_each_place_and_no_other(toy):
    assert sorted(listed(toy.heading)) == sorted(toy.places)


def test_the_docs_count_right(toy):
    """A place is a file; the pieces of text that go into them are counted beside."""
    rows = re.findall(r"(?m)^\| \[(.+?)\]\(#.*?\) \| (\d+) \| (\d+) \| (.*?) \|", DOCS.read_text("utf-8"))
    counted = {heading: (int(places), int(edits), most) for heading, places, edits, most in rows}
    assert counted[toy.heading] == (len(toy.places), len(toy.edits), str(toy.most or ""))
    assert counted.keys() == {each.heading for each in TOYS.values()}


def test_nothing_takes_more_places_than_it_may(toy):
    assert toy.most is None or len(toy.places) <= toy.most


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_toys_of_all_kinds_work_once_they_are_in_their_places(tmp_path: Path):
    """Kernels are compiled anew, so all toys are in one copy."""
    folder = tmp_path / "onhand"
    folder.mkdir()
    extended(folder)
    warmed = run(folder, "-m", "engine.warmup")
    assert warmed.returncode == 0, warmed.stdout + warmed.stderr
    own = [f"tests/test_toy_{name}.py" for name in NAMES]
    left_out = ("--deselect", STORY)  # a test of one's own, as it were: no toy is ever released
    done = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", *left_out, *own, *SUITES)
    assert done.returncode == 0, done.stdout + done.stderr
