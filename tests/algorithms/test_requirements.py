"""What an algorithm needs of the rest of a job is told in a line with what is allowed."""

from __future__ import annotations

import re

import pytest

from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from tests.small_data import small_data


def test_an_algorithm_that_needs_one_model_a_round_says_which_clocks_have_that() -> None:
    said = "clock.mode: 'buffered' is not allowed with algorithm.name mimelite, which needs rounds"
    job = ["algorithm=mimelite", "clock={mode: buffered, concurrency: 9}"]
    with pytest.raises(InputError, match=re.escape(said) + ".*; allowed: sync, all, deadline$"):
        check_job("quickstart", job)


def test_a_consensus_on_the_samples_of_a_round_is_not_made_of_clients_of_several() -> None:
    """The public samples of a client are those of the round in which it began."""
    said = "clock.mode: 'async' is not allowed with algorithm.name fedmd, whose consensus is of"
    job = ["algorithm=fedmd", "clock={mode: async, concurrency: 9}", "selection.participants=null"]
    with pytest.raises(InputError, match=re.escape(said) + ".*; allowed: sync, all, deadline$"):
        check_job("quickstart", job)


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ("aggregation=median", "aggregation.name: 'median'"),
        ("attacks={name: sign_flip, share: 0.2}", "attacks"),
        ("secure_aggregation=lightsecagg", "secure_aggregation.name: 'lightsecagg'"),
    ],
)
def test_what_is_done_to_updates_is_refused_where_nothing_is_uploaded(given: str, key: str) -> None:
    said = f"{key}: not allowed with algorithm.name local, which uploads nothing"
    with pytest.raises(InputError, match=re.escape(said)):
        check_job("quickstart", ["algorithm=local", given])


