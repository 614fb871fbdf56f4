"""Job files: what a person may write, what comes of it, and what they are told when it is wrong."""

from __future__ import annotations

import copy
import datetime
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from mpifl.algorithms.fedyogi import FedYogi
from mpifl.clock.policies.buffered import Buffered
from mpifl.datasets.partitioners.iid import Iid
from mpifl.errors import InputError
from mpifl.io.files import shipped_names
from mpifl.job import Job, Section, difference, dump_job, load_yaml, parse_job, read_job, synonyms
from mpifl.job.problems import MOST_PROBLEMS
from mpifl.job.schema import Training
from mpifl.optimizers.sgd import Sgd
from tests.budget import examples

MINIMAL = {
    "rounds": 3,
    "model": {"name": "mlp", "hidden": [8]},
    "selection": {"name": "uniform", "participants": 2},
}

PUBLISHED = {"by": "published", "validation": 0.0, "test": 0.0, "seed": 0}
FULL = MINIMAL | {
    "name": "full",
    "seed": 7,
    "data": {
        "name": "digits",
        "partition": {
            "name": "dirichlet",
            "clients": 30,
            "alpha": 0.3,
            "min_samples": 2,
            "seed": 4,
        },
        "split": PUBLISHED,
    },
    "population": {"clients": 1000, "trace": "phones"},
    "training": {
        "batch_size": 5,
        "local_steps": 12,
        "lr": 0.001,
        "optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 1e-5},
        "threads": 2,
    },
    "clock": {"mode": "sync", "overcommitment": 1.5},
    "algorithm": {"name": "fedprox", "mu": 0.2},
    "evaluation": {"every": 5, "batch_size": 100},
}


def with_sections(**sections: Any) -> dict[str, Any]:
    return copy.deepcopy(MINIMAL | sections)


def refusal(raw: Any) -> str:
    """The one line with which a job is refused."""
    with pytest.raises(InputError) as caught:
        parse_job(raw)
    return one_line(caught.value)


def one_line(error: InputError) -> str:
    """The line of an error that is the only one; what is shown of the file below it does not count."""
    well_told(error)
    first, *shown = error.lines
    assert all(line.startswith(" ") for line in shown), error.lines
    return first


def well_told(error: InputError) -> None:
    """At least one line, not too many, and in none what no terminal should get."""
    assert 1 <= len(error.lines) <= MOST_PROBLEMS + 1
    assert not error.lines[0].startswith(" ")
    assert all(line.isprintable() and line.strip() for line in error.lines), error.lines
    assert str(error).splitlines() == list(error.lines)


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    return path


# What a job comes to


def test_defaults_are_written_out() -> None:
    dumped = yaml.safe_load(dump_job(parse_job(with_sections())))
    assert dumped["seed"] == 0
    assert dumped["data"] == {
        "name": "digits",
        "samples_per_client": None,
        "partition": {"name": "natural"},
        "split": PUBLISHED,
    }
    assert dumped["clock"]["mode"] == "sync"
    assert dumped["clock"]["overcommitment"] == 1.3
    assert dumped["algorithm"]["name"] == "fedavg"
    assert dumped["training"]["epochs"] == 1
    assert dumped["training"]["local_steps"] is None
    assert dumped["evaluation"]["every"] == 1


def test_sections_stand_in_the_order_of_the_schema() -> None:
    dumped = yaml.safe_load(dump_job(parse_job(dict(reversed(FULL.items())))))
    assert list(dumped) == list(Job.model_fields)
    assert list(dumped["training"]) == list(Training.model_fields)


def test_a_share_that_cannot_be_reached_is_refused() -> None:
    raw = {"rounds": 1, "model": "logreg", "selection": {"name": "uniform", "participants": 1}}
    parse_job({**raw, "stop": {"metric": "loss", "at": 90}})
    with pytest.raises(InputError, match=r"at 90 cannot be reached: .* from 0 to 1: 0\.9\?"):
        parse_job({**raw, "stop": {"metric": "accuracy", "at": 90}})


def test_every_field_of_every_section_is_written_out() -> None:
    job = parse_job(with_sections())
    dumped = yaml.safe_load(dump_job(job))
    seen = 0
    for path, section in sections_of(job):
        at: Any = dumped
        for part in path:
            at = at[part]
        assert set(at) == set(type(section).model_fields), path
        seen += 1
    # the job, data, partition, split, population, model, objective, protocol, training, its schedule, optimizer and transform, selection, clock,
    # its latency, variation, background, retry, cells and radio, battery, algorithm, aggregation, exchange, secure_aggregation, privacy,
    # contribution, evaluation, stop, record, checkpoint, runtime; and outages of the population
    assert seen == 33


def sections_of(
    section: Section, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Section]]:
    yield path, section
    for name in type(section).model_fields:
        if isinstance(inner := getattr(section, name), Section):
            yield from sections_of(inner, (*path, name))


@pytest.mark.parametrize("raw", [MINIMAL, FULL], ids=["minimal", "full"])
def test_dump_and_parse_round_trip(raw: dict[str, Any]) -> None:
    job = parse_job(raw)
    again = parse_job(load_yaml(dump_job(job)))
    assert again.model_dump() == job.model_dump()
    assert dump_job(again) == dump_job(job)


def test_a_dumped_job_parses_to_an_equal_one() -> None:
    job = parse_job(FULL)
    assert parse_job(load_yaml(dump_job(job))) == job


def _merged(section: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(section[key], value)
        for key, value in values.items()
        if isinstance(value, dict)
    }
    return section | values | both


