"""``privacy``: the same bits on any number of ranks, and with no noise those of FedAvg."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from mpifl.clock.timeline import Outcome
from mpifl.errors import InputError
from mpifl.privacy import REGISTRY
from mpifl.privacy.accounting import gaussian_epsilon
from mpifl.privacy.discrete import discrete_gaussian
from mpifl.privacy.privacy import Spent
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.seeds import Purpose, generator
from tests import mechanism as own
from tests.launching import Finished, resume_runs, run_job, run_jobs
from tests.normed import HERE

JOB = ("quickstart", "rounds=5", "evaluation.every=2")
HUGE = 'exchange.up={"name": "clip", "norm": 1e6}'
CLIP = 'exchange.up={"name": "clip", "norm": 0.5}'


def private(name: str, **keys: object) -> str:
    return f"privacy={json.dumps({'name': name, **keys})}"


def assert_same(runs: list[Finished]) -> None:
    for run in runs:
        assert run.status == 0, run.stderr
        assert run.summary["model_sha256"] == runs[0].summary["model_sha256"]
        for table in ("rounds", "participants"):
            assert run.table(table).tobytes() == runs[0].table(table).tobytes(), table


MECHANISMS = {
    "gaussian": (CLIP, private("gaussian", epsilon=8)),
    "gaussian in whole units": (CLIP, private("gaussian", noise_multiplier=0.5, noise="discrete")),
    "gaussian with a bound that adapts": (
        "exchange.up=adaptive_clip",
        private("gaussian", noise_multiplier=0.5),
    ),
    "gaussian with a sample that counts": (
        CLIP,
        "clock={mode: all, availability: always}",
        private("gaussian", noise_multiplier=1),
    ),
    "gaussian with a Poisson sample": (
        CLIP,
        "selection={name: poisson, participants: 1}",
        "clock={mode: all, availability: always}",
        private("gaussian", noise_multiplier=1),
    ),
    "distributed_gaussian": (
        CLIP,
        private("distributed_gaussian", noise_multiplier=0.5),
        "secure_aggregation=secagg",
    ),
    "dp_ftrl": (CLIP, private("dp_ftrl", noise_multiplier=1, restart=3)),
    "banded_mf": (CLIP, private("banded_mf", noise_multiplier=0.5, bands=3)),
    "local_gaussian": (
        private("local_gaussian", norm=0.5, noise_multiplier=0.05),
        "aggregation=median",
    ),
    "local_laplace": (
        private("local_laplace", norm=5, noise_multiplier=0.001),
        "clock.costs=measured",
        "exchange.up=[qsgd, zstd]",
    ),
    "nbafl": (
        private("nbafl", norm=20, epsilon=50, delta=0.01, samples=3, exposures=1),
        "selection.participants=3",
    ),
    "gaussian in asynchronous rounds": (
        CLIP,
        "clock={mode: buffered, concurrency: 20}",
        private("gaussian", noise_multiplier=0.5, weights="capped", cap=20),
    ),
}


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.runs((1, 2, 3), lambda mechanism: (*JOB, *MECHANISMS[mechanism]))
def test_every_mechanism_is_the_same_on_any_number_of_ranks(
    runs: list[Finished], mechanism: str
) -> None:
    assert_same(runs)
    rounds = runs[0].table("rounds")
    assert (np.diff(rounds["epsilon"]) >= 0).all()
    assert (rounds["asked"] == 0).any() == ("Poisson" in mechanism)
    assert rounds["epsilon"][-1] == runs[0].summary["epsilon"] > 0
    assert (rounds["noise"] > 0).all()


def test_every_mechanism_is_among_these() -> None:
    assert {name.split()[0] for name in MECHANISMS} == set(REGISTRY) - {"none"}


EMPTY = (
    "quickstart",
    "rounds=1",
    CLIP,
    "selection={name: poisson, participants: 1}",
    "clock={mode: all, availability: always}",
)


@pytest.mark.runs((1,), (*EMPTY, private("gaussian", noise_multiplier=0)))
@pytest.mark.runs((1,), (*EMPTY, private("gaussian", noise_multiplier=2)))
@pytest.mark.runs((1,), (*EMPTY, private("gaussian", noise_multiplier=2, noise="discrete")))
def test_a_round_that_chance_leaves_empty_releases_noise(runs: list[Finished]) -> None:
    first, *noisy = (load_file(run.folder / "model.safetensors") for run in runs)
    for run in runs:
        assert run.table("rounds")["asked"].tolist() == [0]
        assert "chance named no participant" in run.stdout
    for model in noisy:
        changes = np.concatenate([(model[name] - first[name]).ravel() for name in first])
        assert changes.std() == pytest.approx(2 * 0.5, rel=0.05)  # z C / N


MASKED = (*JOB, CLIP, private("gaussian", noise_multiplier=0.5))


@pytest.mark.runs((1,), MASKED, (*MASKED, "secure_aggregation=secagg"))
def test_noise_on_a_masked_sum_has_the_bits_of_that_on_a_plain_one(runs: list[Finished]) -> None:
    plain, masked = (run.summary["model_sha256"] for run in runs)
    assert masked == plain


SHARED = (*JOB[:1], "rounds=1", CLIP)
SHARES = private("distributed_gaussian", noise_multiplier=0.5)
NO_SHARES = private("distributed_gaussian", noise_multiplier=0)


@pytest.mark.parametrize("protocol", ["secagg", "lightsecagg"])
@pytest.mark.runs(
    (1,),
    lambda protocol: (*SHARED, NO_SHARES, f"secure_aggregation={protocol}"),
    lambda protocol: (*SHARED, SHARES, f"secure_aggregation={protocol}"),
    lambda protocol: (*SHARED, SHARES, f"secure_aggregation={{name: {protocol}, masks: charged}}"),
)
def test_what_clients_add_under_their_masks_is_in_the_sum(
    runs: list[Finished], protocol: str
) -> None:
    """Drawn here again for those who have completed the round, with the deviation by hand."""
    quiet, noisy, charged = runs
    assert noisy.summary["model_sha256"] == charged.summary["model_sha256"]
    rows = noisy.table("participants")
    clients = rows["client"][rows["outcome"] == Outcome.COMPLETED].tolist()
    assert len(clients) == 10
    without, with_noise = (load_file(run.folder / "model.safetensors") for run in (quiet, noisy))
    size = sum(values.size for values in without.values())
    moves = 0.05 * (1 + 2.0**-23) + 0.5 * np.sqrt(size) * 2.0**-40  # of a mean of 10
    units = 0.5 * moves * 2.0**40 / np.sqrt(8)
    total = sum(
        discrete_gaussian(units, size, generator(1, Purpose.UPLOAD_NOISE, 1, client))
        for client in clients
    )
    job = [*SHARED[1:], SHARES, f"secure_aggregation={protocol}"]
    experiment = check_job(SHARED[0], job)[0]
    assert isinstance(experiment, Experiment)
    difference = np.concatenate(
        [(with_noise[name] - without[name]).ravel() for name in experiment.model.names]
    )
    assert difference == pytest.approx(total * 2.0**-40, abs=1e-6)


LATE = (
    "quickstart",
    "rounds=4",
    CLIP,
    "clock={mode: sync, overcommitment: 1, availability: always, timeout_seconds: 7}",
    "secure_aggregation={name: secagg, threshold: 0.51}",
    private("distributed_gaussian", noise_multiplier=1, least_updates=8),
)


@pytest.mark.runs((1, 3), LATE)
def test_a_round_with_too_little_noise_is_void_and_spends_nothing(runs: list[Finished]) -> None:
    assert_same(runs)
    rounds = runs[0].table("rounds")
    uploaded = rounds["shared"] - rounds["left"]
    assert (uploaded[:3].tolist(), rounds["void"][:3].tolist()) == ([7, 5, 8], [1, 1, 0])
    spent = np.diff(rounds["epsilon"], prepend=0.0)
    assert ((spent > 0) == (rounds["void"] == 0)).all()
    assert "too few for the job's secure_aggregation or its privacy" in runs[0].stdout


OWN = private(f"{own.HERE}:Uniform", norm=0.5, noise_multiplier=0.01)


@pytest.mark.runs((1, 3), (*JOB, OWN))
def test_a_mechanism_of_ones_own_is_one_class(runs: list[Finished]) -> None:
    assert_same(runs)
    rounds = runs[0].table("rounds")
    assert rounds["epsilon"].tolist() == sorted(rounds["epsilon"])
    assert (rounds["noise"] == 0.005).all()


CAPPED = private("gaussian", noise_multiplier=0, weights="capped", cap=10**6)


@pytest.mark.runs((1,), JOB)
@pytest.mark.runs((1, 3), (*JOB, HUGE, CAPPED))
def test_without_noise_and_with_a_huge_bound_it_is_fedavg(runs: list[Finished]) -> None:
    plain, *bounded = (run.summary["model_sha256"] for run in runs)
    assert bounded == [plain, plain]
    assert np.isinf(runs[1].table("rounds")["epsilon"]).all()


@pytest.fixture(scope="module")
def taken_up(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Finished, Finished]]:
    """A run on one rank, and a copy that goes on at three from its last checkpoint but one."""
    jobs = [
        (tmp_path_factory.mktemp("private"), (*JOB, *MECHANISMS[name], *SAVED))
        for name in MECHANISMS
    ]
    whole = run_jobs(1, jobs)
    copies = run_jobs(1, [(tmp_path_factory.mktemp("copy"), job) for _, job in jobs])
    again = resume_runs(3, copies)
    return dict(zip(MECHANISMS, zip(whole, again, strict=True), strict=True))


SAVED = ("checkpoint.every=2", "checkpoint.keep=4")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_run_goes_on_after_a_resume_as_if_nothing_had_been(
    taken_up: dict[str, tuple[Finished, Finished]], mechanism: str
) -> None:
    whole, again = taken_up[mechanism]
    assert again.summary["resumed_from"] == 4
    assert_same([whole, again])


TURNS = (*JOB, CLIP, "selection.name=round_robin", "clock={mode: all, availability: always}")


@pytest.mark.runs(
    (1,), (*TURNS, private("gaussian", epsilon=4, participations=1, delta=1e-5)),
    (*TURNS, private("gaussian", epsilon=4, delta=1e-5)),
)  # fmt: skip
def test_clients_in_turns_need_less_noise(runs: list[Finished]) -> None:
    once, always = (run.table("rounds") for run in runs)
    assert once["noise"][0] == pytest.approx(always["noise"][0] / np.sqrt(5), rel=1e-3)
    assert once["epsilon"] == pytest.approx(np.full(5, 4), rel=1e-4)


def test_a_client_that_takes_part_too_often_ends_the_run(tmp_path: Path) -> None:
    often = (*TURNS, "population.clients=30", "rounds=4", "selection.participants=10")
    run = run_job(1, tmp_path, *often, private("gaussian", epsilon=4, participations=1))
    assert run.status == 1
    assert "round 4: privacy.participations: client" in run.stderr
    assert "Traceback" not in run.stderr


REFUSED = {
    "algorithm.name: 'heterofl' is not allowed with privacy.name gaussian: its clients send parts": (
        "algorithm=heterofl",
        "privacy={name: gaussian, epsilon: 8}",
    ),
    "privacy.name: 'gaussian' is not allowed without a bound on updates": (
        private("gaussian", epsilon=4),
    ),
    "exchange.up.1.name: 'qsgd' is not allowed with privacy.name gaussian": (
        "exchange.up=[clip, qsgd]",
        private("gaussian", epsilon=4),
    ),
    "privacy.name: 'gaussian' is not allowed with several bounds": (
        "exchange.up=[clip, adaptive_clip]",
        private("gaussian", epsilon=4),
    ),
    "give epsilon or noise_multiplier": (CLIP, private("gaussian")),
    "privacy.noise_multiplier: 1 is not enough for privacy.epsilon 1: 5 rounds come to": (
        CLIP,
        private("gaussian", epsilon=1, noise_multiplier=1),
    ),
    "weights: capped needs cap": (CLIP, private("gaussian", epsilon=4, cap=3)),
    "privacy.count_noise: 0.3 is not enough for a noise multiplier of 1": (
        "exchange.up=adaptive_clip",
        private("gaussian", noise_multiplier=1, count_noise=0.3),
    ),
    "exchange.up.0.name: 'adaptive_clip' is not allowed with privacy.name dp_ftrl": (
        "exchange.up=adaptive_clip",
        private("dp_ftrl", noise_multiplier=1),
    ),
    "clock.mode: 'buffered' is not allowed with privacy.name gaussian and adaptive_clip": (
        "exchange.up=adaptive_clip",
        "clock={mode: buffered, concurrency: 20}",
        private("gaussian", noise_multiplier=1),
    ),
    "clock.mode: 'semisync' is not allowed with privacy.name gaussian": (
        CLIP,
        "clock={mode: semisync, concurrency: 20, window_seconds: 60}",
        private("gaussian", noise_multiplier=1),
    ),
    "clock.mode: 'compass' is not allowed with privacy.name gaussian: the weight of an update": (
        CLIP,
        "clock={mode: compass, concurrency: 20, least_steps: 1, most_steps: 9}",
        "selection.participants=null",
        private("gaussian", noise_multiplier=1),
    ),
    "exchange.up: not allowed with attackers that collude": (
        CLIP,
        "attacks=[{name: alie, share: 0.2}]",
        private("gaussian", noise_multiplier=1),
    ),
    "aggregation.name: 'median' is not allowed with privacy.name gaussian": (
        CLIP,
        "aggregation=median",
        private("gaussian", epsilon=4),
    ),
    "clock.costs: 'measured' is not allowed with privacy.name gaussian": (
        CLIP,
        "clock.costs=measured",
        private("gaussian", epsilon=4),
    ),
    "selection.name: 'oort' is not allowed with privacy.name gaussian": (
        CLIP,
        "selection.name=oort",
        private("gaussian", epsilon=4),
    ),
    "algorithm.name: 'scaffold' is not allowed with privacy.name gaussian": (
        CLIP,
        "algorithm=scaffold",
        private("gaussian", epsilon=4),
    ),
    f"model.name: '{HERE}:Normed' is not allowed with privacy.name local_gaussian": (
        f"model={{name: {HERE}:Normed, hidden: [32]}}",
        "training.batch_norm=local",
        private("local_gaussian", epsilon=4),
    ),
    "protocol.name: 'gossip' is not allowed with privacy.name local_gaussian": (
        "protocol=gossip",
        "selection.participants=null",
        "clock.availability=always",
        private("local_gaussian", epsilon=4),
    ),
    "training.engine: 'none' is not allowed with privacy.name gaussian": (
        CLIP,
        "training.engine=none",
        private("gaussian", epsilon=4),
    ),
    "clock.mode: 'sync' is not allowed with selection.name poisson": (
        CLIP,
        "selection.name=poisson",
        private("gaussian", epsilon=4),
    ),
    "privacy.weights: 'capped' is not allowed with selection.name poisson": (
        CLIP,
        "selection.name=poisson",
        "clock={mode: all}",
        private("gaussian", epsilon=4, weights="capped", cap=20),
    ),
    "secure_aggregation.name: 'secagg' is not allowed with selection.name poisson": (
        "selection.name=poisson",
        "clock={mode: all}",
        "secure_aggregation=secagg",
    ),
    "clock.battery.capacity_joules: 50 is not allowed with selection.name poisson": (
        "selection.name=poisson",
        "clock={mode: all, battery: {capacity_joules: 50}}",
    ),
    "selection.name: 'oort' is not allowed with privacy.name local_gaussian": (
        private("local_gaussian", noise_multiplier=1),
        "selection.name=oort",
    ),
    "algorithm.name: 'lgfedavg' is not allowed with privacy.name nbafl: it uploads": (
        "algorithm=lgfedavg",
        private("nbafl", epsilon=4, samples=3),
    ),
    "privacy.noise_multiplier: not allowed with privacy.name nbafl": (
        private("nbafl", epsilon=4, samples=3, noise_multiplier=1),
    ),
}


def test_statistics_that_stay_with_the_clients_are_allowed() -> None:
    """As the line that refuses others says."""
    model = f"model={{name: {HERE}:Normed, hidden: [32]}}"
    check_job(JOB[0], [model, "algorithm=fedbn", CLIP, private("gaussian", noise_multiplier=1)])


@pytest.mark.parametrize("said", REFUSED)
def test_what_has_no_bound_is_refused_in_a_line(said: str) -> None:
    with pytest.raises(InputError) as caught:
        check_job(JOB[0], [*JOB[1:], *REFUSED[said]])
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_an_algorithm_that_looks_at_products_of_updates_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from mpifl.algorithms.fedavg import FedAvg\n\n\n"
        "class Products(FedAvg):\n    needs_products = True\n"
    )
    job = [*JOB[1:], CLIP, private("gaussian", epsilon=4), f"algorithm={file}:Products"]
    with pytest.raises(InputError, match="looks at inner products of updates, which have no noise"):
        check_job(JOB[0], job)


NORMS = """
from typing import ClassVar

