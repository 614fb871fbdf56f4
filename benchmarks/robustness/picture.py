"""The picture of a comparison: accuracy of every rule under every attack, and the backdoors' success."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures.picture import page
from benchmarks.robustness.table import BACKDOORS, mean


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw a matrix of accuracies, and a column of the success of each backdoor beside it."""
    rules = list(result["runs"])
    attacks = result["attacks"]
    runs = result["runs"]
    accuracy = np.array(
        [[mean(runs[rule].get(attack, []), "accuracy") for attack in attacks] for rule in rules]
    )
    doors = [attack for attack in BACKDOORS if attack in attacks]
    success = np.array(
        [[mean(runs[rule].get(door, []), "attack_success") for door in doors] for rule in rules]
    )

    with page(path, 1.2 + 0.28 * len(rules)) as figure:
        wide, narrow = figure.subplots(
            1, 2, width_ratios=[len(attacks), len(doors)], sharey=True, squeeze=True
        )
        _matrix(wide, accuracy, attacks, "YlGnBu")
        _matrix(narrow, success, [f"{door}:\nsuccess" for door in doors], "OrRd")
        wide.set_yticks(range(len(rules)), rules, fontsize=7)
        figure.suptitle(
            f"{result['title']}, {result['share']:.0%} attackers: accuracy in %",
            x=0.01,
            ha="left",
        )


def _matrix(panel: Any, values: np.ndarray, names: list[str], colours: str) -> None:
    panel.imshow(values, cmap=colours, vmin=0, vmax=100, aspect="auto")
    panel.set_xticks(range(len(names)), names, fontsize=7, rotation=30, ha="right")
    panel.tick_params(length=0)
    panel.grid(False)
    for (row, column), value in np.ndenumerate(values):
        text = "" if np.isnan(value) else f"{value:.0f}"
        colour = "white" if value > 60 else "black"
        panel.text(column, row, text, ha="center", va="center", fontsize=6, color=colour)
