"""Oort against algorithm 1 of its paper, written here with lists and sorting; what it promises in any state."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mpifl
from mpifl.clock.timeline import Outcome
from mpifl.datasets.dataset import Dataset
from mpifl.population.population import Population
from mpifl.rounds.plan.snapshot import Snapshot
from mpifl.selection.checked import checked
from mpifl.selection.context import SelectionContext
from mpifl.selection.feedback import FEEDBACK, Feedback, State
from mpifl.selection.oort import Oort
from mpifl.state.checkpoint import read_checkpoint, write_checkpoint
from mpifl.traces.trace import Trace
from tests.asking import WORK, ask, context, uniform
from tests.budget import examples
from tests.known import known
from tests.launching import python

CLIENTS = 60
COMPLETED, DROPPED, CUT = (int(o) for o in (Outcome.COMPLETED, Outcome.DROPPED, Outcome.CUT))


@pytest.fixture(scope="module")
def population(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
) -> Population:
    """Of three clients one is online from 0 to 50 s of 100 s, the others always; 20 sizes, 6 speeds."""
    speeds: dict[str, list[float]] = {
        "compute_ms_per_sample": [10, 20, 40, 80, 160, 300],
        "download_kbps": [1000, 500, 2000] * 2,
        "upload_kbps": [700, 900] * 3,
    }
    trace = make_trace([[(0, 50)], [(0, 100)], [(0, 100)]], **speeds)
    return make_population(make_dataset(list(range(3, 43, 2))), trace, clients=CLIENTS)


def feedback(population: Any, c: SelectionContext, chosen: np.ndarray, level: float) -> Feedback:
    """A round in which one in five drops out and one in five is cut; losses differ by client and round."""
    random = np.random.default_rng((c.round, 9))
    rows = np.zeros(len(chosen), FEEDBACK)
    rows["client"] = chosen
    rows["outcome"] = random.choice([COMPLETED] * 3 + [DROPPED, CUT], len(chosen), p=[0.2] * 5)
    rows["seconds"] = c.seconds(chosen)
    fine = rows["outcome"] == COMPLETED
    for name in ("squared_loss", "last_squared_loss"):
        rows[name] = np.where(fine, level * random.uniform(0.1, 3, len(chosen)), np.nan)
    return Feedback(c.round, 0.0, 1.0, rows, population, WORK)


class Algorithm1:
    """The paper's algorithm 1, with the keys of the rule. Clients are the keys of dicts."""

    def __init__(self, **keys: Any) -> None:
        self.k = Oort(**keys)
        self.utility: dict[int, float] = {}  # U
        self.last: dict[int, int] = {}  # L
        self.seconds: dict[int, float] = {}  # D
        self.times: dict[int, int] = {}
        self.history: list[float] = []
        self.percentile = self.k.percentile

    def update(self, rows: np.ndarray, samples: dict[int, int], number: int) -> None:
        """Take in the feedback of a round; the pacer."""
        exploited = []
        for row in rows:
            client = int(row["client"])
            if row["outcome"] != COMPLETED:
                continue
            utility = samples[client] * math.sqrt(row["squared_loss"])
            if client in self.utility:
                exploited.append(utility)
            self.utility[client] = utility
            self.last[client] = number
            self.seconds[client] = row["seconds"]
            self.times[client] = self.times.get(client, 0) + 1

        self.history.append(sum(exploited) / (1e-4 + len(exploited)))
        window = self.k.pacer_rounds
        if number >= 2 * window and number % window == 0:
            before = sum(self.history[number - 2 * window : number - window])
            if before > sum(self.history[number - window :]):
                self.percentile = min(100, self.percentile + self.k.pacer_step)

    def select(self, c: SelectionContext, online: set[int]) -> list[int]:
        """The participants of a round."""
        k = self.k
        share = k.exploration
        for _ in range(c.round - 1):
            share *= k.exploration_decay
        exploring = int(c.wanted * max(share, k.exploration_least) + c.random(2).random())

        tired = sorted(self.times, key=lambda client: (-self.times[client], client))
        limit = int(k.most_blocked * len(tired))
        most = math.inf if k.most_participations is None else k.most_participations
        tired = [client for client in tired if self.times[client] > most][:limit]
        known = [client for client in sorted(self.utility) if client in online]
        fresh = [client for client in known if client not in tired]

        exploring = max(min(exploring, c.wanted), c.wanted - len(fresh))
        looked_at = max(k.looked_at, int(k.explore_window * exploring))
        unknown = c.uniform(looked_at, np.array(sorted(self.utility), np.int64)).tolist()
        if not exploring:
            unknown = []
        seconds = dict(zip(unknown, c.seconds(np.array(unknown, np.int64)), strict=True))
        exploring = min(exploring, len(unknown))
        known = fresh if exploring + len(fresh) >= c.wanted else known
        exploiting = min(c.wanted - exploring, len(known))

        all_seconds = sorted([*self.seconds.values(), *seconds.values()])
        place = min(int(len(all_seconds) * self.percentile / 100), len(all_seconds) - 1)
        preferred = math.inf if self.percentile >= 100 else all_seconds[place]

        speed = {client: 1 / seconds[client] for client in unknown}
        fastest = best_first(speed)[: int(k.explore_window * exploring)]
        explored = drawn(c.random(0), fastest, speed, exploring)

        score = self.scores(c, known, preferred)
        order = best_first(score)
        if exploiting:
            lowest = score[order[exploiting - 1]]
            order = [client for client in order if score[client] >= k.cut_off * lowest]
        return explored + drawn(c.random(1), order, score, exploiting)

    def scores(self, c: SelectionContext, known: list[int], preferred: float) -> dict[int, float]:
        """Utilities of explored clients, normalised, with the bonus, the penalty, and fairness."""
        utilities = sorted(self.utility[client] for client in known)
        if not utilities:
            return {}
        low = utilities[0] * 0.999
        clip = utilities[min(int(len(utilities) * self.k.clip), len(utilities) - 1)]
        most = max(self.times[client] for client in known)

        score = {}
        for client in known:
            value = (min(self.utility[client], clip) - low) / max(utilities[-1] - low, 1e-4)
            value += math.sqrt(0.1 * math.log(c.round) / self.last[client])
            if self.seconds[client] > preferred:
                value *= (preferred / self.seconds[client]) ** self.k.alpha
            fair = 1 - self.times[client] / most
            score[client] = (1 - self.k.fairness) * value + self.k.fairness * fair
        return score


