"""Protocols of actors: the same bits on any number of ranks, resumed and after a lost rank; and FedAvg where they come to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from mpifl.errors import INTERRUPTED, WRONG_INPUT
from mpifl.protocols import REGISTRY
from tests.launching import Finished, recovers, resume_runs, run_job, run_jobs, take_up

CLIENTS = 20
JOB = (
    "quickstart",
    "rounds=4",
    "data.partition={name: dirichlet, clients: 20, alpha: 0.5}",
    "clock={mode: all, availability: resume}",
    "training.engine=loop",
    "training.epochs=1",
    "training.batch_size=20",
    "evaluation.every=2",
    "checkpoint.every=2",
)
ACTORS = (*JOB, "selection.participants=null")
OPTIONS = {
    "hierarchical": ("protocol.edges=3", "protocol.clients_per_edge=4", "protocol.edge_kbps=1000"),
    "gossip": ("protocol.graph={name: watts_strogatz, probability: 0.5}",),
    "d_psgd": ("protocol.graph=matching", "training.local_steps=1", "training.epochs=null"),
    "ad_psgd": ("protocol.graph=torus",),
    "split": ("protocol.server_gflops=0.001", "training.optimizer={name: sgd, momentum: 0.5}"),
    "splitfed": (
        "protocol.version=2",
        "protocol.cut=3",
        "training.optimizer=adam",
        "training.lr=0.003",
    ),
    "vertical": (
        "data.partition={name: vertical, clients: 3}",
        "training.batch_size=200",
        "protocol.known=0.8",
        "model={name: party_mlp, parties: 3}",
    ),
    "rotating": ("protocol.order=random",),
    "fedgkt": ("protocol.server_gflops=0.1",),
}
ONE_MODEL = ("hierarchical", "split", "splitfed", "vertical", "rotating", "fedgkt")
PROTOCOLS = sorted(set(REGISTRY) - {"rounds"})


def with_protocol(protocol: str, *more: str) -> tuple[str, ...]:
    return (*ACTORS, f"protocol.name={protocol}", *OPTIONS.get(protocol, ()), *more)


def assert_same(runs: list[Finished]) -> None:
    for run in runs:
        assert run.status == 0, run.stderr
        assert run.summary["model_sha256"] == runs[0].summary["model_sha256"]
        for table in ("rounds", "participants", "messages"):
            assert run.table(table).tobytes() == runs[0].table(table).tobytes(), table


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.runs((1, 2, 3), with_protocol)
def test_every_protocol_is_the_same_at_1_2_and_3_ranks_and_learns(
    runs: list[Finished], protocol: str
) -> None:
    assert_same(runs)
    rounds = runs[0].table("rounds")
    assert (rounds["end_seconds"][1:] > rounds["end_seconds"][:-1]).all()
    assert rounds["train_loss"][-1] < rounds["train_loss"][0]
    messages = runs[0].table("messages")
    assert (messages["delivered"] > 0).all()
    assert (messages["lost"] == 0).all()
    alike = protocol in ONE_MODEL
    assert ((messages["distance"] == 0) == alike).all()


SHARED_LINKS = {
    "hierarchical": "clock.latency={server_down_kbps: 3000, server_up_kbps: 800}",
    "split": "clock.latency={server_up_kbps: 400, retry: {broken_share: 0.2}, update_seconds: 0.01}",
    "ad_psgd": "clock.latency={cells: {number: 4, down_kbps: 500, up_kbps: 200},"
    " background: {busy_share: 0.5}, retry: {broken_share: 0.3, resume: false}}",
}


@pytest.mark.parametrize("protocol", SHARED_LINKS)
@pytest.mark.runs(
    (1, 3), lambda protocol: with_protocol(protocol, SHARED_LINKS[protocol], "rounds=6")
)
def test_transfers_that_slow_each_other_down_give_the_same_bits(
    runs: list[Finished], protocol: str
) -> None:
    assert_same(runs)


def test_transfers_that_share_a_link_go_on_from_a_checkpoint(tmp_path: Path) -> None:
    """At the end of a round of ad_psgd others are under way."""
    undisturbed = run_jobs(
        3,
        [
            (tmp_path, with_protocol(name, SHARED_LINKS[name], "rounds=6", "seed=3"))
            for name in SHARED_LINKS
        ],
    )
    assert_go_on(undisturbed)


STACKED = ("training.engine=stacked", "training.stack=4")


@pytest.mark.runs((1, 3), with_protocol("gossip", *STACKED))
def test_clients_that_are_trained_as_one_computation_give_the_same_bits(
    runs: list[Finished],
) -> None:
    assert_same(runs)


ALWAYS = "clock={mode: all, availability: always}"
FEDAVG = (*JOB, ALWAYS, f"selection.participants={CLIENTS}")
COMPLETE = ("protocol.graph=complete", "protocol.weights=samples")
ONE_EDGE = ("protocol.edges=1", "protocol.edge_rounds=1")


TWO_EACH = (*ACTORS, "protocol={name: hierarchical, edges: 2, edge_rounds: 2}")


@pytest.mark.runs((1,), TWO_EACH)
@pytest.mark.runs((1,), (*TWO_EACH, "training.schedule={name: step, every: 4, gamma: 0.1}"))
@pytest.mark.runs((1,), (*TWO_EACH, "training.schedule={name: step, every: 3, gamma: 0.1}"))
def test_a_schedule_goes_by_the_rounds_of_the_job(runs: list[Finished]) -> None:
    """Edges have made eight rounds by the end of the fourth."""
    plain, from_the_fifth, from_the_fourth = (run.summary["model_sha256"] for run in runs)
    assert plain == from_the_fifth
    assert plain != from_the_fourth


LINKS = {
    "own": "clock.latency.variation={compute: 0.5, bandwidth: 0.8}",
    "shared": "clock.latency={server_down_kbps: 2000, server_up_kbps: 500, round_trip_ms: 30}",
    "cells": "clock.latency={cells: {number: 3, down_kbps: 900, up_kbps: 300}}",
    "queue": "clock.latency={update_seconds: 1.5, server_up_kbps: 800}",
    "used": "clock.latency={background: {busy_share: 0.4, traffic_share: 0.4}}",
}
SHARES = ("shared", "cells", "queue")
"""Links on which transfers take longer than alone; the rounds' record has the seconds of these."""


