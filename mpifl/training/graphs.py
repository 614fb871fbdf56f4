"""CUDA graphs of a stack's steps: what Python says to the GPU once is played back for every step of the same shape.

A step of small models is some twenty kernels of a few microseconds each; launched one by one they take the GPU longer than the
work in them. Memory in a graph has fixed addresses: each has inputs of its own, and works on the weights of its stack.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from mpifl.errors import InputError
from mpifl.training.device import torch_generator
from mpifl.training.stack import Stack

Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
Replay = Callable[[], torch.Tensor]
Capture = Callable[[Callable[[], torch.Tensor]], Replay]
"""Makes of a step what repeats it; the step itself may be done any number of times, or not at all."""

WARM_UPS = 2


class Graphs:
    """The captured steps of stacks, by the shapes of what goes in.

    The first step of a shape is captured and then played back too: no bit depends on what shapes a rank has seen before. All of
    them are let go of together, never one.
    """

    def __init__(self, device: torch.device, capture: Capture | None = None) -> None:
        self._device, self._capture = device, capture or _Cuda(device)
        self._known: dict[tuple[object, ...], tuple[Inputs, Replay]] = {}
        self._places: dict[int, torch.Tensor] = {}

    def forget(self) -> None:
        """Let go of what was captured: the stack has new weights."""
        self._known.clear()

    def steps_of(self, stack: Stack) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]:
        """In place of ``stack.step``."""

        def step(x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
            key = (id(stack), x.shape, None if mask is None else mask.shape)
            if key not in self._known:
                self._known[key] = self._captured(stack, x, y, mask)
            inputs, replay = self._known[key]
            _fill(inputs, (x, y, mask))
            return replay().clone()

        return step

    def _captured(self, stack: Stack, x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None) -> tuple[Inputs, Replay]:
        """A step on inputs that stay in their place; what the capture does to weights and noise is undone."""
        inputs = (self._place(0, x), self._place(1, y), None if mask is None else self._place(2, mask))
        _fill(inputs, (x, y, mask))
        state, drawn = stack.state(), torch_generator(self._device).get_state()
        kept = [tensor.clone() for tensor in state]
        try:
            replay = self._capture(lambda: stack.step(*inputs))
        except RuntimeError as error:  # of the end of a capture that something else has spoilt
            why = str(error.__context__ or error).strip().splitlines()[0]
            raise InputError(
                f"training.engine: 'stacked' is not allowed: a step of the model cannot be a CUDA graph ({why}); allowed: loop"
            ) from error
        for tensor, before in zip(state, kept, strict=True):
            tensor.copy_(before)
        torch_generator(self._device).set_state(drawn)
        return inputs, replay

    def _place(self, number: int, like: torch.Tensor) -> torch.Tensor:
        """Memory for an input. All steps share it, since each is played back as soon as it is filled."""
        have = self._places.get(number)
        if have is None or len(have) < like.numel():
            have = self._places[number] = torch.empty(like.numel(), dtype=like.dtype, device=like.device)
        return have[: like.numel()].view(like.shape)


def _fill(inputs: Inputs, given: Inputs) -> None:
    for into, what in zip(inputs, given, strict=True):
        if into is not None and what is not None:
            into.copy_(what)


class _Cuda:
    """Capture by torch, all on one stream: its libraries have memory for each stream that they see.

    All graphs share one pool of memory, since they are played back one after the other.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, step: Callable[[], torch.Tensor]) -> Replay:
        here = torch.cuda.current_stream(self._device)
        self._aside.wait_stream(here)
        with torch.cuda.stream(self._aside):  # libraries that a step is the first to use start up, which no graph can hold
            for _ in range(WARM_UPS):
                step()
        here.wait_stream(self._aside)
        graph = torch.cuda.CUDAGraph()
        # Only this thread's calls count: MPI may call CUDA in others.
        with torch.cuda.graph(graph, pool=self._pool, stream=self._aside, capture_error_mode="thread_local"):
            losses = step()

        def replay() -> torch.Tensor:
            graph.replay()
            return losses

        return replay
