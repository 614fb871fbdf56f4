"""Write docs/algorithms/: a page for every algorithm, from its class, and its learning curve from benchmarks/algorithms.

    python docs/algorithm_pages.py docs/algorithms

The picture of a page is drawn from ``benchmarks/algorithms/results/digits.json``.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from job_reference import key_rows, table

from mpifl.algorithms import REGISTRY
from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.arrays import Array
from mpifl.job.component import COMPONENTS, find_part
from mpifl.models.layout import Layout
from mpifl.rounds.experiment.demands import computing

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "algorithms" / "results" / "digits.json"
(COMPONENT,) = (component for component in COMPONENTS if component.path == ("algorithm",))

SAMPLE = Layout(
    trained=93,
    averaged=4,
    slices={
        "0.weight": slice(0, 64),
        "1.weight": slice(64, 68),
        "2.weight": slice(68, 88),
        "2.bias": slice(88, 93),
        "1.running_mean": slice(93, 97),
    },
    shapes={
        "0.weight": (4, 16),
        "1.weight": (4,),
        "2.weight": (5, 4),
        "2.bias": (5,),
        "1.running_mean": (4,),
    },
    head=("2.weight", "2.bias"),
    norm=("1.weight", "1.running_mean"),
    layers={
        "0.weight": "linear",
        "1.weight": "batch norm",
        "2.weight": "linear",
        "2.bias": "linear",
    },
)
"""A small model of which pages take what an algorithm exchanges and computes."""

TREES = Layout(
    trained=98,
    slices={"value": slice(0, 80), "importance": slice(80, 90)},
    shapes={"value": (2, 5, 8), "importance": (10,)},
)
"""A small model of trees, for algorithms that grow them."""

PUBLIC = " 'data.split={by: samples, test: 0.2, validation: 0.1}'"
MORE = {
    "ccvr": " model.initial=RUN_DIR",
    "dqn": " data=cartpole objective=q_learning",
    "fedasync": " 'clock={mode: async, concurrency: 20}' selection.participants=1",
    "fedbn": " 'model={name: resnet, depth: 8}'",
    "feddf": PUBLIC,
    "fedfomo": PUBLIC,
    "fedmd": PUBLIC,
    "fednas": " model=darts",
    "flora": " 'model={name: mlp, lora: {alpha: 2}}'",
    "gbdt": " 'model={name: trees, trees: 20}' training.lr=0.3 rounds=83",
}
"""What else of the job an algorithm needs."""

INDEX = """\
# Algorithms