@pytest.mark.parametrize("links", LINKS)
@pytest.mark.runs((1,), lambda links: (*FEDAVG, LINKS[links]))
@pytest.mark.runs(
    (2,),
    lambda links: (*ACTORS, ALWAYS, LINKS[links], "protocol.name=hierarchical", *ONE_EDGE),
)
def test_hierarchical_with_one_edge_is_fedavg_with_everybody(
    runs: list[Finished], links: str
) -> None:
    rounds, actors = runs
    assert actors.status == rounds.status == 0, actors.stderr
    assert actors.summary["model_sha256"] == rounds.summary["model_sha256"]

    for name in ("accuracy", "loss", "train_loss", "bytes_up", "bytes_down", "completed"):
        assert np.array_equal(
            actors.table("rounds")[name], rounds.table("rounds")[name], equal_nan=True
        ), name
    by_client = [np.sort(run.table("participants"), order=["round", "client"]) for run in runs]
    seconds = runs[0].table("rounds")["end_seconds"]
    assert actors.table("rounds")["end_seconds"] == pytest.approx(seconds, rel=1e-12)
    longer = ("download_seconds", "upload_seconds") if links in SHARES else ()
    for name in set(by_client[0].dtype.names or ()) - set(longer):
        columns = [np.nan_to_num(rows[name].astype(float)) for rows in by_client]
        assert columns[1] == pytest.approx(columns[0], rel=1e-9, abs=1e-9), name


@pytest.mark.runs((1,), FEDAVG)
@pytest.mark.runs((3,), (*ACTORS, ALWAYS, "protocol.name=gossip", *COMPLETE))
def test_gossip_on_a_complete_graph_is_fedavg_with_everybody(runs: list[Finished]) -> None:
    rounds, actors = runs
    assert actors.status == 0, actors.stderr
    assert actors.summary["model_sha256"] == rounds.summary["model_sha256"]
    assert (actors.table("messages")["distance"] == 0).all()


EXAMPLES = Path(__file__).parents[2] / "examples"
RELAY = f"{EXAMPLES}/plug_ins/protocol.py:Relay"