from mpifl.selection.uniform import Uniform


class Norms(Uniform):
    norms: ClassVar[bool] = True
"""


def test_a_rule_that_sees_norms_of_updates_is_refused_where_they_have_no_noise(
    tmp_path: Path,
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(NORMS)
    job = [*JOB[1:], f"selection.name={file}:Norms"]
    with pytest.raises(InputError, match="sees the norms of single updates, which have no noise"):
        check_job(JOB[0], [*job, CLIP, private("gaussian", epsilon=4)])
    check_job(JOB[0], [*job, private("local_gaussian", noise_multiplier=1)])
    with pytest.raises(
        InputError, match=r"training.engine: 'none' is not allowed.* uses the norms"
    ):
        check_job(JOB[0], [*job, "training.engine=none"])


ALWAYS = "clock={mode: all, availability: always}"
SAMPLED = {
    "a uniform sample": ((ALWAYS,), ""),
    "a uniform sample, of masked updates": ((ALWAYS, "secure_aggregation=secagg"), ""),
    "a Poisson sample": ((ALWAYS, "selection.name=poisson"), ""),
    "a Poisson sample of those online": (("clock={mode: all}", "selection.name=poisson"), "who is online decides"),
    "another rule": (("selection.name=round_robin", ALWAYS), "round_robin does not draw uniformly"),
    "over-commitment": (("clock={availability: always}",), "the slower are cut"),
    "availability": (("clock.overcommitment=1",), "who is online decides"),
    "asynchronous": (("clock={mode: async, concurrency: 4}", "selection.participants=null"), "the time decides"),
    "a deadline": (("clock={mode: deadline, seconds: 60}",), "the time decides"),
    "a timeout": (("clock={overcommitment: 1, availability: always, timeout_seconds: 60}",), "may end without"),
    "batteries": ((ALWAYS, "clock.battery.capacity_joules=40000"), "less in its battery"),
    "a timeout of a step": ((ALWAYS, "secure_aggregation={name: secagg, timeout_seconds: 60}"), "or fail"),
    "discrete noise": ((ALWAYS, "privacy.noise=discrete"), "with discrete noise"),
    "capped weights": ((ALWAYS, "privacy.weights=capped", "privacy.cap=9"), "weights that differ"),
}  # fmt: skip


@pytest.mark.parametrize("case", SAMPLED)
def test_sampling_counts_where_it_is_uniform_and_is_told_where_not(case: str) -> None:
    changes, lacks = SAMPLED[case]
    # So many clients that the sample is worth something.
    many = ("population.clients=10000", private("gaussian", noise_multiplier=1, delta=1e-6))
    job = check_job(JOB[0], [*JOB[1:], CLIP, *many, *changes])[0]
    lines = job.job.privacy.describe(job.job, job.population)
    sample = case.partition(",")[0]
    said = "does not count for it: " if lacks else f"as each round's clients are {sample};"
    assert said in lines[-1]
    assert lacks in lines[-1]
    epsilon = job.job.privacy.epsilon_of(Spent(5, 5), job.job, job.population)
    assert (epsilon < 0.6 * gaussian_epsilon(1 / np.sqrt(5), 1e-6)) == (not lacks)
