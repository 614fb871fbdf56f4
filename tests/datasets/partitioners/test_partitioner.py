"""What holds of every partitioner: each sample goes to one client, the same seed deals the same, what cannot be is refused."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mpifl.datasets.partitioners import REGISTRY, WITHOUT_CLASSES
from mpifl.datasets.partitioners.partitioner import Partitioner, Samples
from mpifl.errors import InputError
from mpifl.job import parse_job
from mpifl.population.build import open_population, prepare
from mpifl.seeds import Purpose, generator
from tests.datasets.partitioners.dealers import deal, labels

NAMES = [name for name in REGISTRY if name not in ("natural", "vertical")]
ASK_FOR_NUMBERS_ONLY = (
    "iid",
    "dirichlet",
    "pachinko",
    "power_law",
    "quantity_skew",
)  # what else is refused, their own tests say
JOB = {"rounds": 1, "model": "logreg", "selection": {"name": "uniform", "participants": 2}}


def class_of(name: str) -> type[Any]:
    module, _, class_name = REGISTRY[name].partition(":")
    found: type[Any] = getattr(importlib.import_module(module), class_name)
    return found


def made(name: str, **options: Any) -> Partitioner:
    partitioner: Partitioner = class_of(name)(**options)
    return partitioner


def options_of(name: str, data: st.DataObject) -> dict[str, Any]:
    """Options of every size, most of them extreme."""
    concentration = st.sampled_from([1e-12, 1e-3, 0.1, 0.5, 1.0, 10.0, 1e6])
    strategies = {
        "alpha": concentration,
        "beta": concentration,
        "by": st.sampled_from(["class", "client"]),
        "min_samples": st.integers(1, 4),
        "shards_per_client": st.integers(1, 4),
        "classes_per_client": st.integers(1, 4),
        "iid_share": st.sampled_from([0.0, 0.25, 0.5, 1.0]),
        "exponent": st.sampled_from([-100.0, -1.0, 0.0, 0.7, 3.0, 100.0]),
    }
    fields = set(class_of(name).model_fields)
    options = {key: data.draw(strategy) for key, strategy in strategies.items() if key in fields}
    if "balance" in fields:
        options["balance"] = options["by"] == "class" and data.draw(st.booleans())
    return options


@pytest.mark.parametrize("name", NAMES)
@given(
    samples=st.integers(1, 120),
    classes=st.integers(1, 8),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_every_sample_goes_to_one_client_or_the_request_is_refused(
    name: str, samples: int, classes: int, seed: int, data: st.DataObject
) -> None:
    y = labels(samples, classes, seed)
    partitioner = made(
        name, clients=data.draw(st.integers(1, samples + 3)), **options_of(name, data)
    )
    least = getattr(partitioner, "min_samples", 1)
    refused = ""
    try:
        client = deal(partitioner, y, seed, y // 3)
    except InputError as error:
        refused = str(error)
    if name in ASK_FOR_NUMBERS_ONLY:
        assert bool(refused) == (samples < partitioner.clients * least)
    if refused:
        assert refused.startswith("data.partition.")
        return
    sizes = np.bincount(client, minlength=partitioner.clients)
    assert client.shape == (samples,)
    assert client.dtype == np.int64
    assert len(sizes) == partitioner.clients
    assert sizes.min() >= least
    assert np.array_equal(client, deal(partitioner, y, seed, y // 3))


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_deals_otherwise(name: str) -> None:
    y = labels(777)
    dealt = [deal(made(name, clients=20), y, seed, y // 3) for seed in (0, 0, 1)]
    assert np.array_equal(dealt[0], dealt[1])
    assert not np.array_equal(dealt[0], dealt[2])


@pytest.mark.parametrize("name", NAMES)
def test_which_samples_of_a_class_go_where_is_drawn_too(name: str) -> None:
    """No runs, and so no writer's samples to one client."""
    y = np.repeat([0, 1], 500)
    client = deal(made(name, clients=10), y, 0, y)
    assert min((half[1:] != half[:-1]).mean() for half in np.split(client, 2)) > 0.3


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_left_as_they_are(name: str) -> None:
    y = labels(777)
    y.flags.writeable = False
    coarse = y // 3
    coarse.flags.writeable = False
    deal(made(name, clients=20), y, 0, coarse)


