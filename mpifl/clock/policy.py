"""What a round policy is, and the steps that they share: start participants, end a round, count what went over the air."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from mpifl.clock.fair_share import open_link
from mpifl.clock.flow import DONE, flow_progress
from mpifl.clock.latency import AVAILABILITY, Rates, how_many_can_finish, joules, progress, time_participants
from mpifl.clock.online import NOBODY, online_index
from mpifl.clock.server_link import advance, join, left_behind
from mpifl.clock.timeline import PARTICIPANT, Call, ClockState, Outcome, Timeline
from mpifl.errors import InputError, TrainingError
from mpifl.job.section import Section

CHUNK_CLIENTS = 1 << 20


class Latency(Section):
    """What a participant's seconds are made of.

    compute: samples counts the samples it really goes through, each as three inferences; flops counts them by this model's
    FLOPs against those of the model whose inference the trace timed; batches counts batch_size samples a step, as FedScale.
    """

    compute: Literal["samples", "flops", "batches"] = Field(
        "samples", description="what training time is counted by: samples, FLOPs of this model, or whole batches"
    )
    reference_flops: float = Field(
        6e8, gt=0, description="FLOPs of the inference that the trace's milliseconds are of (MobileNetV2: 300 M multiply-adds)"
    )
    kbit: Literal[1000, 1024] = Field(1000, description="bits of a kbit of the trace; 1024 in FedScale")
    model_bytes: int | None = Field(None, ge=1, le=10**15, description="bytes of the model on the network; default: 4 a weight")
    server_down_kbps: float | None = Field(
        None, gt=0, description="kbit/s of the server that all downloads share; default: no limit"
    )
    server_up_kbps: float | None = Field(
        None, gt=0, description="kbit/s of the server that all uploads share; default: no limit"
    )

    @property
    def shared(self) -> bool:
        """Whether participants may slow each other down."""
        return self.server_down_kbps is not None or self.server_up_kbps is not None


class RoundPolicy(Section):
    """Base of the round policies (``clock.mode``). An instance holds parameters; what changes is in the ClockState."""

    weighs_work: ClassVar[bool] = False
    """Whether participants may do part of their work, and are weighted by the samples that they used."""
    mixes: ClassVar[bool] = False
    """Whether the server mixes models instead of adding updates."""
    asynchronous: ClassVar[bool] = False
    """Whether updates may come from older model versions."""

    mode: str
    availability: Literal["strict", "resume", "fedscale", "always"] = Field(
        "strict",
        description="a participant that goes offline: `strict` drops out, `resume` pauses, `fedscale` is only checked at"
        " its end; `always`: no client is ever offline",
    )
    latency: Latency = Latency()

    @property
    def rule(self) -> int:
        """The availability rule as the kernels know it."""
        return AVAILABILITY[self.availability]

    def updates(self, participants: int | None) -> int:
        """How many updates a round needs where ``selection.participants`` is ``participants``, None when it is left out.

        Raises InputError when the policy cannot do with that.
        """
        if participants is None:
            raise InputError("selection.participants: missing; a value is required: the updates that a round waits for")
        return participants

    def at_once(self, participants: int) -> int:
        """Return how many clients a round of ``participants`` updates asks, or keeps in flight at a time."""
        return participants

    def check(self) -> None:
        """Raise InputError when the policy's keys do not go together."""
        for key in ("server_down_kbps", "server_up_kbps"):
            if self.availability == "fedscale" and getattr(self.latency, key) is not None:
                raise InputError(
                    f"clock.latency.{key}: not allowed with clock.availability fedscale (it is {getattr(self.latency, key)}):"
                    " fedscale looks at a participant at its end only; choose strict, resume or always, or leave the key out"
                )

    def advance(self, state: ClockState, call: Call) -> tuple[Timeline, ClockState]:
        """Return the next round and the state after it.

        Args:
            state: Virtual time, model version, and who is in flight.
            call: Number of updates, selection rule, population and workload.

        Raises:
            InputError: No client can ever finish.
        """
        raise NotImplementedError

    def launch(self, call: Call, clients: np.ndarray, start: float, base: int) -> np.ndarray:
        """``clients`` (n,) as participants (structured PARTICIPANT) that begin at ``start`` from model version ``base``.

        Their outcome is COMPLETED or DROPPED and stop_seconds the moment of it, if nothing ends them before.
        """
        held = call.population.samples(clients)
        rows = np.zeros(len(clients), PARTICIPANT)
        rows["client"], rows["base"], rows["factor"], rows["start_seconds"] = clients, base, 1.0, start
        rows["steps"] = call.workload.steps(held)
        rows["samples"] = call.workload.processed(held, rows["steps"])
        self.retime(call, rows)
        return rows

    def retime(self, call: Call, rows: np.ndarray) -> None:
        """Set seconds, stop and outcome of participants that begin together, in place, from their steps and samples."""
        if not len(rows):
            return
        cost = call.workload.costed(rows["samples"], rows["steps"])
        clients, start = np.ascontiguousarray(rows["client"]), float(rows["start_seconds"][0])
        seconds, finished = time_participants(call.population.phones, self.rule, clients, cost, rates(call), start)
        rows["download_seconds"], rows["compute_seconds"], rows["upload_seconds"], rows["stop_seconds"] = seconds
        rows["outcome"] = np.where(finished, Outcome.COMPLETED, Outcome.DROPPED)

    def cohort(self, state: ClockState, call: Call, wanted: int) -> np.ndarray:
        """Return up to ``wanted`` participants that begin together: now, or as soon as anyone is online."""
        start = state.now
        clients = call.choose(start, wanted, state.draws + 1, NOBODY)
        if not len(clients):
            start = self.next_start(call, start)
            clients = call.choose(start, wanted, state.draws + 1, NOBODY)
            if not len(clients):
                raise TrainingError("the selection rule chose nobody at a moment at which clients are online")
        return self.launch(call, clients, start, state.version)

    def next_start(self, call: Call, now: float) -> float:
        """The first moment from ``now`` on at which anyone is online. Raises InputError when there is none."""
        index = online_index(call.population)
        start = now if index.anyone(now, NOBODY) else index.next_opening(now, NOBODY)
        if math.isinf(start):
            raise InputError(f"population.trace: none of the {call.population.clients} clients is ever online")
        return start

    def share(self, call: Call, rows: np.ndarray, wanted: int, until: float = math.inf) -> np.ndarray | None:
        """Let participants that begin together share the server's bandwidth, where it has a limit.

        They go on until ``wanted`` have finished, all have stopped, or ``until``. Sets outcome and stop_seconds in place,
        infinity for those not stopped by then, and returns how far each is (structured FLOW). None without a limit.
        """
        if not self.latency.shared:
            return None
        phones, numbers, start = call.population.phones, np.arange(len(rows)), rows["start_seconds"]
        link = open_link(self.latency.server_down_kbps, self.latency.server_up_kbps, len(rows), float(start[0]))
        join(link, phones, rates(call), numbers, *to_join(rows))
        awaited = int(np.count_nonzero(np.isfinite(rows["stop_seconds"])))
        advance(link, phones, self.rule, rates(call), until, wanted, awaited)
        flows = left_behind(link)
        stopped = np.isfinite(flows["stop"])
        rows["stop_seconds"] = np.where(stopped, np.minimum(flows["stop"], until), math.inf)
        rows["outcome"] = np.where(stopped & (flows["stage"] != DONE), Outcome.DROPPED, Outcome.COMPLETED)
        return flows

    def last_stop(self, rows: np.ndarray) -> float:
        """The moment at which the last stops that ever does. Raises InputError when nobody ever does."""
        ever = rows["stop_seconds"] < math.inf
        if not ever.any():
            raise nobody_ever(len(rows))
        return float(rows["stop_seconds"][ever].max())

    def cut(self, rows: np.ndarray, end: float) -> None:
        """End everyone, in place, who would stop only after ``end``."""
        late = rows["stop_seconds"] > end
        rows["outcome"][late] = Outcome.CUT
        rows["stop_seconds"][late] = end

    def account(
        self, call: Call, rows: np.ndarray, done: np.ndarray, flows: np.ndarray | None = None, end: float = math.inf
    ) -> None:
        """Set bytes and joules of participants that have ended, in place.

        All the work where ``done`` (bool), else what was done by stop_seconds: on their phones' own, or as ``flows`` say. Who
        drops out by fedscale's rule was at work until it would have finished, or until ``end``, the end of its round.
        """
        phones, client = call.population.phones, np.ascontiguousarray(rows["client"])
        if flows is None:
            stop = rows["stop_seconds"]
            if self.availability == "fedscale":
                finish, dropped = rows["start_seconds"] + work_seconds(rows), rows["outcome"] == Outcome.DROPPED
                stop, done = np.where(dropped, np.minimum(finish, end), stop), done | (dropped & (finish <= end))
            span = np.stack([rows["start_seconds"], stop])
            seconds = np.stack([rows[f"{name}_seconds"] for name in ("download", "compute", "upload")])
            sent, computed = progress(phones, self.rule, rates(call), client, span, seconds, done)
        else:
            sent, computed = flow_progress(flows, rates(call), np.ascontiguousarray(rows["stop_seconds"]))
        rows["bytes_down"], rows["bytes_up"] = sent
        rows["joules"] = joules(phones, client, computed, *sent)

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
        """The round of participants that began together and have all ended by ``end``, and the state after it.

        Sets their bytes and joules, see ``account``. A round in which fedscale's rule has all of them offline at their end
        would take no time, and the next would be at the same dead end: it ends when the first of them would have finished, or
        at ``latest``.
        """
        start = float(rows["start_seconds"][0])
        if end == start:
            end = min(start + float(work_seconds(rows).min()), latest)
        self.account(call, rows, done, flows, end)
        version = state.version + bool((rows["outcome"] == Outcome.COMPLETED).any())
        after = ClockState(now=end, version=version, draws=state.draws + 1)
        return Timeline(start, end, start - state.now, rows), after

    def check_possible(self, call: Call, needed: int = 1) -> None:
        """After a round that nobody finished: raise InputError unless ``needed`` clients can at another time.

        Looks at one client after the other until enough can, and once a run: the answer does not depend on the time.
        """
        population, able = call.population, 0
        known, question = population.notes.setdefault("can finish", set()), (self, call.workload, needed)
        if question in known:
            return
        link = (self.latency.server_down_kbps, self.latency.server_up_kbps)
        server = np.array([math.inf if kbps is None else kbps for kbps in link])
        for begin in range(0, population.clients, CHUNK_CLIENTS):
            clients = np.arange(begin, min(begin + CHUNK_CLIENTS, population.clients))
            cost, limit = self.least_work(call, population.samples(clients))
            asked = (population.phones, self.rule, clients, cost, rates(call), server, limit, needed - able)
            able += how_many_can_finish(*asked)
            if able == needed:
                known.add(question)
                return
        who = "none" if needed == 1 else f"fewer than {needed}"
        raise InputError(
            f"population.trace: {who} of the {population.clients} clients can ever finish a round: none of their stays online"
            " is long enough, nor is the round (less local work, a smaller model or a faster server would help)"
        )

    def least_work(self, call: Call, held: np.ndarray) -> tuple[np.ndarray, float]:
        """The samples (int64) that cost time at the least for an update that counts, and the seconds there are for it."""
        steps = call.workload.steps(held)
        return call.workload.costed(call.workload.processed(held, steps), steps), math.inf

    def bases(self, state: ClockState) -> np.ndarray:
        """The model versions (int) from which somebody under way may still have an update that counts."""
        return state.flights["base"]


