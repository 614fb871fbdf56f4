"""The base class of the protocols: who trains with whom, and what they send each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from mpifl.clock.cost import NOTHING, Cost
from mpifl.clock.participation import Participation
from mpifl.errors import InputError
from mpifl.job.section import Section
from mpifl.protocols.actor import Actor, Event, Handler, Message

if TYPE_CHECKING:
    from mpifl.job import Job
    from mpifl.population.population import Population


class Protocol(Section):
    """Base of the protocols (``protocol.name``).

    A protocol's actors are the clients, one each, and its servers. Each has handlers, which are
    called for an event: generators that yield requests as client programs do. An actor does one
    thing at a time; what comes meanwhile waits. A handler may depend on its arguments only.

    An instance holds the protocol's keys and never changes.

    Attributes:
        has_actors: Whether it is a protocol of actors. The rounds of a server are not.
        asynchronous: Whether a round is over after as many reports as there are reporters, whoever
            made them. If not, it is over when each of them has reported it.
        in_order: Whether messages that are gathered wait until their receiver has been called in
            their round, as where it is to train first. Others may be rounds ahead of it.
        joins: Whether reports are parts of one model: each has 0 in the entries of the others, and
            they are added up. If not, the model of a round is their mean.
        replays: Whether its actors may have objects of their own, which are made anew from the
            messages that they got. If not, what a handler leaves behind elsewhere is an error.
    """

    has_actors: ClassVar[bool] = True
    """Whether it is a protocol of actors. The rounds of a server are not."""

    asynchronous: ClassVar[bool] = False
    """Whether a round is over after as many reports as there are reporters, whoever made them."""
    in_order: ClassVar[bool] = False
    """Whether gathered messages wait until their receiver has been called in their round."""
    joins: ClassVar[bool] = False
    """Whether reports are parts of one model, and added up."""
    replays: ClassVar[bool] = False
    """Whether its actors may have objects of their own, made anew from the messages they got."""

    name: str
    offline: Literal["wait", "lose", "refuse"] = Field(
        "wait",
        description="a message whose receiver is offline: waits until it is online, is lost, or"
        " is refused, which its sender learns",
    )

    def check(self, job: Job, population: Population) -> None:
        """Check that the protocol goes with the rest of a job. Raises InputError."""

    def files(self) -> Mapping[str, Path]:
        """Return the files that it reads, by the name of their hash in environment.json."""
        return {}

    def resolved(self) -> Self:
        """Return the protocol with absolute paths of its files; by default itself."""
        return self

    def describe(self, job: Job, population: Population) -> list[str]:
        """Return lines about the protocol for ``mpifl check``."""
        return []

    def servers(self, population: Population) -> int:
        """Return how many servers there are. They are never offline."""
        return 0

    def server_kbps(self, server: int, peer: int, setting: Any) -> float:
        """Return the speed, kbit/s, at which a server sends to and receives from an actor.

        By default infinity: its transfers take no time.
        """
        return math.inf

    def reporters(self, population: Population) -> int:
        """Return how many actors report models. By default all clients do."""
        return population.clients

    def job_round(self, round_number: int, setting: Any) -> int:
        """Return the round of the job that a round of the protocol's messages belongs to."""
        return round_number

    def setting(self, job: Job, population: Population) -> Any:
        """Return what all actors know, such as a graph. The same on every rank, and not changed."""
        return None

    def awaited(self, actor: int, kind: str, round_number: int, setting: Any) -> int:
        """Return how many messages of a kind and round an actor gathers before it is called.

        0, the default: it is called for each (``on_message``), else once for all of them
        (``on_gathered``).
        """
        return 0

    def cost(self, actor: int, event: Event, setting: Any) -> Cost:
        """Return what a handler computes at most. By default nothing.

        The clock charges it before the handler runs. Not asked for ``on_refused`` and
        ``on_broken``, which compute nothing.
        """
        return NOTHING

    def costed(self, actor: int, event: Event, setting: Any) -> Cost:
        """Return ``cost``, and nothing for events that only tell a client of something."""
        told = event.what in ("refused", "broken")
        return NOTHING if told else self.cost(actor, event, setting)

    def server_seconds(self, server: int, event: Event, setting: Any) -> float:
        """Return the virtual seconds that a handler of a server computes. By default 0."""
        return 0.0

    def on_start(self, me: Actor) -> Handler:
        """Begin; every actor is called once, at second 0, when it is first online."""
        return None

    def on_message(self, me: Actor, message: Message) -> Handler:
        """Take a message."""
        return None

    def on_gathered(self, me: Actor, messages: Sequence[Message]) -> Handler:
        """Take the messages of a kind and round, all at once, by the number of their sender."""
        return None

    def on_timer(self, me: Actor, name: str) -> Handler:
        """Take a timer that is over."""
        return None

    def on_refused(self, me: Actor, to: int, kind: str) -> Handler:
        """Learn that a message of a kind to an actor was refused; ``me.round`` is its round."""
        return None

    def on_broken(self, me: Actor, name: str) -> Handler:
        """Learn, online again, that a handler was broken off when the client went offline.

        ``name`` is that of its event and ``me.round`` its round. It has done nothing, and the
        messages that it had taken are lost. With ``clock.availability: strict`` alone.
        """
        return None


