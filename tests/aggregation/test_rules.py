"""The aggregation rules against the papers' formulas, written out in plain Python."""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from mpi4py import MPI
from scipy.optimize import minimize

from mpifl.aggregation import REGISTRY
from mpifl.aggregation.aggregation import Aggregation
from mpifl.aggregation.norm_bound import higher_quantile
from mpifl.aggregation.updates import Aggregate, Columns, Rows, Updates, Weights
from mpifl.aggregation.views import bucketed
from mpifl.clock.policies.semisync import Semisync
from mpifl.errors import TrainingError
from mpifl.job import Job, parse_job
from mpifl.mpi.world import World
from mpifl.rounds.experiment.job_checks import check_aggregation

ALONE = World(MPI.COMM_SELF)
OPTIONS: dict[str, dict[str, Any]] = {
    "norm_bound": {"norm": 2.0},
    "fltrust": {"root_samples": 1},
    "centered_clipping": {"radius": 1e6, "iterations": 1},
    "robust_learning_rate": {"threshold": 0},
    "slsgd": {"alpha": 1},
}


def rule_of(name: str, **options: object) -> Aggregation:
    return job_of(name, **options).aggregation


def job_of(name: str, **options: object) -> Job:
    section = {"name": name, **OPTIONS.get(name, {}), **options}
    raw = {"rounds": 1, "model": "logreg", "selection": {"name": "uniform", "participants": 1}}
    return parse_job({**raw, "aggregation": section})


def aggregated(
    rule: Aggregation,
    values: np.ndarray,
    weights: np.ndarray | None = None,
    reference: np.ndarray | None = None,
    histories: np.ndarray | None = None,
    averaged: int = 0,
) -> np.ndarray:
    """What updates (n, size) become, (size,)."""
    found = outcome(rule, values, weights, reference, histories, averaged)
    if isinstance(found, Columns):
        return found.values
    values = values.astype(np.float32)
    own = np.full(len(values), 1 / len(values)) if weights is None else weights
    assert found.weights.min() >= 0
    assert found.weights.sum() <= own.sum() * (1 + 1e-12)
    return found.weights @ values.astype(np.float64)


def held(
    values: np.ndarray, weights: np.ndarray, averaged: int = 0, reference: bool = False
) -> Updates:
    values = values.astype(np.float32)
    count, size = values.shape
    on = np.zeros(count, np.int64)
    rows = Rows(dict(enumerate(values)), on, size, size - averaged, averaged, reference)
    return Updates(ALONE, rows, weights)


def outcome(
    rule: Aggregation,
    values: np.ndarray,
    weights: np.ndarray | None = None,
    reference: np.ndarray | None = None,
    histories: np.ndarray | None = None,
    averaged: int = 0,
) -> Aggregate:
    own = np.full(len(values), 1 / len(values)) if weights is None else weights
    if rule.reference != "none":
        last = np.zeros(values.shape[1]) if reference is None else reference
        values = np.vstack([values, last])
        own = np.append(own, 0.0)
    updates = held(values, own, averaged, rule.reference != "none")
    if rule.remembers:
        past = held(values if histories is None else histories, own)
        updates = replace(updates, histories=past)
    return rule.aggregate(updates)


