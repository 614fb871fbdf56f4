"""CUDA graphs of a stack's steps: what Python says to the GPU once is played back for every step of the same shape.

A step of small models is some twenty kernels of a few microseconds each; launched one by one they take the GPU longer than the
work in them. Memory in a graph has fixed addresses: each has inputs of its own, and works on the weights of its stack.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from mpifl.errors import TrainingError
from mpifl.training.device import noise
from mpifl.training.stack import Stack

Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
Replay = Callable[[], torch.Tensor]
Capture = Callable[[Callable[[], torch.Tensor]], Replay]
"""Makes of a step what repeats it; the step itself may be done any number of times, or not at all."""

WARM_UPS = 2


class Graphs:
    """The captured steps of stacks, by the shapes of what goes in.

    The first step of a shape is captured and then played back too: no bit depends on what shapes a rank has seen before.
    """

    def __init__(self, device: torch.device, capture: Capture | None = None) -> None:
        self._device, self._capture = device, capture or _Cuda(device)
        self._known: dict[tuple[object, ...], tuple[Inputs, Replay]] = {}

    def forget(self) -> None:
        """Let go of what was captured: the stack has new weights."""
        self._known.clear()

    def steps_of(self, stack: Stack) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]:
        """In place of ``stack.step``."""

        def step(x: torch.Tensor, y: torch.Tensor, there: torch.Tensor | None) -> torch.Tensor:
            key = (id(stack), x.shape, None if there is None else there.shape)
            if key not in self._known:
                self._known[key] = self._captured(stack, x, y, there)
            inputs, replay = self._known[key]
            for into, given in zip(inputs, (x, y, there), strict=True):
                if into is not None and given is not None:
                    into.copy_(given)
            return replay().clone()

        return step

    def _captured(self, stack: Stack, x: torch.Tensor, y: torch.Tensor, there: torch.Tensor | None) -> tuple[Inputs, Replay]:
        """A step on inputs of its own; what the capture does to weights and noise is undone."""
        inputs = (x.contiguous().clone(), y.contiguous().clone(), None if there is None else there.contiguous().clone())
        state, drawn = stack.state(), noise(self._device).get_state()
        kept = [tensor.clone() for tensor in state]
        try:
            replay = self._capture(lambda: stack.step(*inputs))
        except RuntimeError as error:
            why = str(error).strip().splitlines()[0]
            raise TrainingError(
                f"a step of this model cannot be a CUDA graph ({why}); training.engine=loop trains it"
            ) from error
        for tensor, before in zip(state, kept, strict=True):
            tensor.copy_(before)
        noise(self._device).set_state(drawn)
        return inputs, replay


class _Cuda:
    """Capture by torch. All graphs share one pool of memory, since they are played back one after the other."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, step: Callable[[], torch.Tensor]) -> Replay:
        aside = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(aside):  # libraries that a step is the first to use start up, which no graph can hold
            for _ in range(WARM_UPS):
                step()
        torch.cuda.current_stream(self._device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            losses = step()

        def replay() -> torch.Tensor:
            graph.replay()
            return losses

        return replay