def test_what_the_user_gave_is_what_the_job_has() -> None:
    dumped = yaml.safe_load(dump_job(parse_job(FULL)))
    for section, values in FULL.items():
        if isinstance(values, dict):
            assert _merged(dumped[section], values) == dumped[section]
        else:
            assert dumped[section] == values


@given(st.floats(min_value=0, exclude_min=True, allow_nan=False, allow_infinity=False))
@examples(50)
def test_numbers_survive_the_dump_to_the_last_bit(lr: float) -> None:
    assert (
        parse_job(load_yaml(dump_job(parse_job(with_sections(training={"lr": lr}))))).training.lr
        == lr
    )


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]*", fullmatch=True))
@example("1e3")
@example("0x10")
@example("null")
@example("yes")
@example("2024-01-01")
@examples(50)
def test_names_survive_the_dump_as_text(name: str) -> None:
    assert parse_job(load_yaml(dump_job(parse_job(with_sections(name=name))))).name == name


def test_parse_leaves_the_given_mapping_alone() -> None:
    raw = with_sections(algorithm="fedavg", data={"partition": "iid"})
    before = copy.deepcopy(raw)
    parse_job(raw)
    assert raw == before


def test_a_job_cannot_be_changed() -> None:
    job = parse_job(with_sections())
    with pytest.raises(AttributeError, match="never changes"):
        job.rounds = 4  # type: ignore[misc]
    with pytest.raises(AttributeError, match="never changes"):
        job.training.lr = 4.0  # type: ignore[misc]


@pytest.mark.parametrize("name", shipped_names("jobs"))
def test_shipped_jobs_are_valid_under_their_own_name(name: str) -> None:
    assert read_job(name).name == name


# Short forms


def test_short_forms_of_components() -> None:
    job = parse_job(
        with_sections(model="logreg", algorithm="fedyogi", clock="sync", data={"partition": "iid"})
    )
    assert job.model.name == "logreg"
    assert job.algorithm.name == "fedyogi"
    assert job.clock.mode == "sync"
    assert job.data.partition.name == "iid"


BUFFERED = {"mode": "buffered", "concurrency": 2}


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (
            {"clock": {**BUFFERED, "staleness": "constant"}},
            {"clock": {**BUFFERED, "staleness": {"name": "constant"}}},
        ),
        ({"data": "digits"}, {"data": {"name": "digits"}}),
    ],
)
def test_every_section_with_a_name_has_a_short_form(
    short: dict[str, Any], long: dict[str, Any]
) -> None:
    assert dump_job(parse_job(with_sections(**short))) == dump_job(parse_job(with_sections(**long)))
    assert parse_job(with_sections(**short)) == parse_job(with_sections(**long))


def test_a_short_form_may_be_given_as_an_override_and_have_options(job_file: Path) -> None:
    clock = "clock={mode: buffered, concurrency: 2}"
    constant = read_job(str(job_file), [clock, "clock.staleness=constant"]).clock
    assert isinstance(constant, Buffered)
    assert constant.staleness.name == "constant"
    hinge = read_job(
        str(job_file), [clock, "clock.staleness=hinge", "clock.staleness.slope=2"]
    ).clock
    assert isinstance(hinge, Buffered)
    assert (hinge.staleness.name, hinge.staleness.slope) == ("hinge", 2.0)
    data = read_job(
        str(job_file), ["data=digits", "data.partition=iid", "data.partition.clients=7"]
    ).data
    assert isinstance(data.partition, Iid)
    assert (data.name, data.partition.name, data.partition.clients) == ("digits", "iid", 7)


def test_a_wrong_name_in_a_short_form_is_named_with_its_key() -> None:
    message = refusal(with_sections(clock={**BUFFERED, "staleness": "constnt"}))
    assert message.startswith("clock.staleness.name: 'constnt' is not allowed")


def test_short_and_long_form_are_the_same_job() -> None:
    short, long = with_sections(algorithm="fedprox"), with_sections(algorithm={"name": "fedprox"})
    assert dump_job(parse_job(short)) == dump_job(parse_job(long))


# Epochs or steps


@pytest.mark.parametrize(
    ("given", "epochs", "steps"),
    [
        ({}, 1, None),
        ({"epochs": 3}, 3, None),
        ({"local_steps": 9}, None, 9),
        ({"epochs": None, "local_steps": None}, 1, None),
        ({"epochs": None, "local_steps": 2}, None, 2),
        ({"epochs": 2, "local_steps": None}, 2, None),
    ],
)
def test_epochs_or_steps(given: dict[str, Any], epochs: int | None, steps: int | None) -> None:
    training = parse_job(with_sections(training=given)).training
    assert (training.epochs, training.local_steps) == (epochs, steps)


def test_epochs_and_steps_together_are_refused() -> None:
    message = refusal(with_sections(training={"epochs": 1, "local_steps": 3}))
    assert message == "training: give epochs or local_steps, not both"


# Numbers


def test_an_exponent_without_a_point_is_a_number() -> None:
    job = parse_job(
        load_yaml(
            yaml.safe_dump(MINIMAL)
            + "training: {lr: 1e-3}\nalgorithm: {name: fedyogi, tau: 1E-4}\n"
        )
    )
    assert isinstance(job.algorithm, FedYogi)
    assert (job.training.lr, job.algorithm.tau) == (1e-3, 1e-4)


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "nan", "inf", "NaN", "-Infinity"])
@pytest.mark.parametrize(
    "key",
    ["training.lr", "training.optimizer.weight_decay", "clock.overcommitment", "algorithm.mu"],
)
def test_what_is_not_finite_is_refused(job_file: Path, key: str, value: str) -> None:
    with pytest.raises(InputError, match=key.replace(".", r"\.")):
        read_job(str(job_file), ["clock=sync", "algorithm=fedprox", f"{key}={value}"])