@pytest.fixture(params=[(1, 4), (2, 3), (5, 7), (11, 6)], ids=str)
def values(request: pytest.FixtureRequest) -> np.ndarray:
    random = np.random.default_rng(7)
    drawn = random.normal(size=request.param).round(1)
    drawn[: len(drawn) // 3] *= 30
    return drawn.astype(np.float32)


OTHERWISE = {"sign_vote": "a step", "foolsgold": "nothing", "fltrust": "the server's"}
"""Rules of which equal updates become something else."""


@pytest.mark.parametrize("name", sorted(set(REGISTRY) - set(OTHERWISE)))
def test_one_update_is_what_it_becomes_and_so_are_equal_ones(name: str) -> None:
    one = np.array([[0.5, -1.25, 0.0]], np.float32)
    assert aggregated(rule_of(name), one).tolist() == one[0].tolist()
    many = aggregated(rule_of(name), one.repeat(6, axis=0))
    assert many == pytest.approx(one[0].astype(float), abs=1e-12)


def test_the_median_is_that_of_each_coordinate(values: np.ndarray) -> None:
    expected = [statistics.median(column) for column in values.astype(float).T.tolist()]
    assert aggregated(rule_of("median"), values).tolist() == expected


@pytest.mark.parametrize("trim", [0.0, 0.1, 0.34, 0.49])
def test_a_trimmed_mean_leaves_out_both_ends(values: np.ndarray, trim: float) -> None:
    out = int(trim * len(values))
    expected = [
        statistics.fmean(sorted(column)[out : len(column) - out])
        for column in values.astype(float).T.tolist()
    ]
    assert aggregated(rule_of("trimmed_mean", trim=trim), values) == pytest.approx(expected)


def scores(rows: list[np.ndarray], byzantine: int) -> list[float]:
    """Krum's, by the definition."""
    found = []
    for i, own in enumerate(rows):
        others = sorted(float(((own - other) ** 2).sum()) for j, other in enumerate(rows) if j != i)
        found.append(sum(others[: max(1, len(rows) - byzantine - 2)]))
    return found


@pytest.mark.parametrize("byzantine", [0.0, 0.2, 0.4])
def test_krum_takes_the_update_of_the_lowest_score(values: np.ndarray, byzantine: float) -> None:
    rows = list(values.astype(float))
    found = scores(rows, int(byzantine * len(rows)))
    taken = found.index(min(found))
    krum = rule_of("krum", byzantine=byzantine)
    assert aggregated(krum, values).tolist() == rows[taken].tolist()


def test_krum_may_give_one_update_all_weights_however_they_round() -> None:
    weights = np.array([0.1, 0.2, 0.3, 0.4]) * (1 + 2**-52)
    assert weights.sum() > 1
    found = outcome(rule_of("krum"), np.eye(4), weights)
    assert isinstance(found, Weights)
    assert found.weights.max() == 1.0


def test_multi_krum_weighs_the_updates_of_the_lowest_scores(values: np.ndarray) -> None:
    weights = np.arange(1.0, len(values) + 1)
    weights /= weights.sum()
    rows = list(values.astype(float))
    found = scores(rows, int(0.2 * len(rows)))
    kept = sorted(range(len(rows)), key=found.__getitem__)[: max(1, int(0.8 * len(rows)))]
    expected = sum(weights[i] * rows[i] for i in kept) / weights[kept].sum()
    assert aggregated(rule_of("multi_krum"), values, weights) == pytest.approx(expected)


def test_bulyan_selects_by_krum_and_takes_what_is_nearest_to_the_median(values: np.ndarray) -> None:
    byzantine = int(0.2 * len(values))
    left = list(values.astype(float))
    selected: list[np.ndarray] = []
    while len(selected) < max(1, len(values) - 2 * byzantine):
        found = scores(left, byzantine)
        selected.append(left.pop(found.index(min(found))))

    near = max(1, len(selected) - 2 * byzantine)
    expected = []
    for column in np.array(selected).T.tolist():
        middle = statistics.median(column)
        nearest = sorted(sorted(column), key=lambda value: abs(value - middle))[:near]
        expected.append(statistics.fmean(nearest))
    assert aggregated(rule_of("bulyan"), values) == pytest.approx(expected)


def test_the_geometric_median_minimises_the_weighted_distances() -> None:
    random = np.random.default_rng(3)
    values = random.normal(size=(9, 4)).astype(np.float32)
    weights = random.dirichlet(np.ones(9))
    found = aggregated(rule_of("geometric_median", iterations=300), values, weights)

    def cost(place: np.ndarray) -> float:
        return float(weights @ np.linalg.norm(values.astype(float) - place, axis=1))

    best = minimize(
        cost, np.zeros(4), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}
    )
    assert cost(found) <= best.fun * (1 + 1e-6)


def test_weiszfeld_steps_are_those_of_the_paper(values: np.ndarray) -> None:
    rows = values.astype(float)
    place = rows.mean(axis=0)
    for _ in range(4):
        weights = np.array([1 / max(1e-6, float(np.linalg.norm(place - row))) for row in rows])
        place = weights @ rows / weights.sum()
    assert aggregated(rule_of("geometric_median"), values) == pytest.approx(
        place, rel=1e-5, abs=1e-6
    )


