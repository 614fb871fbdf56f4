"""How the status of a run looks on a terminal, wide or narrow, and as a line."""

from __future__ import annotations

import io
import re
from typing import Any

from rich.console import Console

from mpifl.commands.status_view import StatusView, status_line
from mpifl.record.status import Score, Status

LAST = {"asked": 13, "completed": 10, "dropped": 1, "cut": 2}
TOTAL = {"asked": 923, "completed": 710, "dropped": 13, "cut": 200}


def status(**changed: Any) -> Status:
    """Round 71 of 100."""
    values: dict[str, Any] = {
        "name": "quickstart",
        "folder": "/runs/quickstart",
        "state": "running",
        "round": 71,
        "rounds": 100,
        "score": Score("accuracy", 0.9453, 0.9512, 68),
        "loss": 0.1843,
        "virtual_seconds": 814.0,
        "clients": 100,
        "online_share": 0.76,
        "last": LAST,
        "total": TOTAL,
        "bytes_down": 17_800_000,
        "bytes_up": 13_600_000,
        "joules": 9200.0,
        "joules_wasted": 3670.0,
        "executors_busy": 0.41,
        "rounds_per_second": 8.06,
        "seconds_left": 3.6,
        "wall_seconds": 14.2,
        "ranks": 3,
        "host": "node-1",
        "pid": 4711,
        "written": 1.8e9,
    }
    return Status(**(values | changed))


def drawn(view: StatusView, columns: int = 80) -> list[str]:
    """The lines on a terminal, without colours and blank ends."""
    file = io.StringIO()
    Console(file=file, width=columns, force_terminal=True, no_color=True, color_system=None).print(
        view
    )
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_all_numbers_are_there() -> None:
    head, *lines = drawn(StatusView(status()))
    assert head.startswith("quickstart  ━")
    assert head.endswith("  round 71/100, 3.6 s left")
    assert lines == [
        "score     accuracy 0.9453 (best 0.9512 in round 68), loss 0.1843",
        "clock     virtual 13:34 min; 76% of 100 clients online",
        "round     10 of 13 participants completed (1 dropped out, 2 cut)",
        "in all    710 of 923 participants completed (13 dropped out, 200 cut)",
        "traffic   17.8 MB down, 13.6 MB up; 9.2 kJ, of which wasted 3.67 kJ",
        "speed     8.1 rounds/s, executors busy 41%, wall 14.2 s, on 3 ranks",
    ]


def test_a_narrow_terminal_has_the_same_words_in_more_lines() -> None:
    def words(columns: int) -> list[str]:
        return re.sub("[━╸]", " ", " ".join(drawn(StatusView(status()), columns))).split()

    lines = drawn(StatusView(status()), 40)
    assert all(len(line) <= 40 for line in lines)
    assert lines[0] == "quickstart  round 71/100, 3.6 s left"
    assert sorted(words(40)) == sorted(words(80))


def test_a_name_of_any_length_leaves_room_for_the_rounds() -> None:
    for columns in (40, 80):
        head = drawn(StatusView(status(name="n" * 200)), columns)[0]
        assert len(head) <= columns
        assert "…" in head
    assert "round 71/100" in drawn(StatusView(status(name="n" * 200)), 80)[0]


def test_clocks_go_on_between_two_statuses() -> None:
    head, *_, speed = drawn(StatusView(status(), age=2.0))
    assert "1.6 s left" in head
    assert "wall 16.2 s" in speed
    head, *_, speed = drawn(StatusView(status(state="ended", round=100), age=2.0))
    assert head.endswith("round 100/100, ended")
    assert "wall 14.2 s" in speed


def test_what_there_is_not_is_left_out() -> None:
    first = status(
        state="starting",
        round=0,
        score=None,
        loss=None,
        virtual_seconds=0.0,
        online_share=None,
        executors_busy=None,
        rounds_per_second=None,
        seconds_left=None,
    )
    head, *lines = drawn(StatusView(first, notice="nothing new for 1:05 min"))
    assert head.endswith("round 0/100, starting")
    assert lines == [
        "clock     virtual 0.0 s",
        "speed     wall 14.2 s, on 3 ranks",
        "nothing new for 1:05 min",
    ]
    (speed,) = [
        line for line in drawn(StatusView(status(rounds_per_second=0.02))) if "a round" in line
    ]
    assert "50.0 s a round" in speed


def test_a_foreign_name_moves_no_cursor_and_is_no_markup() -> None:
    lines = drawn(StatusView(status(name="[red]\x1b[2J", score=Score("\x07", 1.0, 1.0, 1))))
    assert lines[0].startswith(r"[red]\x1b[2J")
    assert "\x1b" not in "".join(lines)
    assert "\x07" not in "".join(lines) + status_line(status(score=Score("\x07", 1.0, 1.0, 1)))


def test_which_key_has_ended_a_run_is_said() -> None:
    early = status(state="ended", ended_by="stop.at")
    assert drawn(StatusView(early))[0].endswith("round 71/100, ended by stop.at")
    assert status_line(early).startswith("round 71/100, ended by stop.at, virtual")
    stopped = status(state="stopped", ended_by="stop.at")  # by a signal, before the record's end
    assert ", stopped, " in status_line(stopped)


def test_the_round_after_which_a_run_was_stopped_is_said_though_it_waits_for_its_test() -> None:
    stopped = status(state="stopped", stopped_after=72)
    assert drawn(StatusView(stopped))[0].endswith("round 72/100, stopped")
    assert status_line(stopped).startswith("round 72/100, stopped, virtual")


def test_one_plain_line() -> None:
    assert status_line(status()) == (
        "round 71/100, running, virtual 13:34 min, accuracy 0.9453, loss 0.1843,"
        " 10 of 13 participants completed (1 dropped out, 2 cut), 3.6 s left"
    )
