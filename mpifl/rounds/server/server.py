"""The state of rank 0 between assignments: arrays, model versions, clock, open rounds.

``aggregator.py`` advances it. ``snapshot.py`` is what a checkpoint holds of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from mpifl.algorithms.arrays import Arrays
from mpifl.clock.timeline import ClockState
from mpifl.clock.workload import Workload
from mpifl.clock.workload_by_held import WorkloadByHeld
from mpifl.privacy.central import NoiseStream
from mpifl.privacy.participations import Participations
from mpifl.rounds.clients.assignment import Versions
from mpifl.rounds.clients.client_state import ClientStore
from mpifl.rounds.clients.contract import Contract, called_parts
from mpifl.rounds.clients.exchanging import arrived, caught_up
from mpifl.rounds.clients.others import Others, last_participants
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.held import Held
from mpifl.rounds.plan.plan import Plan
from mpifl.rounds.plan.probe import Probe
from mpifl.rounds.plan.round_result import RoundResult
from mpifl.rounds.plan.snapshot import STATE_ROUND, Snapshot, Waiting
from mpifl.rounds.server.learning import first_learned
from mpifl.rounds.server.privatising import noise_stream
from mpifl.rounds.server.server_step import checked, first_state
from mpifl.rounds.server.settling import Kept, Unsettled
from mpifl.selection.feedback import State
from mpifl.training.device import CPU


@dataclass
class Server:
    """What changes on rank 0 from round to round.

    Attributes:
        experiment: The job, its population and its model.
        state: The arrays of the algorithm's server by name.
        version: Number of the newest model version.
        versions: The model versions that a client in flight or a test still needs.
        unsent: Numbers of those versions that the executors do not have yet.
        rounds_done: Number of rounds that are over.
        last_round: Number of the last round, as far as it is known: ``rounds`` of the job, or the
            round after which its ``stop`` ends the run.
        clock: The clock after the rounds of ``plans``.
        clock_done: The clock after ``rounds_done``.
        learned: What the selection rule has learned from the rounds that are over.
        ahead: The plan of the round after those of ``plans``, if it is made already.
        probe: The probe of the next round, and the losses of those who answered, None as long as
            they are not known; None where no probe is under way.
        unsettled: The next round, where it is settled after it was trained and is not settled yet,
            or its updates are not counted yet.
        kept: What the training gave of updates that executors keep until it is known which count.
        plans: The plans of the assignment under way.
        untested: Rounds that are over and wait for the test of their model.
        unwritten: Rounds that are over and tested, and not reported to the callbacks yet.
        state_rounds: By client, the round after which it last kept state. Empty where the algorithm
            keeps no state of clients.
        others: The participants of the last round (structured STATE_ROUND, by client), for
            algorithms whose clients or server look at what these kept.
        store: What clients keep; None before the rounds begin.
        bytes_down: What a participant that begins with the newest version receives.
        participations: Who took part how often, of a job with privacy.
        held: Who has which reference model, with ``exchange.delta``.
        noise: That of the server, of a job with privacy; else None.
        contract: Checks the job's plug-ins.
    """

    experiment: Experiment
    state: Arrays
    version: int = 0
    versions: Versions = field(default_factory=dict)
    unsent: set[int] = field(default_factory=set)
    rounds_done: int = 0
    clock: ClockState = field(default_factory=ClockState)
    learned: State = field(default_factory=dict)
    ahead: Plan | None = None
    probe: tuple[Probe, np.ndarray | None] | None = None
    unsettled: Unsettled | None = None
    kept: Kept = field(default_factory=dict)
    plans: list[Plan] = field(default_factory=list)
    untested: list[Waiting] = field(default_factory=list)
    unwritten: list[RoundResult] = field(default_factory=list)
    state_rounds: dict[int, int] = field(default_factory=dict)
    participations: Participations = field(default_factory=Participations)
    held: Held = field(default_factory=Held)
    others: np.ndarray = field(default_factory=lambda: np.empty(0, STATE_ROUND))
    store: ClientStore | None = None
    noise: NoiseStream | None = field(init=False)
    bytes_down: int = field(init=False)
    last_round: int = field(init=False)
    clock_done: ClockState = field(init=False)
    contract: Contract = field(init=False)

    def __post_init__(self) -> None:
        """Find the last round, and record the state of the plug-ins before they are called."""
        experiment = self.experiment
        self.bytes_down = experiment.workload.bytes_down
        if not experiment.job.exchange.delta:
            self.bytes_down = arrived(experiment, self.version, self.state)[1]
        self.noise = noise_stream(experiment)
        self.clock_done = self.clock
        self.last_round = experiment.job.rounds
        for waiting in self.untested:
            self.note_time(waiting.plan)
        self.contract = Contract(called_parts(experiment), experiment.model.module)

    @property
    def workload(self) -> Workload:
        """What a round costs a participant that begins with the newest version."""
        workload = self.experiment.workload
        if isinstance(workload, WorkloadByHeld):
            return replace(workload, behind=self.held.behind)
        return replace(workload, bytes_down=self.bytes_down)

    def note_kept(self, clients: np.ndarray, round_number: int) -> None:
        """Note who (n,) int64, sorted, has kept state after a round."""
        if not len(self.experiment.kept_shapes):
            return
        self.state_rounds.update(dict.fromkeys(clients.tolist(), round_number))
        if self.experiment.job.algorithm.needs_others and len(clients):
            self.others = np.empty(len(clients), STATE_ROUND)
            self.others["client"] = clients
            self.others["round"] = round_number

    def read_others(self) -> Mapping[int, Mapping[str, torch.Tensor]]:
        """Return what the participants of the last round keep, by client, where that is needed."""
        names = self.experiment.job.algorithm.needs_others
        if self.store is None or not names:
            return {}
        others = Others(self.store, names, CPU)
        others.begin_round(self.others)
        return others.without(None)

    def note_time(self, plan: Plan) -> None:
        """Make a round the last one if the virtual clock has then reached ``stop.hours``."""
        if self.experiment.job.stop.out_of_time(plan.timeline.end_seconds):
            self.last_round = min(self.last_round, plan.round_number)


def make_server(experiment: Experiment, snapshot: Snapshot) -> Server:
    """Return the server at the start of a run, or as a checkpoint has it."""
    if snapshot.state is None:
        rule_state = first_learned(experiment, None)
        server = Server(experiment, first_state(experiment), learned=rule_state)
        keep_version(server)
        experiment.forget_initial()
        return server

    # In the order in which they are sent; a file gives them by name.
    names = experiment.version_shapes
    versions = {
        number: {name: arrays[name] for name in names}
        for number, arrays in (snapshot.versions or {}).items()
    }
    others = np.empty(0, STATE_ROUND)
    if experiment.job.algorithm.needs_others:
        others = last_participants(snapshot.state_rounds)
    return Server(
        experiment=experiment,
        state=checked(experiment, snapshot.state),
        version=snapshot.version,
        versions=versions,
        unsent=set(versions),
        rounds_done=snapshot.rounds_done,
        clock=snapshot.clock,
        learned=first_learned(experiment, snapshot.learned),
        untested=list(snapshot.untested),
        state_rounds=dict(snapshot.state_rounds.tolist()),
        participations=Participations.of(snapshot.participations),
        held=Held.of(snapshot.held),
        others=others,
    )


def make_snapshot(server: Server) -> Snapshot:
    """Return the server as it is between two assignments.

    A plan that was made ahead is left out: a resumed run makes it again.
    """
    return Snapshot(
        rounds_done=server.rounds_done,
        version=server.version,
        state=dict(server.state),
        versions={number: server.versions[number] for number in needed_versions(server).tolist()},
        clock=server.clock,
        learned=server.learned,
        untested=tuple(server.untested),
        state_rounds=np.array(sorted(server.state_rounds.items()), STATE_ROUND),
        participations=server.participations.table(),
        held=server.held.table(),
    )


def needed_versions(server: Server, *more: np.ndarray) -> np.ndarray:
    """Return the numbers (int64, sorted) of the model versions that are needed, with ``more``.

    Needed are the newest version, those that wait for their test, and those of clients in flight.
    Versions that are still to be made are left out.
    """
    tests = [waiting.version for waiting in server.untested if waiting.version is not None]
    in_flight = server.experiment.job.clock.bases(server.clock)
    needed = np.unique(np.concatenate([tests, in_flight, [server.version], *more]).astype(np.int64))
    return needed[needed <= server.version]


def keep_version(server: Server) -> None:
    """Keep the model and what clients receive as the version ``server.version``."""
    served = {name: server.state[name] for name in server.experiment.served_shapes}
    if server.experiment.job.exchange.delta:
        before = server.versions.get(server.version - 1)
        received, coded = caught_up(server.experiment, server.version, server.state, before)
        server.held.sent += coded
    else:
        received, server.bytes_down = arrived(server.experiment, server.version, server.state)
    server.versions[server.version] = served | received
    server.unsent.add(server.version)