@pytest.mark.parametrize(
    "algorithm", ["ccvr", "fedgen", "fedlc", "fedntd", "fedproto", "fedrod", "heterofl"]
)
def test_an_algorithm_of_classes_is_refused_beside_numbers_before_a_client_is_trained(
    algorithm: str,
) -> None:
    data = f"data={{name: {small_data('lives')}, partition: natural}}"
    job = [data, "model=mlp", "selection.participants=4", f"algorithm={algorithm}"]
    said = f"algorithm.name: {algorithm!r} is not allowed: it needs data with classes, and lives is"
    with pytest.raises(InputError, match=re.escape(said)):
        check_job("quickstart", job)


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (["algorithm=afl", "aggregation=krum"], "aggregation.name: 'krum' is not allowed with"),
        (
            ["algorithm=fedproto", "aggregation=median"],
            "fedproto, whose server divides or multiplies one mean by another: the rule decides",
        ),
        (
            ["algorithm=fednova", "aggregation={name: norm_bound, norm: 1}"],
            "aggregation.name: 'norm_bound' is not allowed with algorithm.name fednova, whose",
        ),
        (
            ["algorithm=qfedavg", "aggregation={name: fltrust, root_clients: [0]}"],
            "qfedavg, whose server divides or multiplies one mean by another: the rule changes",
        ),
        (
            ["algorithm=fedexp", "aggregation={name: norm_bound, norm: 1}"],
            "aggregation.name: 'norm_bound' is not allowed with algorithm.name fedexp, whose",
        ),
        (
            ["algorithm=heterofl", "aggregation=median"],
            "aggregation.name: 'median' is not allowed with algorithm.name heterofl, whose",
        ),
        (
            ["algorithm=ifca", "aggregation=crfl"],
            "aggregation.name: 'crfl' is not allowed with algorithm.name ifca, whose participants do"
            " not train from the model that it changes (models is what they receive)",
        ),
        (
            ["algorithm=fedper", "aggregation=crfl"],
            "aggregation.name: 'crfl' is not allowed with algorithm.name fedper, whose participants",
        ),
        (
            ["algorithm=feddf", "aggregation=trimmed_mean"],
            "aggregation.name: 'trimmed_mean' is not allowed with algorithm.name feddf",
        ),
        (
            ["algorithm=fedlc", "training.label_smoothing=0.1"],
            "training.label_smoothing: 0.1 is not allowed with algorithm.name fedlc",
        ),
        (
            ["algorithm=perfedavg", "training.early_stop=0.1", "clock.costs=measured"],
            "training.early_stop: 0.1 is not allowed with algorithm.name perfedavg",
        ),
        (
            ["algorithm=local", "exchange.up=top_k"],
            "exchange.up: not allowed with algorithm.name local, whose participants send nothing",
        ),
        (
            ["algorithm=local", "exchange.down=float16"],
            "exchange.down: not allowed with algorithm.name local, whose participants receive",
        ),
        (
            [
                "algorithm={name: quantiles, value: samples, low: 0, high: 99}",
                "model=none",
                "exchange.down=int8",
            ],
            "exchange.down: not allowed with algorithm.name quantiles, whose participants receive",
        ),
        (
            ["algorithm=fedsgd", "training.transform=mixup"],
            "training.transform.name: 'mixup' is not allowed with algorithm.name fedsgd",
        ),
        (
            ["algorithm=fedrod", "training.label_smoothing=0.1"],
            "training.label_smoothing: 0.1 is not allowed with algorithm.name fedrod",
        ),
    ],
)
def test_what_would_do_nothing_or_have_no_meaning_is_refused(job: list[str], said: str) -> None:
    """A median of sums is no median of their quotients; smoothing wants classes without a chance."""
    with pytest.raises(InputError, match=re.escape(said)):
        check_job("quickstart", job)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("training.optimizer={name: sgd, momentum: 0.9}", "training.optimizer: 'sgd' with these"),
        ("training.optimizer=adam", "training.optimizer: 'adam' with these options"),
        ("training.clip_norm=1", "training.clip_norm: 1"),
        ("training.clip_value=1", "training.clip_value: 1"),
        ("training.transform=mixup", "training.transform.name: 'mixup'"),
        ("training.early_stop=0.1", "training.early_stop: 0.1"),
    ],
)
@pytest.mark.parametrize(
    "algorithm", [["algorithm=ccvr"], ["algorithm=fedsgd"], ["algorithm=gbdt", "model=trees"]]
)
def test_keys_of_local_steps_are_refused_where_no_client_makes_one(
    algorithm: list[str], override: str, key: str
) -> None:
    name = algorithm[0].removeprefix("algorithm=")
    why = "makes no local steps|does not train in epochs"  # it assumes nothing of steps
    said = f"^{re.escape(key)} .*not allowed with algorithm.name {name}, which ({why})"
    with pytest.raises(InputError, match=said):
        check_job("quickstart", [*algorithm, override])


@pytest.mark.parametrize("job", ["{name: fedlc, tau: 0}", "{name: fedrod, gamma: 0}"])
def test_without_margins_labels_are_smoothed(job: str) -> None:
    assert check_job("quickstart", [f"algorithm={job}", "training.label_smoothing=0.1"])


@pytest.mark.parametrize(
    ("algorithm", "said"),
    [
        ("mimelite", "mimelite, which"),
        ("{name: fednova, mu: 0.1}", "fednova and mu 0.1, which"),
        ("{name: perfedavg, variant: HF}", "perfedavg and variant HF, which"),
    ],
)
def test_one_that_assumes_unclipped_gradients_names_the_option_that_does(
    algorithm: str, said: str
) -> None:
    line = f"training.clip_norm: 1 is not allowed with algorithm.name {said} assumes gradients that"
    with pytest.raises(InputError, match=f"^{line} are not clipped; leave it out$"):
        check_job("quickstart", [f"algorithm={algorithm}", "training.clip_norm=1"])


@pytest.mark.parametrize("name", ["fednova", "perfedavg"])
def test_without_that_option_gradients_may_be_clipped(name: str) -> None:
    job = check_job("quickstart", [f"algorithm={name}", "training.clip_norm=1"])[0].job
    assert job.training.clip_norm == 1
