"""A plug-in that remembers something from client to client is found, wherever it keeps it; one that does not is left alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.requests import Trained
from mpifl.errors import InputError
from mpifl.job.component import COMPONENTS, find_part
from mpifl.models.mlp import Mlp
from mpifl.rounds.clients.contract import Contract, called_parts, is_plug_in
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment
from tests.algorithms.sides import context, uploaded

ALGORITHM = """
import collections, itertools, logging, math, random, types
import numpy as np
import torch
import beside
from beside import Notes, note
from pydantic import PrivateAttr
from typing import ClassVar
from mpifl.algorithms.context import Upload
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.requests import Train

SCALE, NAMES, TABLE, NOT_A_NUMBER = 0.5, ("a", "b"), np.arange(10_000_000, dtype=np.uint8), math.nan
LOGGER = logging.getLogger(__name__)
COUNT = 0
SEEN, LAST, NESTED, SET, QUEUE = [], {{}}, {{"a": [0, {{"b": [1]}}]}}, set(), collections.deque(maxlen=2)
ARRAY, TENSOR = np.zeros(4), torch.zeros(4)
RANDOM, GENERATOR, OLD, TORCHS = random.Random(1), np.random.default_rng(1), np.random.RandomState(1), torch.Generator()
NUMBERS, SPACE, BOX, LAYER = itertools.count(), types.SimpleNamespace(x=0), Notes(), torch.nn.Linear(2, 2)


def with_default(value, found=[]):
    found.append(value)
    return found


def closed():
    cell = [0]
    def add():
        cell[0] += 1
    return add


ADD = closed()


class Mine(FedAvg):
    name: str = "mine"
    count: ClassVar[int] = 0
    _own: list = PrivateAttr(default_factory=list)

    def client(self, c):
        trained = yield Train(c.received["model"])
        update = trained.update
        {statement}
        return Upload(update=update * SCALE)
"""

BESIDE = """
FOUND = []


class Notes:
    def __init__(self):
        self.x = 0


def note(value):
    FOUND.append(value)
"""

STATES = {
    "global COUNT; COUNT += 1": "COUNT of mine.py",
    "SEEN.append(1)": "SEEN of mine.py",
    "LAST['u'] = update": "LAST of mine.py",
    "NESTED['a'][1]['b'][0] += 1": "NESTED of mine.py",
    "SET.add(update.sum().item())": "SET of mine.py",
    "QUEUE.append(1)": "QUEUE of mine.py",
    "ARRAY[2] += 1": "ARRAY of mine.py",
    "TENSOR.add_(update[:4])": "TENSOR of mine.py",
    "TENSOR.data[0] = 1": "TENSOR of mine.py",
    "global TENSOR; TENSOR = TENSOR * 0.9 + update[:4]": "TENSOR of mine.py",
    "RANDOM.random()": "RANDOM of mine.py",
    "GENERATOR.normal()": "GENERATOR of mine.py",
    "OLD.normal()": "OLD of mine.py",
    "torch.rand(1, generator=TORCHS)": "TORCHS of mine.py",
    "next(NUMBERS)": "NUMBERS of mine.py",
    "SPACE.x += 1": "SPACE of mine.py",
    "BOX.x += 1": "BOX of mine.py",
    "LAYER.weight.data.add_(1)": "LAYER of mine.py",
    "with_default(update.sum().item())": "with_default of mine.py",
    "with_default.calls = 1": "with_default of mine.py",
    "ADD()": "ADD of mine.py",
    "type(self).count += 1": "count of class Mine of mine.py",
    "Mine.new = 1": "new of class Mine of mine.py",
    "Mine.client.calls = 1": "client of class Mine of mine.py",
    "self._own.append(1)": "_own of the algorithm",
    "object.__setattr__(self, 'server_lr', 2.0)": "server_lr of the algorithm",
    "global NEW; NEW = 1": "NEW of mine.py",
    "beside.FOUND.append(1)": "FOUND of beside.py",
    "note(1)": "FOUND of beside.py",
    "np.random.rand()": "the global generator of numpy",
    "random.random()": "the global generator of random",
}


def plug_in(folder: Path, statement: str, text: str = ALGORITHM) -> Any:
    (folder / "beside.py").write_text(BESIDE)
    (folder / "mine.py").write_text(text.format(statement=statement))
    component = next(
        one for one in COMPONENTS if one.path == (("model",) if text is MODEL else ("algorithm",))
    )
    return find_part(component, f"{folder / 'mine.py'}:Mine")[0]()


def contribute(algorithm: Any, size: int) -> None:
    """Run its client program for a model of zeros, which training turns into ones."""
    trained = Trained(torch.zeros(size), torch.ones(size), 0.5, 3)
    uploaded(algorithm, context({"model": trained.start}), lambda request: trained)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("beside", None)


@pytest.mark.parametrize(("statement", "place"), STATES.items())
def test_state_outside_of_the_arguments_is_found(folder: Path, statement: str, place: str) -> None:
    algorithm = plug_in(folder, statement)
    contract = Contract({"algorithm": algorithm, "model": Mlp()}, nn.Linear(2, 2))
    contract.check()
    contribute(algorithm, 6)
    with pytest.raises(InputError) as error:
        contract.check()
    said = str(error.value)
    assert said.startswith(
        f"algorithm.name: 'mine' is not allowed: it carries state from one call to the next: {place} has changed;"
    )
    assert "\n" not in said


@pytest.mark.parametrize(
    "statement",
    [
        "pass",
        "LOGGER.warning('seen')",
        "update = update.clone().add_(TENSOR.sum() + ARRAY.sum() + LAYER(update[:2]).sum().detach())",
        "local = [*SEEN, 1]; local.append(len(NESTED))",
        "torch.rand(3)",  # torch's own generator begins anew with every participant
        "np.random.default_rng(7).normal()",
    ],
)
def test_a_plug_in_that_keeps_nothing_passes(folder: Path, statement: str) -> None:
    algorithm = plug_in(folder, statement)
    contract = Contract({"algorithm": algorithm, "model": Mlp()}, nn.Linear(2, 2))
    for _ in range(3):
        contribute(algorithm, 6)
        contract.check()


def test_state_that_is_kept_later_is_found_within_64_calls(folder: Path) -> None:
    algorithm = plug_in(folder, "SEEN.append(1) if len(update) == 7 else None")
    contract = Contract({"algorithm": algorithm, "model": Mlp()}, nn.Linear(2, 2))

    def check(times: int) -> None:
        for _ in range(times):
            contract.check()

    for _ in range(130):
        contribute(algorithm, 6)
        contract.check()
    contribute(algorithm, 7)
    with pytest.raises(InputError, match=r"SEEN of mine\.py"):
        check(64)


MODEL = """
import torch
from torch import nn
from mpifl.models.model import Model


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(4, 3)
        self.calls, self.memory, self.seen = 0, torch.zeros(3), None
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x):
        y = self.out(x)
        {statement}
        return y


