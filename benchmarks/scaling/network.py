"""What messages cost: a LogGP model of the collectives of a round, fitted to what ``benchmarks.micro.collectives`` measured.

Alexandrov et al., LogGP (SPAA 1995): a message of n bytes takes L + 2o + nG. Trees are those of Open MPI's non-blocking
collectives (libnbc): broadcast linear to at most four ranks and binomial above, over distances 1, 2, 4, ...; reduction by
Rabenseifner's halving and gathering (Thakur et al., IJHPCA 2005), binomial where there are fewer numbers than ranks; gathering
linear. Ranks lie node by node, so all the ranks of a node share its cable in the last steps of a broadcast. Every time is
linear in the parameters: the fit is a nonnegative least squares of the same ``steps`` that predict.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from benchmarks.micro.collectives import FORMAT
from mpifl.errors import InputError

LINEAR_UNTIL = 4  # ranks of a broadcast
CHAINED_BYTES = 65_536  # Open MPI reduces more than that between two ranks in pieces of 8 KiB
SMALL = 8


@dataclass(frozen=True)
class Network:
    """Seconds of latency L and overhead o a message, G a byte, within a node and between nodes; gamma to add a byte.

    ``serve_seconds``: rank 0's processor time a message of the queue; ``round_trip_seconds``: from asking to having a ticket.
    """

    latency_within: float
    overhead_within: float
    byte_within: float
    latency_between: float
    overhead_between: float
    byte_between: float
    add_byte: float
    serve_seconds: float = 0.0
    round_trip_seconds: float = 0.0

    def seconds(self, steps: np.ndarray) -> float:
        """What ``steps`` of one of the functions below take."""
        return float(steps @ np.array(astuple(self)[: len(steps)]))


PARAMETERS = tuple(field.name for field in fields(Network))[:7]


@dataclass(frozen=True)
class Layout:
    """``ranks`` ranks, filling nodes of ``ranks_per_node`` one after another."""

    ranks: int
    ranks_per_node: int

    @property
    def here(self) -> int:
        """How many of them are on rank 0's node."""
        return min(self.ranks, self.ranks_per_node)


def _steps(
    within: tuple[float, float, float], between: tuple[float, float, float], added: float = 0.0
) -> np.ndarray:
    """Times that L, o and G count, within a node and between, and gamma."""
    return np.array([*within, *between, added], float)