def best_first(weight: dict[int, float]) -> list[int]:
    return sorted(weight, key=lambda client: (-weight[client], client))


def drawn(random: Any, clients: list[int], weight: dict[int, float], wanted: int) -> list[int]:
    positive = [client for client in clients if weight[client] > 0]
    if not wanted or len(positive) < wanted:
        return clients[:wanted]
    total = sum(weight[client] for client in clients)
    shares = [weight[client] / total for client in clients]
    chosen: list[int] = random.choice(clients, wanted, replace=False, p=shares).tolist()
    return chosen


CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "few looked at": {"looked_at": 9, "explore_window": 2.5},
    "little exploration": {"exploration": 0.5, "exploration_decay": 0.9, "exploration_least": 0.0},
    "all explored at first": {"exploration": 1},
    "a share that stays": {"exploration": 0.5, "exploration_decay": 1},
    "pacer": {"pacer_rounds": 3, "percentile": 5, "exploration_least": 0.1, "alpha": 3},
    "no penalty": {"percentile": 100, "cut_off": 0.1, "clip": 0.5},
    "blocks": {"most_participations": 1, "most_blocked": 0.5, "exploration": 0.2},
    "blocks all": {"most_participations": 1, "most_blocked": 1, "exploration": 0.2},
    "fair": {"fairness": 0.6, "most_participations": None, "cut_off": 0.5},
    "all fair": {"fairness": 1, "exploration": 0.3},
}


@pytest.mark.parametrize("keys", CASES.values(), ids=CASES)
def test_it_chooses_whom_algorithm_1_chooses(population: Population, keys: dict[str, Any]) -> None:
    rule, oracle = Oort(**keys), Algorithm1(**keys)
    samples = dict(enumerate(population.samples(np.arange(CLIENTS)).tolist()))
    state = rule.start(population, WORK)

    for number in range(1, 31):
        now, wanted = 37.0 * number, (12, 1, 7)[number % 3]
        busy = np.arange(number % 4) * 5
        c = context(population, now, wanted, draw=number, busy=busy, state=state)
        online = set(uniform(population, now, CLIENTS, busy=busy).tolist())
        chosen = rule.choose(c)
        assert chosen.tolist() == oracle.select(c, online), number

        over = feedback(population, c, chosen, level=1.0 / number)
        state = rule.learn(state, over)
        oracle.update(over.participants, samples, number)
        assert state["client"].tolist() == sorted(oracle.utility)
        assert state["percentile"] == oracle.percentile
    assert ("pacer_rounds" in keys) == (oracle.percentile != rule.percentile)


