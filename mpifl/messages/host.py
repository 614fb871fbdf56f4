"""The actors of one rank: their state, the messages that they have sent, and their handlers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from mpifl.algorithms.context import ClientContext
from mpifl.errors import at
from mpifl.messages.handed import Handed, check_handed, handed_to, model_of, tensor_of
from mpifl.messages.letter import Effects, Handling, Key, Letter
from mpifl.messages.owners import block_of
from mpifl.messages.server_handlers import name_of, run_server
from mpifl.messages.sizes import size_of
from mpifl.protocols.actor import Actor, Message
from mpifl.rounds.clients.attacking import count_labels
from mpifl.rounds.clients.client_errors import task_names
from mpifl.rounds.clients.client_program import ClientProgram, Ended, advance
from mpifl.rounds.clients.contract import is_plug_in
from mpifl.rounds.clients.public import public_inputs
from mpifl.rounds.clients.serving import serve
from mpifl.rounds.clients.worker import Worker
from mpifl.rounds.plan.plan import TASK
from mpifl.seeds import Purpose, generator

Arrays = Mapping[str, torch.Tensor]


@dataclass
class Host:
    """The actors of one rank.

    Attributes:
        worker: What this rank trains with.
        setting: The protocol's setting.
        state: The arrays of each actor, by name.
        carried: The arrays of the messages that these actors have sent and nobody has taken yet.
        reported: The models that these actors have reported and no mean has taken yet, by actor and
            handler.
        latest: The models that the last mean had, by actor.
        sent: How many messages each actor has sent.
    """

    worker: Worker
    setting: Any
    state: dict[int, dict[str, torch.Tensor]] = field(default_factory=dict)
    carried: dict[Key, Arrays] = field(default_factory=dict)
    reported: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)
    latest: dict[int, torch.Tensor] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)

    def run(self, handlings: Sequence[Handling], arrived: Mapping[Key, Arrays]) -> list[Effects]:
        """Run handlers of this rank's actors; return what they have done.

        Those of a block of actors (``owners.py``) run side by side: requests that are alike are
        served together. What is together depends on the handlers and the blocks only.

        Args:
            handlings: At most one of each actor.
            arrived: The arrays of messages that actors of other ranks have sent.
        """
        done = []
        for block in _blocks(handlings, self.worker.experiment.stack):
            done += self._run_block(block, arrived)
        return done

    def taken(self, letter: Letter) -> Arrays:
        """Return the arrays of a message that an actor of this rank has sent, and let go of them.

        A message without arrays may be missing: a checkpoint has nothing of it.
        """
        return self.carried.pop(letter.key) if letter.shapes else self.carried.pop(letter.key, {})

    def forget(self, letters: Iterable[Letter]) -> None:
        """Let go of the arrays of messages that nobody gets, or somebody has got."""
        for letter in letters:
            self.carried.pop(letter.key, None)

    def take_reports(self, reports: Iterable[Sequence[int]]) -> None:
        """Let the models that were reported last stand for their actors.

        ``reports`` are actor and handler of those of all ranks, in their order.
        """
        for actor, handler in reports:
            if (actor, handler) in self.reported:
                self.latest[actor] = self.reported.pop((actor, handler))

    def _run_block(
        self, handlings: Sequence[Handling], arrived: Mapping[Key, Arrays]
    ) -> list[Effects]:
        worker = self.worker
        tasks = np.zeros(len(handlings), TASK)
        tasks["client"] = [handling.actor for handling in handlings]
        tasks["round"] = [handling.event.round for handling in handlings]
        tasks["began"] = tasks["round"]

        protocol = worker.experiment.job.protocol
        checked = is_plug_in(protocol)  # those that come with mpifl are tested
        handed: list[Handed] = []
        actors: list[Actor] = []
        programs: list[ClientProgram] = []
        for index, handling in enumerate(handlings):
            with at(name_of(handling)):
                actor = self._actor(handling)
                messages = self._messages(handling, arrived)
                handed += handed_to(actor, messages) if checked else ()
                generator = self._call(actor, handling, messages)
            actors.append(actor)
            if generator is None:
                continue
            if actor.context is None:
                run_server(worker, generator, handling)
                continue
            cost = protocol.costed(handling.actor, handling.event, self.setting)
            programs.append(
                ClientProgram(index, tasks[index], actor.context, generator, cost, handling.part)
            )

        ended = dict(_served(worker, tasks, programs))
        check_handed(protocol.name, handed)
        done = []
        for index, (handling, actor) in enumerate(zip(handlings, actors, strict=True)):
            with at(name_of(handling)):
                done.append(self._effects(handling, actor, ended.get(index)))
        if not protocol.replays:
            worker.contract.check()
        return done

    def _actor(self, handling: Handling) -> Actor:
        """Return what a handler sees."""
        experiment = self.worker.experiment
        population = experiment.population
        number = handling.actor
        round_number = handling.event.round
        is_client = number < population.clients
        initial = self.worker.initial
        assert initial is not None  # it is kept for actors
        keys = (Purpose.ACTOR, round_number, number)
        return Actor(
            number=number,
            clients=population.clients,
            actors=population.clients + experiment.job.protocol.servers(population),
            round=round_number,
            now=handling.now,
            setting=self.setting,
            state=dict(self.state.get(number, {})),
            context=self._context(number, max(1, round_number)) if is_client else None,
            initial=initial,
            layout=experiment.layout,
            make_generator=partial(generator, experiment.job.seed, *keys),
        )

    def _context(self, client: int, round_number: int) -> ClientContext:
        worker = self.worker
        experiment = worker.experiment
        rows = worker.rows(client)
        held = np.array([rows.stop - rows.start])
        keys = (Purpose.CLIENT, round_number, client)
        job_round = experiment.job.protocol.job_round(round_number, self.setting)
        return ClientContext(
            client=client,
            round=round_number,
            samples=rows.stop - rows.start,
            steps=int(experiment.workload.steps(held)[0]),
            lr=worker.recipe(job_round).lr,
            training=experiment.job.training,
            received={},
            initial_or_none=worker.initial,
            kept={},
            kept_round=0,
            kind=0,
            layout=experiment.layout,
            loss=experiment.objective.loss,
            count_labels=partial(count_labels, experiment, rows),
            public=partial(public_inputs, experiment, worker.device),
            make_generator=partial(generator, experiment.job.seed, *keys),
        )

    def _messages(self, handling: Handling, arrived: Mapping[Key, Arrays]) -> list[Message]:
        """Return the messages that a handler takes."""
        messages = []
        for letter in handling.letters:
            arrays = arrived[letter.key] if letter.key in arrived else self.taken(letter)
            messages.append(
                Message(letter.kind, letter.round, letter.sender, arrays, letter.numbers)
            )
        return messages

    def _call(self, actor: Actor, handling: Handling, messages: list[Message]) -> Any:
        """Call the handler of an event; return its generator, None where it has none."""
        protocol = self.worker.experiment.job.protocol
        what = handling.event.what
        if what == "start":
            return protocol.on_start(actor)
        if what == "timer":
            return protocol.on_timer(actor, handling.event.name)
        if what == "refused":
            return protocol.on_refused(actor, handling.to, handling.event.name)
        if what == "broken":
            return protocol.on_broken(actor, handling.event.name)
        if what == "message":
            return protocol.on_message(actor, messages[0])
        return protocol.on_gathered(actor, messages)

    def _effects(self, handling: Handling, actor: Actor, program: ClientProgram | None) -> Effects:
        """Keep what a handler has left behind; return what it has done."""
        number = handling.actor
        self.state[number] = {
            name: tensor_of(values, f"state[{name!r}]") for name, values in actor.state.items()
        }
        for report in actor.reports:
            model = model_of(report.model, actor.layout.size)
            self.reported[number, handling.number] = model

        letters = []
        sent = self.sent.get(number, 0)
        for place, sending in enumerate(actor.sent, sent):
            arrays = {
                name: tensor_of(values, f"{name!r} of a message {sending.kind!r}")
                for name, values in sending.arrays.items()
            }
            size = size_of(self.worker.experiment, arrays, sending.numbers)
            shapes = {name: tuple(values.shape) for name, values in arrays.items()}
            letter = Letter(
                number,
                place,
                sending.to,
                sending.kind,
                sending.round,
                size,
                sending.numbers,
                shapes,
            )
            letters.append(letter)
            self.carried[letter.key] = arrays
        self.sent[number] = sent + len(letters)

        first = None if program is None else program.first
        loss = math.nan if program is None else program.losses.loss
        return Effects(
            handling.number,
            tuple(letters),
            tuple((timer.seconds, timer.name, timer.round) for timer in actor.timers),
            tuple(report.round for report in actor.reports),
            0 if program is None else program.requests,
            actor.own_steps if first is None else first.steps,
            actor.own_loss if first is None and actor.own_steps else loss,
        )


def make_host(worker: Worker) -> Host:
    """Return a host without actors; they come with their first handler."""
    experiment = worker.experiment
    setting = experiment.job.protocol.setting(experiment.job, experiment.population)
    return Host(worker, setting)


def _blocks(handlings: Sequence[Handling], stack: int) -> Iterator[list[Handling]]:
    """Yield handlers by the block of their actor and the round, in the order of these."""
    blocks: dict[tuple[int, int], list[Handling]] = {}
    for handling in handlings:
        key = (block_of(handling.actor, stack), handling.event.round)
        blocks.setdefault(key, []).append(handling)
    for key in sorted(blocks):
        yield sorted(blocks[key], key=lambda handling: handling.actor)


def _served(
    worker: Worker, tasks: np.ndarray, programs: list[ClientProgram]
) -> Iterator[tuple[int, ClientProgram]]:
    """Run generators to their ends, serving requests that are alike together; yield them."""
    running = programs
    while running:
        waiting = []
        for program in running:
            with at(partial(task_names, worker.experiment, tasks[[program.index]])):
                reached = advance(worker, program)
            if isinstance(reached, Ended):
                yield program.index, program
            else:
                waiting.append((program, reached))
        running = serve(worker, tasks, waiting)