def test_long_updates_are_scaled_down_to_the_bound(values: np.ndarray) -> None:
    rows = values.astype(float)
    expected = np.mean([row * min(1, 2 / np.linalg.norm(row)) for row in rows], axis=0)
    assert aggregated(rule_of("norm_bound"), values) == pytest.approx(expected)

    norms = np.sort(np.linalg.norm(rows, axis=1))
    bound = norms[int(np.ceil(0.5 * (len(rows) - 1)))]
    expected = np.mean([row * min(1, bound / np.linalg.norm(row)) for row in rows], axis=0)
    half = rule_of("norm_bound", norm=None, quantile=0.5)
    assert aggregated(half, values) == pytest.approx(expected)


ROBUST: dict[str, dict[str, Any]] = {
    "median": {},
    "trimmed_mean": {"trim": 0.2},
    "krum": {},
    "multi_krum": {},
    "bulyan": {},
    "geometric_median": {"iterations": 60},
    "centered_clipping": {"radius": 2.0, "iterations": 10},
    "sign_vote": {},
}


@pytest.mark.parametrize("name", ROBUST)
def test_a_few_attackers_do_not_move_the_result_far(name: str) -> None:
    """Two of eleven send anything: the result stays among the others, where the mean does not."""
    random = np.random.default_rng(5)
    good = random.normal(size=(9, 5))
    for far in (1e3, -1e6):
        bad = np.full((2, 5), far)
        for order in itertools.islice(itertools.permutations(range(11)), 0, 40, 7):
            rows = np.concatenate([good, bad])[list(order)]
            found = aggregated(rule_of(name, **ROBUST[name]), rows)
            assert np.abs(found - good.mean(axis=0)).max() < 5
            assert np.abs(rows.mean(axis=0)).max() > 100


def test_a_quantile_of_norms_is_that_of_numpy_but_for_what_floats_miss() -> None:
    for count in range(1, 40):
        norms = np.random.default_rng(count).normal(size=count)
        for share in (0.01, 0.1, 0.25, 0.5, 0.9, 1.0):
            expected = np.quantile(norms, share, method="higher")
            assert higher_quantile(norms, share) == expected, (count, share)
    assert higher_quantile(np.arange(26.0), 0.28) == 7  # 0.28 * 25 > 7


def test_a_rule_needs_a_norm_or_a_quantile() -> None:
    with pytest.raises(Exception, match="aggregation: give norm or quantile"):
        rule_of("norm_bound", norm=None)


# Rules by sign


@pytest.mark.parametrize("step", [None, 0.25])
def test_the_sign_that_most_have_wins_and_a_tie_is_nothing(
    values: np.ndarray, step: float | None
) -> None:
    expected = []
    for column in values.astype(float).T.tolist():
        votes = sum((value > 0) - (value < 0) for value in column)
        size = statistics.median(map(abs, column)) if step is None else step
        expected.append(((votes > 0) - (votes < 0)) * size)
    assert aggregated(rule_of("sign_vote", step=step), values).tolist() == expected

    tied = np.array([[1.0], [-3.0], [2.0], [-9.0]])
    assert aggregated(rule_of("sign_vote", step=step), tied).tolist() == [0.0]


@pytest.mark.parametrize("threshold", [0.2, 0.5, 1.0])
def test_a_coordinate_without_agreement_goes_the_other_way(
    values: np.ndarray, threshold: float
) -> None:
    weights = np.arange(1.0, len(values) + 1)
    weights /= weights.sum()
    rows = values.astype(float)
    expected = []
    for column in rows.T.tolist():
        votes = abs(sum((value > 0) - (value < 0) for value in column))
        mean = sum(weight * value for weight, value in zip(weights, column, strict=True))
        expected.append(mean if votes >= threshold * len(column) - 1e-9 else -mean)
    rule = rule_of("robust_learning_rate", threshold=threshold)
    assert aggregated(rule, values, weights) == pytest.approx(expected)


def test_buffers_are_averaged_where_differences_are_voted_on(values: np.ndarray) -> None:
    weights = np.arange(1.0, len(values) + 1)
    weights *= 0.5 / weights.sum()  # late updates
    expected = (weights / weights.sum()) @ values.astype(float)
    for name in ("sign_vote", "robust_learning_rate", "centered_clipping", "fltrust"):
        rule = rule_of(name, **({"threshold": 1.0} if name == "robust_learning_rate" else {}))
        found = aggregated(rule, values, weights, averaged=2)
        assert found[-2:] == pytest.approx(expected[-2:]), name