def _hops(within: int, between: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """L + 2o of each step."""
    return (within, 2 * within), (between, 2 * between)


def broadcast(layout: Layout, size: float, best: bool = False) -> np.ndarray:
    """Steps of ``size`` bytes to all; ``best``: by scatter and allgather where that moves less (Open MPI's Ibcast does not)."""
    ranks, here = layout.ranks, layout.here
    if ranks <= LINEAR_UNTIL:
        far = ranks - here
        first = (0.0, ranks - 2.0), (1.0, float(ranks))
        within, between = first if far else ((1.0, float(ranks)), (0.0, 0.0))
        return _steps((*within, (here - 1) * size), (*between, far * size))
    inner = math.ceil(math.log2(here))
    outer = math.ceil(math.log2(ranks)) - inner
    within, between = _hops(inner, outer)
    tree = _steps((*within, inner * size), (*between, outer * here * size))
    return tree if not best else _less(tree, _halving(layout, size))


def reduce(layout: Layout, size: float) -> np.ndarray:
    """Steps of a sum of ``size`` bytes of int64 at rank 0."""
    ranks = layout.ranks
    if ranks > 2 and size / 8 >= 2 ** math.floor(math.log2(ranks)):
        return _halving(layout, size) + _steps((0, 0, 0), (0, 0, 0), size * (1 - 1 / ranks))
    inner = math.ceil(math.log2(layout.here))
    outer = math.ceil(math.log2(ranks)) - inner
    within, between = _hops(inner, outer)
    return _steps((*within, inner * size), (*between, outer * size), (inner + outer) * size)


def gather(layout: Layout, size: float) -> np.ndarray:
    """Steps of ``World.gather_rows``: the ranks' counts summed, then rows of ``size`` bytes in all, straight to rank 0."""
    ranks, far = layout.ranks, layout.ranks - layout.here
    counts = reduce(layout, 8 * ranks)
    first = (1.0, float(ranks)), (0.0, 0.0)
    within, between = (first[1], first[0]) if far else first
    return counts + _steps(
        (*within, size * (layout.here - 1) / ranks), (*between, size * far / ranks)
    )


def _halving(layout: Layout, size: float) -> np.ndarray:
    """Halving with doubled distances, and the way back: 2 log2(P) steps, 2n (1 - 1/P) bytes, a cable's share of a node's ranks.

    Where ranks are no power of two, the ones beyond it first fold into their neighbours.
    """
    ranks, here = layout.ranks, layout.here
    inner = math.floor(math.log2(here))
    outer = math.floor(math.log2(ranks)) - inner
    folds = ranks != 2 ** (inner + outer)
    within, between = _hops(2 * (inner + folds), 2 * outer)
    nodes = ranks / here
    return _steps(
        (*within, (2 * (1 - 1 / here) + folds) * size), (*between, 2 * (1 - 1 / nodes) * size)
    )


def _less(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The one that moves less between nodes, or within where there is one node."""
    return min(one, other, key=lambda steps: (steps[5], steps[2]))


OPERATIONS = {"broadcast": broadcast, "reduce": reduce, "gather": gather}


def there_and_back(measurement: dict[str, Any]) -> np.ndarray:
    """The steps of one measurement of benchmarks.micro.collectives: what goes one way, and 8 bytes the other."""
    layout, operation = (
        Layout(measurement["ranks"], measurement["ranks_per_node"]),
        measurement["operation"],
    )
    answer = reduce(layout, SMALL) if operation == "broadcast" else broadcast(layout, SMALL)
    return OPERATIONS[operation](layout, measurement["bytes"]) + answer


def fits(measurement: dict[str, Any]) -> bool:
    """Whether the parameters are fitted to it: not where ranks share cores, or nodes hold unequal numbers of ranks.

    Nor the sum of two ranks of one node above CHAINED_BYTES: there a run's waiting, not the network, is what takes the time.
    """
    ranks, each = measurement["ranks"], measurement["ranks_per_node"]
    chained = (
        ranks == each == 2
        and measurement["operation"] == "reduce"
        and measurement["bytes"] >= CHAINED_BYTES
    )
    return not (measurement["crowded"] or chained or ranks % each)


def read_measurements(paths: Sequence[Path]) -> dict[str, list[dict[str, Any]]]:
    """``measured`` and ``queue`` of all the files. Raises InputError."""
    found: dict[str, list[dict[str, Any]]] = {"measured": [], "queue": []}
    for path in paths:
        try:
            text = json.loads(path.read_text(encoding="utf-8"))
            if text["format"] != FORMAT:
                raise InputError(
                    f"{path}: format {text['format']!r} is not allowed; allowed: {FORMAT!r}: measure again"
                )
            for name, rows in found.items():
                rows += text[name]
            [(there_and_back(one), fits(one), one["seconds"]) for one in text["measured"]]
            [
                (one["serve_seconds"], one["round_trip_seconds"], one["crowded"])
                for one in text["queue"]
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: not a file of measurements ({type(error).__name__}: {error});"
                " make one: mpirun -n 8 python -m benchmarks.micro.collectives FILE.json"
            ) from error
    return found


def fit(found: dict[str, list[dict[str, Any]]]) -> Network:
    """The parameters with the least relative squared error over what ``fits``. Raises InputError where nothing does.

    Where nothing was measured between nodes those parameters are those within one. The queue's are medians of what is not
    crowded; a message's cost is that of the most ranks, whose asking leaves rank 0 no time to sleep.
    """
    used = [one for one in found["measured"] if fits(one)]
    quiet = [one for one in found["queue"] if not one["crowded"]]
    if not used or not quiet:
        raise InputError(
            "--from: no measurement in it with a core for every rank; measure with fewer ranks, or on more cores"
        )
    seconds = np.array([one["seconds"] for one in used])
    steps = np.array([there_and_back(one) for one in used]) / seconds[:, None]
    scale = np.maximum(
        np.linalg.norm(steps, axis=0), 1e-300
    )  # seconds and bytes are orders of magnitude apart
    parameters = nnls(steps / scale, np.ones(len(used)))[0] / scale
    if not steps[:, 3:6].any():
        parameters[3:6] = parameters[:3]
    busiest = max(found["queue"], key=lambda one: one["ranks"])
    trip = float(np.median([one["round_trip_seconds"] for one in quiet]))
    return Network(*parameters.tolist(), busiest["serve_seconds"], trip)


def errors(
    network: Network, found: dict[str, list[dict[str, Any]]]
) -> tuple[np.ndarray, np.ndarray]:
    """Predicted / measured - 1 of the measurements that were fitted to, and of the others but those of unequal nodes."""
    ratios: tuple[list[float], list[float]] = ([], [])
    for one in found["measured"]:
        if one["ranks"] % one["ranks_per_node"] == 0:
            ratios[0 if fits(one) else 1].append(
                network.seconds(there_and_back(one)) / one["seconds"] - 1
            )
    return np.array(ratios[0]), np.array(ratios[1])