@pytest.mark.parametrize(
    ("path", "value", "allowed"),
    [
        ("rounds", 0, "greater than or equal to 1"),
        ("rounds", "many", "whole number"),
        ("rounds", 1.5, "whole number"),
        ("rounds", [3], "whole number"),
        ("rounds", None, "whole number"),
        ("seed", -1, "greater than or equal to 0"),
        ("name", "two words", "letters"),
        ("name", "../up", "letters"),
        ("name", "", "letters"),
        ("name", 5, "quotes"),
        ("data.name", 5, "quotes"),
        ("data.partition.clients", 0, "greater than or equal to 1"),
        ("data.partition.alpha", 0, "greater than 0"),
        ("population.clients", 0, "greater than or equal to 1"),
        ("training.batch_size", 0, "greater than or equal to 1"),
        ("training.epochs", 0, "greater than or equal to 1"),
        ("training.lr", 0, "greater than 0"),
        ("training.lr", "fast", "number"),
        ("training.lr", {"value": 1}, "number"),
        ("training.optimizer.momentum", 1, "less than 1"),
        ("training.optimizer.momentum", -0.1, "greater than or equal to 0"),
        ("training.threads", 0, "greater than or equal to 1"),
        ("model.hidden", [], "at least 1"),
        ("model.hidden", 8, "list"),
        ("selection.participants", 0, "greater than or equal to 1"),
        ("clock.overcommitment", 0.9, "greater than or equal to 1"),
        ("algorithm.mu", -1, "greater than or equal to 0"),
        ("evaluation.every", 0, "greater than or equal to 1"),
    ],
)
def test_wrong_values_are_named_with_what_is_allowed(path: str, value: Any, allowed: str) -> None:
    raw = copy.deepcopy(FULL)
    raw["training"] = {"optimizer": {}}
    put(raw, path.split("."), value)
    message = refusal(raw)
    assert message.startswith(f"{path}: ")
    assert allowed in message
    assert isinstance(value, dict) or repr(value) in message


def test_an_entry_of_a_list_is_named_by_its_place() -> None:
    assert refusal(with_sections(model={"name": "mlp", "hidden": [8, 0]})).startswith(
        "model.hidden.1: 0 "
    )


@pytest.mark.parametrize(
    "path",
    [f"training.{key}" for key in ("batch_size", "epochs", "local_steps", "threads")]
    + ["population.clients"],
)
def test_numbers_that_no_machine_holds_are_refused(path: str) -> None:
    raw = with_sections()
    put(raw, path.split("."), 10**20)
    assert refusal(raw).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "raw", [{"rounds": True}, {"training": {"lr": True}}, {"training": {"threads": True}}]
)
def test_yes_and_no_are_not_numbers(raw: dict[str, Any]) -> None:
    refusal(with_sections(**raw))


# Keys


@pytest.mark.parametrize("key", ["rounds", "model", "selection"])
def test_missing_keys_are_named(key: str) -> None:
    raw = with_sections()
    del raw[key]
    assert refusal(raw) == f"{key}: missing; a value is required"


def test_a_missing_option_of_a_component_is_named() -> None:
    assert (
        refusal(with_sections(clock="buffered"))
        == "clock.concurrency: missing; a value is required"
    )


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("model", "model.name"),
        ("selection", "selection.name"),
    ],
)
def test_a_component_without_its_name_is_told_the_names(section: str, key: str) -> None:
    message = refusal(with_sections(**{section: {}}))
    assert message.startswith(f"{key}: missing; allowed: ")


@pytest.mark.parametrize(
    ("given", "path", "expected"),
    [
        ({"training": {"optimizer": {"momentum": 0.9}}}, "training.optimizer.name", "sgd"),
        ({"algorithm": {"server_lr": 0.5}}, "algorithm.name", "fedavg"),
        ({"clock": {"overcommitment": 2}}, "clock.mode", "sync"),
        ({"data": {"partition": {}}}, "data.partition.name", "natural"),
    ],
)
def test_a_component_that_has_a_default_takes_its_name_and_keeps_the_options(
    given: dict[str, Any], path: str, expected: str
) -> None:
    job = parse_job(with_sections(**given))
    assert get(job, path) == expected
    assert job == parse_job(load_yaml(dump_job(job)))
    if "training" in given:
        assert isinstance(job.training.optimizer, Sgd)
        assert job.training.optimizer.momentum == 0.9


