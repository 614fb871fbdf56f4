"""The log of replies: what was written whole is read again, whatever came after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpifl.errors import InputError, TrainingError
from mpifl.flower.replies import ENTRY, MAGIC, ReplyLog
from mpifl.flower.wire import Answer

REPLIES = [(3, b"reply three", b"state"), (0, b"", b""), (9, b"nine" * 1000, b"later state")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    log = ReplyLog(folder)
    for number, reply, state in REPLIES:
        log.add(Answer(number, number == 0, reply, state), partition=5, asked="0123456789abcdef")
    assert log.state(5) == b"later state"
    log.close()
    return folder


def taken(folder: Path) -> dict[int, tuple[bytes, bytes]]:
    log = ReplyLog(folder)
    answers = [log.take(number, 5, "0123456789abcdef") for number, _, _ in REPLIES]
    log.close()
    return {one.number: (bytes(one.reply), bytes(one.state)) for one in answers if one}


def test_replies_and_states_are_read_again(folder: Path) -> None:
    assert taken(folder) == {number: (reply, state) for number, reply, state in REPLIES}
    log = ReplyLog(folder)
    assert len(log) == 3
    assert list(log.replies()) == [b"", b"reply three", b"nine" * 1000]
    assert log.state(5) == b""  # of no reply that was taken
    failed = log.take(0, 5, "0123456789abcdef")
    assert failed is not None
    assert failed.failed
    assert log.take(4, 5, "0123456789abcdef") is None


def test_a_log_cut_anywhere_has_what_was_whole(folder: Path) -> None:
    path = folder / "replies.log"
    whole = path.read_bytes()
    sizes = [ENTRY.itemsize + len(reply) + len(state) for _, reply, state in REPLIES]
    ends = [len(MAGIC) + sum(sizes[:count]) for count in range(4)]
    for size in [0, 5, *(end + shift for end in ends for shift in (-1, 0, 1)), len(whole) - 3000]:
        path.write_bytes(whole[: max(size, 0)])
        count = sum(end <= size for end in ends[1:])
        assert len(taken(folder)) == count
        log = ReplyLog(folder)  # and goes on from there
        log.add(Answer(77, False, b"new", b""), 1, "f" * 16)
        log.close()
        assert len(ReplyLog(folder)) == count + 1


def test_what_follows_a_damaged_reply_is_not_taken(folder: Path) -> None:
    path = folder / "replies.log"
    damaged = bytearray(path.read_bytes())
    damaged[len(MAGIC) + ENTRY.itemsize + 3] ^= 1
    path.write_bytes(damaged)
    assert taken(folder) == {}


def test_a_log_of_states_has_no_replies(tmp_path: Path) -> None:
    log = ReplyLog(tmp_path, states_only=True)
    log.add(Answer(1, False, b"reply", b"state"), 5, "f" * 16)
    assert (len(log), log.take(1, 5, "f" * 16), log.state(5)) == (0, None, b"state")
    log.close()


def test_another_content_than_was_asked_is_an_error(folder: Path) -> None:
    with pytest.raises(TrainingError, match="message 3 has another type or content"):
        ReplyLog(folder).take(3, 5, "f" * 16)


def test_another_node_than_was_asked_is_an_error(folder: Path) -> None:
    with pytest.raises(TrainingError, match="message 3 has another node"):
        ReplyLog(folder).take(3, 6, "0123456789abcdef")


def test_a_foreign_file_is_refused(folder: Path) -> None:
    (folder / "replies.log").write_bytes(b"something else that is long enough")
    with pytest.raises(InputError, match="not a log of replies"):
        ReplyLog(folder)
