"""Binary heaps whose items can be moved and removed, which heapq's cannot; several over one set.

Cormen, Leiserson, Rivest, Stein, Introduction to Algorithms, chapter 6, with the place of each item
kept.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mpifl.kernels.compile import inner_kernel


class Heaps(NamedTuple):
    """``h`` heaps of items 0 to m - 1, each of which is in a heap once or not at all.

    ``keys`` (h, m) float64, by item. ``items`` (h, m) int64, each heap in heap order, the smallest
    key first. ``places`` (h, m) int64, the place of an item in ``items``, -1 where it is not in the
    heap. ``sizes`` (h,) int64.
    """

    keys: np.ndarray
    items: np.ndarray
    places: np.ndarray
    sizes: np.ndarray

    @classmethod
    def empty(cls, heaps: int, items: int) -> Heaps:
        """Return ``heaps`` empty heaps for ``items`` items."""
        shape = (heaps, items)
        return cls(
            np.empty(shape),
            np.empty(shape, np.int64),
            np.full(shape, -1, np.int64),
            np.zeros(heaps, np.int64),
        )


@inner_kernel
def least(heaps: Heaps, heap: int) -> float:
    """Return the smallest key of a heap; infinity when it is empty."""
    return heaps.keys[heap, heaps.items[heap, 0]] if heaps.sizes[heap] else np.inf


@inner_kernel
def put(heaps: Heaps, heap: int, item: int, key: float) -> None:
    """Add an item with its key, or move it to a new key."""
    place = heaps.places[heap, item]
    if place < 0:
        place = heaps.sizes[heap]
        heaps.sizes[heap] += 1
    heaps.keys[heap, item] = key
    _sift(heaps, heap, item, place)


@inner_kernel
def take(heaps: Heaps, heap: int, item: int) -> None:
    """Remove an item that is in a heap."""
    place = heaps.places[heap, item]
    heaps.places[heap, item] = -1
    heaps.sizes[heap] -= 1
    if place < heaps.sizes[heap]:
        _sift(heaps, heap, heaps.items[heap, heaps.sizes[heap]], place)


@inner_kernel
def _sift(heaps: Heaps, heap: int, item: int, place: int) -> None:
    """Move an item up or down from a free ``place`` to where its key belongs."""
    keys = heaps.keys
    items = heaps.items
    key = keys[heap, item]
    size = heaps.sizes[heap]

    while place > 0 and keys[heap, items[heap, (place - 1) // 2]] > key:
        _settle(heaps, heap, items[heap, (place - 1) // 2], place)
        place = (place - 1) // 2

    while 2 * place + 1 < size:
        child = 2 * place + 1
        sibling = child + 1
        if sibling < size and keys[heap, items[heap, sibling]] < keys[heap, items[heap, child]]:
            child += 1
        if keys[heap, items[heap, child]] >= key:
            break
        _settle(heaps, heap, items[heap, child], place)
        place = child
    _settle(heaps, heap, item, place)


@inner_kernel
def _settle(heaps: Heaps, heap: int, item: int, place: int) -> None:
    heaps.items[heap, place] = item
    heaps.places[heap, item] = place