@pytest.mark.parametrize("cut", ["2", "3"])
@pytest.mark.runs((1,), (*ACTORS, f"protocol.name={RELAY}"))
@pytest.mark.runs((3,), lambda cut: (*ACTORS, "protocol.name=split", f"protocol.cut={cut}"))
def test_split_learning_is_the_undivided_model_that_goes_from_client_to_client(
    runs: list[Finished], cut: str
) -> None:
    undivided, split = runs
    assert split.status == 0, split.stderr
    assert split.summary["model_sha256"] == undivided.summary["model_sha256"]
    losses = [run.table("rounds")["train_loss"] for run in runs]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


LOGREG = (
    "quickstart",
    "rounds=3",
    ALWAYS,
    "model=logreg",
    "training.engine=loop",
    "training.batch_size=100",
)
POOLED = (*LOGREG, "data.partition={name: iid, clients: 1}", "selection.participants=1")
PARTIES = (
    *LOGREG,
    "data.partition={name: vertical, clients: 3}",
    "selection.participants=null",
    "protocol.name=vertical",
)


@pytest.mark.runs((1,), POOLED)
@pytest.mark.runs((2,), PARTIES)
def test_vertical_logistic_regression_is_that_on_all_features_pooled(runs: list[Finished]) -> None:
    pooled, parties = (load_file(run.folder / "model.safetensors") for run in runs)
    for name, weights in pooled.items():
        assert np.abs(parties[name] - weights).max() < 1e-6, name
        assert np.abs(weights).max() > 0.1
    losses = [run.table("rounds")["train_loss"] for run in runs]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


KNOWN = (*PARTIES, "protocol.known=0.7")


@pytest.mark.runs((1,), KNOWN)
@pytest.mark.runs((2,), (*KNOWN, "protocol.alignment=none"))
def test_parties_train_on_the_samples_that_all_have(runs: list[Finished]) -> None:
    found, told = runs
    assert found.status == 0, found.stderr
    assert found.summary["model_sha256"] == told.summary["model_sha256"]
    extra = found.table("messages")["bytes"] - told.table("messages")["bytes"]
    held = round(0.7 * 1438)
    common = 1438 * 0.7**3
    points = 2 * 32 * held + 2 * 2 * 32 * held  # of the hosts, and of the guest to and fro
    assert extra[0] == pytest.approx(points + 2 * 4 * common, rel=0.02)
    assert not extra[1:].any()
    assert found.summary["virtual_seconds"] > told.summary["virtual_seconds"]


FULL_BATCHES = (
    *(option for option in JOB if not option.startswith("checkpoint")),
    ALWAYS,
    "model=logreg",
    "training={batch_size: 10000, epochs: 3, lr: 0.3, engine: loop}",
)
FEDML = (
    *FULL_BATCHES,
    "selection.participants=null",
    f"protocol.name={EXAMPLES}/fedml/fedavg.py:FedAvg",
    "protocol.args={comm_round: 4, epochs: 3, learning_rate: 0.3}",
    "protocol.passes={train: 3}",
)


@pytest.mark.runs((1,), (*FULL_BATCHES, f"selection.participants={CLIENTS}"))
@pytest.mark.runs((1, 2, 3), FEDML)
def test_fedavg_by_managers_of_fedml_is_fedavg(runs: list[Finished]) -> None:
    rounds, *workers = runs
    assert_same(workers)
    models = [load_file(run.folder / "model.safetensors") for run in (rounds, workers[0])]
    for name, weights in models[0].items():
        assert np.abs(models[1][name] - weights).max() < 1e-6, name
    ours, theirs = workers[0].table("rounds"), rounds.table("rounds")
    assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=0.2)
    assert (ours["bytes_up"] > theirs["bytes_up"]).all()
    assert (ours["bytes_up"] < 1.3 * theirs["bytes_up"]).all()


def test_managers_of_fedml_go_on_from_a_checkpoint(tmp_path: Path) -> None:
    (undisturbed,) = run_jobs(3, [(tmp_path, (*FEDML, "checkpoint.every=3"))])
    before = undisturbed.summary["model_sha256"]
    tables = [undisturbed.table(name).tobytes() for name in TABLES]
    (resumed,) = resume_runs(2, [undisturbed])
    assert resumed.status == 0, resumed.stderr
    resumed.__dict__.pop("summary", None)
    assert resumed.summary["resumed_from"] == 3
    assert resumed.summary["model_sha256"] == before
    assert [resumed.table(name).tobytes() for name in TABLES] == tables


