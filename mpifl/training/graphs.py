"""CUDA graphs of a group's steps: each shape of step is captured once and then replayed.

A step of small models is some twenty kernels of a few microseconds each. Launched one by one from
Python, they take the GPU longer than the work in them. Memory in a graph has fixed addresses:
each graph has its own inputs, and works on the weights of its group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from mpifl.errors import InputError
from mpifl.training.device import torch_generator
from mpifl.training.recipe import Recipe
from mpifl.training.stack import MOST_KINDS, Stack, Take

Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
Shapes = tuple[torch.Size, torch.Size | None]
"""The shapes of the samples and of the mask."""

Replay = Callable[[], torch.Tensor]
Capture = Callable[[Callable[[], torch.Tensor]], Replay]
"""Turns a step into its replay. It may run the step any number of times, or never."""

WARM_UPS = 2


@dataclass(frozen=True, eq=False)
class Captured:
    """The captured steps of a kind of groups.

    Attributes:
        stack: What the steps are steps of.
        recipe: The settings, which are part of a captured step.
        state: The tensors that the steps change.
        steps: The inputs and the replay of a step, by the shapes of its inputs.
    """

    stack: Stack
    recipe: Recipe
    state: list[torch.Tensor]
    steps: dict[Shapes, tuple[Inputs, Replay]] = field(default_factory=dict)

    def fits(self, stack: Stack, recipe: Recipe, state: list[torch.Tensor]) -> bool:
        """Return whether the steps are those of a group with these settings and tensors."""
        return (
            self.stack is stack
            and self.recipe == recipe
            and len(self.state) == len(state)
            and all(mine is other for mine, other in zip(self.state, state, strict=True))
        )


class Graphs:
    """The captured steps of groups, by their settings and the shapes of their inputs.

    The first step of a shape is captured and then replayed too, so that bits do not depend on
    which shapes a rank has seen before. Graphs are released all together, never one alone.
    """

    def __init__(self, device: torch.device, capture: Capture | None = None) -> None:
        self._device = device
        self._capture = capture or _Cuda(device)
        self._known: list[Captured] = []
        self._buffers: dict[int, torch.Tensor] = {}

    def forget(self) -> None:
        """Release all captured steps, when a group gets new weight tensors."""
        self._known.clear()

    def steps_of(self, stack: Stack, recipe: Recipe) -> Take:
        """Return a function to call in place of ``stack.step``, once the stack has begun a group.

        Where there are captured steps of MOST_KINDS others already, all of them are released.
        """
        state = stack.state()
        known = next((kind for kind in self._known if kind.fits(stack, recipe, state)), None)
        if known is None:
            if len(self._known) == MOST_KINDS:
                self.forget()
            known = Captured(stack, recipe, state)
            self._known.append(known)
        steps = known.steps

        def step(
            x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None, number: int
        ) -> torch.Tensor:
            shapes = x.shape, None if mask is None else mask.shape
            if shapes not in steps:
                steps[shapes] = self._captured(stack, x, y, mask)
            inputs, replay = steps[shapes]
            _fill(inputs, (x, y, mask))
            return replay().clone()

        return step

    def _captured(
        self, stack: Stack, x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[Inputs, Replay]:
        """Capture a step on inputs at fixed addresses; return them and the replay.

        Weights and generators are restored to what they were before the capture.
        """
        inputs = (
            self._buffer(0, x),
            self._buffer(1, y),
            None if mask is None else self._buffer(2, mask),
        )
        _fill(inputs, (x, y, mask))
        state = stack.state()
        generator_state = torch_generator(self._device).get_state()
        kept = [tensor.clone() for tensor in state]

        try:
            replay = self._capture(lambda: stack.step(*inputs, 0))
        except RuntimeError as error:  # raised at the end of a capture that another error spoilt
            why = str(error.__context__ or error).strip().splitlines()[0]
            raise InputError(
                "training.engine: 'stacked' is not allowed: a step of the model cannot be a CUDA"
                f" graph ({why}); allowed: loop"
            ) from error

        for tensor, before in zip(state, kept, strict=True):
            tensor.copy_(before)
        torch_generator(self._device).set_state(generator_state)
        return inputs, replay

    def _buffer(self, number: int, like: torch.Tensor) -> torch.Tensor:
        """Return memory for input ``number``, in the shape of ``like``.

        All steps share it, since each is replayed as soon as it is filled.
        """
        buffer = self._buffers.get(number)
        if buffer is None or len(buffer) < like.numel():
            buffer = torch.empty(like.numel(), dtype=like.dtype, device=like.device)
            self._buffers[number] = buffer
        return buffer[: like.numel()].view(like.shape)


def _fill(inputs: Inputs, values: Inputs) -> None:
    for tensor, value in zip(inputs, values, strict=True):
        if tensor is not None and value is not None:
            tensor.copy_(value)


class _Cuda:
    """Capture by torch, always on the same stream.

    CUDA's libraries allocate memory for each stream that they see. All graphs share one memory
    pool, since they are replayed one after the other.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, step: Callable[[], torch.Tensor]) -> Replay:
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        # Warm up: a graph cannot hold the start of a library that the step is the first to use.
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                step()
        current.wait_stream(self._stream)

        graph = torch.cuda.CUDAGraph()
        # Only this thread's calls count: MPI may call CUDA in other threads.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        ):
            losses = step()

        def replay() -> torch.Tensor:
            graph.replay()
            return losses

        return replay
