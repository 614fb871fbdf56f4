"""The job keys of ``clock.battery``: phones whose batteries are low are not asked, or drop out."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field, model_validator

from mpifl.clock.kernels.battery import Cell, drained, rested, when_charged
from mpifl.clock.kernels.online_patterns import joined
from mpifl.clock.online import NOBODY, online_index
from mpifl.clock.radio import Radio
from mpifl.clock.timeline import CHARGE, Call, Outcome
from mpifl.errors import InputError, counted
from mpifl.job.section import Section
from mpifl.kernels.permutation import uniforms
from mpifl.population.phones import Phones, rows_of
from mpifl.seeds import Purpose, number

MOMENTS_BEFORE_CHECK = 20
"""Moments at which nobody was charged, before the clock asks whether anyone ever will be."""


class Battery(Section):
    """A battery in each phone, of ``capacity_joules``.

    A phone is plugged in at the times at which the trace has it online, and then gains
    charge_watts; at other times it loses idle_watts. A participation takes the joules that the
    trace says of computing and of bytes, spread evenly over the seconds of its download, its
    training and its upload. A battery holds at least 0 and at most its capacity.

    A client is asked when its battery has more than ask_level of its capacity. A participant drops
    out at the moment at which its battery is down to least_level. When nobody who is online may be
    asked, the clock moves to the next moment at which anyone may.
    """

    capacity_joules: float | None = Field(
        None,
        gt=0,
        le=1e12,
        description="joules of a full battery; default: batteries never run low",
    )
    charge_watts: float = Field(
        5.0, ge=0, le=1e6, description="watts that a phone gains while the trace has it online"
    )
    idle_watts: float = Field(
        0.5, ge=0, le=1e6, description="watts that a phone takes at other times"
    )
    start_low: float = Field(
        0.5, ge=0, le=1, description="least share of the capacity at the beginning of the run"
    )
    start_high: float = Field(
        1.0, ge=0, le=1, description="the largest; batteries are spread evenly between the two"
    )
    ask_level: float = Field(
        0.3, ge=0, lt=1, description="share of the capacity above which a client is asked"
    )
    least_level: float = Field(
        0.15, ge=0, lt=1, description="share of the capacity at which a participant drops out"
    )

    @model_validator(mode="after")
    def _check(self) -> Battery:
        if self.capacity_joules is None and self != Battery.model_construct():
            raise ValueError("its keys need capacity_joules: without it batteries never run low")
        if self.least_level > self.ask_level:
            raise ValueError(
                f"least_level {self.least_level:g} is above ask_level {self.ask_level:g}"
            )
        if self.start_low > self.start_high:
            raise ValueError(
                f"start_low {self.start_low:g} is above start_high {self.start_high:g}"
            )
        return self

    @property
    def counted(self) -> bool:
        """Whether batteries can run low."""
        return self.capacity_joules is not None

    @property
    def cell(self) -> Cell:
        """A battery as the kernels take it."""
        capacity = self.capacity_joules
        assert capacity is not None
        return Cell(capacity, self.charge_watts, self.idle_watts, self.least_level * capacity)

    def joules(self, call: Call, clients: np.ndarray, now: np.ndarray) -> np.ndarray:
        """Return the joules (n,) in the batteries of ``clients`` (n,) int64 at ``now`` (n,)."""
        drawn = uniforms(clients, number(call.seed, Purpose.BATTERY))
        joules = self.cell.capacity * (self.start_low + (self.start_high - self.start_low) * drawn)
        since = np.zeros(len(clients))

        known = call.charges
        if len(known):
            place = np.minimum(np.searchsorted(known["client"], clients), len(known) - 1)
            there = known["client"][place] == clients
            joules[there] = known["joules"][place[there]]
            since[there] = known["second"][place[there]]
        if call.recent:
            for i, client in enumerate(clients.tolist()):
                if client in call.recent:
                    since[i], joules[i] = call.recent[client]
        return rested(call.population.chargers, self.cell, clients, joules, since, now)

    def choose(
        self, call: Call, now: float, wanted: int, draw: int, busy: np.ndarray = NOBODY
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return clients that the selection rule chose among those that may be asked.

        Whom it chooses and whose battery is low is left out, and it is asked again: a rule that
        goes through clients in an order goes on in that order. ``busy`` (int64, sorted) may not be
        asked whatever their batteries.

        Returns:
            The clients, and those (sorted) whose batteries were found to be low.
        """
        low = NOBODY
        while True:
            out = joined(busy, low) if len(low) else busy
            clients = call.choose(now, wanted, draw, out)
            joules = self.joules(call, clients, np.full(len(clients), now))
            wrong = clients[joules <= self.ask_level * self.cell.capacity]
            if not len(wrong):
                return clients, low
            low = np.sort(np.concatenate([low, wrong]), kind="stable")

    def next_moment(self, call: Call, now: float, low: np.ndarray) -> float:
        """Return the next moment at which somebody may be asked, of whom ``low`` are low now.

        It is that at which one of them is charged, or at which another client comes online, who may
        turn out to be low too. Infinity: there is none.
        """
        charged = self.charged(call, now, low).min(initial=math.inf)
        opening = online_index(call.population).next_opening(now, NOBODY)
        return max(float(min(charged, opening)), np.nextafter(now, math.inf))

    def charged(self, call: Call, now: float, clients: np.ndarray) -> np.ndarray:
        """Return when each of ``clients`` (n,) may be asked, if it rests; infinity: never."""
        joules = self.joules(call, clients, np.full(len(clients), now))
        # Above the level, and not at it.
        goal = np.nextafter(self.ask_level * self.cell.capacity, math.inf)
        return when_charged(call.population.chargers, self.cell, clients, joules, now, goal)

    def check_possible(self, call: Call, now: float, busy: np.ndarray = NOBODY) -> None:
        """Raise InputError when no battery will ever be full enough to ask its client.

        ``busy`` (int64, sorted) will not be asked however full theirs are.
        """
        clients = np.setdiff1d(np.arange(call.population.clients), busy, assume_unique=True)
        if np.isinf(self.charged(call, now, clients)).all():
            more = f" that has not counted in round {call.round}" if len(busy) else ""
            raise InputError(
                f"clock.battery.ask_level: {self.ask_level:g} is not allowed: from virtual second"
                f" {now:.10g} on none of {counted(len(clients), 'client')}{more} ever has so much"
                " (more charge_watts, fewer idle_watts or a lower ask_level would help)"
            )

    def limit(self, call: Call, rows: np.ndarray, rule: int, radio: Radio) -> None:
        """End participants, in place, at the moment at which their batteries are down.

        Args:
            call: What the round is asked for.
            rows: Participants (n,), structured PARTICIPANT, with seconds, outcome and stop.
            rule: The availability rule.
            radio: The radio's base power.
        """
        empty, _ = self._course(call, rows, rule, radio)
        down = empty < rows["stop_seconds"]
        rows["stop_seconds"][down] = empty[down]
        rows["outcome"][down] = Outcome.DROPPED

    def after(self, call: Call, rows: np.ndarray, rule: int, radio: Radio) -> np.ndarray:
        """Return the batteries of all who ever took part, structured CHARGE, sorted by client.

        ``rows`` are participants that have ended, each a client once; the other arguments are those
        of ``limit``.
        """
        _, left = self._course(call, rows, rule, radio)
        ended = np.zeros(len(rows), CHARGE)
        ended["client"] = rows["client"]
        ended["second"] = rows["stop_seconds"]
        ended["joules"] = left
        return with_charges(call.charges, ended)

    def note(self, call: Call, row: np.void, rule: int, radio: Radio) -> float:
        """Note in ``call.recent`` the battery of a participant that has ended; return its joules.

        Arguments are those of ``limit``.
        """
        _, left = self._course(call, np.array([row]), rule, radio)
        call.recent[int(row["client"])] = float(row["stop_seconds"]), float(left[0])
        return float(left[0])

    def _course(
        self, call: Call, rows: np.ndarray, rule: int, radio: Radio
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return when each battery is down, and the joules in it at the end; see ``drained``."""
        clients = np.ascontiguousarray(rows["client"])
        start = np.ascontiguousarray(rows["start_seconds"])
        stop = np.ascontiguousarray(rows["stop_seconds"])
        names = ("download_seconds", "compute_seconds", "upload_seconds")
        return drained(
            call.population.phones,
            call.population.chargers,
            rule,
            self.cell,
            clients,
            self.joules(call, clients, start),
            start,
            # Who never stops by itself is ended by the round.
            np.where(np.isinf(stop), start, stop),
            np.stack([rows[name] for name in names]),
            _watts(call.population.phones, rows, radio),
        )


def with_charges(known: np.ndarray, ended: np.ndarray) -> np.ndarray:
    """Return charges (structured CHARGE, sorted by client) with those ``ended`` in their place."""
    others = known[~np.isin(known["client"], ended["client"])]
    charges = np.concatenate([others, ended])
    return charges[np.argsort(charges["client"], kind="stable")]


def joules_left(charges: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the joules (n,) in the batteries of participants (n,) that have just ended.

    ``charges`` (structured CHARGE) are the batteries after them; (0,) where there are none.
    """
    if not len(charges):
        return np.empty(0)
    left: np.ndarray = charges["joules"][np.searchsorted(charges["client"], rows["client"])]
    return left


def _watts(phones: Phones, rows: np.ndarray, radio: Radio) -> np.ndarray:
    """Return the watts (3, n) that download, training and upload of participants (n,) take."""
    device = rows_of(phones, np.ascontiguousarray(rows["client"]))[0]
    watts = np.zeros((3, len(rows)))
    watts[1] = phones.compute_watts[device]
    for phase, way in ((0, "down"), (2, "up")):
        seconds = rows[f"{way}load_seconds"]
        per_byte = getattr(phones, f"{way}load_joules_per_byte")[device]
        works = seconds > 0
        watts[phase, works] = (rows[f"load_{way}"] * per_byte)[works] / seconds[works]
        watts[phase, works] += radio.base_watts
    return watts