class Mine(Model):
    name: str = "mine"

    def build(self, data):
        return Net()
"""


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("self.calls += 1", "calls of the model's module"),
        ("self.memory = 0.9 * self.memory + y.detach().mean(0)", "memory of the model's module"),
        ("Net.total = 1", "total of class Net of mine.py"),
    ],
)
def test_state_of_a_models_layers_is_found(folder: Path, statement: str, place: str) -> None:
    model = plug_in(folder, statement, MODEL)
    module = model.build(None)
    contract = Contract({"algorithm": FedAvg(), "model": model}, module)
    module(torch.ones(2, 4))
    with pytest.raises(InputError, match=rf"model\.name: 'mine' .*: {place} has changed"):
        contract.check()


@pytest.mark.parametrize("statement", ["pass", "self.seen = y", "self.mean.add_(1)", "self.eval()"])
def test_what_a_layer_may_do(folder: Path, statement: str) -> None:
    """It may note what it has just seen; where training puts its buffers is another's care."""
    model = plug_in(folder, statement, MODEL)
    module = model.build(None)
    contract = Contract({"algorithm": FedAvg(), "model": model}, module)
    module(torch.ones(2, 4))
    contract.check()


def test_what_comes_with_mpifl_is_not_looked_at() -> None:
    assert not is_plug_in(FedAvg())
    contract = Contract({"algorithm": FedAvg(), "model": Mlp()}, nn.Linear(2, 2))
    np.random.rand()  # noqa: NPY002
    contract.check()


OBJECTIVE = """
from mpifl.clock.policies.sync import Sync
from mpifl.contribution.leave_one_out import LeaveOneOut
from mpifl.objectives.classification import Classification

SEEN = []

class Mine(Classification):
    name: str = "mine"

class Counted(Sync):
    mode: str = "counted"

class Judge(LeaveOneOut):
    name: str = "judge"
"""


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("objective", "objective.name: '.*:Mine'"),
        ("clock", "clock.mode: '.*:Counted'"),
        ("contribution", "contribution.name: '.*:Judge'"),
    ],
)
def test_objective_clock_and_contribution_of_a_job_are_looked_at(
    tmp_path: Path, key: str, said: str
) -> None:
    """An objective is made anew for the data of a job: it is that one that is called."""
    (tmp_path / "parts.py").write_text(OBJECTIVE)
    names = {"objective": "Mine", "clock": "Counted", "contribution": "Judge"}
    experiment, _ = check_job("quickstart", [f"{key}={tmp_path}/parts.py:{names[key]}"])
    assert isinstance(experiment, Experiment)
    parts = called_parts(experiment)
    assert parts["objective"] is experiment.objective
    contract = Contract(parts, experiment.model.module)
    contract.check()
    sys.modules[type(parts[key]).__module__].SEEN.append(1)
    with pytest.raises(InputError, match=f"^{said} is not allowed: it carries state"):
        contract.check()
