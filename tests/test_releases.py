"""Data folders of earlier releases are read for ever, and their engines are replaced without a stop."""


import pytest
from releases import STORED, Told, is_said, opened, unpack_data

from ledger.formats import FORMAT


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
        assert found.book.ledger.verify() == []
