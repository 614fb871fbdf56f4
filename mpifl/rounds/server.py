"""The state of rank 0 between assignments: arrays, model versions, clock, open rounds.

``aggregator.py`` advances it. ``snapshot.py`` is what a checkpoint holds of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mpifl.algorithms.arrays import Arrays
from mpifl.clock.timeline import ClockState
from mpifl.rounds.assignment import Versions
from mpifl.rounds.contract import Contract, called_parts
from mpifl.rounds.experiment import Experiment
from mpifl.rounds.learning import first_learned
from mpifl.rounds.plan import Plan
from mpifl.rounds.probe import Probe
from mpifl.rounds.round_result import RoundResult
from mpifl.rounds.server_step import checked, first_state
from mpifl.rounds.settling import Unsettled
from mpifl.rounds.snapshot import STATE_ROUND, Snapshot, Waiting
from mpifl.selection.feedback import State


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
        clock: The clock after the rounds of ``plans``.
        learned: What the selection rule has learned from the rounds that are over.
        ahead: The plan of the round after those of ``plans``, if it is made already.
        probe: The probe of the next round, and the losses of those who answered, None as long as
            they are not known; None where no probe is under way.
        unsettled: The next round, where it is settled after it was trained and is not settled yet,
            or its updates are not counted yet.
        plans: The plans of the assignment under way.
        untested: Rounds that are over and wait for the test of their model.
        unwritten: Rounds that are over and tested, and not reported to the callbacks yet.
        state_rounds: By client, the round after which it last kept state. Empty where the algorithm
            keeps no state of clients.
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
    plans: list[Plan] = field(default_factory=list)
    untested: list[Waiting] = field(default_factory=list)
    unwritten: list[RoundResult] = field(default_factory=list)
    state_rounds: dict[int, int] = field(default_factory=dict)
    contract: Contract = field(init=False)

    def __post_init__(self) -> None:
        """Record the state of the plug-ins before they are called."""
        experiment = self.experiment
        self.contract = Contract(called_parts(experiment.job), experiment.model.module)


def make_server(experiment: Experiment, snapshot: Snapshot) -> Server:
    """Return the server at the start of a run, or as a checkpoint has it."""
    if snapshot.state is None:
        rule_state = first_learned(experiment, None)
        server = Server(experiment, first_state(experiment), learned=rule_state)
        keep_version(server)
        return server

    # In the order in which they are sent; a file gives them by name.
    names = experiment.version_shapes
    versions = {
        number: {name: arrays[name] for name in names}
        for number, arrays in (snapshot.versions or {}).items()
    }
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
    server.versions[server.version] = {
        name: server.state[name] for name in server.experiment.version_shapes
    }
    server.unsent.add(server.version)