def refuse_options(job: Job) -> None:
    """Raise InputError for keys of a job that a protocol of actors does not use."""
    name = job.protocol.name
    allowed = f"not allowed with protocol.name {name}"
    refused = (
        ("algorithm.name", job.algorithm.name, "fedavg"),
        ("aggregation.name", job.aggregation.name, "mean"),
        ("contribution.name", job.contribution.name, "none"),
        ("training.batch_norm", job.training.batch_norm, "average"),
        ("training.device", job.training.device, "cpu"),
        ("clock.costs", job.clock.costs, "declared"),
        ("runtime.on_client_error", job.runtime.on_client_error, "abort"),
        ("runtime.on_divergence", job.runtime.on_divergence, "abort"),
    )
    for key, value, only in refused:
        if value != only:
            raise InputError(f"{key}: {value!r} is {allowed}; allowed: {only}")
    if job.attacks:
        raise InputError(f"attacks: {allowed}")
    if job.clock.mode not in ("sync", "all"):
        raise InputError(f"clock.mode: {job.clock.mode!r} is {allowed}; allowed: all, sync")
    for key, stages in (("up", job.exchange.up), ("down", job.exchange.down)):
        if stages:
            raise InputError(f"exchange.{key} is {allowed}; allowed: no stages")
    if job.training.engine == "none":
        raise InputError(f"training.engine: 'none' is {allowed}; allowed: auto, loop, stacked")
    if job.clock.availability == "fedscale":
        raise InputError(
            f"clock.availability: 'fedscale' is {allowed}; allowed: strict, resume, always"
        )
    if job.evaluation.personal:
        raise InputError(f"evaluation.personal: true is {allowed}")
    if job.selection.participants is not None:
        raise InputError(
            f"selection.participants: {job.selection.participants} is {allowed}, which says itself"
            " who takes part; leave it out (selection.participants=null)"
        )
    if job.selection.name != "uniform":
        raise InputError(
            f"selection.name: {job.selection.name!r} is {allowed}, which says itself who takes"
            " part; leave it out"
        )
    _refuse_clock(job, allowed)


def _refuse_clock(job: Job, allowed: str) -> None:
    """Raise InputError for keys of ``clock`` that the links of actors do not have."""
    for key, field in type(job.clock).model_fields.items():
        shared = key in Participation.model_fields
        if not shared and getattr(job.clock, key) != field.get_default():
            raise InputError(f"clock.{key} is {allowed}")
    if job.clock.battery.counted:
        raise InputError(f"clock.battery.capacity_joules is {allowed}")
    latency = job.clock.latency
    if latency.radio.counted:
        raise InputError(f"clock.latency.radio is {allowed}")
    if latency.server_seconds:
        raise InputError(f"clock.latency.server_seconds is {allowed}")
    if latency.model_bytes_up is not None:
        raise InputError(
            f"clock.latency.model_bytes_up is {allowed}, whose models weigh the same both ways;"
            " allowed: model_bytes"
        )


def refuse_servers_keys(job: Job, population: Population) -> None:
    """Raise InputError for keys of servers where a protocol of actors has none."""
    if job.protocol.servers(population):
        return
    for key in ("server_down_kbps", "server_up_kbps", "update_seconds"):
        value = getattr(job.clock.latency, key)
        if value:
            raise InputError(
                f"clock.latency.{key}: {value:g} is not allowed with protocol.name"
                f" {job.protocol.name}, which has no server; leave it out"
            )
