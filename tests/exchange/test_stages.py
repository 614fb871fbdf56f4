"""Every stage: what arrives, how far it is from what was sent, and what it weighs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from mpifl.errors import Diverged, InputError
from mpifl.exchange import REGISTRY
from mpifl.exchange.adaptive_clip import AdaptiveClip
from mpifl.exchange.bfloat16 import Bfloat16
from mpifl.exchange.chain import bytes_of_chain, kept_shapes
from mpifl.exchange.clip import Clip, norm_of
from mpifl.exchange.count_sketch import CountSketch
from mpifl.exchange.error_feedback import ErrorFeedback
from mpifl.exchange.float16 import Float16
from mpifl.exchange.int8 import Int8
from mpifl.exchange.k_level import KLevel
from mpifl.exchange.powersgd import PowerSgd
from mpifl.exchange.qsgd import Qsgd
from mpifl.exchange.random_k import RandomK
from mpifl.exchange.random_mask import RandomMask
from mpifl.exchange.rotation import Rotation, walsh_hadamard
from mpifl.exchange.sign import Sign
from mpifl.exchange.stage import Shape, Stage
from mpifl.exchange.threshold import Threshold
from mpifl.exchange.top_k import TopK
from mpifl.exchange.zstd import Zstd
from mpifl.privacy.bound import ROUNDED
from tests.budget import examples
from tests.exchange.sending import sent, through_bytes

numbers = st.floats(-1e3, 1e3, width=32, allow_subnormal=False)
vectors = arrays(np.float32, st.integers(1, 200), elements=numbers)
shares = st.floats(0.01, 1)
buckets = st.none() | st.integers(1, 60)
levels = st.integers(2, 300)

STAGES: dict[str, st.SearchStrategy[Stage]] = {
    "top_k": st.builds(TopK, share=shares),
    "random_k": st.builds(RandomK, share=shares, scaled=st.booleans()),
    "random_mask": st.builds(RandomMask, share=shares),
    "threshold": st.builds(Threshold, least=st.floats(0, 1e3)),
    "qsgd": st.builds(Qsgd, levels=levels, bucket=buckets),
    "k_level": st.builds(KLevel, levels=levels, bucket=buckets),
    "int8": st.builds(Int8, stochastic=st.booleans(), bucket=buckets),
    "float16": st.builds(Float16),
    "bfloat16": st.builds(Bfloat16),
    "sign": st.builds(Sign, scaled=st.booleans()),
    "clip": st.builds(Clip, norm=st.floats(1e-3, 1e4)),
    "adaptive_clip": st.builds(AdaptiveClip),
    "rotation": st.builds(Rotation),
    "count_sketch": st.builds(CountSketch, share=shares, rows=st.integers(1, 5), heavy=shares),
    "powersgd": st.builds(PowerSgd, rank=st.integers(1, 3)),
    "error_feedback": st.builds(ErrorFeedback),
}
PAIRS = [
    ("top_k", "qsgd"),
    ("clip", "random_k", "float16"),
    ("rotation", "k_level"),
    ("threshold", "int8"),
    ("count_sketch", "bfloat16"),
    ("error_feedback", "powersgd", "int8"),
]
SHAPE = Shape(
    107,
    (
        (slice(0, 60), (5, 4, 3)),
        (slice(60, 67), (7,)),
        (slice(67, 107), (8, 5)),
    ),
)


def test_every_stage_is_here() -> None:
    assert set(STAGES) | {"zstd"} == set(REGISTRY)


@pytest.mark.parametrize("names", [*((name,) for name in STAGES), *PAIRS])
@given(data=st.data(), seed=st.integers(0, 10**6))
@examples(40)
def test_the_bytes_of_the_message_suffice_and_are_as_many_as_declared(
    names: tuple[str, ...], data: st.DataObject, seed: int
) -> None:
    stages = [data.draw(STAGES[name]) for name in names]
    values = data.draw(arrays(np.float32, 107, elements=numbers))
    if "powersgd" not in names:
        values = data.draw(vectors)
    shape = SHAPE if "powersgd" in names else Shape(len(values))
    before = values.copy()
    arrived = sent(stages, values, seed, shape)
    read, message = through_bytes(stages, values, seed, shape)
    assert arrived.values.dtype == np.float32
    assert arrived.values.shape == values.shape
    assert values.tobytes() == before.tobytes()
    assert read.tobytes() == arrived.values.tobytes()
    assert arrived.bytes == len(message)
    assert bytes_of_chain(stages, shape) in (None, len(message))


@pytest.mark.parametrize(
    "names",
    [("powersgd",), ("error_feedback", "powersgd", "int8"), ("clip", "error_feedback", "powersgd")],
)
@given(data=st.data())
@examples(10)
def test_what_a_client_keeps_has_the_shapes_that_are_declared(
    names: tuple[str, ...], data: st.DataObject
) -> None:
    stages = [data.draw(STAGES[name]) for name in names]
    kept = sent(stages, data.draw(arrays(np.float32, 107, elements=numbers)), shape=SHAPE).kept
    assert {key: values.shape for key, values in kept.items()} == kept_shapes(stages, SHAPE)
    assert len(kept) == len({"error_feedback", "powersgd"} & set(names))


def test_a_message_is_as_long_as_zstandard_makes_it() -> None:
    import zstandard

    values = np.repeat(np.array([1, 2, 3], np.float32), 100)
    stages = [TopK(share=0.5)]
    arrived = sent([*stages, Zstd(level=9)], values)
    read, message = through_bytes(stages, values)
    coded = zstandard.ZstdCompressor(level=9).compress(message)
    assert zstandard.ZstdDecompressor().decompress(coded) == message
    assert arrived.bytes == len(coded) < len(message)
    assert arrived.values.tobytes() == read.tobytes()


# Right in the mean

UNBIASED: dict[str, list[Stage]] = {
    "random_k": [RandomK(share=0.25)],
    "qsgd": [Qsgd(levels=3, bucket=10)],
    "k_level": [KLevel(levels=3)],
    "int8": [Int8(stochastic=True)],
    "k_level, rotated": [Rotation(), KLevel(levels=2)],
    "qsgd of random_k": [RandomK(share=0.5), Qsgd(levels=2)],
}


@pytest.mark.parametrize("name", UNBIASED)
def test_what_arrives_is_right_in_the_mean(name: str) -> None:
    stages = UNBIASED[name]
    values = np.random.default_rng(5).standard_normal(37).astype(np.float32)
    draws = 4000
    arrived = np.stack([sent(stages, values, 1000 * draw + draw).values for draw in range(draws)])
    error = arrived.mean(axis=0, dtype=np.float64) - values
    # Five standard errors, and what is seen of a level that is drawn less than once.
    allowed = 5 * arrived.std(axis=0) / math.sqrt(draws) + np.ptp(values) / draws
    assert (np.abs(error) < allowed).all()
    assert arrived.std(axis=0).max() > 0


# Near to what was sent


@given(values=vectors, share=shares)
@examples(60)
def test_top_k_is_a_stable_sort_by_size(values: np.ndarray, share: float) -> None:
    arrived = sent([TopK(share=share)], values).values
    wanted = min(len(values), math.ceil(round(share * len(values), 9)))
    chosen = np.argsort(-np.abs(values), kind="stable")[:wanted]
    expected = np.zeros_like(values)
    expected[chosen] = values[chosen]
    assert arrived.tobytes() == expected.tobytes()


@given(values=vectors, levels=levels, bucket=buckets, seed=st.integers(0, 99))
@example(values=np.array([2.0**-126, 2.0**-126], np.float32), levels=6, bucket=None, seed=0)
@example(values=np.array([2.0**-126, 0.0], np.float32), levels=6, bucket=None, seed=0)
@examples(60)
def test_qsgd_is_off_by_less_than_a_level(
    values: np.ndarray, levels: int, bucket: int | None, seed: int
) -> None:
    arrived = sent([Qsgd(levels=levels, bucket=bucket)], values, seed).values
    width = bucket or len(values)
    for begin in range(0, len(values), width):
        own = values[begin : begin + width].astype(np.float64)
        error = np.abs(arrived[begin : begin + width] - own)
        assert (error <= np.linalg.norm(own) / levels * (1 + 1e-5)).all()


def test_the_variance_of_qsgd_is_within_its_bound() -> None:
    """Lemma 3.1 of the paper: min(n / s^2, sqrt(n) / s) times the squared norm."""
    values = np.random.default_rng(1).standard_normal(256).astype(np.float32)
    for levels in (2, 16, 64):
        stage = Qsgd(levels=levels, bucket=None)
        errors = [((sent([stage], values, seed).values - values) ** 2).sum() for seed in range(200)]
        bound = min(256 / levels**2, math.sqrt(256) / levels) * (values.astype(float) ** 2).sum()
        assert np.mean(errors) < bound


@given(values=vectors, levels=levels, bucket=buckets, seed=st.integers(0, 99))
@examples(60)
def test_k_level_is_off_by_less_than_a_step(
    values: np.ndarray, levels: int, bucket: int | None, seed: int
) -> None:
    arrived = sent([KLevel(levels=levels, bucket=bucket)], values, seed).values
    width = bucket or len(values)
    for begin in range(0, len(values), width):
        own = values[begin : begin + width].astype(np.float64)
        error = np.abs(arrived[begin : begin + width] - own)
        size = np.abs(own).max()
        assert (error <= (own.max() - own.min()) / (levels - 1) * (1 + 1e-5) + 1e-6 * size).all()


@given(values=vectors, bucket=buckets)
@examples(60)
def test_int8_is_off_by_half_a_255th_of_the_range(values: np.ndarray, bucket: int | None) -> None:
    arrived = sent([Int8(bucket=bucket)], values).values
    width = bucket or len(values)
    for begin in range(0, len(values), width):
        own = values[begin : begin + width].astype(np.float64)
        error = np.abs(arrived[begin : begin + width] - own)
        assert (error <= np.abs(own).max() / 127 * (0.5 + 1e-4)).all()


@given(values=arrays(np.float32, 50, elements=st.floats(-(2.0**127), 2.0**127, width=32)))
@examples(60)
def test_short_floats_are_those_of_torch(values: np.ndarray) -> None:
    there = torch.from_numpy(values)
    upper = sent([Bfloat16()], values).values
    expected = there.to(torch.bfloat16).to(torch.float32).numpy()
    assert upper.tobytes() == expected.tobytes()

    half = sent([Float16()], values).values
    expected = there.clamp(-65504, 65504).to(torch.float16).to(torch.float32).numpy()
    assert half.tobytes() == expected.tobytes()


def test_the_largest_numbers_stay_finite_in_short_floats() -> None:
    values = np.array([np.finfo(np.float32).max, np.finfo(np.float32).min], np.float32)
    assert np.isfinite(sent([Bfloat16()], values).values).all()
    assert sent([Float16()], values).values.tolist() == [65504, -65504]


@given(values=vectors)
@examples(40)
def test_signs_come_with_the_mean_size_or_alone(values: np.ndarray) -> None:
    signs = np.where(values >= 0, 1.0, -1.0)
    assert sent([Sign(scaled=False)], values).values.tolist() == signs.tolist()
    mean = np.abs(values.astype(np.float64)).mean()
    assert sent([Sign()], values).values == pytest.approx(signs * mean, rel=1e-6)


@given(values=vectors, least=st.floats(0, 1e3))
@examples(40)
def test_a_threshold_lets_through_what_is_as_large(values: np.ndarray, least: float) -> None:
    expected = np.where(np.abs(values) >= least, values, 0)
    assert sent([Threshold(least=least)], values).values.tolist() == expected.tolist()


@given(values=vectors, norm=st.floats(1e-2, 1e4))
@examples(40)
def test_clip_bounds_the_norm_and_keeps_the_direction(values: np.ndarray, norm: float) -> None:
    arrived = sent([Clip(norm=norm)], values).values
    before = np.linalg.norm(values.astype(np.float64))
    if before <= norm:
        assert arrived.tobytes() == values.tobytes()
    else:
        assert np.linalg.norm(arrived.astype(np.float64)) == pytest.approx(norm, rel=1e-5)
        assert arrived == pytest.approx(values * (norm / before), rel=1e-5, abs=1e-30)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e37])
def test_what_is_clipped_is_no_longer_than_privacy_takes_it_to_be(size: float) -> None:
    random = np.random.default_rng(3)
    for count in (2, 50, 3000):
        values = (size * random.standard_normal(count)).astype(np.float32)
        norm = min(1e-4, norm_of(values) / 3)
        assert norm_of(sent([Clip(norm=norm)], values).values) <= norm * ROUNDED


def test_the_bound_that_adapts_comes_to_the_quantile_of_the_norms() -> None:
    """Norms 1 to 9, told yes by those within: what is told, and the formula of the paper by hand."""
    norms = np.arange(1, 10, dtype=np.float32)
    for quantile, least, most in ((0.5, 4, 6), (0.9, 8, 10)):
        stage = AdaptiveClip(quantile=quantile, norm=0.1)
        bound = stage.first()
        for _ in range(300):
            sendings = [sent([stage], norms[k : k + 1], number=bound) for k in range(9)]
            told = np.array([one.told for one in sendings])
            assert told.tolist() == (norms <= bound).tolist()
            expected = np.minimum(norms, bound)
            assert [one.values[0] for one in sendings] == pytest.approx(expected, rel=1e-6)
            following = bound * math.exp(-0.2 * ((norms <= bound).mean() - quantile))
            bound = stage.learn(bound, told)
            assert bound == pytest.approx(following, rel=1e-12)
        assert least <= bound <= most


@pytest.mark.parametrize(("lr", "told"), [(1e6, 0.0), (300.0, 0.0), (1e6, 1.0)])
def test_a_bound_that_leaves_the_numbers_is_an_error_in_a_line(lr: float, told: float) -> None:
    with pytest.raises(
        Diverged, match=r"^exchange.up: the bound of 'adaptive_clip' goes from 1 to"
    ):
        AdaptiveClip(lr=lr).learn(1.0, np.full(3, told))


def test_a_mask_is_that_of_all_clients_of_a_round_and_random_k_is_not() -> None:
    values = np.ones(1000, np.float32)
    for stage, alike in ((RandomMask(share=0.1), True), (RandomK(share=0.1), False)):
        first, second, later = (
            sent([stage], values, seed).values.nonzero()[0].tolist() for seed in (5001, 5002, 6001)
        )
        assert len(first) == 100
        assert (first == second) is alike
        assert first != later


@given(values=arrays(np.float32, 64, elements=numbers))
@examples(30)
def test_the_rotation_is_orthogonal_and_that_of_scipy(values: np.ndarray) -> None:
    expected = scipy.linalg.hadamard(64) @ values.astype(np.float64) / 8
    assert walsh_hadamard(values) == pytest.approx(expected, rel=1e-5, abs=1e-3)
    assert sent([Rotation()], values).values == pytest.approx(values, rel=1e-5, abs=1e-3)


def test_large_numbers_are_read_from_a_sketch() -> None:
    random = np.random.default_rng(3)
    values = random.normal(0, 1e-3, 5000).astype(np.float32)
    large = random.choice(5000, 5, replace=False)
    values[large] += random.choice([-5.0, 5.0], 5)
    arrived = sent([CountSketch(share=0.5, heavy=5 / 5000)], values).values
    assert sorted(arrived.nonzero()[0]) == sorted(large)
    assert arrived[large] == pytest.approx(values[large], abs=0.2)


def test_a_matrix_of_low_rank_arrives_whole_and_others_nearly_their_best() -> None:
    random = np.random.default_rng(4)
    shape = Shape(20 * 15 + 9, ((slice(0, 300), (20, 15)), (slice(300, 309), (9,))))
    thin = (random.standard_normal((20, 2)) @ random.standard_normal((2, 15))).astype(np.float32)
    values = np.concatenate([thin.reshape(-1), np.arange(9, dtype=np.float32)])
    arrived = sent([PowerSgd(rank=2)], values, shape=shape)
    assert arrived.values == pytest.approx(values, abs=1e-4)
    assert arrived.bytes == 4 * (2 * (20 + 15) + 9)
    # Behind a stage that sends all numbers they are the same matrices.
    behind = sent([TopK(share=1), PowerSgd(rank=2)], values, shape=shape)
    assert behind.values == pytest.approx(values, abs=1e-4)
    assert behind.bytes == arrived.bytes

    whole = random.standard_normal((20, 15)).astype(np.float32)
    values[:300] = whole.reshape(-1)
    singular = np.linalg.svd(whole, compute_uv=False)
    best = np.sqrt((singular[2:] ** 2).sum())
    kept: dict[tuple[int, str], np.ndarray] = {}
    for _ in range(30):  # the same matrix again and again: power iteration comes to the best
        arrived = sent([PowerSgd(rank=2)], values, shape=shape, kept=kept)
        kept = arrived.kept
    error = np.linalg.norm(arrived.values[:300].reshape(20, 15) - whole)
    assert best * (1 - 1e-6) <= error < best * 1.05


def test_feedback_sends_in_the_end_all_that_was_lost() -> None:
    random = np.random.default_rng(7)
    stages = [ErrorFeedback(), TopK(share=0.1), Int8()]
    total = np.zeros(50)
    arrived = np.zeros(50)
    kept: dict[tuple[int, str], np.ndarray] = {}
    for seed in range(40):
        values = random.standard_normal(50).astype(np.float32)
        once = sent(stages, values, seed, kept=kept)
        kept = once.kept
        total += values
        arrived += once.values
    assert arrived + kept[0, "lost"] == pytest.approx(total, abs=1e-4)
    assert np.linalg.norm(kept[0, "lost"]) > 0.1


def test_feedback_that_decays_forgets_a_share() -> None:
    values = np.array([3, 1], np.float32)
    stages = [ErrorFeedback(decay=0.5), TopK(share=0.5)]
    kept = sent(stages, values).kept
    assert kept[0, "lost"].tolist() == [0, 1]
    again = sent(stages, values, kept=kept)
    assert again.kept[0, "lost"].tolist() == [0, 1.5]


@pytest.mark.parametrize("share", [1e-300, 1e-12])
@pytest.mark.parametrize("kind", [TopK, RandomK, RandomMask])
def test_the_smallest_share_is_one_number(kind: Any, share: float) -> None:
    stage = kind(share=share)
    values = np.array([3.0, -5.0, 1.0, 4.0], np.float32)
    arrived = sent([stage], values)
    assert np.count_nonzero(arrived.values) == 1
    assert arrived.bytes == bytes_of_chain([stage], Shape(4))


@pytest.mark.parametrize("norm", [1e-300, 1e31])
def test_a_first_bound_that_float32_does_not_have_is_refused(norm: float) -> None:
    with pytest.raises(ValidationError, match="norm"):
        AdaptiveClip(norm=norm)


def test_powersgd_is_refused_where_nothing_becomes_smaller() -> None:
    matrix = Shape(60, ((slice(0, 60), (6, 10)),))
    PowerSgd(rank=3).check(matrix)
    with pytest.raises(InputError, match="with rank 4 no tensor of the model becomes smaller"):
        PowerSgd(rank=4).check(matrix)
    as_large = Shape(16, ((slice(0, 16), (4, 4)),))
    PowerSgd(rank=1).check(as_large)
    with pytest.raises(InputError, match="with rank 2 no tensor of the model becomes smaller"):
        PowerSgd(rank=2).check(as_large)  # 2 x (4 + 4) numbers are not fewer than 16