# Rules by distance


def test_slsgd_goes_a_part_of_the_way_to_the_trimmed_mean(values: np.ndarray) -> None:
    trimmed = aggregated(rule_of("trimmed_mean", trim=0.3), values)
    found = aggregated(rule_of("slsgd", trim=0.3, alpha=0.4), values, averaged=1)
    assert found[:-1] == pytest.approx(0.4 * trimmed[:-1])
    assert found[-1] == pytest.approx(trimmed[-1])


def test_three_sigma_leaves_out_what_is_far_and_nothing_else() -> None:
    random = np.random.default_rng(2)
    rows = random.normal(size=(20, 6))
    rows[[3, 11]] += 40
    for middle in ("mean", "geometric_median"):
        rule = rule_of("three_sigma", sigmas=2.0, middle=middle)
        place = rows.mean(axis=0)
        if middle == "geometric_median":
            place = aggregated(rule_of("geometric_median"), rows)
        scores = [math.dist(row, place) for row in rows]
        bound = statistics.fmean(scores) + 2 * statistics.stdev(scores)
        near = [score <= bound for score in scores]
        assert near.count(False) == 2
        assert aggregated(rule, rows) == pytest.approx(rows[near].mean(axis=0), rel=1e-6)
        taken = outcome(rule, rows).taken
        assert taken is not None
        assert taken.tolist() == near


def test_three_sigma_keeps_ten_updates_however_far_one_is() -> None:
    rows = np.zeros((10, 3))
    rows[4] = 1e5
    assert aggregated(rule_of("three_sigma"), rows) == pytest.approx(rows.mean(axis=0))


@pytest.mark.parametrize("iterations", [1, 3])
def test_centered_clipping_is_the_papers(values: np.ndarray, iterations: int) -> None:
    random = np.random.default_rng(1)
    last = random.normal(size=values.shape[1:]).astype(np.float32).astype(float)
    place = last
    rows = values.astype(float)
    for _ in range(iterations):
        steps = [(row - place) * min(1.0, 1.5 / max(1e-9, math.dist(row, place))) for row in rows]
        place = place + np.mean(steps, axis=0)
    rule = rule_of("centered_clipping", radius=1.5, iterations=iterations)
    assert aggregated(rule, values, reference=last) == pytest.approx(place)


class HalfBack(Aggregation):
    """A rule of a user's: half of the way from the result of the round before to the mean."""

    reference: ClassVar[Literal["none", "last", "root"]] = "last"
    name: str = "half_back"

    def aggregate(self, updates: Updates) -> Aggregate:
        weights = updates.weights / 2
        weights[-1] = 0.5
        return updates.weighted(weights)


def test_new_weights_may_take_the_reference_in(values: np.ndarray) -> None:
    last = np.linspace(-1, 1, values.shape[1], dtype=np.float32)
    found = outcome(HalfBack(), values, reference=last)
    assert isinstance(found, Columns)
    assert found.values == pytest.approx((values.mean(axis=0, dtype=float) + last) / 2)
    assert found.taken is not None
    assert found.taken.tolist() == [True] * len(values)


