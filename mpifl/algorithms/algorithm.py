"""The base class of federated algorithms. ``fedavg.py`` is the shortest example."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from mpifl.algorithms.arrays import MODEL, Array, Arrays
from mpifl.algorithms.context import ClientContext, PersonalModel, Program, ServerContext, Upload
from mpifl.algorithms.requests import Call, Train, Trained
from mpifl.clock.cost import Cost
from mpifl.job import Job
from mpifl.job.section import Section
from mpifl.models.layout import Layout
from mpifl.population.population import Population

if TYPE_CHECKING:
    import torch


FOUND = np.dtype([("quantity", "S16"), ("at", "<f8"), ("value", "<f8")])
"""A number that an algorithm without a model has found: what it is, and of which value."""

Server = TypeVar("Server", bound=Callable[..., Any])


def elementwise(server: Server) -> Server:
    """Say of a ``server`` that each entry of its model-sized arrays depends on the same entry only.

    That is on those entries of the state and of the means, and on numbers. Of a large model it is
    then called for one block of entries after the other, so that it needs no further memory;
    ``s.layout`` is that of the whole model.
    """
    server.elementwise = True  # type: ignore[attr-defined]
    return server


class Algorithm(Section):
    """A federated algorithm with its options; an instance never changes.

    It has a client side, ``client``, and a server side, ``server``. What they exchange and keep are
    named arrays of float32, whose shapes it declares. A model is a vector (size,): the trained
    segment, and behind it the averaged one (buffers such as batch norm's running means). mpifl
    averages the latter by itself; of an uploaded model-sized array only the trained segment is
    summed, and its mean is 0 behind it.

    Attributes:
        received: The arrays of the server's state that participants receive, by name.
        uploaded: The arrays that participants upload, by name; each becomes a weighted mean.
        kept: The arrays that a client keeps from one participation to the next, by name.
        weighs_samples: Whether clients count by their samples in the means; if not, all count the
            same.
        weighs_work: Whether a client that a clock cuts short (clock.partial) weighs by the samples
            that it went through, instead of by those that it has.
        shares_averages: Whether participants upload the averaged segment.
        trains: Whether there is a model to train; without, ``found`` says what is recorded.
        grows: Whether it grows trees (``Model.grown``), instead of training weights.
        reads_outputs: Whether clients look at a module's features or outputs beside its loss.
        uploads_model: Whether the first array that clients upload is a model, not what has changed.
        needs_products: Whether ``server`` needs the inner products of the round's updates.
        needs_initial: Whether clients that receive the model ask for ``c.initial`` too.
        needs_others: Names of kept arrays that other clients (``c.others``) or the server
            (``s.others``) read.
        merges_adapters: Whether the weights of layers with adapters are in the model.
        name: The name in the registry, or of the plug-in.
    """

    left_to_plug_ins: ClassVar[tuple[str, ...]] = ("server",)

    received: ClassVar[Mapping[str, Array]] = {"model": MODEL}
    uploaded: ClassVar[Mapping[str, Array]] = {"update": MODEL}
    kept: ClassVar[Mapping[str, Array]] = {}
    weighs_samples: ClassVar[bool] = True
    weighs_work: ClassVar[bool] = True
    shares_averages: ClassVar[bool] = True
    """Whether participants upload the averaged segment. If not, that of the model never changes."""

    trains: ClassVar[bool] = True
    """Whether there is a model to train. If not, the job has ``model: none`` and tests nothing."""

    grows: ClassVar[bool] = False
    reads_outputs: ClassVar[bool] = False
    """Whether clients look at a module's features or outputs beside its loss.

    Objectives that put a module of their own around the model's are then refused."""

    uploads_model: ClassVar[bool] = False
    needs_products: ClassVar[bool] = False
    """Ranks then keep the updates of a round until its end."""
    needs_initial: ClassVar[bool] = False
    """Ranks then keep it: 4 bytes a weight. Where participants do not receive the model they keep
    it anyway."""

    needs_others: ClassVar[tuple[str, ...]] = ()
    """In the emulated federation the server has them of every client, and sends them."""

    merges_adapters: ClassVar[bool] = False
    name: str

    def received_arrays(self, layout: Layout) -> Mapping[str, Array]:
        """Return ``received``. To be overridden where shapes depend on options or the model."""
        return self.received

    def uploaded_arrays(self, layout: Layout) -> Mapping[str, Array]:
        """Return ``uploaded``. To be overridden where shapes depend on options or the model."""
        return self.uploaded

    def kept_arrays(self, layout: Layout) -> Mapping[str, Array]:
        """Return ``kept``. To be overridden where shapes depend on options or the model."""
        return self.kept

    def transfers(self, layout: Layout) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
        """Return what goes over the air: the arrays that a participant downloads, and uploads.

        By default those received and uploaded. To be overridden where ranks exchange more than a
        participant needs, such as the models of all clusters.
        """
        return self.received_arrays(layout), self.uploaded_arrays(layout)

    def numbers_of_round(self, layout: Layout, round_number: int) -> tuple[int, int] | None:
        """Return how many numbers a participant downloads and uploads in a round.

        None where these are all of ``transfers`` in every round.
        """
        return None

    @property
    def reads_classes(self) -> bool:
        """Whether clients take a module's outputs for logits of the data's classes.

        Objectives for which a model has other outputs are then refused.
        """
        return False

    @property
    def slots(self) -> int:
        """How many sums a round has; an upload goes into one of them (``Upload.slot``)."""
        return 1

    @property
    def public(self) -> int:
        """How many public samples a round has, drawn from the validation part of the data."""
        return 0

    @property
    def kinds(self) -> int:
        """How many kinds of clients there are, each with a part of the model of its own."""
        return 1

    def kinds_of(self, clients: np.ndarray, population: Population) -> np.ndarray:
        """Return the kind of each client, from 0 on. Not called where there is one kind only.

        Args:
            clients: Client numbers (n,), int64.
            population: With its device trace. The kind of a client never changes.

        Returns:
            Kinds (n,), int64.
        """
        return np.zeros(len(clients), np.int64)

    def kind_name(self, kind: int) -> str:
        """Return what a kind of clients is called in what ``mpifl check`` says."""
        return f"kind {kind + 1}"

    def entries(self, layout: Layout, kind: int) -> int:
        """Return how many entries of the model a client of a kind has; what travels are these."""
        return layout.size

    def trains_parts(self, layout: Layout) -> bool:
        """Return whether there are clients that have a part of the model only."""
        return self.kinds > 1 or self.entries(layout, 0) < layout.size

    def flops(self, layout: Layout, kind: int, by_layer: Mapping[str, float]) -> float:
        """Return the FLOPs that a sample costs a client of a kind.

        Args:
            layout: The model.
            kind: From 0 on.
            by_layer: Those of the whole model in each module, by its path (empty: all).
        """
        return by_layer[""]

    def settled(self, population: Population) -> Algorithm:
        """Return this algorithm with what it leaves open settled for a population.

        Args:
            population: The clients, with the device trace.

        Raises:
            InputError: It does not work with these clients.
        """
        return self

    def cost(self, layout: Layout) -> Cost:
        """Return what the client side computes. By default the planned local steps.

        Args:
            layout: The model.
        """
        return Cost()

    def check(self, job: Job) -> None:
        """Check that the algorithm works with the rest of the job.

        Args:
            job: The whole job.

        Raises:
            InputError: It does not; the message names the key.
        """

    def check_model(self, job: Job, layout: Layout) -> None:
        """Check that the algorithm works with the model and the rest of the job.

        Args:
            job: The whole job, with the keys settled that depend on the model.
            layout: The model.

        Raises:
            InputError: It does not.
        """

    def weight(self, samples: np.ndarray) -> np.ndarray:
        """Return the weights of clients in the means; mpifl scales a round's to a sum of 1.

        Args:
            samples: The number of samples of each client, (clients,) int64.

        Returns:
            One weight > 0 for each client, (clients,) float64. By default the number of samples, or
            1 without ``weighs_samples``.
        """
        return samples.astype(np.float64) if self.weighs_samples else np.ones(len(samples))

    def start(self, model: np.ndarray, layout: Layout, random: np.random.Generator) -> Arrays:
        """Return the server's state before the first round, with ``model`` in it.

        Args:
            model: The initial model, (size,) float32.
            layout: Where its tensors lie in it.
            random: A generator that depends on the job's seed only.
        """
        return {"model": model}

    def client(self, c: ClientContext) -> Program:
        """Yield requests (``requests.py``) and return an Upload: one participation of a client.

        It may depend on its argument only. By default: train, and upload the update.

        Args:
            c: The participant.
        """
        trained: Trained = yield Train(c.received["model"])
        return Upload(update=trained.take_update())

    def personal(self, c: ClientContext) -> torch.Tensor | PersonalModel:
        """Return the model (size,) with which a client is tested (``evaluation.personal``).

        Or a program that returns it: it may yield requests, such as a Train that adapts the model
        to the client. By default it is the global model.

        Args:
            c: The client, with the newest arrays of the server and with what it kept when it last
                took part. ``kept`` is empty for a client that never did.
        """
        return c.received["model"]

    def tuned(self, layout: Layout) -> frozenset[str] | None:
        """Return the names of the tensors that ``evaluation.fine_tune_steps`` trains; None: all."""
        return None

    def server(self, s: ServerContext, mean: Arrays) -> Arrays | Generator[Call, Any, Arrays]:
        """Return the arrays of the state that change. Not called when nobody completed a round.

        Or a program that returns them: it may yield Calls, whose functions get a module on rank 0
        and no samples (``x`` and ``y`` are empty), such as for steps on ``s.public(s.round)``.

        Of ``model`` only the trained segment counts: the averaged one is averaged by mpifl, unless
        no model is returned, which then stays as it is.

        Args:
            s: The round, with the state before it. Its arrays may not be changed.
            mean: The weighted mean of each uploaded array by name, float64; with ``slots`` above 1
                one for each slot, (slots, ...), 0 where there was none.

        Returns:
            Arrays by name, of the shapes that they had; float64 is rounded to float32.
        """
        raise NotImplementedError

    def found(self, state: Arrays) -> np.ndarray:
        """Return what is recorded of a round (structured FOUND), given the state after it.

        Of an algorithm that trains a model nothing.
        """
        return np.empty(0, FOUND)
