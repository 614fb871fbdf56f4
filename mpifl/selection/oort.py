"""Oort: clients whose data and speed promise most progress a second (Lai et al., OSDI 2021)."""

from __future__ import annotations

import math
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from mpifl.clock.online import NOBODY
from mpifl.clock.timeline import Outcome
from mpifl.clock.workload import Workload
from mpifl.population.population import Population
from mpifl.selection.context import SelectionContext
from mpifl.selection.draw import at_place, drawn_by_weight
from mpifl.selection.feedback import Feedback, State
from mpifl.selection.selection import Selection
from mpifl.selection.table import rows_of, updated

LEAST_RANGE = 1e-4
POOL_OF_CODE = 10
"""How many times the exploited clients the published code draws them from, at least."""


class Oort(Selection):
    """A selection rule: exploit clients of high utility, and explore others (arXiv 2010.06081).

    The utility of a client with samples B that takes t seconds is, with the preferred duration T,
    |B| sqrt(mean of loss(k)^2 over its samples k) (T / t)^alpha, the last factor where t > T
    (equation 2). As in the published code, |B| sqrt(...) is normalised to 0..1 before
    sqrt(0.1 ln(round) / last round) is added for clients that have not taken part for long
    (algorithm 1, line 10).

    A share of the clients is explored. Of those that never took part and may be asked at least
    ``looked_at`` are drawn uniformly; of these the ``explore_window`` times as many that are
    fastest are chosen from, with probabilities proportional to their speed. (The paper and the
    published code look at all of them, which takes as long as the population is large.)

    The others are drawn, with probabilities proportional to their utility, from those with at least
    ``cut_off`` times the lowest utility that would do. Every ``pacer_rounds`` rounds the pacer
    raises T if the mean utility of those exploited was lower than in as many rounds before: T is
    the ``percentile`` of the durations of the clients known, explored or looked at.

    A share has its fraction of a client at random, so that it also holds for clocks that ask one
    client at a time. Clients that took part too often are asked if there is nobody else. With
    ``exploration`` and ``exploration_decay`` 1 clients are drawn uniformly, not by speed.

    With ``code: fedscale`` it does what FedScale's oort.py does (``preset: fedscale-code`` sets its
    constants too): the utility of the last minibatch times min(samples, steps x batch size);
    utilities normalised over unexplored clients too, for which their samples stand; a pool of more
    than ten times those exploited; the pacer raises T when utilities hardly change, and lowers it
    when they change fivefold; a participant that was cut has the mean utility of the round, and
    took part in the next one; the first round is uniform. Two faults of it are not repeated, since
    a rule may name no client twice: it names clients of earlier rounds again when all are explored,
    and it stops with an IndexError when there are as many explored clients as it wants.
    """

    losses = "squared"

    name: str = "oort"
    exploration: float = Field(0.9, ge=0, le=1, description="share explored in the first round")
    exploration_decay: float = Field(
        0.98, gt=0, le=1, description="factor on that share from round to round"
    )
    exploration_least: float = Field(0.2, ge=0, le=1, description="the share does not fall below")
    looked_at: int = Field(
        1000, ge=1, description="unexplored clients that are looked at, drawn uniformly"
    )
    explore_window: float = Field(
        5.0, ge=1, description="the best of those for each one explored, who are drawn from"
    )
    alpha: float = Field(2.0, ge=0, description="exponent of the penalty of slow clients")
    percentile: float = Field(
        30.0, gt=0, le=100, description="of the durations of clients: T; 100: no penalty"
    )
    pacer_rounds: int = Field(20, ge=1, description="rounds from one look of the pacer to the next")
    pacer_step: float = Field(5.0, ge=0, le=100, description="what the pacer adds to percentile")
    clip: float = Field(0.95, gt=0, le=1, description="quantile at which utilities are clipped")
    cut_off: float = Field(
        0.95, ge=0, le=1, description="share of the lowest utility that would do that suffices"
    )
    most_participations: int | None = Field(
        10, ge=1, description="a client that took part more often is not exploited; null: no limit"
    )
    most_blocked: float = Field(
        0.3, ge=0, le=1, description="the largest share of explored clients that this leaves out"
    )
    fairness: float = Field(
        0.0, ge=0, le=1, description="share of the score for having taken part less than others"
    )
    code: Literal["paper", "fedscale"] = Field(
        "paper", description="whom to follow where paper and published code differ"
    )

    @model_validator(mode="after")
    def _nothing_in_vain(self) -> Self:
        if self.most_participations is None:
            self.refuse_in_vain("most_participations", "most_blocked")
        return self

    @property
    def _of_code(self) -> bool:
        return self.code == "fedscale"

    def start(self, population: Population, workload: Workload) -> State:
        return {
            "client": np.empty(0, np.int64),
            "utility": np.empty(0),
            "seconds": np.empty(0),
            "last_round": np.empty(0, np.int64),
            "times": np.empty(0, np.int64),
            "history": np.empty(0),
            "percentile": np.array(self.percentile),
        }

    def choose(self, c: SelectionContext) -> np.ndarray:
        uniform = min(self.exploration, self.exploration_decay) == 1
        if uniform or (self._of_code and c.round == 1):
            return c.uniform(c.wanted)

        may_ask = c.may_ask(c.state["client"])
        known = np.flatnonzero(may_ask & ~self._blocked(c.state))
        exploring = max(self._to_explore(c), c.wanted - len(known))
        most = max(self.looked_at, int(self.explore_window * exploring))
        unknown = c.uniform(most, c.state["client"]) if exploring else NOBODY

        exploring = min(exploring, len(unknown))
        if exploring + len(known) < c.wanted:
            known = np.flatnonzero(may_ask)
        exploiting = min(c.wanted - exploring, len(known))

        seconds = c.seconds(unknown)
        preferred = self._preferred(c.state, seconds)
        held = self._trained(c.workload, c.population.samples(unknown)) if self._of_code else None

        promise = self._promise(seconds, held, preferred)
        best = np.lexsort((unknown, -promise))[: int(self.explore_window * exploring)]
        explore = drawn_by_weight(unknown[best], promise[best], exploring, c.random(0))

        score = self._score(c, known, held, preferred)
        best = self._pool(score, exploiting)
        clients = c.state["client"][known[best]]
        exploit = drawn_by_weight(clients, score[best], exploiting, c.random(1))
        return np.concatenate([explore, exploit])

    def learn(self, state: State, feedback: Feedback) -> State:
        ended = feedback.participants
        completed = ended["outcome"] == Outcome.COMPLETED
        counted = completed
        utility = self._utility(feedback)
        last_round = np.full(len(ended), feedback.round)
        if self._of_code:
            counted = completed | (ended["outcome"] == Outcome.CUT)
            utility[~completed] = utility[completed].mean() if completed.any() else 0.0
            last_round[~completed] += 1

        ended = ended[counted]
        utility = utility[counted]
        known, place = rows_of(state["client"], ended["client"])
        times = np.ones(len(ended), np.int64)
        times[known] += state["times"][place[known]]
        rows = {
            "client": ended["client"],
            "utility": utility,
            "seconds": ended["seconds"],
            "last_round": last_round[counted],
            "times": times,
        }

        mean = utility[known].sum() / (1e-4 + known.sum())
        history = np.append(state["history"], mean)[-2 * self.pacer_rounds :]
        percentile = self._paced(float(state["percentile"]), history, feedback.round)
        return {**updated(state, rows), "history": history, "percentile": np.array(percentile)}

    def _utility(self, feedback: Feedback) -> np.ndarray:
        """Return the statistical utility of each participant, NaN of those who did not complete."""
        ended = feedback.participants
        held = feedback.population.samples(ended["client"])
        if self._of_code:
            return np.sqrt(ended["last_squared_loss"]) * self._trained(feedback.workload, held)
        return np.sqrt(ended["squared_loss"]) * held

    def _trained(self, workload: Workload, held: np.ndarray) -> np.ndarray:
        """Return min(samples, steps x batch size), which FedScale takes for the samples."""
        return np.minimum(held, workload.steps(held) * workload.batch_size)

    def _blocked(self, state: State) -> np.ndarray:
        """Return which explored clients have taken part too often, (n,) bool."""
        times = state["times"]
        blocked = np.zeros(len(times), bool)
        if self.most_participations is None:
            return blocked

        over = np.flatnonzero(times > self.most_participations)
        limit = int(self.most_blocked * len(times))
        if len(over) > limit:
            over = over[np.argsort(-times[over], kind="stable")[:limit]]
        blocked[over] = True
        return blocked

    def _to_explore(self, c: SelectionContext) -> int:
        """Return how many clients are to be explored."""
        decayed = self.exploration * self.exploration_decay ** (c.round - 1)
        share = max(decayed, self.exploration_least)
        rounding = 0.0 if self._of_code else c.random(2).random()
        return min(c.wanted, int(c.wanted * share + rounding))

    def _preferred(self, state: State, unknown: np.ndarray) -> float:
        """Return the preferred duration T, given those (n,) of the unexplored clients looked at."""
        percentile = float(state["percentile"])
        if percentile >= 100:
            return math.inf
        seconds = np.concatenate([state["seconds"], unknown])
        return at_place(seconds, int(len(seconds) * percentile / 100))

    def _slow(self, seconds: np.ndarray, preferred: float) -> np.ndarray:
        """Return the factor of equation 2 for durations (n,)."""
        late = np.minimum(1.0, preferred / np.maximum(seconds, 1e-4))
        return np.where(seconds > preferred, late**self.alpha, 1.0)

    def _promise(
        self, seconds: np.ndarray, held: np.ndarray | None, preferred: float
    ) -> np.ndarray:
        """Return the weights of unexplored clients (n,): by speed, or where given by samples."""
        if held is None:
            return 1.0 / np.maximum(seconds, 1e-9)
        return held * self._slow(seconds, preferred)

    def _score(
        self, c: SelectionContext, known: np.ndarray, others: np.ndarray | None, preferred: float
    ) -> np.ndarray:
        """Return the utilities, with all that is added, of the clients at places ``known`` (n,).

        They are normalised over ``others`` too, where those are given.
        """
        utility, since, times, seconds = (
            c.state[name][known] for name in ("utility", "last_round", "times", "seconds")
        )
        now = c.round - self._of_code  # the code does not count the first round
        values = utility if others is None else np.concatenate([utility, others])

        low, scale, most = self._norm(values)
        score = (np.minimum(utility, most) - low) / scale
        if not self._of_code:
            score = np.maximum(score, 0.0)
        score = score + np.sqrt(0.1 * math.log(now) / since)
        score = np.abs(score * self._slow(seconds, preferred))

        if self.fairness and len(times):
            rarely = 1 - times / times.max()
            score = (1 - self.fairness) * score + self.fairness * rarely
        return score

    def _norm(self, utility: np.ndarray) -> tuple[float, float, float]:
        """Return what is subtracted from utilities, by what they are divided, and their clip."""
        values = utility[utility > 0]
        if not len(values):
            return 0.0, LEAST_RANGE, math.inf
        low = float(values.min()) * 0.999
        clip = at_place(values, int(len(values) * self.clip))
        return low, max(float(values.max()) - low, LEAST_RANGE), clip

    def _pool(self, score: np.ndarray, wanted: int) -> np.ndarray:
        """Return the places of those of whom ``wanted`` are drawn, the best first."""
        if not wanted:
            return NOBODY
        count = len(score)
        last = wanted + 1 if self._of_code else wanted
        bar = self.cut_off * at_place(score, max(0, count - last))
        pool = int(np.count_nonzero(score >= bar))
        if self._of_code and pool <= POOL_OF_CODE * wanted:
            pool = min(count, POOL_OF_CODE * wanted + 1)
            bar = at_place(score, count - pool)

        places = np.flatnonzero(score >= bar)
        return places[np.argsort(-score[places], kind="stable")[:pool]]

    def _paced(self, percentile: float, history: np.ndarray, round_number: int) -> float:
        """Return the percentile after a round, given the mean utilities up to it."""
        window = self.pacer_rounds
        if round_number < 2 * window or round_number % window:
            return percentile
        before = float(history[-2 * window : -window].sum())
        now = float(history[-window:].sum())

        if not self._of_code:
            return min(100.0, percentile + self.pacer_step) if before > now else percentile
        if abs(now - before) <= 0.1 * before:
            return min(100.0, percentile + self.pacer_step)
        if abs(now - before) >= 5 * before:
            return max(self.pacer_step, percentile - self.pacer_step)
        return percentile
