"""Per-FedAvg against the paper's algorithm written down plainly, and its identities."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mpifl.errors import InputError
from tests.algorithms.personal import personal_model
from tests.algorithms.plug_ins import EVEN
from tests.algorithms.reference import Run, assert_close

ALPHA, DELTA = 0.2, 0.01
FO = f"algorithm={{name: perfedavg, alpha: {ALPHA}}}"
HF = f"algorithm={{name: perfedavg, alpha: {ALPHA}, variant: HF, delta: {DELTA}}}"


def fresh_gradient(
    run: Run, number: int, client: int, request: int, *models: torch.Tensor
) -> list[torch.Tensor]:
    """Return the gradients at some models on one new minibatch."""
    ((x, y),) = run.batches(number, client, 1, request)
    return [run.gradient(model, x, y) for model in models]


@pytest.mark.parametrize(("variant", "decay"), [("FO", 1.0), ("HF", 1.0), ("FO", 0.5), ("HF", 0.5)])
def test_five_rounds_are_those_of_the_paper(tmp_path: Path, variant: str, decay: float) -> None:
    """With ``training.lr_decay`` beta falls from one local step to the next."""
    run = Run(tmp_path, FO if variant == "FO" else HF, f"training.lr_decay={decay}")

    model = run.initial
    for number, participants in run.rounds():
        after = []
        for client, _, steps in participants:
            w, request = model, 0
            for step in range(steps):
                beta = run.job.training.lr * decay**step
                (g,) = fresh_gradient(run, number, client, request, w)
                (g,) = fresh_gradient(run, number, client, request + 1, w - ALPHA * g)
                request += 2
                direction = g
                if variant == "HF":
                    ahead, behind = fresh_gradient(
                        run, number, client, request, w + DELTA * g, w - DELTA * g
                    )
                    direction = g - ALPHA * (ahead - behind) / (2 * DELTA)
                    request += 1
                w = w - beta * direction
            after.append(w)
        model = torch.stack(after).mean(0)

    # The difference of two gradients loses digits: 1e-7 / delta, times alpha beta.
    assert_close(run.state["model"], model, atol=1e-6 if variant == "FO" else 5e-6)


def test_its_difference_is_the_product_with_the_hessian(tmp_path: Path) -> None:
    # Of a smooth model: a difference across the kink of a ReLU is not its derivative.
    one = ("model=logreg", "rounds=1", "selection.participants=1")
    run, fo = Run(tmp_path / "a", HF, *one), Run(tmp_path / "b", FO, *one)
    assert not torch.allclose(run.state["model"], fo.state["model"], atol=1e-5)

    ((number, ((client, _, steps),)),) = run.rounds()
    w, request = run.initial, 0
    for _ in range(steps):
        (g,) = fresh_gradient(run, number, client, request, w)
        (g,) = fresh_gradient(run, number, client, request + 1, w - ALPHA * g)
        ((x, y),) = run.batches(number, client, 1, request + 2)
        product = torch.autograd.functional.hvp(
            lambda v, x=x, y=y: torch.nn.functional.cross_entropy(run.output(v, x), y), w, g
        )[1]
        w = w - run.job.training.lr * (g - ALPHA * product)
        request += 3
    assert_close(run.state["model"], w, atol=1e-5)


def test_a_client_is_tested_one_gradient_step_from_the_global_model(tmp_path: Path) -> None:
    run = Run(tmp_path, FO, "rounds=2")
    for client in (0, run.clients - 1):
        x, y = run.samples(client)
        model = run.state["model"]
        assert_close(personal_model(run, client), model - ALPHA * run.gradient(model, x, y))


def test_almost_without_the_personal_step_it_is_fedavg_on_minibatches_of_its_own(
    tmp_path: Path,
) -> None:
    steps = "training={batch_size: 1000, local_steps: 3, lr: 0.1}"  # minibatches have all samples
    run = Run(tmp_path / "a", "algorithm={name: perfedavg, alpha: 1e-12}", steps)
    fedavg = Run(tmp_path / "b", EVEN, steps)
    assert_close(run.state["model"], fedavg.state["model"])


@pytest.mark.parametrize(("algorithm", "trainings"), [(FO, 2), (HF, 4)])
def test_the_clock_charges_every_gradient(tmp_path: Path, algorithm: str, trainings: int) -> None:
    own, fedavg = (
        Run(tmp_path / str(number), *overrides, "rounds=1").results[0].plan.timeline.participants
        for number, overrides in enumerate([[algorithm], []])
    )
    assert (own["compute_seconds"] == trainings * fedavg["compute_seconds"]).all()
    assert (own["bytes_up"] == fedavg["bytes_up"]).all()


def test_an_optimizer_with_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="perfedavg assumes plain SGD"):
        Run(tmp_path, FO, "training.optimizer={name: sgd, momentum: 0.9}")