@pytest.mark.runs((1,), FEDAVG)
@pytest.mark.runs((3,), (*ACTORS, ALWAYS, "protocol.name=rotating"))
def test_a_rotating_aggregator_has_the_models_of_a_server(runs: list[Finished]) -> None:
    rounds, actors = runs
    assert actors.status == 0, actors.stderr
    assert actors.summary["model_sha256"] == rounds.summary["model_sha256"]


@pytest.mark.runs((1,), FEDAVG)
@pytest.mark.runs((3,), (*ACTORS, ALWAYS, "protocol.name=splitfed", "protocol.cut=3"))
def test_splitfed_version_1_is_fedavg_with_everybody(runs: list[Finished]) -> None:
    rounds, actors = runs
    assert actors.status == 0, actors.stderr
    assert actors.summary["model_sha256"] == rounds.summary["model_sha256"]
    assert actors.table("rounds")["train_loss"] == pytest.approx(
        rounds.table("rounds")["train_loss"], rel=1e-6
    )


def test_every_protocol_goes_on_from_a_checkpoint_on_other_ranks(tmp_path: Path) -> None:
    asked = [(tmp_path, with_protocol(name, "rounds=6", "seed=3")) for name in PROTOCOLS]
    assert_go_on(run_jobs(3, asked))


def assert_go_on(undisturbed: list[Finished]) -> None:
    """Resume runs of six rounds after the fourth, on other ranks: nothing is different."""
    for run in undisturbed:
        assert run.status == 0, run.stderr
    before = [
        (run.summary["model_sha256"], [run.table(name).tobytes() for name in TABLES])
        for run in undisturbed
    ]

    resumed = resume_runs(2, undisturbed)

    for run, (digest, tables) in zip(resumed, before, strict=True):
        assert run.status == 0, run.stderr
        run.__dict__.pop("summary", None)
        assert run.summary["resumed_from"] == 4
        assert run.summary["model_sha256"] == digest
        assert [run.table(name).tobytes() for name in TABLES] == tables


TABLES = ("rounds", "participants", "messages")

SIGNALLED = """
import os, signal
from pathlib import Path

from {module} import {kind}

TOKEN = Path({token!r})

class Mine({kind}):
    name: str = "mine"

    def cost(self, actor, event, setting):  # both the driver and the rank of the actor ask
        rank = os.environ.get("OMPI_COMM_WORLD_RANK", os.environ.get("PMI_RANK"))
        if rank == "{rank}" and self.job_round(event.round, setting) >= 4 and TOKEN.exists():
            TOKEN.unlink()
            os.kill(os.getpid(), signal.{signal})
        return super().cost(actor, event, setting)
"""
KILLED = {
    "gossip 0": ("protocol.graph=ring",),
    "gossip 1": ("protocol.graph=ring",),
    "split 0": OPTIONS["split"],
    "splitfed 1": OPTIONS["splitfed"],
    "vertical 0": OPTIONS["vertical"],
    "rotating 1": OPTIONS["rotating"],
    "fedgkt 1": OPTIONS["fedgkt"],
}
"""A protocol, the rank that gets a signal in round 4, and the options."""
FEW_STEPS = (
    "data.partition={name: iid, clients: 5}",
    "training.epochs=1",
    "training.batch_size=200",
)


def signalled(folder: Path, case: str, number: str) -> tuple[tuple[str, ...], Path]:
    """Return a job in which a rank gets a signal in round 4 while a file is there, and that file."""
    name, rank = case.split()
    module, _, kind = REGISTRY[name].partition(":")
    token = folder / f"{name}-{rank}.token"
    plug_in = folder / f"{name}_{rank}.py"
    plug_in.write_text(
        SIGNALLED.format(module=module, kind=kind, token=str(token), rank=rank, signal=number)
    )
    options = (*FEW_STEPS, *KILLED[case], "rounds=6")
    return (*ACTORS, f"protocol.name={plug_in}:Mine", *options), token


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finished]:
    """The runs of the protocols of KILLED, to which nothing happens."""
    folder = tmp_path_factory.mktemp("undisturbed")
    names = sorted({case.split()[0] for case in KILLED})
    cases = [next(case for case in KILLED if case.startswith(f"{name} ")) for name in names]
    jobs = [(folder, signalled(folder, case, "SIGKILL")[0]) for case in cases]
    return dict(zip(names, run_jobs(1, jobs), strict=True))


