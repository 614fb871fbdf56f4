"""AD-PSGD's handlers, where answers come, come late, or never."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mpifl.protocols.actor import Actor, Message
from mpifl.protocols.ad_psgd import AdPsgd

SIZE = 2


def actor(number: int = 0, **state: torch.Tensor) -> Actor:
    nothing: Any = None
    model = torch.zeros(SIZE)
    return Actor(number, 3, 3, 5, 0.0, None, state, None, model, nothing, nothing)


def with_update(waiting: Actor, value: float) -> Actor:
    waiting.state["update 5"] = torch.full((SIZE,), value)
    return waiting


def waiting() -> Actor:
    return with_update(actor(model=torch.ones(SIZE)), 1.0)


def answer(round_number: int) -> Message:
    return Message("answer", round_number, 1, {"difference": torch.full((SIZE,), 4.0)}, {})


@pytest.mark.parametrize(("kind", "rounds"), [("ask", [5]), ("answer", [])])
def test_only_a_refused_question_ends_the_round_of_who_has_sent_it(
    kind: str, rounds: list[int]
) -> None:
    """Whose answer is refused has trained, too: its update must not count once more."""
    me = waiting()
    AdPsgd().on_refused(me, 1, kind)
    assert [report.round for report in me.reports] == rounds
    assert [timer.name for timer in me.timers] == ["train"] * len(rounds)
    assert me.state["model"].tolist() == [1.0 + len(rounds)] * SIZE


def test_both_move_by_half_of_the_difference() -> None:
    models = torch.tensor([[1.0, 2.0], [5.0, -3.0]])
    other = actor(1, model=models[1])
    AdPsgd().on_message(other, Message("ask", 5, 0, {"model": models[0]}, {}))
    (sent,) = other.sent
    assert (sent.to, sent.kind) == (0, "answer")
    me = with_update(actor(model=models[0]), 0.0)
    AdPsgd().on_message(me, Message("answer", 5, 1, sent.arrays, {}))
    mean = models.mean(0)
    assert torch.equal(other.state["model"], mean)
    assert torch.equal(me.state["model"], mean)


def test_a_client_goes_on_without_an_answer_and_takes_one_that_comes_late() -> None:
    me = waiting()
    AdPsgd().on_timer(me, "late")
    assert [report.round for report in me.reports] == [5]
    assert [(timer.name, timer.round) for timer in me.timers] == [("train", 6)]
    assert me.state["model"].tolist() == [2.0] * SIZE

    AdPsgd().on_message(me, answer(5))
    assert len(me.reports) == 1
    assert len(me.timers) == 1
    assert me.state["model"].tolist() == [4.0] * SIZE


def test_a_timeout_after_the_answer_changes_nothing() -> None:
    me = waiting()
    AdPsgd().on_message(me, answer(5))
    AdPsgd().on_timer(me, "late")
    assert [report.round for report in me.reports] == [5]
    assert me.state["model"].tolist() == [4.0] * SIZE


def test_a_client_whose_training_broke_off_trains_again() -> None:
    me = actor(model=torch.ones(SIZE))
    AdPsgd().on_broken(me, "train")
    assert [(timer.seconds, timer.name, timer.round) for timer in me.timers] == [(0, "train", 5)]