@pytest.mark.parametrize(
    ("raw", "start", "hint"),
    [
        ({"trainig": {"lr": 0.1}}, "trainig.lr: ", "did you mean training.lr?"),
        ({"trainig": {}}, "trainig: ", "did you mean training?"),
        ({"round": 3}, "round: ", "did you mean rounds?"),
        (
            {"model": {"name": "mlp", "lora": {"rank": 4, "alpa": 3}}},
            "model.lora.alpa: ",
            "did you mean model.lora.alpha?",
        ),
        (
            {"training": {"batchsize": 5}},
            "training.batchsize: ",
            "did you mean training.batch_size?",
        ),
        (
            {"training": {"learning_rate": 5}},
            "training.learning_rate: ",
            "did you mean training.lr?",
        ),
        ({"trainig": {"learning_rate": 5}}, "trainig.learning_rate: ", "did you mean training.lr?"),
        ({"learning-rate": 5}, "learning-rate: ", "did you mean training.lr?"),
        (
            {"selection": {"name": "uniform", "participants": 2, "clientsPerRound": 5}},
            "selection.c",
            "selection.participants?",
        ),
        (
            {"training": {"local_epochs": 5}},
            "training.local_epochs: ",
            "did you mean training.epochs?",
        ),
        ({"num_rounds": 5}, "num_rounds: ", "did you mean rounds?"),
        ({"dataset": "digits"}, "dataset: ", "did you mean data.name?"),
        ({"strategy": {"name": "fedavg"}}, "strategy: ", "did you mean algorithm?"),
        ({"mu_prox": 1}, "mu_prox: ", "allowed: name, seed"),  # fedavg has no mu
        ({"optimizer": {"lr": 0.1}}, "optimizer.lr: ", "did you mean training.optimizer?"),
        ({"learner": {"lr": 0.1}}, "learner.lr: ", "did you mean training.lr?"),
        ({"training": {"momentum": 1}}, "training.momentum: ", "training.optimizer.momentum?"),
        ({"training": {"weight_decay": 1}}, "training.w", "training.optimizer.weight_decay?"),
        (
            {"algorithm": {"name": "fedprox", "mo": 1}},
            "algorithm.mo: ",
            "did you mean algorithm.mu?",
        ),
        (
            {"clock": {"mode": "sync", "overcomitment": 1}},
            "clock.overcomitment: ",
            "did you mean clock.overcommitment?",
        ),
        (
            {"data": {"partition": {"name": "iid", "cilents": 1}}},
            "data.partition.cilents: ",
            "data.partition.clients?",
        ),
        ({"model": {"name": "mlp", "hiden": [1]}}, "model.hiden: ", "did you mean model.hidden?"),
    ],
)
def test_misspelt_keys_are_told_the_nearest(raw: dict[str, Any], start: str, hint: str) -> None:
    message = refusal(with_sections(**raw))
    assert message.startswith(start)
    assert hint in message


def test_an_option_of_another_algorithm_is_refused() -> None:
    message = refusal(with_sections(algorithm={"name": "fedavg", "mu": 0.1}))
    assert message.startswith("algorithm.mu: no such key")


@pytest.mark.parametrize(
    ("override", "key", "instead"),
    [
        ("clock.mode=all", "clock.overcommitment", "clock=all"),
        ("model.name=logreg", "model.hidden", "model=logreg"),
        ("data.partition.name=iid", "data.partition.alpha", "data.partition=iid"),
    ],
)
def test_a_key_that_the_file_has_of_another_part_is_refused_with_what_leaves_it_out(
    override: str, key: str, instead: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_job("quickstart", [override])
    (line,) = caught.value.lines
    named, _, name = override.partition("=")
    assert f": {key}: no such key with {named} {name}; give {instead} instead" in line
    read_job("quickstart", [instead])


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (
            {"evaluation": {"xyzzy": 1}},
            "allowed: evaluation.every, evaluation.batch_size, evaluation.part, evaluation.per_client,"
            " evaluation.personal, evaluation.personal_clients, evaluation.fine_tune_steps",
        ),
        ({"training": {"steps": 9}}, "did you mean training.local_steps?"),
        ({"lr": 0.1}, "did you mean training.lr?"),
    ],
    ids=str,
)
def test_nearness_is_that_of_the_last_word(raw: dict[str, Any], said: str) -> None:
    assert refusal(with_sections(**raw)).endswith(said)


def test_a_misspelt_key_that_is_required_is_called_misspelt() -> None:
    raw = with_sections(round=3)
    del raw["rounds"]
    assert refusal(raw) == "round: no such key; did you mean rounds?"


@pytest.mark.parametrize(
    ("raw", "near", "among"),
    [
        ({"algorithm": "fedprx"}, "fedprox", "scaffold"),
        ({"algorithm": {"name": "FedAvg"}}, "fedavg", "scaffold"),
        ({"model": "mpl"}, "mlp", "logreg"),
        ({"clock": "synch"}, "sync", "sync"),
        ({"data": {"partition": "dirichlett"}}, "dirichlet", "natural"),
        ({"selection": {"name": "unifrom", "participants": 1}}, "uniform", "uniform"),
    ],
)
def test_unknown_components_are_told_the_nearest(
    raw: dict[str, Any], near: str, among: str
) -> None:
    message = refusal(with_sections(**raw))
    assert f"did you mean {near}?" in message
    assert among in message


@pytest.mark.parametrize("value", [5, [1], None, "fast"], ids=repr)
@pytest.mark.parametrize("section", ["training", "population", "evaluation", "data.split"])
def test_what_is_not_a_section_is_refused(section: str, value: Any) -> None:
    first, _, inner = section.partition(".")
    message = refusal(with_sections(**{first: {inner: value} if inner else value}))
    assert message.startswith(f"{section}: {value!r} ")
    assert "section" in message


@pytest.mark.parametrize("value", [5, [1], None], ids=repr)
@pytest.mark.parametrize("section", ["data", "clock.staleness"])
def test_what_is_neither_a_section_nor_a_name_is_refused(section: str, value: Any) -> None:
    raw = (
        {"data": value}
        if section == "data"
        else {"clock": {"mode": "buffered", "concurrency": 2, "staleness": value}}
    )
    message = refusal(with_sections(**raw))
    assert message.startswith(f"{section}: {value!r} ")
    assert "section" in message


@pytest.mark.parametrize("value", [5, [1], 0.5, True, None], ids=repr)
@pytest.mark.parametrize("section", ["model", "selection"])
def test_what_is_not_a_component_is_refused(section: str, value: Any) -> None:
    assert refusal(with_sections(**{section: value})).startswith(f"{section}: ")