@pytest.mark.skipif(not recovers(), reason="this MPI was built without ULFM")
@pytest.mark.parametrize("case", sorted(set(KILLED) - {"split 0"}))
def test_a_killed_rank_leaves_no_trace_in_the_bits(
    undisturbed: dict[str, Finished], tmp_path: Path, case: str
) -> None:
    job, token = signalled(tmp_path, case, "SIGKILL")
    token.touch()

    killed = run_job(3, tmp_path, *job)

    assert killed.status == 0, killed.stderr
    assert killed.summary["ranks_lost"] == 1
    assert_same([undisturbed[case.split()[0]], killed])


def test_a_signal_ends_a_run_within_a_round_and_it_goes_on_there(
    undisturbed: dict[str, Finished], tmp_path: Path
) -> None:
    job, token = signalled(tmp_path, "split 0", "SIGUSR1")
    token.touch()

    stopped = run_job(3, tmp_path, *job)

    assert stopped.status == INTERRUPTED, stopped.stderr
    assert "stopped in round 4, with a checkpoint" in stopped.stderr
    names = [path.name for path in (stopped.folder / "checkpoint").glob("round-*.h5")]
    assert max(names).startswith("round-00000003.")
    (resumed,) = take_up(2, [stopped])
    assert resumed.summary["resumed_from"] == 3
    assert_same([undisturbed["split"], resumed])


WRONG_PARTS = {
    "protocol={name: split, cut: 9}": "protocol.cut: 9 is not allowed: there is no such layer; allowed:"
    " 2 (Linear), 3 (ReLU)",
    "protocol={name: splitfed, cut: '4'}": "protocol.cut: '4' is not allowed: there is no such layer",
    "protocol.name=vertical": "data.partition.name: 'dirichlet' is not allowed with protocol.name",
}


@pytest.mark.parametrize("change", WRONG_PARTS)
@pytest.mark.runs((1,), lambda change: (*ACTORS, change))
def test_a_wrong_part_of_a_model_is_refused(runs: list[Finished], change: str) -> None:
    assert runs[0].status == 2
    assert WRONG_PARTS[change] in runs[0].stderr
    assert "Traceback" not in runs[0].stderr


WRONG = {
    "algorithm=scaffold": "algorithm.name: 'scaffold' is not allowed with protocol.name gossip",
    "exchange.up=[sign]": "exchange.up is not allowed with protocol.name gossip",
    "selection.participants=5": "selection.participants: 5 is not allowed with protocol.name gossip",
    "selection=pyramidfl": "selection.name: 'pyramidfl' is not allowed with protocol.name gossip",
    "clock.latency.server_up_kbps=5": "clock.latency.server_up_kbps: 5 is not allowed with"
    " protocol.name gossip, which has no server; leave it out",
    "clock.latency.update_seconds=1": "clock.latency.update_seconds: 1 is not allowed with protocol",
    "clock.latency.server_seconds=1": "clock.latency.server_seconds is not allowed with protocol",
    "clock.latency.model_bytes_up=9": "clock.latency.model_bytes_up is not allowed with protocol",
    "clock={mode: buffered, concurrency: 5}": "clock.mode: 'buffered' is not allowed",
    "protocol.graph=exponential": "protocol.weights: 'metropolis' is not allowed with",
    "protocol.graph={name: regular, degree: 50}": "protocol.graph: regular of 20 clients",
    "protocol.graph=rong": "protocol.graph.name",
}


@pytest.mark.parametrize("change", WRONG)
@pytest.mark.runs((1,), lambda change: with_protocol("gossip", change))
def test_what_a_protocol_does_not_use_is_refused(runs: list[Finished], change: str) -> None:
    assert runs[0].status == 2
    assert WRONG[change] in runs[0].stderr
    assert "Traceback" not in runs[0].stderr


@pytest.mark.parametrize("protocol", ["gossip", "rotating"])
@pytest.mark.runs(
    (1,), lambda protocol: with_protocol(protocol, "clock.availability=strict", "rounds=40")
)
def test_a_protocol_that_waits_for_lost_messages_says_so(
    runs: list[Finished], protocol: str
) -> None:
    assert runs[0].status == 2
    assert f"the protocol {protocol} stands still in round" in runs[0].stderr
    assert "allowed with it: resume, or always without outages\n" in runs[0].stderr


