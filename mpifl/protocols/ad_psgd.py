"""Asynchronous decentralized SGD: a client averages with one neighbour whenever it has trained."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from mpifl.algorithms.requests import Train
from mpifl.clock.cost import NOTHING, PLANNED, Cost
from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.population.population import Population
from mpifl.protocols.actor import Actor, Event, Handler, Message, Steps
from mpifl.protocols.graph import CHANGING, Topology, topology
from mpifl.protocols.weights import graph_line
from mpifl.protocols.with_graph import WithGraph


class AdPsgd(WithGraph):
    """A protocol: a client that has trained averages its model with that of one random neighbour.

    Lian et al., Asynchronous Decentralized Parallel SGD, arXiv 1710.06952, algorithm 1. Nobody
    waits for the slowest: a round is over after as many steps as there are clients, whoever made
    them. An average is two messages: the client sends its model, the neighbour sends back by how
    much its own differs, and both move by half of the difference, so that the sum of all models
    stays. A neighbour answers when it has trained. A client whose answer has not come after
    ``timeout_seconds`` goes on without it; an answer that comes later still counts. One that went
    offline while it trained (``clock.availability: strict``) trains again when it is online.
    """

    asynchronous: ClassVar[bool] = True

    name: str = "ad_psgd"
    timeout_seconds: float = Field(
        600.0, gt=0, le=1e9, description="how long a client waits for an answer"
    )

    def check(self, job: Job, population: Population) -> None:
        if self.graph.name in CHANGING:
            raise InputError(
                f"protocol.graph.name: {self.graph.name!r} is not allowed with protocol.name"
                " ad_psgd, whose clients are in different rounds; allowed: graphs that stay"
            )
        if not topology(self.graph, population.clients, job.seed).at(1).symmetric:
            raise InputError(
                f"protocol.graph.name: {self.graph.name!r} is not allowed with protocol.name"
                " ad_psgd, whose neighbours answer; allowed: graphs in which all send to those from"
                " whom they get"
            )

    def describe(self, job: Job, population: Population) -> list[str]:
        samples = population.samples(np.arange(population.clients))
        return [graph_line(self.setting(job, population), None, samples)]

    def setting(self, job: Job, population: Population) -> Topology:
        return topology(self.graph, population.clients, job.seed)

    def cost(self, actor: int, event: Event, setting: Topology) -> Cost:
        return PLANNED if event.name == "train" else NOTHING

    def on_start(self, me: Actor) -> None:
        me.state["model"] = me.initial
        me.after(0, "train", round=1)

    def on_timer(self, me: Actor, name: str) -> Handler:
        if name == "train":
            return self._train(me)
        self._end_round(me)
        return None

    def _train(self, me: Actor) -> Steps:
        trained = yield Train(me.state["model"])
        me.state[_update(me)] = trained.update
        neighbours = me.setting.at(1).receivers[me.number]
        if not neighbours:
            self._end_round(me)
            return
        chosen = int(me.make_generator().integers(len(neighbours)))
        me.send(neighbours[chosen], "ask", model=me.state["model"])
        me.after(self.timeout_seconds, "late")

    def on_message(self, me: Actor, message: Message) -> None:
        own = me.state["model"]
        if message.kind == "ask":
            theirs = message.arrays["model"]
            me.send(message.sender, "answer", difference=own - theirs)
            me.state["model"] = own + (theirs - own) / 2
            return
        me.state["model"] = own + message.arrays["difference"] / 2
        self._end_round(me)

    def on_refused(self, me: Actor, to: int, kind: str) -> None:
        if kind == "ask":  # without an average this time; who was refused an answer waits for it
            self._end_round(me)

    def on_broken(self, me: Actor, name: str) -> None:
        me.after(0, "train")

    def _end_round(self, me: Actor) -> None:
        """Add the round's update, unless that was done: an answer may come after its timeout."""
        if _update(me) in me.state:
            me.state["model"] = me.state["model"] + me.state.pop(_update(me))
            me.report(me.state["model"])
            me.after(0, "train", round=me.round + 1)


def _update(me: Actor) -> str:
    """Return the name under which an actor keeps what it has trained in a round."""
    return f"update {me.round}"
