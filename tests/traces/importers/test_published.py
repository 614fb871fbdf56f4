"""FedScale's published traces are recognised by their content."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from mpifl.traces.importers import published
from mpifl.traces.importers.fedscale import Fedscale
from mpifl.traces.importers.published import git_blob


def test_the_hash_is_gits(tmp_path: Path) -> None:
    """What ``echo hello | git hash-object --stdin`` and ``git hash-object /dev/null`` print."""
    for content, blob in (
        (b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"),
        (b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
    ):
        (tmp_path / "file").write_bytes(content)
        assert git_blob(tmp_path / "file") == blob


def test_a_trace_says_which_of_its_files_are_the_published_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capacity, behave = tmp_path / "mine", tmp_path / "client_behave_trace"
    capacity.write_bytes(pickle.dumps({1: {"computation": 1.0, "communication": 2.0}}))
    slots = {1: {"active": [0], "inactive": [5], "finish_time": 10}}
    behave.write_bytes(pickle.dumps(slots))
    first, second = git_blob(capacity), git_blob(behave)

    monkeypatch.setattr(published, "PUBLISHED", (first,))
    found = Fedscale().read([capacity, behave])
    assert found.source == (
        f"FedScale's mine (as published, git blob {first[:12]}) and client_behave_trace"
    )
    assert found.notes[:2] == (
        f"mine: as published, git blob {first[:12]}",
        f"client_behave_trace: not the published file (git blob {second[:12]})",
    )