@pytest.mark.runs(
    (1,),
    with_protocol("gossip", "clock.availability=resume", "protocol.offline=lose", "rounds=40"),
)
def test_what_is_lost_by_the_protocol_itself_is_told(runs: list[Finished]) -> None:
    assert runs[0].status == 2
    assert "mpifl: rank 0: protocol.offline: 'lose': " in runs[0].stderr
    assert "whose receivers were offline; allowed: wait\n" in runs[0].stderr


FORGETFUL = """
from mpifl.clock.cost import NOTHING
from mpifl.protocols.protocol import Protocol

SEEN = []


class Relay(Protocol):
    name: str = "relay"

    def reporters(self, population):
        return 1

    def cost(self, actor, event, setting):
        return NOTHING

    def on_start(self, me):
        if me.number == 0:
            me.send(1, "model", round=1, model=me.initial)

    def on_message(self, me, message):
        SEEN.append(me.number)
        me.report(message.arrays["model"])
        me.send(me.number, "model", round=me.round + 1, model=message.arrays["model"])
"""


def test_a_protocol_of_ones_own_that_remembers_outside_of_its_actors_is_refused(
    tmp_path: Path,
) -> None:
    (tmp_path / "mine.py").write_text(FORGETFUL)
    relay = f"protocol={tmp_path}/mine.py:Relay"
    run = run_job(1, tmp_path, *ACTORS, relay, "rounds=80")  # it is looked for now and then
    assert run.status == WRONG_INPUT
    assert "protocol.name: " in run.stderr
    assert "carries state from one call to the next: SEEN of mine.py has changed" in run.stderr


SPOILING = """
from mpifl.protocols.protocol import Protocol


class Relay(Protocol):
    name: str = "relay"

    def reporters(self, population):
        return 1

    def on_start(self, me):
        if me.number == 0:
            me.send(1, "model", round=1, model=me.initial)

    def on_message(self, me, message):
        model = message.arrays["model"].mul_(0.5)
        me.report(model)
        me.send(me.number, "model", round=me.round + 1, model=model)
"""


def test_a_protocol_of_ones_own_that_writes_into_a_message_is_refused(tmp_path: Path) -> None:
    """The array was the initial model of all actors on that rank, and of no others."""
    (tmp_path / "mine.py").write_text(SPOILING)
    run = run_job(1, tmp_path, *ACTORS, f"protocol={tmp_path}/mine.py:Relay")
    assert run.status == WRONG_INPUT
    assert "a handler changes arrays['model'] of a message 'model' in place" in run.stderr


OFTEN_LOST = with_protocol("ad_psgd", "clock.availability=strict", "rounds=60")


@pytest.mark.runs((1, 3), OFTEN_LOST)
@pytest.mark.runs((1,), (*OFTEN_LOST, "protocol.timeout_seconds=1e9"))
def test_clients_of_ad_psgd_go_on_without_answers_that_do_not_come(runs: list[Finished]) -> None:
    assert_same(runs[:2])

    def still_training(run: Finished) -> int:
        rows = run.table("participants")
        return len(np.unique(rows["client"][(rows["round"] > 50) & (rows["steps"] > 0)]))

    assert still_training(runs[0]) > still_training(runs[2]) > 0


EDGES = (
    "quickstart",
    "rounds=2",
    "selection.participants=null",
    "clock={mode: all, availability: always}",
    "data.partition={name: dirichlet, clients: 12, alpha: 0.5}",
    "protocol={name: hierarchical, edges: 3, edge_rounds: 1, edge_kbps: 100}",
)


@pytest.mark.runs((1,), EDGES)
def test_a_round_through_edges_takes_as_long_as_its_slowest_edge(runs: list[Finished]) -> None:
    """The formula of docs/clock.md: the edge's link both ways, and the slowest of its clients."""
    (run,) = runs
    rows, rounds = run.table("participants"), run.table("rounds")
    link = 8 / 1000 / 100  # seconds a byte
    for number in (1, 2):
        own = rows[rows["round"] == number]
        size = own["bytes_up"][0]
        work = own["download_seconds"] + own["compute_seconds"] + own["upload_seconds"]
        slowest = max(work[own["client"] % 3 == edge].max() for edge in range(3))
        lasts = rounds["end_seconds"][number - 1] - rounds["start_seconds"][number - 1]
        samples = 8  # bytes: their number goes with the edge's model
        assert lasts == pytest.approx(size * link + slowest + (size + samples) * link, rel=1e-9)
