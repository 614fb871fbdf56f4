"""The base class of federated algorithms. ``fedavg.py`` is the shortest example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mpifl.algorithms.arrays import MODEL, Array, Arrays
from mpifl.algorithms.context import ClientContext, PersonalModel, Program, ServerContext, Upload
from mpifl.algorithms.requests import Train, Trained
from mpifl.clock.cost import Cost
from mpifl.job import Job
from mpifl.job.section import Section
from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch


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
        name: The name in the registry, or of the plug-in.
    """

    received: ClassVar[Mapping[str, Array]] = {"model": MODEL}
    """The arrays of the server's state that participants receive, by name."""
    uploaded: ClassVar[Mapping[str, Array]] = {"update": MODEL}
    """The arrays that participants upload, by name; each becomes a weighted mean."""
    kept: ClassVar[Mapping[str, Array]] = {}
    """The arrays that a client keeps from one participation to the next, by name."""
    weighs_samples: ClassVar[bool] = True
    """Whether clients count by their samples in the means; if not, all count the same."""
    weighs_work: ClassVar[bool] = True
    """Whether a client that a clock cuts short weighs by the samples that it went through."""
    shares_averages: ClassVar[bool] = True
    """Whether participants upload the averaged segment. If not, that of the model never changes."""

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

    @property
    def slots(self) -> int:
        """How many sums a round has; an upload goes into one of them (``Upload.slot``)."""
        return 1

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
        return Upload(update=trained.update)

    def personal(self, c: ClientContext) -> torch.Tensor | PersonalModel:
        """Return the model (size,) with which a client is tested (``evaluation.personal``).

        Or a program that returns it: it may yield requests, such as a Train that adapts the model
        to the client. By default it is the global model.

        Args:
            c: The client, with the newest arrays of the server and with what it kept when it last
                took part. ``kept`` is empty for a client that never did.
        """
        return c.received["model"]

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        """Return the arrays of the state that change. Not called when nobody completed a round.

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
