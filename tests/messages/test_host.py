"""The messages that actors of a rank have sent, as a checkpoint keeps them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mpifl.errors import InputError
from mpifl.messages.actor_files import read_actors, write_actors
from mpifl.messages.host import Host
from mpifl.messages.letter import Letter


def host() -> Host:
    worker: Any = SimpleNamespace(experiment=SimpleNamespace(stack=1))
    return Host(worker, None)


def test_a_message_of_numbers_alone_is_there_after_a_resume(tmp_path: Path) -> None:
    numbers = Letter(0, 0, 1, "count", 1, 8, {"samples": 3.0}, {})
    model = Letter(0, 1, 1, "model", 1, 8, {}, {"model": (2,)})
    before = host()
    before.carried = {numbers.key: {}, model.key: {"model": torch.ones(2)}}
    files = [write_actors(tmp_path / "actors", before, "round-00000001", 0, 1)]

    after = host()
    read_actors(tmp_path / "actors", after, files, 0, 1)
    for one in (before, after):
        assert one.taken(numbers) == {}
        assert one.taken(model)["model"].tolist() == [1, 1]
        assert one.carried == {}


def with_another_number(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def cut_off(content: bytes) -> bytes:
    return content[: len(content) // 2]


def without_a_header(content: bytes) -> bytes:
    return b"\xff" * 8 + content[8:]


@pytest.mark.parametrize("damaged", [with_another_number, cut_off, without_a_header])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_whichever_file_is_damaged_a_rank_with_actors_finds_it(
    tmp_path: Path, ranks: int, place: int, damaged: Callable[[bytes], bytes]
) -> None:
    folder = tmp_path / "actors"
    files = []
    for writer in range(3):
        before = host()
        before.state = {writer: {"model": torch.ones(2)}}
        files.append(write_actors(folder, before, "round-00000001", 1 + writer, 4))
    path = folder / files[place][0]
    path.write_bytes(damaged(path.read_bytes()))

    errors = []
    for rank in range(ranks) if ranks == 1 else range(1, ranks):
        try:
            read_actors(folder, host(), files, rank, ranks)
        except InputError as error:
            errors.append(str(error))
    assert errors
    assert all(error.startswith(f"{path}: ") for error in errors)
