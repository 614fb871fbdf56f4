"""The id of a run with a service outside: the same after a resume."""

from __future__ import annotations

from pathlib import Path

from mpifl.record.loggers.kept_id import kept_id


def test_an_id_stays_and_an_empty_file_has_none(tmp_path: Path) -> None:
    path = tmp_path / "wandb.id"
    first = kept_id(path)
    assert first
    assert kept_id(path) == first
    path.write_text("")  # as a crash may leave it
    second = kept_id(path)
    assert second not in ("", first)
    assert kept_id(path) == second
    assert [file.name for file in tmp_path.iterdir()] == ["wandb.id"]