@pytest.mark.parametrize(
    "raw",
    [{"algorithm": 5}, {"clock": [1]}, {"data": {"partition": 5}}, {"data": {"partition": [1]}}],
    ids=str,
)
def test_what_is_not_a_component_is_refused_where_there_is_a_default(raw: dict[str, Any]) -> None:
    assert refusal(with_sections(**raw)).startswith((*raw, "data.partition"))


@pytest.mark.parametrize(
    "raw", [{"algorithm": None}, {"clock": None}, {"data": {"partition": None}}], ids=str
)
def test_an_empty_component_is_refused(raw: dict[str, Any]) -> None:
    assert "None" in refusal(with_sections(**raw))


@pytest.mark.parametrize("name", [None, 5, 0.5, True], ids=repr)
def test_a_component_name_that_is_no_text_is_refused(name: Any) -> None:
    message = refusal(with_sections(algorithm={"name": name}))
    assert message.startswith(f"algorithm.name: {name!r} ")
    assert "fedavg" in message


@pytest.mark.parametrize("name", [["fedavg"], {"fedavg": 1}], ids=repr)
def test_a_component_name_that_is_a_list_is_refused(name: Any) -> None:
    assert refusal(with_sections(algorithm={"name": name})).startswith("algorithm.name: ")


@pytest.mark.parametrize(
    "key", [1, None, 2.5, True, b"x", datetime.date(2024, 1, 1), (1, 2)], ids=repr
)
def test_keys_that_are_no_text_are_refused(key: Any) -> None:
    assert str(key) in refusal({**with_sections(), key: 3}) or repr(key) in refusal(
        {**with_sections(), key: 3}
    )


@pytest.mark.parametrize(
    "raw", [{"a\nb": 1}, {"training": {"a\nb": 1}}, {"a\u2028b": 1}, {"a\rb": {"c": 1}}], ids=ascii
)
def test_a_key_of_two_lines_makes_no_message_of_two_lines(raw: dict[str, Any]) -> None:
    refusal(with_sections(**raw))


# All at once


def test_all_that_is_wrong_is_told_at_once(job_file: Path) -> None:
    job_file.write_text(
        "name: q\nrouns: 10\nsedd: 3\nmodel: mlpp\nclock: {mode: snyc}\nselection: {name: uniform, clients_per_round: 10}\n"
        "training: {lr: -1, optimizer: {momentum: 3}, learning_rate: 0.1}\n"
    )
    with pytest.raises(InputError) as caught:
        read_job(str(job_file), ["lr", "rounds=q", "seed={"])
    well_told(caught.value)
    told = [line.partition(": ") for line in caught.value.lines]
    found = [line for _, _, line in told]
    overridden = [line.partition(": ")[0] for place, _, line in told if place == "command line"]
    assert overridden == ["'lr'", "seed", "rounds"]
    assert [line.partition(": ")[0] for line in found] == [
        "'lr'",
        "seed",
        "model.name",
        "clock.mode",
        "training.learning_rate",
        "selection.clients_per_round",
        "rouns",
        "sedd",
        "rounds",
        "training.lr",
        "training.optimizer.momentum",
    ]
    assert not [
        line for line in found if "missing" in line
    ]  # whatever was misspelt is not also missing


def test_of_very_many_the_first_are_told() -> None:
    with pytest.raises(InputError) as caught:
        parse_job(with_sections(**{f"key{number}": 1 for number in range(1000)}))
    assert len(caught.value.lines) == MOST_PROBLEMS + 1
    assert caught.value.lines[-1] == "and 980 more errors"


def test_every_synonym_stands_for_a_key_that_some_job_has() -> None:
    jobs = [
        FULL,
        FULL | {"clock": {"mode": "deadline", "seconds": 1}},
        FULL | {"clock": {"mode": "buffered", "concurrency": 2}},
    ]
    known = {".".join(path) for job in jobs for path in leaves(parse_job(job))}
    known |= {"algorithm", "data.partition"}
    assert set(synonyms.KEYS.values()) <= known
    assert not set(synonyms.KEYS) & {path.rpartition(".")[2] for path in known}


def leaves(section: Section, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    return (
        (*inner, name)
        for inner, found in sections_of(section, path)
        for name in type(found).model_fields
    )


# YAML


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "name: q\ntraining: lr: 0.1\n",
            [
                "not valid YAML: line 2, column 13: mapping values are not allowed here",
                "    training: lr: 0.1",
                "                ^",
            ],
        ),
        (
            "a: 1\nseed: 1\nseed: 2\n",
            ["not valid YAML: line 3, column 1: key 'seed' is given twice", "    seed: 2", "    ^"],
        ),
        (
            "a: 1\n\tb: 1\n",
            [
                "not valid YAML: line 2, column 1: while scanning for the next token, found character '\\t' that cannot start"
                " any token",
                "     b: 1",
                "    ^",
            ],
        ),
    ],
)
def test_the_place_in_the_file_is_shown_as_yaml_shows_it(text: str, shown: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        load_yaml(text)
    assert list(caught.value.lines) == shown
    named = caught.value.within("x.yaml")
    assert named.lines == (f"x.yaml: {shown[0]}", *shown[1:])


def test_of_an_override_that_is_no_yaml_the_column_is_told(job_file: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_job(str(job_file), ["training={lr: 1"])
    said = (
        "training: '{lr: 1' is not a YAML value (column 7: while parsing a flow mapping, expected"
    )
    assert one_line(caught.value).startswith(f"command line: {said}")


def test_a_mapping_is_loaded() -> None:
    assert load_yaml("a: 1\nb: {c: [2, x]}\n") == {"a": 1, "b": {"c": [2, "x"]}}


def test_merge_keys_work() -> None:
    assert load_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n")["b"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    "text", ["seed: 1\nrounds: 2\nseed: 3\n", "training: {lr: 1, lr: 1}", "a:\n  - {b: 1, b: 2}\n"]
)
def test_a_key_that_stands_twice_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="twice") as caught:
        load_yaml(text)
    assert "line" in one_line(caught.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "nothing"),
        ("3", "a number"),
        ("- a\n- b\n", "a list"),
        ("hello", "a text"),
        ("null", "nothing"),
    ],
)
def test_what_is_no_mapping_is_refused(text: str, found: str) -> None:
    with pytest.raises(InputError, match=f"mapping of sections, found {found}") as caught:
        load_yaml(text)
    one_line(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: b: c",
        "a: [1",
        "\ta: 1",
        "a: *nowhere",
        "a: 'open",
        "a: 1\n---\nb: 2",
        "\x00",
        "a: !!python/object/apply:os.system [true]",
        "a: !unknown 3",
        "a: " + "[" * 5000,
        "{a: " * 5000,
    ],
    ids=lambda text: repr(text[:30]),
)
def test_invalid_yaml_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not valid YAML") as caught:
        load_yaml(text)
    one_line(caught.value)