Every algorithm of `algorithm.name`, each one file in `mpifl/algorithms/`. The pages are made from the classes, the curves and the
table of [benchmarks](../../benchmarks/README.md#algorithms) by `python -m benchmarks.algorithms digits`.
[An algorithm of your own](../tutorials/algorithm.md) is a file like these.

| algorithm | what it is | participant receives | participant uploads | computes | client keeps |
|---|---|---|---|---|---|"""


def main(folder: Path) -> None:
    """Write all pages into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    results = json.loads(RESULTS.read_text())["runs"] if RESULTS.exists() else {}
    rows = []
    for name in sorted(REGISTRY):
        kind = find_part(COMPONENT, name)[0]
        assert issubclass(kind, Algorithm)
        drawn = [run for run in results.get(name, []) if "error" not in run]
        (folder / f"{name}.md").write_text(page(name, kind, bool(drawn)))
        if drawn:
            (folder / f"{name}.svg").write_text(picture(name, results))
        rows.append(_index_row(name, kind))
    (folder / "index.md").write_text("\n".join([INDEX, *rows]) + "\n" + COMPOSED)


def page(name: str, kind: type[Algorithm], drawn: bool) -> str:
    """Return the page of an algorithm."""
    algorithm = kind()
    parts = [
        f"# {name}",
        _title(kind),
        f"`mpifl run quickstart algorithm={name}{MORE.get(name, '')}`; the class is `{kind.__module__}.{kind.__name__}`"
        f" ([source](../../{kind.__module__.replace('.', '/')}.py)).",
        "## Update rule",
        _code(inspect.getdoc(kind) or ""),
        "## What travels",
        "\n".join(f"- {line}" for line in _travels(algorithm)),
        "## Keys",
        _keys(kind),
    ]
    if drawn:
        parts += [
            "## Learning curve",
            f"![Accuracy of {name} and of FedAvg by round]({name}.svg)",
            "60 clients with Dirichlet(0.1) digits, mean of three seeds: the global model (solid), each client's own model on its"
            " own samples, the mean over clients (dashed), FedAvg's global model (grey). Made by"
            f" `python -m benchmarks.algorithms digits --only {name}`.",
        ]
    return "\n\n".join(parts) + "\n"


def _title(kind: type[Algorithm]) -> str:
    module = inspect.getmodule(kind)
    return (inspect.getdoc(module) or "").splitlines()[0]


def _code(text: str) -> str:
    """Return a docstring as it stands: its formulas are aligned."""
    return f"```text\n{text}\n```"


def _keys(kind: type[Algorithm]) -> str:
    schema = kind.model_json_schema()
    own = [key for key in schema["properties"] if key != "name"]
    if not own:
        return "It has no options."

    def rows() -> Iterator[str]:
        for key in own:
            yield from key_rows(key, schema, "algorithm.")

    return table(rows())


def _travels(algorithm: Algorithm) -> list[str]:
    layout = TREES if algorithm.grows else SAMPLE
    down, up = algorithm.transfers(layout)
    lines = [
        f"A participant receives {_arrays(down, layout)} and uploads {_arrays(up, layout)}.",
        f"It computes {_computes(algorithm, layout)}; the clock charges that.",
    ]
    if algorithm.numbers_of_round(layout, 1) is not None:
        lines.append("Each round has other numbers of these; `mpifl check` says the most.")
    kept = algorithm.kept_arrays(layout)
    if kept:
        lines.append(f"Each client keeps {_arrays(kept, layout)} until it takes part again.")
    if algorithm.kinds > 1:
        lines.append(
            f"There are {algorithm.kinds} kinds of clients; of a model each kind receives, uploads and computes its own part. `mpifl check` lists them."
        )
    if algorithm.slots > 1:
        lines.append(f"Uploads go into one of {algorithm.slots} sums of a round.")
    if kind_overrides(algorithm, "personal"):
        lines.append("`evaluation.personal` tests each client with a model of its own.")
    return lines


def _computes(algorithm: Algorithm, layout: Layout) -> str:
    steps = computing(algorithm.cost(layout))
    more = kind_overrides(algorithm, "flops") and not algorithm.trains_parts(layout)
    return f"{steps}, in which it computes more than the model" if more else steps


def kind_overrides(algorithm: Algorithm, method: str) -> bool:
    """Return whether the class of an algorithm has a method of its own."""
    return getattr(type(algorithm), method) is not getattr(Algorithm, method)


def _arrays(arrays: Mapping[str, Array], layout: Layout) -> str:
    """Return arrays in words, such as "`update` (a model)"."""
    return (
        ", ".join(f"`{name}` ({_shape(array, layout)})" for name, array in arrays.items())
        or "nothing"
    )


def _shape(array: Array, layout: Layout) -> str:
    if array.of_model:
        leading = array.shape[:-1]
        return "a model" if not leading else f"{' x '.join(map(str, leading))} models"
    if not array.shape:
        return "a number"
    if len(array.shape) > 1:
        return "a table of numbers"
    if not layout.head or array.shape[0] > layout.size:
        return "a row of numbers"
    classes = layout.shapes[layout.head[0]][0]
    return "a number a class" if array.shape == (classes,) else "a part of a model"


def _index_row(name: str, kind: type[Algorithm]) -> str:
    algorithm = kind()
    layout = TREES if algorithm.grows else SAMPLE
    down, up = algorithm.transfers(layout)
    cells = (
        _arrays(down, layout),
        _arrays(up, layout),
        _computes(algorithm, layout),
        _arrays(algorithm.kept_arrays(layout), layout),
    )
    what = _title(kind).rstrip(".").partition(": ")[2] or _title(kind).rstrip(".")
    return f"| [{name}]({name}.md) | {what} | {' | '.join(cells)} |"


COMPOSED = """
## Made of other parts

| algorithm | how |
|---|---|
| FedFS (Beutel et al., arXiv 2007.14390, A.2) | `selection: {name: fedfs}` draws by the work that clients lack, `clock: {mode: deadline, seconds: 120, fast_seconds: 30}` gives partial work and time-outs that take turns; `fedavg` weighs by the samples that each went through |
| FedBuff (Nguyen et al., arXiv 2106.06639) | `fedavg` with `clock: {mode: buffered, concurrency: 100}` |
| FedGAN (Rasouli et al., arXiv 2006.07228) | `fedavg` with `model: gan` and `objective: generation`: a model that has a generator and a discriminator |
| local SGD (Stich, arXiv 1805.09767) | `fedavg` with `training.local_steps` |
| any of these, fine-tuned | `evaluation: {personal: true, fine_tune_steps: 10}` |
"""

WIDTH, HEIGHT, MARGIN = 560, 240, 34


def picture(name: str, results: Mapping[str, list[dict[str, Any]]]) -> str:
    """Return the learning curve of an algorithm as SVG."""
    own = [run for run in results[name] if "error" not in run]
    fedavg = [run for run in results.get("fedavg", []) if "error" not in run]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = _y(share)
        lines.append(f'<path d="M{MARGIN} {y:.1f}H{WIDTH - 8}" stroke="#e4e4e4"/>')
        lines.append(f'<text x="4" y="{y + 4:.1f}" fill="#555">{share:g}</text>')
    if fedavg:
        lines.append(_curve(fedavg, "accuracy", "#999999", ""))
    lines.append(_curve(own, "client_accuracy", "#0072B2", "5 3"))
    lines.append(_curve(own, "accuracy", "#0072B2", ""))
    last = own[0]["round"][-1]
    lines += [
        f'<text x="{WIDTH - 8}" y="{HEIGHT - 6}" text-anchor="end" fill="#555">round {last}</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _curve(runs: list[dict[str, Any]], score: str, colour: str, dashes: str) -> str:
    length = min(len(run["round"]) for run in runs)
    values = np.mean([run[score][:length] for run in runs], axis=0)
    xs = np.linspace(MARGIN, WIDTH - 8, length)
    points = " ".join(f"{x:.1f},{_y(value):.1f}" for x, value in zip(xs, values, strict=True))
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"{dashed}/>'


def _y(share: float) -> float:
    return 10 + (HEIGHT - 30) * (1 - share)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