@pytest.mark.parametrize("name", NAMES)
def test_classes_are_only_names(name: str) -> None:
    """Gaps between them, and negative ones, change nothing."""
    y = labels(300, 5)
    renamed = np.array([-7, 0, 3, 10**12, 10**15])[y]
    assert np.array_equal(
        deal(made(name, clients=9), y, 0, y // 2), deal(made(name, clients=9), renamed, 0, y // 2)
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("clients", [11, 10**9])
def test_more_clients_than_samples_are_refused(name: str, clients: int) -> None:
    with pytest.raises(InputError) as caught:
        deal(made(name, clients=clients), labels(10), 0, labels(10))
    message = str(caught.value)
    assert message.startswith("data.partition.")
    assert f"{clients:,}" in message
    assert "10" in message


@pytest.mark.parametrize("name", REGISTRY)
@pytest.mark.parametrize(
    "y",
    [None, np.zeros(60), np.zeros((60, 2)), np.zeros((60, 2), int)],
    ids=["none", "float", "2d", "multi"],
)
def test_samples_without_classes_are_dealt_by_those_that_need_none(
    name: str, y: np.ndarray | None
) -> None:
    if name in ("natural", "vertical"):
        return
    samples, random = Samples(60, y, np.zeros(60, int)), generator(0, Purpose.PARTITION)
    if name in WITHOUT_CLASSES:
        client = made(name, clients=6).deal(samples, random)
        assert np.bincount(client, minlength=6).min() >= 1
        return
    with pytest.raises(InputError) as caught:
        made(name, clients=6).deal(samples, random)
    assert str(caught.value).startswith(f"data.partition.name: {name!r} ")
    assert all(other in str(caught.value) for other in WITHOUT_CLASSES)


@pytest.mark.parametrize(
    "options", [{"clients": 0}, {"seed": -1}, {"clients": 2.5}, {"cilents": 3}], ids=str
)
@pytest.mark.parametrize("name", NAMES)
def test_options_out_of_range_are_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        made(name, **options)


@pytest.mark.parametrize("name", REGISTRY)
def test_all_but_natural_are_partitioners_and_say_what_they_do(name: str) -> None:
    found = class_of(name)
    assert issubclass(found, Partitioner) == (name != "natural")
    assert inspect.getdoc(found)
    assert all(field.description for key, field in found.model_fields.items() if key != "name")


def test_natural_has_nothing_to_say() -> None:
    assert list(class_of("natural").model_fields) == ["name"]
    with pytest.raises(ValidationError):
        class_of("natural")(clients=3)


@pytest.mark.parametrize("name", NAMES)
def test_digits_in_a_job(name: str) -> None:
    job = parse_job(JOB | {"data": {"name": "digits", "partition": {"name": name, "clients": 12}}})
    if name == "pachinko":
        with pytest.raises(
            InputError, match=r"^data\.partition\.name: 'pachinko' needs coarse labels"
        ):
            prepare(job)
        return
    data = open_population(job, *prepare(job)).data
    assert data is not None
    assert data.train.clients == 12
    assert np.diff(data.train.offsets).sum() == 1438


# A partitioner of the user's own


@pytest.mark.parametrize(
    ("dealt", "why"),
    [
        (
            "[0, 1, 2]",
            r"dealt int64 of shape \(3,\); allowed: one integer for each of [\d,]+ samples",
        ),
        ("np.zeros(samples.count)", r"dealt float64 of shape \(\d+,\); allowed: one integer"),
        ("np.arange(samples.count) % 4", r"dealt sample 3 to client 3; allowed: 0 to 2"),
        ("np.arange(samples.count) % 3 - 1", r"dealt sample 0 to client -1; allowed: 0 to 2"),
        ("np.arange(samples.count) % 2", r"dealt no sample to 1 of 3 clients, the first is 2;"),
        (
            "np.random.permutation(samples.count) % 3",
            r"draws from the global generator of random or numpy; draw from `random`",
        ),
    ],
    ids=["too few", "no integers", "too large", "negative", "an empty client", "drawn elsewhere"],
)
def test_what_a_plug_in_deals_is_checked(tmp_path: Path, dealt: str, why: str) -> None:
    plug_in = tmp_path / "mine.py"
    plug_in.write_text(
        "import numpy as np\n"
        "from mpifl.datasets.partitioners.partitioner import Partitioner\n"
        "class Mine(Partitioner):\n"
        "    def deal(self, samples, random):\n"
        f"        return np.array({dealt})\n"
    )
    job = parse_job({**JOB, "data": {"partition": {"name": f"{plug_in}:Mine", "clients": 3}}})
    with pytest.raises(InputError, match=rf"^data.partition.name: '{plug_in}:Mine' {why}"):
        prepare(job)