NOT_VALUES = {
    "2024-99-99": "ValueError",
    "0x_": "ValueError",
    "!!int x": "ValueError",
    "!!int": "IndexError",
    "!!float x": "ValueError",
    "!!bool x": "KeyError",
    "!!timestamp x": "AttributeError",
    "!!map [1]": "TypeError",
    "!!map 3": "ValueError",
    "!!set [1]": "TypeError",
    "{? [a] : b}": "TypeError",
    "9" * 5000: "ValueError: more than 4300 digits",
}


@pytest.mark.parametrize("value", NOT_VALUES, ids=lambda text: repr(text[:20]))
def test_what_yaml_cannot_construct_is_refused(value: str) -> None:
    with pytest.raises(InputError, match="not valid YAML") as caught:
        load_yaml(f"a: {value}\n")
    one_line(caught.value)


# Files


def test_a_file_is_read_and_named_in_errors(job_file: Path) -> None:
    assert read_job(str(job_file)).rounds == 3
    job_file.write_text(yaml.safe_dump(MINIMAL | {"rounds": 0}))
    with pytest.raises(InputError, match=r"rounds: 0 ") as caught:
        read_job(str(job_file))
    assert one_line(caught.value).startswith(f"{job_file}: ")


def test_no_such_job_is_told_what_ships() -> None:
    with pytest.raises(InputError, match="quickstart") as caught:
        read_job("nowhere.yaml")
    assert one_line(caught.value).startswith("nowhere.yaml: ")


def test_a_file_that_is_no_text_is_refused(job_file: Path) -> None:
    job_file.write_bytes(b"name: \xff\xfe")
    with pytest.raises(InputError, match=str(job_file)):
        read_job(str(job_file))


