"""A protocol whose actors are FedML's workers: their managers handle the messages."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from pydantic import Field, field_validator
from torch import nn

from mpifl.algorithms.requests import Call
from mpifl.clock.cost import NOTHING, Cost
from mpifl.errors import InputError, TrainingError, counted
from mpifl.fedml.managers import Desk, FedMLCommManager
from mpifl.fedml.message import Message, packed, unpacked
from mpifl.job import Job
from mpifl.population.population import Population
from mpifl.protocols.actor import Actor, Event, Steps
from mpifl.protocols.actor import Message as Arrived
from mpifl.protocols.pieces import vector_of
from mpifl.protocols.protocol import Protocol
from mpifl.seeds import Purpose, number
from mpifl.training.device import seed_everything

Setting = bool | int | float | str | None
LOG = "log/"


@dataclass
class Worker:
    """A worker's manager, and how many calls it has had: its app, then a message each."""

    manager: FedMLCommManager
    calls: int = 1


@dataclass(frozen=True)
class Office:
    """The workers of a job.

    Attributes:
        job: The job.
        clients: How many clients there are.
        server: Whether process 0 is a server; if not, it is client 0.
        live: The managers of this rank's workers, made anew from what they have got where they are
            missing; no result depends on that.
    """

    job: Job
    clients: int
    server: bool
    live: dict[int, Worker] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many workers there are."""
        return self.clients + self.server

    def process_of(self, actor: int) -> int:
        """Return the process id of an actor."""
        return (actor + 1) % self.size if self.server else actor

    def actor_of(self, process: Any) -> int:
        """Return the actor that has a process id."""
        if process not in range(self.size):
            raise TrainingError(
                f"a message is for process {process!r}; there are {self.size}, from 0 on"
            )
        return (int(process) - 1) % self.size if self.server else int(process)


class Workers(Protocol):
    """A protocol of FedML's workers; ``worker`` of a subclass makes and runs a worker's manager.

    He et al., FedML, arXiv 2007.13518, section 3. ``worker`` is what FedML calls for each process:
    ``worker(args, process_id, worker_number, comm)``. It is called once for each, and handlers
    then for each message. All state that a handler changes belongs to its manager. A run that is
    taken up again makes managers anew and gives them the messages that they had got.
    """

    replays: ClassVar[bool] = True

    name: str
    server: bool = Field(True, description="process 0 is a server; if not, it is client 0")
    args: dict[str, Setting] = Field({}, description="the arguments of the app, by name")
    passes: dict[str, float] = Field(
        {},
        description="what a client computes for a message of a type, in passes over its samples"
        " that compute a gradient",
    )

    @field_validator("passes", mode="before")
    @classmethod
    def _types_as_text(cls, passes: Any) -> Any:
        """Let types of messages be numbers, as they are in FedML's apps."""
        return (
            {str(key): value for key, value in passes.items()}
            if isinstance(passes, dict)
            else passes
        )

    @staticmethod
    def worker(args: Any, process_id: int, worker_number: int, comm: Any) -> None:
        """Make the manager of a process and run it; for subclasses."""
        raise NotImplementedError

    def check(self, job: Job, population: Population) -> None:
        if population.clients + self.server < 2:
            raise InputError(
                f"protocol.server: false is not allowed with"
                f" {counted(population.clients, 'client')}; allowed: two workers or more"
            )

    def servers(self, population: Population) -> int:
        return int(self.server)

    def reporters(self, population: Population) -> int:
        return 1 if self.server else population.clients

    def setting(self, job: Job, population: Population) -> Office:
        return Office(job, population.clients, self.server)

    def cost(self, actor: int, event: Event, setting: Office) -> Cost:
        passes = self.passes.get(event.name, 0.0)
        return Cost(training=0.0, gradients=passes) if passes else NOTHING

    def on_start(self, me: Actor) -> Steps:
        yield from self._handle(me, None, 0.0)

    def on_message(self, me: Actor, message: Arrived) -> Steps:
        if "finished" not in me.state:
            yield from self._handle(me, message, self.passes.get(message.kind, 0.0))

    def _handle(self, me: Actor, message: Arrived | None, passes: float) -> Steps:
        """Call a worker's app or handler; do what it has left on its desk."""
        body = None if message is None else message.arrays["body"]

        def function(
            module: nn.Module, x: torch.Tensor, y: torch.Tensor
        ) -> tuple[Desk, list[torch.Tensor]]:
            desk = self._called(me, body, module, (x, y))
            return desk, [_vector(me, module, params) for params in desk.reports]

        desk, models = yield Call(function, me.initial, gradients=passes)
        if body is not None:
            me.state[f"{LOG}{len(_log(me)):08}"] = body
        office: Office = me.setting
        for model in models:
            self._report(me, model)
        for sent in desk.sent:
            to = office.actor_of(sent.get_receiver_id())
            body = packed(sent.get_params())
            round_number = max(me.round, _reported(me) + 1)
            me.send(to, str(sent.get_type()), round=round_number, body=body)
        if desk.trained is not None and me.context is not None:
            me.trained(*desk.trained)
        if desk.finished:
            self._finish(me)

    def _called(
        self,
        me: Actor,
        body: torch.Tensor | None,
        module: nn.Module,
        samples: tuple[torch.Tensor, torch.Tensor],
    ) -> Desk:
        """Call a worker's app, or its handler for a message; return its desk."""
        office: Office = me.setting
        log = _log(me)
        if body is None:
            office.live[me.number] = self._begun(me, module, samples)
        elif me.number not in office.live or office.live[me.number].calls != 1 + len(log):
            worker = office.live[me.number] = self._begun(me, module, samples)
            for before in log:
                _receive(me, worker, before, module, samples)
        worker = office.live[me.number]
        return worker.manager.desk if body is None else _receive(me, worker, body, module, samples)

    def _begun(
        self, me: Actor, module: nn.Module, samples: tuple[torch.Tensor, torch.Tensor]
    ) -> Worker:
        """Return a worker whose app has been called."""
        office: Office = me.setting
        process = office.process_of(me.number)
        args = argparse.Namespace(
            **{"random_seed": office.job.seed, "worker_num": office.size - office.server}
            | self.args
            | {"rank": process, "process_id": process}
        )
        seed_everything(number(office.job.seed, Purpose.WORKERS))
        FedMLCommManager.opened.clear()
        FedMLCommManager.opening = Desk(samples=samples, module=module)
        self.worker(args, process, office.size, None)
        if not FedMLCommManager.opened:
            raise TrainingError(
                f"the app of process {process} has made no manager (FedMLCommManager)"
            )
        return Worker(FedMLCommManager.opened[-1])

    def _report(self, me: Actor, model: torch.Tensor) -> None:
        """Report a model for the worker's next round."""
        office: Office = me.setting
        if office.server and me.context is not None:
            raise TrainingError("report_model: with protocol.server true only process 0 reports")
        me.state["model"] = model
        me.report(model, round=_reported(me) + 1)
        me.state["reported"] = torch.tensor(float(_reported(me) + 1))

    def _finish(self, me: Actor) -> None:
        """End a worker: for the rounds that are left its last model stands."""
        office: Office = me.setting
        me.state["finished"] = torch.ones(())
        for name in [name for name in me.state if name.startswith(LOG)]:
            del me.state[name]
        if office.server and me.context is not None:
            return
        model = me.state.get("model", me.initial)
        for round_number in range(_reported(me) + 1, office.job.rounds + 1):
            me.report(model, round=round_number)


def _receive(
    me: Actor,
    worker: Worker,
    body: torch.Tensor,
    module: nn.Module,
    samples: tuple[torch.Tensor, torch.Tensor],
) -> Desk:
    """Give a worker a message; return its desk."""
    office: Office = me.setting
    message = Message()
    message.msg_params = unpacked(body)
    desk = worker.manager.desk = Desk(samples=samples, module=module)
    seed_everything(number(office.job.seed, Purpose.WORKERS, me.number, worker.calls))
    worker.manager.receive_message(message.get_type(), message)
    worker.calls += 1
    return desk


def _log(me: Actor) -> list[torch.Tensor]:
    """Return the messages that a worker has got so far, in their order."""
    return [me.state[name] for name in sorted(me.state) if name.startswith(LOG)]


def _reported(me: Actor) -> int:
    return int(me.state.get("reported", torch.zeros(())))


def _vector(me: Actor, module: nn.Module, params: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return a state_dict as a model (size,)."""
    kept = {name: values.clone() for name, values in module.state_dict().items()}
    module.load_state_dict(dict(params))
    try:
        return vector_of(module, me.layout)
    finally:
        module.load_state_dict(kept)
