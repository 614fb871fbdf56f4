"""Arrays that handlers get and leave: which are refused, by which words."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mpifl.errors import InputError, TrainingError
from mpifl.messages.handed import check_handed, handed_to, model_of, tensor_of
from mpifl.protocols.actor import Actor, Message


def actor() -> Actor:
    nothing: Any = None
    state = {"model": torch.ones(2)}
    return Actor(1, 3, 4, 5, 0.0, None, state, None, torch.zeros(2), nothing, nothing)


@pytest.mark.parametrize(
    ("of", "named"),
    [
        (lambda me, message: message.arrays["model"], "arrays['model'] of a message 'mean'"),
        (lambda me, message: message.arrays["model"][1:], "arrays['model'] of a message 'mean'"),
        (lambda me, message: me.state["model"], "state['model']"),
        (lambda me, message: me.initial, "initial"),
    ],
)
def test_what_is_written_into_is_named(of: Any, named: str) -> None:
    me = actor()
    message = Message("mean", 1, 0, {"other": torch.ones(2), "model": torch.ones(2)}, {})
    handed = list(handed_to(me, [message]))
    check_handed("mine", handed)
    of(me, message).add_(1)
    with pytest.raises(InputError) as error:
        check_handed("mine", handed)
    assert str(error.value).startswith(
        f"protocol.name: 'mine' is not allowed: a handler changes {named} in place"
    )


def test_a_state_that_is_replaced_is_allowed() -> None:
    me = actor()
    handed = list(handed_to(me, []))
    me.state["model"] = me.state["model"] + me.initial
    del me.state["model"]
    check_handed("mine", handed)


def test_what_is_left_is_float32_without_a_graph() -> None:
    left = tensor_of(torch.ones(4, dtype=torch.float64, requires_grad=True)[::2] * 2, "it")
    assert left.dtype == torch.float32
    assert not left.requires_grad
    assert left.is_contiguous()


@pytest.mark.parametrize("values", [1.0, [1.0], None, torch.ones(2).numpy()])
def test_what_is_no_tensor_is_named(values: object) -> None:
    with pytest.raises(TrainingError, match=r"^state\['x'\] is of type \w+; expected: a torch"):
        tensor_of(values, "state['x']")


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1)])
def test_a_model_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    assert model_of(torch.ones(2), 2).tolist() == [1, 1]
    with pytest.raises(TrainingError, match=r"the model that is reported has the shape .*\(2,\)"):
        model_of(torch.ones(shape), 2)