def test_a_folder_is_no_job(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        read_job(str(tmp_path))


def test_a_path_that_is_too_long_is_refused() -> None:
    with pytest.raises(InputError):
        read_job("x" * 5000)


# Overrides


@pytest.mark.parametrize(
    ("overrides", "path", "value"),
    [
        (["training.lr=0.5"], "training.lr", 0.5),
        (["training.lr=1e-3"], "training.lr", 1e-3),
        (["rounds=9"], "rounds", 9),
        (["rounds=9", "rounds=10"], "rounds", 10),
        (["model.hidden=[4, 5]"], "model.hidden", [4, 5]),
        (["training={lr: 0.5, threads: 2}"], "training.threads", 2),
        (["training.optimizer.momentum=0.1"], "training.optimizer.momentum", 0.1),
        (["algorithm=fedyogi"], "algorithm.name", "fedyogi"),
        (["algorithm=fedprox", "algorithm.mu=0.1"], "algorithm.mu", 0.1),
        (["algorithm={name: fedprox, mu: 0.3}"], "algorithm.mu", 0.3),
        (["algorithm.name=fedprox", "algorithm.mu=0.1"], "algorithm.mu", 0.1),
        (["data.partition=iid", "data.partition.clients=5"], "data.partition.clients", 5),
        (["clock=sync", "clock.overcommitment=2"], "clock.overcommitment", 2.0),
        (["population.clients=null"], "population.clients", None),
        (["data.name=/some/where=else.h5"], "data.name", "/some/where=else.h5"),
    ],
    ids=str,
)
def test_overrides(job_file: Path, overrides: list[str], path: str, value: Any) -> None:
    assert get(read_job(str(job_file), overrides), path) == value


@pytest.mark.parametrize(
    ("text", "override", "path"),
    [
        ("algorithm: fedprox", "algorithm.mu=0.1", "algorithm.mu"),
        ("clock: sync", "clock.overcommitment=0.1e2", "clock.overcommitment"),
        ("data: {partition: iid}", "data.partition.clients=7", "data.partition.clients"),
    ],
)
def test_an_option_can_be_set_on_the_short_form(
    job_file: Path, text: str, override: str, path: str
) -> None:
    job_file.write_text(yaml.safe_dump(MINIMAL) + text)
    job = read_job(str(job_file), [override])
    assert get(job, path) == float(override.partition("=")[2])
    assert dump_job(job) != dump_job(read_job(str(job_file)))


def test_an_override_keeps_the_rest_of_its_section(job_file: Path) -> None:
    job_file.write_text(yaml.safe_dump(FULL))
    job = read_job(str(job_file), ["training.lr=0.5"])
    assert job.training.model_dump() == parse_job(FULL).training.model_dump() | {"lr": 0.5}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("lr", "section.key=value"),
        ("=3", "section.key=value"),
        ("", "section.key=value"),
        ("training.lr=[1", "training.lr"),
        ("training.lr=", "training.lr"),
        ("training.lr=fast", "training.lr"),
        ("training.l=3", "did you mean training.lr?"),
        ("trainig.lr=3", "did you mean training.lr?"),
        ("training..lr=3", "no such key"),
        (".lr=3", "no such key"),
        ("training.lr.x=3", "training.lr"),
        ("rounds.x=3", "rounds"),
        ("model.hidden.0=3", "hidden"),
        ("training=", "training"),
        ("algorithm=fedprx", "did you mean fedprox?"),
    ],
)
def test_wrong_overrides_are_refused(job_file: Path, override: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_job(str(job_file), [override])
    assert said in one_line(caught.value)


@pytest.mark.parametrize(
    ("overrides", "places"),
    [
        (["trainin.lr=1"], ["command line"]),
        (["no override"], ["command line"]),
        (["training={a: 1, b: 1}", "rounds=0"], ["command line"] * 3),
        (["seed=1"], ["FILE"]),
        (["training.epochs=1", "training.local_steps=1"], ["FILE, command line"]),
    ],
)
def test_an_error_says_whether_it_is_of_the_file_or_of_the_command_line(
    tmp_path: Path, overrides: list[str], places: list[str]
) -> None:
    file = tmp_path / "job.yaml"
    wrong = "lrr: 0.1" if "FILE" in places else "lr: 0.1"
    file.write_text(f"rounds: 1\nselection: uniform\nmodel: logreg\ntraining: {{{wrong}}}\n")
    with pytest.raises(InputError) as caught:
        read_job(str(file), [*overrides, "selection.participants=2"])
    found = [line.partition(": ")[0] for line in caught.value.lines]
    assert found == [place.replace("FILE", str(file)) for place in places]


@pytest.mark.parametrize(
    "override",
    [
        "seed=2024-99-99",
        "seed=0x_",
        "seed=!!timestamp x",
        "seed=" + "[" * 5000,
        "training={lr: 1, lr: 2}",
        "seed\n=1",
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_overrides_that_yaml_cannot_construct_are_refused(job_file: Path, override: str) -> None:
    with pytest.raises(InputError) as caught:
        read_job(str(job_file), [override])
    one_line(caught.value)


def put(raw: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        raw = raw.setdefault(part, {})
    raw[path[-1]] = value


def get(job: Any, path: str) -> Any:
    for part in path.split("."):
        job = getattr(job, part)
    return job


# Whatever comes: a job or an InputError of one line

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.binary(max_size=4)
    | st.dates()
    | st.sampled_from(
        [
            "fedprox",
            "uniform",
            "sync",
            "mlp",
            "natural",
            "iid",
            "./x.py:X",
            "os:path",
            ":",
            ".x:X",
            "\0.py:X",
        ]
    )
)
KEYS = (
    st.text(max_size=8)
    | st.sampled_from([*FULL, "mode", "lr", "clients", "partition", "epochs"])
    | st.integers()
    | st.none()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def paths(raw: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(raw, dict):
        for key, value in raw.items():
            yield (*before, key)
            yield from paths(value, (*before, key))


@st.composite
def mutated(draw: st.DrawFn) -> dict[Any, Any]:
    """The full job with one to three things replaced, removed or added."""
    raw = copy.deepcopy(FULL)
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(list(paths(raw))))
        inner: Any = raw
        for parent in parents:
            inner = inner[parent]
        action = draw(st.sampled_from(["replace", "remove", "add", "copy"]))
        if action == "replace":
            inner[last] = draw(VALUES)
        elif action == "add":
            inner[draw(KEYS)] = draw(VALUES)
        elif action == "copy":  # of another part of the same job
            value: Any = FULL
            for part in draw(st.sampled_from(list(paths(FULL)))):
                value = value[part]
            inner[last] = copy.deepcopy(value)
        elif len(raw) > 1:
            del inner[last]
    return raw


def check_job_or_refusal(raw: Any) -> None:
    try:
        job = parse_job(raw)
    except InputError as error:
        well_told(error)
        return
    assert isinstance(job, Job)
    assert all(
        isinstance(getattr(job, key), Section)
        for key in FULL
        if key not in ("name", "seed", "rounds")
    )
    assert all(
        math.isfinite(value)
        for value in (job.training.lr, job.training.clip_norm or 0.0, job.rounds)
    )
    assert dump_job(parse_job(load_yaml(dump_job(job)))) == dump_job(job)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
@example(with_sections(model=3))
@example(with_sections(algorithm={"name": [1]}))
@example({" ": None})
@example({"\x85": None})
@examples(150)
def test_any_mapping_is_a_job_or_an_input_error(raw: dict[Any, Any]) -> None:
    check_job_or_refusal(raw)
    check_job_or_refusal(with_sections() | raw)


@given(mutated())
@example(FULL | {"data": {"partition": 3}})
@example(FULL | {"a\nb": 3})
@example(FULL | {"algorithm": ".x:X"})
@examples(250)
def test_any_mutation_of_a_job_is_a_job_or_an_input_error(raw: dict[Any, Any]) -> None:
    check_job_or_refusal(raw)


PIECES = [
    *"{}[],:&*!|>'\"%@`#-?\n\t ~0_.",
    "<<",
    "!!",
    "...",
    "---",
    "0x",
    "2024-13-41",
    "é",
    "\x85",
    "!!map",
    "!!int",
]


@st.composite
def mutated_text(draw: st.DrawFn) -> str:
    """The full job's text with pieces put in and cut out."""
    text = yaml.safe_dump(FULL, default_flow_style=draw(st.booleans()))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(0, 10)))
        text = text[:start] + draw(st.sampled_from(PIECES)) + text[stop:]
    return text


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
    | mutated_text()
)
@example("a: 2024-13-41")
@example("? [a]\n: b")
@examples(250)
def test_any_text_is_a_mapping_or_an_input_error(text: str) -> None:
    try:
        raw = load_yaml(text)
    except InputError as error:
        one_line(error)
        return
    assert isinstance(raw, dict)
    check_job_or_refusal(raw)


@given(
    st.lists(
        st.text(max_size=20)
        | st.tuples(
            st.sampled_from([".".join(path) for path in paths(FULL)]),
            st.sampled_from(PIECES) | st.text(max_size=8),
        ).map("=".join),
        max_size=3,
    )
)
@example(["seed=2024-13-41"])
@example(["model=3"])
@examples(100)
def test_any_override_ends_in_a_job_or_an_input_error(overrides: list[str]) -> None:
    try:
        job = read_job("quickstart", overrides)
    except InputError as error:
        well_told(error)
        return
    check_job_or_refusal(yaml.safe_load(dump_job(job)))


def test_a_preset_keeps_what_is_not_overridden_in_its_sections() -> None:
    clock = parse_job(
        with_sections(clock={"preset": "fedscale", "latency": {"model_bytes": 1000}})
    ).clock
    assert (clock.latency.compute, clock.latency.kbit, clock.latency.model_bytes) == (
        "batches",
        1024,
        1000,
    )
    assert (clock.mode, clock.availability) == ("sync", "fedscale")


def test_a_preset_beside_a_part_without_its_keys_says_what_to_write_instead() -> None:
    clock = {"preset": "fedscale", "mode": "buffered", "concurrency": 20}
    with pytest.raises(InputError) as raised:
        parse_job(with_sections(clock=clock))
    (line,) = raised.value.lines
    assert line.startswith("clock.preset: 'fedscale' is not allowed with clock.mode 'buffered'")
    assert "no overcommitment" in line
    instead = yaml.safe_load(line.partition("stands for: ")[2])
    written = {"mode": "buffered", "concurrency": 20, **instead}
    assert parse_job(with_sections(clock=written)).clock.availability == "fedscale"


def test_an_unknown_preset_in_a_list_is_one_line_with_its_place() -> None:
    with pytest.raises(InputError) as caught:
        parse_job(with_sections(attacks=[{"name": "zero", "share": 0.5}, {"preset": "strong"}]))
    assert caught.value.lines == ("attacks.1.preset: 'strong' is not known; allowed: none",)


@pytest.mark.parametrize("preset", ["fedscal", 3, None])
def test_an_unknown_preset_names_the_known(preset: object) -> None:
    with pytest.raises(InputError, match=r"clock\.preset: .* allowed: fedscale"):
        parse_job(with_sections(clock={"preset": preset}))


def test_jobs_are_compared_key_by_key_also_where_keys_are_numbers() -> None:
    def job(most: int) -> Job:
        return parse_job(
            with_sections(
                data={"name": "sizes", "samples_per_client": {"quantiles": {0: 1, 100: most}}}
            )
        )

    assert difference(job(60), job(60)) is None
    assert difference(job(60), job(70)) == ("data.samples_per_client.quantiles.100.0", 60.0, 70.0)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"clock": {"availability": "resme"}}, "did you mean resume? allowed: strict, resume,"),
        ({"training": {"device": "gpu"}}, "'gpu' is not allowed; allowed: cpu, cuda"),
        (
            {"training": {"drop_last": "maybe"}},
            "'maybe' is not allowed; allowed: true, false, auto",
        ),
    ],
)
def test_a_value_that_is_not_in_a_list_is_told_with_what_is(section: Any, said: str) -> None:
    raw = {"rounds": 1, "model": "logreg", "selection": {"name": "uniform", "participants": 1}}
    with pytest.raises(InputError) as error:
        parse_job({**raw, **section})
    assert said in str(error.value)


