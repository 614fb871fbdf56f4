"""A chart as numbers and words, whoever draws it: the page, a picture, or a table in CSV.

A chart is one or more panels, of which a reader chooses one. A panel has two axes and marks. Every
mark is a few columns of equal length; that is all its numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, NamedTuple

import numpy as np

COLOURS = ("blue", "vermilion", "green", "purple", "orange", "sky", "grey")
"""Names of Okabe and Ito's colours, told apart by the colour-blind too; renderers know the rest."""

DASHES = ("solid", "dash", "dot", "dashdot")


class NoData(Exception):  # noqa: N818  (no error)
    """These runs have no data for a chart; the message says why, in one line."""


class Look(NamedTuple):
    """How a series looks: a name of COLOURS and one of DASHES, of bars their hatching."""

    colour: str = "blue"
    dash: str = "solid"


PLAIN = Look()


def look(number: int) -> Look:
    """Return the look of series ``number`` from 0: another colour and another dash each time.

    Lines differ in both as far as possible, so that they are told apart in grey too. The numbers
    of colours and of dashes have no common divisor, so all their pairs come before one is repeated.
    """
    return Look(COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)])


@dataclass(frozen=True)
class Axis:
    """An axis.

    ``ticks`` are names of the places 0, 1, ...; without them the axis has numbers. ``downwards``
    is for a y axis that begins at the top. ``low`` and ``high`` are where it begins and ends;
    None as the data do. ``whole``: only whole numbers are labelled.
    """

    label: str
    scale: Literal["linear", "log"] = "linear"
    ticks: tuple[str, ...] = ()
    downwards: bool = False
    low: float | None = None
    high: float | None = None
    whole: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Mark:
    """Something drawn: ``name`` is its series in the legend. Arrays have one length."""

    name: str
    look: Look = PLAIN
    notes: Mapping[str, np.ndarray] = field(default_factory=dict)
    """More columns, told of the mark under the pointer and in the CSV."""

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """The numbers, by the name of the column."""
        own = {item.name: getattr(self, item.name) for item in fields(self)}
        arrays = {name: value for name, value in own.items() if isinstance(value, np.ndarray)}
        return arrays | dict(self.notes)


@dataclass(frozen=True, eq=False, kw_only=True)
class Line(Mark):
    """A line through points in their order."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Points(Mark):
    """Points; ``symbol`` is one of circle, x, square, diamond, triangle, star, plus."""

    x: np.ndarray
    y: np.ndarray
    symbol: str = "circle"


@dataclass(frozen=True, eq=False, kw_only=True)
class Band(Mark):
    """An area between ``low`` and ``high`` over x."""

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Bars(Mark):
    """Bars of one ``width`` with their middles at x, on top of those of earlier marks at that x.

    With ``beside`` they stand where they are, and nothing is added up.
    """

    x: np.ndarray
    y: np.ndarray
    width: float = 0.8
    beside: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Steps(Mark):
    """A histogram: the height ``y`` from ``start`` to ``end``; ``filled`` down to 0."""

    start: np.ndarray
    end: np.ndarray
    y: np.ndarray
    filled: bool = True


@dataclass(frozen=True, eq=False, kw_only=True)
class Spans(Mark):
    """Horizontal bars of one time each: in row ``row`` from ``start`` on, ``length`` long."""

    row: np.ndarray
    start: np.ndarray
    length: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Heat(Mark):
    """Cells of width and height 1 around x and y, the more ``value`` the stronger."""

    x: np.ndarray
    y: np.ndarray
    value: np.ndarray


@dataclass(frozen=True, eq=False)
class Panel:
    """What is drawn at a time. ``part`` groups panels, such as the rounds of one run."""

    label: str
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    part: str = ""


@dataclass(frozen=True, eq=False)
class Chart:
    """A chart.

    Attributes:
        name: Of its files, and of the place in the page.
        title: The heading.
        text: What is drawn, in a sentence or two.
        panels: At least one; the first is shown at first.
        choice: What one chooses among the panels, such as "round"; "" if there is but one.
        on_paper: The numbers of the panels that a picture has.
    """

    name: str
    title: str
    text: str
    panels: tuple[Panel, ...]
    choice: str = ""
    on_paper: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Table:
    """A table: ``rows`` of texts and numbers under ``header``; else as a Chart."""

    name: str
    title: str
    text: str
    header: tuple[str, ...]
    rows: tuple[tuple[str | float | int, ...], ...]
