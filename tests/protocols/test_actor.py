"""What an actor sends, and to whom it cannot."""

from __future__ import annotations

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