def test_a_run_directory_in_place_of_a_job_names_the_job_in_it(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("name: x")
    with pytest.raises(InputError) as refused:
        read_job(str(tmp_path), [])
    assert str(refused.value) == (
        f"{tmp_path}: a run directory, not a job file; did you mean {tmp_path / 'job.yaml'}?"
    )


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("rounds=1e3", "rounds: '1e3' is not allowed: it is no whole number; write 1000"),
        ("rounds=ten", "rounds: 'ten' is not allowed: it is no whole number"),
        ("rounds={a: 1}", "rounds: {'a': 1} is a section; allowed: a valid integer"),
        (
            "evaluation.personal={}",
            "evaluation.personal: {} is a section; allowed: a valid boolean",
        ),
        ("rounds=1e999", "rounds: '1e999' is not allowed: it is no whole number"),
        (
            "training.lr=0.1..0.5",
            "training.lr: '0.1..0.5' is not allowed: it is no number; several values or a range are"
            " for mpifl sweep",
        ),
        ("training.lr=fast", "training.lr: 'fast' is not allowed: it is no number"),
    ],
)
def test_a_text_in_the_place_of_a_number_is_told_what_was_meant(override: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_job("quickstart", [override])
    assert str(caught.value).endswith(said)


def test_rounds_are_added_to_a_run_that_is_resumed_alone() -> None:
    """YAML reads +5 as 5: a job of 5 rounds would be another than was asked for."""
    with pytest.raises(InputError, match=r"^command line: rounds: \+5 is not allowed: only"):
        read_job("quickstart", ["rounds=+5"])
