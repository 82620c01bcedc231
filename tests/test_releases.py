"""Data folders of earlier releases are read for ever, and their engines are replaced without a stop."""

import re
import tomllib
from random import Random

import numpy as np
import pytest
from engines import ForkedEngine
from faults.cluster import Cluster
from faults.load import Load
from faults.processes import wait_until
from faults.rounds import Rounds
from faults.settle import settle
from releases import FOLDER, FORMAT_IN_WORK, STORED, Told, is_said, opened, unpack_data
from releases.__main__ import FLAGS, answers
from releases.code import prepared_code
from releases.shapes import shapes
from releases.story import Storyteller

from ledger.core.documents import STATES
from ledger.core.statuses import Kind, Operation
from ledger.formats import FORMAT, RELEASE
from ledger.parts.registry import decode_changes


@pytest.mark.parametrize("release", STORED)
@pytest.mark.parametrize("uses_snapshots", [True, False], ids=["from the newest snapshot", "from the first entry"])
def test_a_folder_of_an_earlier_release_is_read(release, uses_snapshots, tmp_path):
    told = Told.of(release)
    with opened(unpack_data(release, tmp_path), uses_snapshots=uses_snapshots) as found:
        assert not found.recovered.refused
        assert bool(found.recovered.snapshot_seq) is uses_snapshots
        assert found.book.seq == told.seq
        assert found.book.digest().hex() == told.digests[str(FORMAT)]
        for path, request, answer in told.answers:
            again = found.answer(path, bytes.fromhex(request))
            assert is_said(answer, again), f"{path}: expected {answer}, was {again}"
        assert not found.book.has_open_entry, "a repeat is done once"
        assert found.book.verify() == []


def test_the_story_of_a_release_has_something_of_everything(tmp_path):
    """So has the folder that is stored of it."""
    data = tmp_path / "data"
    flags = [*FLAGS, "--data-folder", str(data)]
    with ForkedEngine(flags, log_file=tmp_path / "log") as engine, Storyteller(engine.address) as teller:
        teller.tell()
    with opened(data) as found:
        entries = list(found.history(1, found.book.seq))
        groups = [entry.group() for entry in entries]
        assert {number for group in groups for number in group.records["operation"].tolist()} == set(Operation)
        assert {number for group in groups for number in group.movements["kind"].tolist()} == set(Kind)
        assert {type(change) for entry in entries for _, kept in entry.changes for change in decode_changes(kept)} == {
            kind for part in found.book.parts for kind in part.changes
        }
        _, views = zip(*found.book.ledger.documents_at(np.arange(found.book.ledger.document_slots)), strict=True)
        for kind, states in STATES.items():
            assert {view.state for view in views if view.kind == kind} == set(states), kind
        assert len(answers(found, teller.asked)) == len(teller.asked)


def test_what_is_kept_has_the_shape_of_its_format():
    """Where this fails: docs/upgrading.md, "Changing the format"."""
    path = FOLDER / RELEASE / "format.txt" if RELEASE in STORED else FORMAT_IN_WORK
    assert shapes() == path.read_text()


def test_a_released_format_never_changes():
    """Two releases have one format only where its shape is the same."""
    texts = [(FOLDER / release / "format.txt").read_text() for release in STORED] + [shapes()]
    by_number: dict[str, str] = {}
    for text in texts:
        number = text.partition("\n")[0]
        assert by_number.setdefault(number, text) == text, number


def test_the_release_is_that_of_the_package():
    project = tomllib.loads((FOLDER.parent.parent / "pyproject.toml").read_text())["project"]
    assert re.fullmatch(re.escape(RELEASE) + r"\.\d+", project["version"])


@pytest.mark.slow
def test_engines_of_the_release_before_are_replaced_under_load(tmp_path):
    with Cluster(tmp_path, code=prepared_code()) as cluster:
        old = cluster.standby()
        load = Load(cluster.addresses, client_count=8, rate=200.0, seed=1)
        load.stock_up()
        rounds = Rounds(cluster, load, Random(1))
        with load.running():
            rounds.run("server")
            rounds.run("rolling upgrade")
            rounds.run("primary")
        cluster.standby()
        verdict = settle(load, cluster).verdict
        assert verdict.violations == []
        assert rounds.problems == []
        assert all(engine.complaints() == [] for engine in cluster.engines)
        # the way back is closed, and says so
        old.terminate()
        old.code = prepared_code()
        old.start()
        wait_until(lambda: not old.is_running, "the old release ended")
        assert old.exit_code == 1
        assert f"found {FORMAT}, of OnHand {RELEASE}: this is OnHand {STORED[-1]}" in old.log.read_text()
        cluster.primary()