def trusted(rows: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Algorithm 2 of FLTrust."""
    total, result = 0.0, np.zeros(len(root))
    for row in rows:
        cosine = float(row @ root) / (np.linalg.norm(row) * np.linalg.norm(root))
        trust = max(0.0, float(cosine))
        total += trust
        result += trust * np.linalg.norm(root) / np.linalg.norm(row) * row
    return result / total if total else result


def test_fltrust_weighs_by_the_angle_to_the_servers_update(values: np.ndarray) -> None:
    root = values.astype(float).mean(axis=0).astype(np.float32).astype(float)
    found = aggregated(rule_of("fltrust"), values, reference=root)
    assert found == pytest.approx(trusted(values.astype(float), root))


def test_fltrust_takes_equal_updates_at_the_servers_length_and_opposite_ones_not_at_all() -> None:
    rows = np.tile([3.0, 0.0], (4, 1))
    assert aggregated(rule_of("fltrust"), rows, reference=np.array([0.5, 0.0])).tolist() == [0.5, 0]
    assert aggregated(rule_of("fltrust"), rows, reference=np.array([-1.0, 0])).tolist() == [0, 0]


def folded(histories: np.ndarray) -> np.ndarray:
    """The authors' foolsgold(), https://github.com/DistributedML/FoolsGold, in loops."""
    count = len(histories)
    cosines = np.zeros((count, count))
    for i, j in np.ndindex(count, count):
        if i != j:
            lengths = np.linalg.norm(histories[i]) * np.linalg.norm(histories[j])
            cosines[i, j] = histories[i] @ histories[j] / lengths
    largest = cosines.max(axis=1)
    for i, j in np.ndindex(count, count):
        if i != j and largest[i] < largest[j]:
            cosines[i, j] *= largest[i] / largest[j]
    weights = np.clip(1 - cosines.max(axis=1), 0, 1)
    weights /= weights.max()
    weights[weights == 1] = 0.99
    weights = np.log(weights / (1 - weights)) + 0.5
    weights[weights > 1] = 1
    weights[weights < 0] = 0
    return weights


def test_foolsgold_weighs_by_histories_as_its_authors_do() -> None:
    random = np.random.default_rng(4)
    for _ in range(20):
        histories = random.normal(size=(8, 5)).astype(np.float32)
        histories[5:] = histories[5] + random.normal(scale=0.05, size=(3, 5))
        rows = random.normal(size=(8, 4)).astype(np.float32)
        expected = folded(histories.astype(float)) / 8
        found = aggregated(rule_of("foolsgold"), rows, histories=histories)
        assert found == pytest.approx(expected @ rows.astype(float) / expected.sum())


def test_foolsgold_takes_one_update_and_none_of_equal_ones() -> None:
    one = np.array([[0.5, -1.25]], np.float32)
    assert aggregated(rule_of("foolsgold"), one).tolist() == one[0].tolist()
    assert aggregated(rule_of("foolsgold"), one.repeat(4, axis=0)).tolist() == [0.0, 0.0]


def as_published(rows: np.ndarray, late: np.ndarray, beta: float, damping: float) -> np.ndarray:
    """REFL's sum of updates of equal weight, step by step as its code makes it (core/aggregator.py)."""
    fresh = rows[late == 0]
    total, count = fresh.sum(axis=0), len(fresh)
    ratios = {}
    for place in np.flatnonzero(late):
        moved = rows[place] / (count + 1) + total / (count + 1) - total / count
        ratios[place] = (moved @ moved) / ((total / count) @ (total / count))
    importance = float(count)
    for place, ratio in ratios.items():
        boost = 1.0 - math.exp(-ratio / max(ratios.values())) / damping
        own = (1 - beta) / (int(late[place]) + 1) + beta * boost
        total = total + own * rows[place]
        importance += own
    return total / importance


@pytest.mark.parametrize(("beta", "damping"), [(0.35, 10.0), (0.35, 1.0), (0.0, 1.0), (1.0, 10.0)])
def test_refl_weighs_late_updates_as_its_authors_do(beta: float, damping: float) -> None:
    random = np.random.default_rng(9)
    rule = rule_of("refl", beta=beta, damping=damping)
    for _ in range(20):
        rows = random.normal(size=(9, 5)).astype(np.float32)
        late = np.append([0, 3], random.integers(0, 4, 7))
        updates = replace(held(rows, np.full(9, 1 / 9)), staleness=late)
        found = rule.aggregate(updates)
        assert isinstance(found, Weights)
        assert found.weights.sum() == pytest.approx(1)
        expected = as_published(rows.astype(float), late, beta, damping)
        assert found.weights @ rows.astype(float) == pytest.approx(expected)


def test_refl_without_a_late_update_is_the_mean_and_with_late_ones_only_goes_by_staleness() -> None:
    rows, own = np.eye(3, dtype=np.float32), np.array([0.5, 0.3, 0.2])
    found: Any = outcome(rule_of("refl"), rows, own)
    assert found.weights == pytest.approx(own)
    updates = replace(held(rows, own), staleness=np.array([1, 3, 4]))
    expected = own / np.array([2, 4, 5])
    found = rule_of("refl").aggregate(updates)
    assert isinstance(found, Weights)
    assert found.weights == pytest.approx(expected / expected.sum())


def test_refl_weighs_late_updates_alone() -> None:
    late = {"mode": "semisync", "concurrency": 9, "window_seconds": 5}
    job = job_of("refl").model_copy(update={"clock": Semisync(**late)})
    with pytest.raises(Exception, match=r"clock\.staleness\.name: 'polynomial' is not allowed"):
        check_aggregation(job)
    constant = Semisync(**late, staleness={"name": "constant"})
    check_aggregation(job.model_copy(update={"clock": constant}))
    with pytest.raises(Exception, match=r"aggregation\.bucket: 2 is not allowed"):
        check_aggregation(job_of("refl", bucket=2))


# Around a rule


def test_a_rule_sees_buckets_as_the_means_of_their_updates(values: np.ndarray) -> None:
    weights = np.arange(1.0, len(values) + 1)
    weights /= weights.sum()
    rows = values.astype(float)
    order = np.random.default_rng(9).permutation(len(rows))
    buckets = [order[i : i + 2] for i in range(0, len(rows), 2)]
    means = np.array([weights[b] @ rows[b] / weights[b].sum() for b in buckets])

    updates = bucketed(held(values, weights), 2, np.random.default_rng(9))
    assert updates.weights == pytest.approx([weights[b].sum() for b in buckets])
    assert updates.products == pytest.approx(means @ means.T)
    assert updates.norms == pytest.approx(np.linalg.norm(means, axis=1))

    found = rule_of("median").aggregate(updates)
    assert isinstance(found, Columns)
    assert found.values == pytest.approx(np.median(means, axis=0))
    assert found.taken is None

    krum = rule_of("krum").aggregate(updates)
    chosen = int(np.argmin(scores(list(means), int(0.2 * len(means)))))
    assert isinstance(krum, Columns)
    assert krum.values == pytest.approx(means[chosen])
    assert krum.taken is not None
    assert np.flatnonzero(krum.taken).tolist() == sorted(buckets[chosen].tolist())

    mean = rule_of("multi_krum", kept=1.0).aggregate(updates)
    assert isinstance(mean, Columns)
    assert mean.values == pytest.approx(weights @ rows)


def test_a_reference_stays_out_of_the_buckets() -> None:
    rows = np.array([[1.0, 0.0], [3.0, 0.0], [0.0, 5.0]])
    updates = bucketed(
        held(rows, np.array([0.5, 0.5, 0.0]), reference=True), 2, np.random.default_rng(1)
    )
    assert updates.products.tolist() == [[4.0, 0.0], [0.0, 25.0]]


def test_crfl_clips_the_model_and_adds_noise() -> None:
    rule = rule_of("crfl", norm=2.0, growth=0.5, noise=0.0)
    model = np.array([3.0, 4.0], np.float32)
    assert rule.finish(model, 2, np.random.default_rng(0)) == pytest.approx([1.8, 2.4])
    assert rule.finish(model, 9, np.random.default_rng(0)).tolist() == [3.0, 4.0]

    noisy = rule_of("crfl", norm=1e9, noise=0.1)
    drawn = noisy.finish(np.zeros(100_000, np.float32), 1, np.random.default_rng(0))
    assert drawn.std() == pytest.approx(0.1, rel=0.01)
    assert abs(drawn.mean()) < 2e-3


def test_a_rule_that_looks_at_no_updates_takes_no_buckets() -> None:
    with pytest.raises(Exception, match=r"aggregation\.bucket: 2 is not allowed"):
        check_aggregation(job_of("mean", bucket=2))
    with pytest.raises(Exception, match=r"aggregation\.bucket: 2 is not allowed"):
        check_aggregation(job_of("foolsgold", bucket=2))


def test_the_server_of_fltrust_needs_samples() -> None:
    with pytest.raises(Exception, match="aggregation: give root_samples or root_clients"):
        rule_of("fltrust", root_samples=None)


@pytest.mark.parametrize("weights", [np.full(2, 0.1), np.array([0.1, math.nan, 0.1])], ids=str)
def test_new_weights_are_a_number_for_each_update(weights: np.ndarray) -> None:
    updates = held(np.ones((3, 5)), np.full(3, 1 / 3))
    with pytest.raises(TrainingError, match="a number for each of 3 updates"):
        updates.weighted(weights)
