"""Print docs/architecture.svg: the way of one round through mpifl, readable on light and on dark pages.

    python docs/architecture.py > docs/architecture.svg

Coordinates are pixels. Colours are classes of the style sheet, which has a second set for dark pages.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape

LEFT, WIDTH, HEIGHT = -20, 1060, 800

STYLE = """
  text { font-family: Inter, "Segoe UI", Roboto, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif }
  text { font-size: 14px; fill: #1d2433 } .title { font-size: 15.5px; font-weight: 650 }
  .lane-name { font-size: 13px; font-weight: 650; fill: #55617c; letter-spacing: .4px }
  .small { font-size: 12.5px; fill: #48536b } .tiny { font-size: 11px; fill: #48536b }
  .page { fill: #ffffff } .lane { fill: #f3f5fa; stroke: #d5dbe8 }
  .box { fill: #ffffff; stroke: #9fabc4; stroke-width: 1.4 } .file { fill: #fff8e8; stroke: #d9b45b; stroke-width: 1.4 }
  .client { fill: #e4ecff; stroke: #7f9be0 } .sum { fill: #e5f5ec; stroke: #5aa981; stroke-width: 1.4 }
  .wire { fill: none; stroke: #3d63c9; stroke-width: 2.4 } .quiet { fill: none; stroke: #8a95ad; stroke-width: 1.8 }
  .tip { fill: #3d63c9 } .quiet-tip { fill: #8a95ad } .wire-text { font-size: 13px; font-weight: 600; fill: #2c4fae }
  .step { fill: #3d63c9 } .number { font-size: 12.5px; font-weight: 700; fill: #ffffff }
  .completed { fill: #5aa981 } .dropped { fill: #d9695f } .cut { fill: #b6bfd0 }
  .deadline { stroke: #1d2433; stroke-width: 1.6 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6eaf4 } .lane-name { fill: #aab5cd } .small, .tiny { fill: #c3cbdc }
    .page { fill: #171b26 } .lane { fill: #1f2533; stroke: #364058 } .box { fill: #2a3144; stroke: #5d6a88 }
    .file { fill: #3a3220; stroke: #b08f3f } .client { fill: #2b3a63; stroke: #6d8be0 } .sum { fill: #20402f; stroke: #5aa981 }
    .wire { stroke: #86a5ff } .tip { fill: #86a5ff } .quiet { stroke: #7d88a3 } .quiet-tip { fill: #7d88a3 }
    .wire-text { fill: #a9c0ff } .cut { fill: #67728c } .deadline { stroke: #e6eaf4 }
  }
"""

DESCRIPTION = """\
Rank 0 selects clients and computes their virtual times before anything is trained, makes a plan and
broadcasts it with the model.
The other ranks train the clients that complete and add their updates exactly.
One reduce brings the sum back, the algorithm makes the next model, and the round is recorded."""


def main() -> str:
    """Return the whole picture."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{LEFT} 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        ' role="img" aria-labelledby="title description">',
        '<title id="title">The way of one round through mpifl</title>',
        f'<desc id="description">{DESCRIPTION}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="page" x="{LEFT}" width="{WIDTH}" height="{HEIGHT}" rx="14"/>',
        *inputs(),
        *decide(),
        *train(),
        *finish(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def inputs() -> Iterable[str]:
    """The top row: what a run begins with."""
    yield file(24, 22, 196, 66, "Data set", "each client's samples")
    yield text(237, 60, "\N{MULTIPLICATION SIGN}", "title", "middle")
    yield file(254, 22, 220, 66, "Device trace", "speed, network, online times")
    yield box(524, 22, 200, 66, "Population", "clients with their devices")
    yield file(776, 22, 240, 66, "Job", "one YAML file: every choice")
    yield arrow([(474, 55), (518, 55)], "quiet")
    yield arrow([(776, 55), (730, 55)], "quiet")
    yield arrow([(624, 88), (624, 116)], "quiet")
    yield arrow([(896, 88), (896, 116)], "quiet")


def decide() -> Iterable[str]:
    """The lane of rank 0 before training: selection, clock, plan."""
    yield lane(24, 122, 992, 204, "RANK 0, AGGREGATOR: DECIDE FIRST, IN VIRTUAL TIME")
    yield numbered(1, 48, 160, 196, 150, "Selection")
    yield lines(
        64,
        214,
        ["asks clients that", "are online, by a", "seeded rule; never", "scans the population"],
    )

    yield numbered(2, 296, 160, 428, 150, "Clock")
    for row, words in enumerate(["download", "+ training", "+ upload:", "each event exact"]):
        yield text(312, 210 + 20 * row, words, "tiny")
    bars = [
        (88, "completed"),
        (142, "completed"),
        (58, "dropped"),
        (160, "completed"),
        (160, "cut"),
    ]
    for row, (length, outcome) in enumerate(bars):
        yield f'<rect class="{outcome}" x="{436}" y="{200 + 17 * row}" width="{length}" height="11" rx="3"/>'
        yield text(
            612, 209.5 + 17 * row, "dropped out" if outcome == "dropped" else outcome, "tiny"
        )
    yield '<line class="deadline" x1="597" y1="192" x2="597" y2="288" stroke-dasharray="5 3"/>'
    yield text(597, 184, "the round ends", "tiny", "middle")
    yield arrow([(432, 291), (690, 291)], "quiet")
    yield text(612, 303, "virtual time", "tiny")

    yield numbered(3, 776, 160, 216, 150, "Plan")
    tasks = [
        "one task for each client",
        "that completes: steps,",
        "weight, base model;",
        "nobody else is trained",
    ]
    yield lines(792, 214, tasks)
    yield arrow([(244, 233), (290, 233)])
    yield arrow([(724, 233), (770, 233)])


def train() -> Iterable[str]:
    """The broadcast, and the lane of the executors."""
    yield numbered_wire(4, [(884, 326), (884, 392)])
    yield text(862, 352, "one broadcast a round:", "wire-text", "end")
    yield text(862, 370, "the plan and the model", "wire-text", "end")
    yield lane(24, 398, 992, 196, "RANKS 1 TO N, EXECUTORS: TRAIN FOR REAL")

    for rank, x in (("rank 1", 48), ("rank 2", 372), ("rank N", 696)):
        yield f'<rect class="box" x="{x}" y="436" width="296" height="140" rx="9"/>'
        yield text(x + 14, 458, rank, "title")
        for client in range(3):
            yield f'<rect class="client" x="{x + 14 + 92 * client}" y="470" width="84" height="40" rx="6"/>'
            yield text(x + 56 + 92 * client, 487, "client", "tiny", "middle")
            yield text(x + 56 + 92 * client, 501, "local SGD", "tiny", "middle")
            yield arrow([(x + 56 + 92 * client, 510), (x + 56 + 92 * client, 524)], "quiet")
        yield f'<rect class="sum" x="{x + 14}" y="530" width="268" height="34" rx="6"/>'
        yield text(x + 148, 552, "exact sum of updates, fixed point", "small", "middle")
    yield badge(5, 974, 454)
    yield text(652, 458, "largest tasks first", "small", "end")
    yield text(328, 458, "tasks taken from rank 0's queue", "small", "end")


def finish() -> Iterable[str]:
    """The reduce, and the lane of rank 0 after training."""
    yield numbered_wire(6, [(150, 594), (150, 650)])
    yield text(178, 618, "one reduce a round: sums of integers,", "wire-text")
    yield text(178, 636, "the same on any number of ranks", "wire-text")
    yield lane(24, 656, 992, 122, "RANK 0, AGGREGATOR: MAKE THE NEXT MODEL")
    yield numbered(7, 48, 690, 244, 72, "Server step")
    yield text(64, 746, "the algorithm: next model", "small")
    yield numbered(8, 344, 690, 232, 72, "Record")
    yield text(360, 746, "rounds, participants, scores", "small")
    yield file(
        628, 690, 364, 72, "Run directory", "job.yaml, run.h5, model, checkpoint, summary.json"
    )
    yield arrow([(292, 726), (338, 726)])
    yield arrow([(576, 726), (622, 726)])
    yield arrow([(48, 726), (2, 726), (2, 233), (42, 233)], "wire")
    yield f'<text class="wire-text" transform="translate(-5 545) rotate(-90)">{escape("next round")}</text>'


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Return a line of text whose baseline is at y."""
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def lines(x: float, y: float, words: Iterable[str]) -> str:
    """Return several lines of small text."""
    return "\n".join(text(x, y + 21 * row, line, "small") for row, line in enumerate(words))


def lane(x: float, y: float, width: float, height: float, name: str) -> str:
    """Return a background with a name in its top left corner."""
    background = f'<rect class="lane" x="{x}" y="{y}" width="{width}" height="{height}" rx="12"/>'
    return background + "\n" + text(x + 16, y + 24, name, "lane-name")


def box(
    x: float, y: float, width: float, height: float, title: str, line: str = "", kind: str = "box"
) -> str:
    """Return a box with a title and a line below."""
    return "\n".join(
        [
            f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="9"/>',
            text(x + 16, y + 28, title, "title"),
            text(x + 16, y + 51, line, "small") if line else "",
        ]
    )


def file(x: float, y: float, width: float, height: float, title: str, line: str) -> str:
    """Return a box that stands for files."""
    return box(x, y, width, height, title, line, "file")


def numbered(number: int, x: float, y: float, width: float, height: float, title: str) -> str:
    """Return a step: a box with a title and a number in its corner."""
    return box(x, y, width, height, title) + "\n" + badge(number, x + width - 18, y + 18)


def badge(number: int, x: float, y: float) -> str:
    """Return the number of a step."""
    return f'<circle class="step" cx="{x}" cy="{y}" r="11"/>\n' + text(
        x, y + 4.5, str(number), "number", "middle"
    )


def numbered_wire(number: int, points: list[tuple[float, float]]) -> str:
    """Return a message between ranks, with the number of its step in the middle of its first stretch."""
    (x, y), (to_x, to_y) = points[:2]
    return arrow(points) + "\n" + badge(number, (x + to_x) / 2, (y + to_y) / 2 - 3)


def arrow(points: list[tuple[float, float]], kind: str = "wire", tip: bool = True) -> str:
    """Return a line through points; its tip is a triangle at the last, which it enters straight."""
    (x, y), (to_x, to_y) = points[-2:]
    across, along = (to_x > x) - (to_x < x), (to_y > y) - (to_y < y)
    end = (to_x - 7 * across, to_y - 7 * along) if tip else (to_x, to_y)
    path = " ".join(f"{a},{b}" for a, b in [*points[:-1], end])
    line = f'<polyline class="{kind}" points="{path}"/>'
    if not tip:
        return line
    left = (to_x - 9 * across + 5 * along, to_y - 9 * along + 5 * across)
    right = (to_x - 9 * across - 5 * along, to_y - 9 * along - 5 * across)
    corners = " ".join(f"{a},{b}" for a, b in [(to_x, to_y), left, right])
    return (
        line + f'\n<polygon class="{"tip" if kind == "wire" else "quiet-tip"}" points="{corners}"/>'
    )


if __name__ == "__main__":
    print(main(), end="")
