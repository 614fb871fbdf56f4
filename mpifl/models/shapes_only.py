"""Modules without values: what a model is made of, before there is memory for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

FILLS = (torch.nn.init.normal_, torch.Tensor.normal_)
"""For tensors without values these load torch's compiler, which takes a second on every rank."""


class _Unfilled(TorchFunctionMode):
    """Leaves tensors as they are where an embedding would draw its first weights."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextlib.contextmanager
def shapes_only() -> Iterator[None]:
    """Make tensors of shape and dtype without values, and leave torch's generator as it was."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"), _Unfilled():
        yield
