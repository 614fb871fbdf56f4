"""The tables of a comparison: a row a rule, a column an attack, means over seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Runs = list[dict[str, Any]]
Cell = Callable[[Runs], str]

BACKDOORS = "backdoor", "edge_case"


def tables(result: dict[str, Any]) -> str:
    """Return accuracy and attack success, and then what rules reject, as Markdown."""
    return f"{_table(result, _scores)}\n\n{_table(result, _rejections)}"


def _table(result: dict[str, Any], cell: Cell) -> str:
    attacks = result["attacks"]
    lines = [f"| rule | {' | '.join(attacks)} |", "|" + "---|" * (1 + len(attacks))]
    for rule, by_attack in result["runs"].items():
        cells = [cell(by_attack.get(attack, [])) for attack in attacks]
        if any(cells):
            lines.append(f"| {rule} | {' | '.join(cells)} |")
    return "\n".join(lines)


def good(runs: Runs) -> Runs:
    """Return the runs that came to an end."""
    return [run for run in runs if "error" not in run]


def mean(runs: Runs, name: str) -> float:
    """Return the mean of a score over runs in percent, NaN where there is none."""
    values = [run[name] for run in good(runs) if name in run]
    return 100 * float(np.mean(values)) if values else float("nan")


def _scores(runs: Runs) -> str:
    """Return accuracy, with its deviation of several runs, and attack success behind a stroke."""
    if not good(runs):
        return "-"
    text = f"{mean(runs, 'accuracy'):.1f}"
    if len(good(runs)) > 1:
        text += f" ± {100 * float(np.std([run['accuracy'] for run in good(runs)])):.1f}"
    if any("attack_success" in run for run in runs):
        text += f" / {mean(runs, 'attack_success'):.0f}"
    return text + (" (diverged)" if any(run["diverged"] for run in good(runs)) else "")


def _rejections(runs: Runs) -> str:
    """Return the shares of attackers' and of honest updates that were left out, in percent."""
    counts = [run for run in good(runs) if run.get("rejected")]
    if not counts:
        return ""
    total = {name: sum(run[name] for run in good(runs)) for name in counts[0] if name in COUNTS}
    honest = total["completed"] - total["attackers"]
    false = total["rejected"] - total["rejected_attackers"]
    true = total["rejected_attackers"] / max(1, total["attackers"])
    return f"{100 * true:.0f} / {100 * false / max(1, honest):.0f}"


COUNTS = ("attackers", "completed", "rejected", "rejected_attackers")
