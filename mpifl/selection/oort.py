"""Oort: clients whose data and speed promise most progress a second (Lai et al., OSDI 2021)."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field

from mpifl.clock.timeline import Outcome
from mpifl.clock.workload import Workload
from mpifl.population.population import Population
from mpifl.selection.context import SelectionContext
from mpifl.selection.draw import drawn_by_weight
from mpifl.selection.feedback import Feedback, State
from mpifl.selection.selection import Selection
from mpifl.selection.table import rows_of, updated

LEAST_RANGE = 1e-4
POOL_OF_CODE = 10.0
"""How many times the exploited clients the published code draws them from, at least."""


class Oort(Selection):
    """A selection rule: exploit clients of high utility, and explore others (arXiv 2010.06081).

    The utility of a client with samples B that takes t seconds is, with the preferred duration T,
    |B| sqrt(mean of loss(k)^2 over its samples k) (T / t)^alpha, the last factor where t > T
    (equation 2). It is normalised to 0..1, and sqrt(0.1 ln(round) / last round) is added for
    clients that have not taken part for long (algorithm 1, line 10).

    A share of the clients is explored: of those that never took part and that may be asked,
    ``explore_window`` times as many are drawn uniformly, and chosen with probabilities
    proportional to their speed. The others are drawn, with probabilities proportional to their
    utility, from those with at least ``cut_off`` times the lowest utility that would do. When the
    sum of utilities falls, the pacer raises T: it is the ``percentile`` of the durations of the
    clients known.

    With ``code: fedscale`` it does what FedScale's oort.py does (``preset: fedscale-code`` sets its
    constants too): the utility of the last minibatch times min(samples, steps x batch size);
    utilities normalised over unexplored clients too, for which their samples stand; a pool of at
    least ten times those exploited; the pacer raises T when utilities hardly change, and lowers it
    when they change fivefold; a participant that was cut has the mean utility of the round; the
    first round is uniform. Two faults of it are not repeated, since a rule may name no client
    twice: it names clients of earlier rounds again when all are explored, and it stops with an
    IndexError when there are as many explored clients as it wants.
    """

    losses = "squared"

    name: str = "oort"
    exploration: float = Field(0.9, ge=0, le=1, description="share explored in the first round")
    exploration_decay: float = Field(
        0.98, gt=0, le=1, description="factor on that share from round to round"
    )
    exploration_least: float = Field(0.2, ge=0, le=1, description="the share does not fall below")
    explore_window: float = Field(
        5.0, ge=1, description="unexplored clients that are looked at for each one explored"
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
        10, ge=1, description="after so many a client is not exploited any more; null: no limit"
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

    def start(self, population: Population, workload: Workload) -> State:
        return {
            "client": np.empty(0, np.int64),
            "utility": np.empty(0),
            "seconds": np.empty(0),
            "last_round": np.empty(0, np.int64),
            "times": np.empty(0, np.int64),
            "history": np.zeros(1),
            "percentile": np.array(self.percentile),
        }

    def choose(self, c: SelectionContext) -> np.ndarray:
        share = max(self.exploration * self.exploration_decay**c.round, self.exploration_least)
        if min(self.exploration, self.exploration_decay) == 1:
            return c.uniform(c.wanted)  # nobody is ever exploited
        if self.code == "fedscale" and c.round == 1:
            return c.uniform(c.wanted)

        explored = c.state["client"]
        rounding = 0.0 if self.code == "fedscale" else c.random(2).random()
        exploring = min(c.wanted, int(c.wanted * share + rounding))
        known = np.flatnonzero(c.may_ask(explored) & ~self._blocked(c.state))
        if len(known) < c.wanted - exploring:
            exploring = c.wanted - len(known)

        looked_at = math.ceil(self.explore_window * max(1, exploring))
        unknown = c.uniform(looked_at, explored) if exploring else np.empty(0, np.int64)
        exploring = min(exploring, len(unknown))
        exploiting = min(c.wanted - exploring, len(known))

        preferred = self._preferred(c, unknown)
        explore = self._explored(c, unknown, exploring, preferred)
        exploit = self._exploited(c, known, unknown, exploiting, preferred)
        return np.concatenate([explore, exploit])

    def learn(self, state: State, feedback: Feedback) -> State:
        ended = feedback.participants
        completed = ended["outcome"] == Outcome.COMPLETED
        utility = self._utility(feedback)

        known, place = rows_of(state["client"], ended["client"])
        exploited = known & completed
        mean = utility[exploited].sum() / (1e-4 + exploited.sum())
        history = np.append(state["history"], mean)[-2 * self.pacer_rounds :]

        counted = completed
        if self.code == "fedscale":
            counted = completed | (ended["outcome"] == Outcome.CUT)
            utility[~completed] = utility[completed].mean() if completed.any() else 0.0
        times = np.where(known, state["times"][place], 0) if len(state["times"]) else known * 1
        rows = {
            "client": ended["client"],
            "utility": utility,
            "seconds": ended["seconds"],
            "last_round": np.full(len(ended), feedback.round),
            "times": times + 1,
        }
        table = updated(state, {name: values[counted] for name, values in rows.items()})
        percentile = self._paced(float(state["percentile"]), history, feedback.round + 1)
        return {**table, "history": history, "percentile": np.array(percentile)}

    def _utility(self, feedback: Feedback) -> np.ndarray:
        """Return the statistical utility of each participant, NaN of those who did not complete."""
        ended = feedback.participants
        held = feedback.population.samples(ended["client"])
        if self.code == "fedscale":
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
        limit = int(self.most_blocked * len(times))
        most = np.lexsort((state["client"], -times))[:limit]
        blocked[most] = times[most] > self.most_participations
        return blocked

    def _preferred(self, c: SelectionContext, unknown: np.ndarray) -> float:
        """Return the preferred duration T."""
        percentile = float(c.state["percentile"])
        if percentile >= 100:
            return math.inf
        seconds = np.sort(np.concatenate([c.state["seconds"], c.seconds(unknown)]))
        return float(seconds[min(int(len(seconds) * percentile / 100), len(seconds) - 1)])

    def _slow(self, seconds: np.ndarray, preferred: float) -> np.ndarray:
        """Return the factor of equation 2 for durations (n,)."""
        late = np.minimum(1.0, preferred / np.maximum(seconds, 1e-4))
        return np.where(seconds > preferred, late**self.alpha, 1.0)

    def _explored(
        self, c: SelectionContext, unknown: np.ndarray, wanted: int, preferred: float
    ) -> np.ndarray:
        """Return the clients that are explored."""
        seconds = c.seconds(unknown)
        if self.code == "fedscale":
            samples = self._trained(c.workload, c.population.samples(unknown))
            weight = samples * self._slow(seconds, preferred)
        else:
            weight = 1.0 / np.maximum(seconds, 1e-9)
        order = np.lexsort((unknown, -weight))
        return drawn_by_weight(unknown[order], weight[order], wanted, c.random(0))

    def _exploited(
        self,
        c: SelectionContext,
        known: np.ndarray,
        unknown: np.ndarray,
        wanted: int,
        preferred: float,
    ) -> np.ndarray:
        """Return the clients that are exploited, of those at the places ``known`` of the state."""
        if not wanted:
            return np.empty(0, np.int64)
        table = {name: c.state[name][known] for name in ("client", "utility", "times")}
        since = c.state["last_round"][known]
        of_code = self.code == "fedscale"
        others = self._trained(c.workload, c.population.samples(unknown)) if of_code else ()

        low, scale, most = self._norm(np.concatenate([table["utility"], others]))
        score = (np.minimum(table["utility"], most) - low) / scale
        score = score + np.sqrt(0.1 * math.log(c.round) / since)
        score = np.abs(score * self._slow(c.state["seconds"][known], preferred))
        if self.fairness:
            rarely = 1 - table["times"] / table["times"].max()
            score = (1 - self.fairness) * score + self.fairness * rarely

        order = np.lexsort((table["client"], -score))
        last = min(wanted, len(order) - 1) if of_code else wanted - 1
        pool = int(np.count_nonzero(score >= self.cut_off * score[order[last]]))
        pool = max(pool, int(POOL_OF_CODE * wanted) + 1) if of_code else pool
        order = order[:pool]
        return drawn_by_weight(table["client"][order], score[order], wanted, c.random(1))

    def _norm(self, utility: np.ndarray) -> tuple[float, float, float]:
        """Return what is subtracted from utilities, by what they are divided, and their clip."""
        values = np.sort(utility[utility > 0])
        if not len(values):
            return 0.0, LEAST_RANGE, math.inf
        low = float(values[0]) * 0.999
        clip = float(values[min(int(len(values) * self.clip), len(values) - 1)])
        return low, max(float(values[-1]) - low, LEAST_RANGE), clip

    def _paced(self, percentile: float, history: np.ndarray, round_number: int) -> float:
        """Return the percentile for a round, given the mean utilities of the rounds before."""
        window = self.pacer_rounds
        if round_number < 2 * window or round_number % window:
            return percentile
        before = float(history[-2 * window : -window].sum())
        now = float(history[-window:].sum())

        if self.code == "paper":
            return min(100.0, percentile + self.pacer_step) if before > now else percentile
        if abs(now - before) <= 0.1 * before:
            return min(100.0, percentile + self.pacer_step)
        if abs(now - before) >= 5 * before:
            return max(self.pacer_step, percentile - self.pacer_step)
        return percentile
