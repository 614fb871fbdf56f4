"""MIFA against the paper's table of updates written down plainly, and its identities."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.mifa import Mifa
from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from tests.algorithms.reference import EQUAL, Run, assert_close
from tests.algorithms.sides import context, sent, start, step, uploaded
from tests.algorithms.test_contract import serving

FALLING = "training.schedule={name: exponential, gamma: 0.7}"
EVERYBODY = (*EQUAL, "selection.participants=12")


@pytest.mark.parametrize("engine", ["loop", "stacked"])
@pytest.mark.parametrize("unseen", ["left_out", "zero"])
def test_five_rounds_are_those_of_the_paper(tmp_path: Path, unseen: str, engine: str) -> None:
    """With a table of the clients' G on the server, and a learning rate that falls."""
    job = f"algorithm={{name: mifa, unseen: {unseen}}}", FALLING, f"training.engine={engine}"
    run = Run(tmp_path, *job, "selection.participants=3")

    model = run.initial
    table: dict[int, torch.Tensor] = {}
    again = 0
    for number, participants in run.rounds():
        lr = run.job.training.lr * 0.7 ** (number - 1)
        again += len(table.keys() & {client for client, *_ in participants})
        for client, _, steps in participants:
            w = run.sgd(model, number, client, steps, lr=lr)
            table[client] = (model - w) / lr
        counted = run.clients if unseen == "zero" else len(table)
        model = model - lr / counted * torch.stack(list(table.values())).sum(0)

    assert again > 0
    assert 5 < len(table) < run.clients
    assert run.state["seen"].tolist() == [len(table)]
    assert_close(run.state["model"], model, atol=2e-6)
    for client, g in table.items():
        assert_close(run.kept(client)["update"], -run.job.training.lr * g, atol=2e-6)


def test_its_first_round_with_everybody_is_fedavgs_to_the_bit(tmp_path: Path) -> None:
    mifa, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", *EVERYBODY, "rounds=1").state["model"]
        for name in ("mifa", "fedavg")
    )
    assert torch.equal(mifa, fedavg)


@pytest.mark.parametrize("unseen", ["left_out", "zero"])
def test_with_everybody_in_each_round_it_is_fedavg(tmp_path: Path, unseen: str) -> None:
    """Up to the rounding of differences: the server adds up what is new, in float32."""
    mifa, fedavg = (
        Run(tmp_path / name, f"algorithm={job}", *EVERYBODY).state["model"]
        for name, job in (("mifa", f"{{name: mifa, unseen: {unseen}}}"), ("fedavg", "fedavg"))
    )
    assert_close(mifa, fedavg)


@pytest.mark.parametrize("unseen", ["left_out", "zero"])
def test_with_numbers_whose_differences_are_exact_everybody_is_fedavg_to_the_bit(
    unseen: str,
) -> None:
    random = np.random.default_rng(5)
    algorithm = Mifa(unseen=unseen)
    first = random.integers(-1000, 1000, 6).astype(np.float32) / 1024
    state, plain = start(algorithm, first), start(FedAvg(), first)
    kept: list[dict[str, torch.Tensor]] = [{} for _ in range(4)]
    for _ in range(20):
        updates, news, firsts = [], [], []
        for client, own in enumerate(kept):
            update = torch.from_numpy(random.integers(-1000, 1000, 6).astype(np.float32) / 1024)
            c = context({"model": torch.from_numpy(state["model"].copy())}, own)
            upload, _ = uploaded(algorithm, c, serving(update))
            kept[client] = upload.keep
            updates.append(upload.keep["update"].double().numpy())
            news.append(sent(upload, "update").double().numpy())
            firsts.append(float(upload.arrays["first"]))
        mean = {"update": np.mean(news, axis=0), "first": np.mean(firsts)}
        state = step(algorithm, state, mean, 4, 4)
        plain = step(FedAvg(), plain, {"update": np.mean(updates, axis=0)}, 4, 4)
        assert np.array_equal(state["model"], plain["model"])


def test_who_stays_away_counts_with_the_update_of_the_last_time_by_hand() -> None:
    algorithm = Mifa()
    state = start(algorithm, np.zeros(1, np.float32))
    state = step(algorithm, state, {"update": np.array([4.0]), "first": 1.0}, 1, 10)  # A: 4
    assert state["model"].tolist() == [4]
    state = step(algorithm, state, {"update": np.array([2.0]), "first": 1.0}, 1, 10)  # B: 2
    assert state["model"].tolist() == [4 + 3]
    state = step(algorithm, state, {"update": np.array([-4.0]), "first": 0.0}, 1, 10)  # A: 0
    assert state["model"].tolist() == [4 + 3 + 1]
    state = step(algorithm, state, {"update": np.array([4.0]), "first": 0.5}, 2, 10)  # B: 1, C: 9
    assert state["seen"].tolist() == [3]
    np.testing.assert_allclose(state["model"], 8 + 10 / 3, rtol=1e-6)


@pytest.mark.parametrize("participants", [7, 5_000, 1_000_000])
def test_clients_are_counted_exactly_from_a_mean_in_fixed_point(participants: int) -> None:
    bits = Mifa().uploaded["first"].bits
    new = participants // 3 + 1
    term = round(1 / participants * 2**bits)  # as each client's part of the mean is rounded
    mean = {"update": np.zeros(1), "first": new * term / 2**bits}
    state = start(Mifa(), np.zeros(1, np.float32)) | {"seen": np.array([participants], np.float32)}
    after = step(Mifa(), state, mean, participants, 10**8)
    assert after["seen"].tolist() == [participants + new]


def test_everybody_counts_the_same_whatever_was_done_or_held() -> None:
    assert Mifa().weight(np.array([1, 1000, 5])).tolist() == [1, 1, 1]
    assert not Mifa().weighs_work


def test_the_clock_charges_what_fedavg_costs_and_one_number(tmp_path: Path) -> None:
    mifa, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1").results[0].plan.timeline.participants
        for name in ("mifa", "fedavg")
    )
    assert (mifa["compute_seconds"] == fedavg["compute_seconds"]).all()
    assert (mifa["bytes_down"] == fedavg["bytes_down"]).all()
    assert (mifa["bytes_up"] == fedavg["bytes_up"] + 4).all()


def test_what_stages_lose_is_made_up_for_by_error_feedback(tmp_path: Path) -> None:
    """Of what the clients keep the server has the mean, up to what they are about to send."""
    plain, fed_back = (
        Run(tmp_path / str(len(stages)), "algorithm=mifa", *EVERYBODY, f"exchange.up={stages}")
        for stages in ("[{name: top_k, share: 0.1}]", "[error_feedback, {name: top_k, share: 0.1}]")
    )
    away = []
    for run in (plain, fed_back):
        kept = torch.stack([run.kept(client)["update"] for client in range(run.clients)])
        away.append(float((run.state["mean"] - kept.mean(0)).norm()))
        assert run.state["seen"].tolist() == [12]
    assert away[1] < away[0]


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (["clock={mode: async, concurrency: 9}"], "clock.mode: 'async' is not allowed with"),
        (["aggregation=median"], "aggregation.name: 'median' is not allowed with algorithm.name"),
        (
            [
                "privacy={name: gaussian, noise_multiplier: 1}",
                "exchange.up=[{name: clip, norm: 1}]",
            ],
            "privacy.name: 'gaussian' is not allowed with algorithm.name mifa: its server adds up",
        ),
    ],
)
def test_what_would_leave_its_sum_wrong_for_ever_is_refused(job: list[str], said: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(said)}"):
        check_job("quickstart", ["algorithm=mifa", "selection.participants=5", *job])