def test_a_client_without_loss_is_not_preferred(population: Population) -> None:
    # The published code takes the absolute value of (utility - lowest) / range, which is large then.
    utility = np.array([0.0, *np.linspace(100, 100.1, 19)])
    state = {
        "client": np.arange(20) * 3,
        "utility": utility,
        "seconds": np.ones(20),
        "last_round": np.full(20, 5),
        "times": np.ones(20, np.int64),
        "history": np.zeros(0),
        "percentile": np.array(30.0),
    }
    rule = Oort(exploration=0, exploration_least=0, cut_off=1)
    c = context(population, 10.0, 3, draw=6, state=state)
    assert 0 not in rule.choose(c)


EVERYTHING = Oort(exploration=1, exploration_decay=1)


@pytest.mark.parametrize("wanted", [1, 13, 200])
def test_with_nothing_but_exploration_it_is_uniform(population: Population, wanted: int) -> None:
    state = learned(EVERYTHING, population, 8)
    for draw in range(1, 20):
        moment = (10.0 * draw, wanted, 3, draw, np.array([4, 7]))
        chosen = ask(EVERYTHING, population, *moment, state=state)
        assert chosen.tolist() == uniform(population, *moment).tolist()


def test_a_run_with_nothing_but_exploration_is_a_uniform_run(tmp_path: Path) -> None:
    hashes: list[str] = []
    for rule in ("name: oort, exploration: 1, exploration_decay: 1", "name: uniform"):
        out = tmp_path / str(len(hashes))
        run = (*python(), "-m", "mpifl.run", "quickstart", "rounds=4", "--out", str(out))
        subprocess.run([*run, f"selection={{{rule}, participants: 10}}"], check=True)
        hashes.append(mpifl.load_run(out).summary["model_sha256"])
    assert hashes[0] == hashes[1]


def learned(rule: Oort, population: Any, rounds: int, wanted: int = 9, seed: int = 1) -> State:
    """The state after rounds that all have their participants online."""
    state = rule.start(population, WORK)
    for number in range(1, rounds + 1):
        c = context(population, 10.0, wanted, seed, number, state=state)
        state = rule.learn(state, feedback(population, c, rule.choose(c), 1.0))
    return state


@examples(150)
@given(data=st.data())
def test_it_always_chooses_as_many_as_may_be_asked(
    population: Population, data: st.DataObject
) -> None:
    share = st.sampled_from([0.0, 0.02, 0.3, 1.0])
    rule = Oort(
        exploration=data.draw(share),
        exploration_decay=data.draw(st.sampled_from([0.5, 1.0])),
        exploration_least=data.draw(share),
        looked_at=data.draw(st.sampled_from([1, 30, 1000])),
        explore_window=data.draw(st.sampled_from([1.0, 1.5, 40.0])),
        percentile=data.draw(st.sampled_from([0.1, 30.0, 100.0])),
        alpha=data.draw(st.sampled_from([0.0, 2.0, 1e4])),
        cut_off=data.draw(share),
        fairness=data.draw(share),
        most_participations=data.draw(st.sampled_from([None, 1, 3])),
        most_blocked=data.draw(share),
        code=data.draw(st.sampled_from(["paper", "fedscale"])),
    )
    rounds = data.draw(st.integers(0, 14))
    state = learned(rule, population, rounds, data.draw(st.sampled_from([1, 5, 20, CLIENTS])))
    now = data.draw(st.sampled_from([10.0, 60.0]))
    busy = np.array(sorted(data.draw(st.sets(st.integers(0, CLIENTS - 1)))), np.int64)
    wanted = data.draw(st.sampled_from([1, 2, 13, 45, CLIENTS, 200]))
    draw = data.draw(st.integers(rounds + 1, 1000))

    chosen = ask(rule, population, now, wanted, 2, draw, busy, state)
    passed = checked("oort", chosen, population, now, wanted, busy)
    assert len(passed) == min(wanted, len(uniform(population, now, CLIENTS, busy=busy)))


def test_a_state_from_a_checkpoint_goes_on_as_the_state_itself(
    population: Population, tmp_path: Path
) -> None:
    rule = Oort(pacer_rounds=2)
    state = learned(rule, population, 9)
    path = write_checkpoint(tmp_path, Snapshot(rounds_done=9, learned=state))
    saved = read_checkpoint(path).learned

    after = []
    for held in (state, saved):
        c = context(population, 60.0, 11, draw=10, state=held)
        chosen = rule.choose(c)
        after.append((chosen, rule.learn(known(held), feedback(population, c, chosen, 1.0))))
    assert after[0][0].tolist() == after[1][0].tolist()
    for name, values in after[0][1].items():
        assert values.tobytes() == after[1][1][name].tobytes(), name
        assert values.dtype == after[1][1][name].dtype