def rates(call: Call) -> Rates:
    """What the kernels need of the workload."""
    work = call.workload
    return Rates(work.bytes_down, work.bytes_up, work.inferences_per_sample, work.bits_per_kbit)


def work_seconds(rows: np.ndarray) -> np.ndarray:
    """Seconds (n,) that each participant's whole work takes when undisturbed."""
    seconds: np.ndarray = rows["download_seconds"] + rows["compute_seconds"] + rows["upload_seconds"]
    return seconds


def asked(overcommitment: float, participants: int) -> int:
    """ceil(overcommitment x participants)."""
    # round() first: 1.1 * 10 is 11.000000000000002, and that is not 12 clients.
    return math.ceil(round(overcommitment * participants, 9))


def to_join(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of participants as launched, what a server's link asks for: client, start, seconds of training, and the end if alone."""
    alone = np.where(rows["outcome"] == Outcome.COMPLETED, rows["stop_seconds"], math.inf)
    client, start, compute = (np.ascontiguousarray(rows[name]) for name in ("client", "start_seconds", "compute_seconds"))
    return client, start, compute, alone


def nobody_ever(participants: int) -> InputError:
    """The error of a clock that would wait forever."""
    return InputError(
        f"population.trace: none of {participants} participants under way can ever finish: the bandwidth of each is 0 whenever"
        " it is online (clock.availability strict lets them drop out)"
    )
