"""What an actor sends, and to whom it cannot; its timers and reports."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from mpifl.errors import TrainingError
from mpifl.protocols.actor import Actor


def actor() -> Actor:
    nothing: Any = None
    return Actor(1, 3, 4, 5, 0.0, None, {}, None, torch.zeros(2), nothing, nothing)


@pytest.mark.parametrize("to", [4, -1, 1.0, "2", None])
def test_a_message_to_nobody_is_an_error_that_names_both_ends(to: Any) -> None:
    with pytest.raises(TrainingError) as error:
        actor().send(to, "model")
    assert str(error.value) == (
        f"actor 1 sends 'model' to {to!r}, and there is no such actor; allowed: 0 to 3"
    )


@pytest.mark.parametrize("to", [0, 1, 3, np.int64(2)])
def test_servers_and_the_actor_itself_get_messages(to: Any) -> None:
    me = actor()
    me.send(to, "model", {"count": 1.0}, round=7)
    (sent,) = me.sent
    assert (sent.to, type(sent.to), sent.kind, sent.round) == (int(to), int, "model", 7)


def test_numbers_of_numpy_and_torch_are_plain_numbers_in_what_goes_over_the_wire() -> None:
    me: Any = actor()
    me.send(0, "model", {"a": np.float32(0.5), "b": torch.tensor(2), "c": 3}, round=np.int64(7))
    me.after(np.float32(1.5), "late", round=np.int32(8))
    me.report(torch.zeros(2), round=torch.tensor(9))
    me.trained(np.int64(4), torch.tensor(0.25))
    assert json.loads(json.dumps([me.own_steps, me.own_loss])) == [4, 0.25]
    (sent,), (timer,), (report,) = me.sent, me.timers, me.reports
    assert json.loads(json.dumps([sent.numbers, sent.round])) == [{"a": 0.5, "b": 2.0, "c": 3}, 7]
    assert json.loads(json.dumps([timer.seconds, timer.round, report.round])) == [1.5, 8, 9]


@pytest.mark.parametrize("seconds", [-1, -1e-9, float("nan"), float("inf"), np.float32(-1)])
def test_a_timer_in_the_past_or_never_is_an_error_that_names_it(seconds: float) -> None:
    with pytest.raises(TrainingError, match=r"actor 1 sets the timer 'late' in .* allowed: 0 or"):
        actor().after(seconds, "late")
