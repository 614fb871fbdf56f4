"""The base class of the round policies: who takes part in a round, and when the round ends."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np

from mpifl.clock.battery import MOMENTS_BEFORE_CHECK, joules_left
from mpifl.clock.checks import check_parts
from mpifl.clock.latency import work_seconds
from mpifl.clock.online import NOBODY, first_online, online_index
from mpifl.clock.overcommitment import overcommitted as overcommitted
from mpifl.clock.participation import Participation
from mpifl.clock.possible import can_finish
from mpifl.clock.queue import handled_at
from mpifl.clock.settlement import Settlement
from mpifl.clock.timeline import PARTICIPANT, Asked, Call, ClockState, Outcome, Timeline
from mpifl.errors import InputError, TrainingError, counted


class RoundPolicy(Participation):
    """Base of the round policies (``clock.mode``).

    A policy has to have ``settle``, or ``advance``. It may override ``ask``, ``updates``,
    ``wanted``, ``at_once``, ``check``, ``least_work`` and ``bases``. The others serve these.

    An instance holds the job's keys and never changes; what changes is in the ClockState. The same
    state and call must always give the same round.
    """

    left_to_plug_ins: ClassVar[tuple[str, ...]] = ("settle", "advance")
    weighs_work: ClassVar[bool] = False
    """Whether participants may do part of their work, and are weighted by the samples they used."""
    asynchronous: ClassVar[bool] = False
    """Whether updates may come from older model versions."""

    def updates(self, participants: int | None) -> int:
        """Return how many updates a round needs.

        Args:
            participants: The key ``selection.participants``; None when the job leaves it out.

        Returns:
            The number of updates, at least 1.

        Raises:
            InputError: The policy does not allow this value.
        """
        if participants is None:
            raise InputError(
                "selection.participants: missing; a value is required: the updates that a round"
                " waits for"
            )
        return participants

    def wanted(self, participants: int | None) -> int:
        """Return how many updates a round waits for, for the record.

        Args:
            participants: The key ``selection.participants``; None when the job leaves it out.

        Returns:
            The number of updates; 0 where a round ends at a moment, however few have come.
        """
        return self.updates(participants)

    def at_once(self, participants: int) -> int:
        """Return how many clients are asked in a round, or are under way at a time.

        Args:
            participants: The updates that a round needs.

        Returns:
            The number of clients.
        """
        return participants

    def check(self) -> None:
        """Check that the policy's keys go together.

        Raises:
            InputError: They do not.
        """
        own = {type(self).settle, type(self).settlement}
        if self.costs == "measured" and own == {RoundPolicy.settle, RoundPolicy.settlement}:
            raise InputError(
                f"clock.costs: 'measured' is not allowed with clock.mode {self.mode}, which has no"
                " method settle(self, state, call, asked); allowed: declared"
            )
        check_parts(self)

    def ask(self, state: ClockState, call: Call) -> Asked:
        """Return who begins the next round, and when each would finish if nothing ended it.

        ``at_once`` clients, all at the same moment: as soon as anyone is online.

        Args:
            state: The clock at the end of the last round. It is not changed.
            call: What the round is asked for: updates, selection rule, population, workload.

        Returns:
            The participants as launched, and the latest end of the round.

        Raises:
            InputError: No client is ever online.
            TrainingError: The selection rule chose nobody although clients are online.
        """
        return Asked(self.cohort(state, call, self.at_once(call.participants)))

    def settle(self, state: ClockState, call: Call, asked: Asked) -> tuple[Timeline, ClockState]:
        """Return the round of those who were asked, and the state after it.

        Args:
            state: The clock at the end of the last round. It is not changed.
            call: What the round is asked for.
            asked: Who was asked, with declared or measured costs; its rows may be changed.

        Returns:
            The round's timeline, with the participants that ended in it, and the next state.

        Raises:
            InputError: No client can ever finish.
        """
        raise NotImplementedError

    def settlement(self, state: ClockState, call: Call) -> Settlement:
        """Return the next round in the making: ask, wait for what it costs, settle."""
        if type(self).settle is RoundPolicy.settle:
            return self.advance(state, call)
        asked = self.ask(state, call)
        costs = yield asked.rows
        rows = asked.rows
        if self.costs == "measured":
            rows = self.as_measured(call, rows, costs)
        return self.settle(state, call, replace(asked, rows=rows))

    def advance(self, state: ClockState, call: Call) -> tuple[Timeline, ClockState]:
        """Return the next round and the state after it: ask, and settle at once.

        A policy whose participants do not begin together overrides this.
        """
        return self.settle(state, call, self.ask(state, call))

    def least_work(self, call: Call, clients: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the least that a client has to do for an update that counts.

        Args:
            call: What the round is asked for.
            clients: Client numbers (n,), int64.

        Returns:
            The samples (n,) that cost time, and the seconds in which it has to be done.
        """
        held = call.population.samples(clients)
        steps = call.workload.steps(held)
        if call.order is not None:  # the rule may tell them to do less
            steps = np.ones(len(held), np.int64)
        processed = call.workload.processed(held, steps)
        return call.workload.costed(clients, held, processed, steps), math.inf

    def bases(self, state: ClockState) -> np.ndarray:
        """Return the model versions that somebody under way may still need.

        Args:
            state: The clock at the end of a round.

        Returns:
            Versions, int, from which an update may come that counts. Repeats are allowed.
        """
        return state.flights["base"]

    def cohort(self, state: ClockState, call: Call, wanted: int) -> np.ndarray:
        """Ask clients that begin together: now or, when nobody is online, as soon as anyone is.

        Args:
            state: The clock at the end of the last round.
            call: What the round is asked for.
            wanted: The most clients to ask.

        Returns:
            The participants as launched, structured PARTICIPANT; none only where the call's rounds
            may be empty.

        Raises:
            InputError: No client is ever online.
            TrainingError: The selection rule chose nobody although clients are online.
        """
        start = state.now
        draw = state.draws + 1
        clients, low = self._chosen(call, start, wanted, draw)
        waits = 0
        while not len(clients):
            if call.may_be_empty and online_index(call.population).anyone(start, low):
                break
            waits += 1
            start = self._next_moment(call, start, low, waits)
            clients, low = self._chosen(call, start, wanted, draw)
            if not (len(clients) or len(low) or call.may_be_empty):
                raise TrainingError(
                    "the selection rule chose nobody at a moment at which clients are online"
                )

        return self.launch(call, clients, start, state.version, draw)

    def _chosen(
        self, call: Call, now: float, wanted: int, draw: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the clients that the selection rule names, and who was left out as too low."""
        if self.battery.counted:
            return self.battery.choose(call, now, wanted, draw)
        return call.choose(now, wanted, draw, NOBODY), NOBODY

    def _next_moment(self, call: Call, now: float, low: np.ndarray, waits: int) -> float:
        """Return when to ask again, where nobody is online but ``low``. InputError: never."""
        if not len(low):
            return first_online(call.population, now)
        if waits % MOMENTS_BEFORE_CHECK == 0:
            self.battery.check_possible(call, now)
        return self.battery.next_moment(call, now, low)

    def together(
        self,
        state: ClockState,
        call: Call,
        rows: np.ndarray,
        done: np.ndarray,
        flows: np.ndarray | None,
        end: float,
        latest: float = math.inf,
    ) -> tuple[Timeline, ClockState]:
        """Close a round of participants that began together, and set their bytes and joules.

        By the fedscale rule all of them may be offline at their end. Such a round would take no
        time, and the next would begin at the same moment with the same result. It ends when the
        first of them would have finished, or at ``latest``. Then the server handles what is left of
        the updates, and computes.

        Args:
            state: The clock at the end of the last round.
            call: What the round is asked for.
            rows: The participants, all of whom have ended by ``end``.
            done: Which (n,) bool did all of their work.
            flows: As ``share`` returned them.
            end: The end of the round but for the server's seconds.
            latest: The latest end that the policy allows.

        Returns:
            The round's timeline and the next state.
        """
        start = float(rows["start_seconds"][0])
        if end == start:
            end = min(start + float(work_seconds(rows).min()), latest)

        self.account(call, rows, done, flows, end)

        came = rows["outcome"] == Outcome.COMPLETED
        if self.latency.update_seconds and came.any():
            end = max(end, handled_at(rows["stop_seconds"][came], self.latency.update_seconds))
        end += self.latency.server_seconds
        charges = self.charges_after(call, rows)
        version = state.version + bool(came.any())
        after = ClockState(end, version, state.draws + 1, charges=charges)
        left = joules_left(charges, rows)
        return Timeline(start, end, start - state.now, rows, joules_left=left), after

    def empty(self, state: ClockState, call: Call) -> tuple[Timeline, ClockState]:
        """Return a round that asks nobody, and the state after it; it takes the server's seconds.

        Args:
            state: The clock at the end of the last round.
            call: What the round is asked for; its rounds may be empty.
        """
        start = first_online(call.population, state.now)
        end = start + self.latency.server_seconds
        version = state.version + call.releases_empty
        rows = np.empty(0, PARTICIPANT)
        after = ClockState(end, version, state.draws + 1, charges=state.charges)
        return Timeline(start, end, start - state.now, rows), after

    def check_possible(self, call: Call, needed: int = 1) -> None:
        """Check, after a round with fewer updates than it needs, that more can come another time.

        Args:
            call: What the round is asked for.
            needed: How many clients have to be able to finish.

        Raises:
            InputError: Fewer than ``needed`` clients can ever finish.
        """
        if can_finish(self, call, needed):
            return
        who = "none" if needed == 1 else f"fewer than {needed}"
        raise InputError(
            f"population.trace: {who} of the {counted(call.population.clients, 'client')} can ever"
            " finish a round: neither a client's time online without a break nor the round is long"
            " enough (less local work, a smaller model or a faster server would help)"
        )
