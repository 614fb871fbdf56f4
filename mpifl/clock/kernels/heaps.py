"""Binary heaps whose items can be moved and taken out, which heapq's cannot; a few of them over the same items.

Cormen, Leiserson, Rivest, Stein, Introduction to Algorithms, chapter 6, with the place of each item kept.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mpifl.kernels.compile import inner_kernel


class Heaps(NamedTuple):
    """``h`` heaps of items 0 to m - 1, each of which is in a heap once or not at all.

    ``keys`` (h, m) float64 by item; ``items`` (h, m) int64, smallest key first; ``places`` (h, m) int64 of an item in there,
    -1 where it is not; ``sizes`` (h,) int64.
    """

    keys: np.ndarray
    items: np.ndarray
    places: np.ndarray
    sizes: np.ndarray

    @classmethod
    def empty(cls, heaps: int, items: int) -> Heaps:
        """So many heaps for so many items, with none in them."""
        shape = (heaps, items)
        return cls(
            np.empty(shape),
            np.empty(shape, np.int64),
            np.full(shape, -1, np.int64),
            np.zeros(heaps, np.int64),
        )


@inner_kernel
def least(heaps: Heaps, heap: int) -> float:
    """The smallest key of a heap; infinity when it is empty."""
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
    """Take an item out that is in a heap."""
    place = heaps.places[heap, item]
    heaps.places[heap, item] = -1
    heaps.sizes[heap] -= 1
    if place < heaps.sizes[heap]:
        _sift(heaps, heap, heaps.items[heap, heaps.sizes[heap]], place)


@inner_kernel
def _sift(heaps: Heaps, heap: int, item: int, place: int) -> None:
    """Put an item where it belongs, from a ``place`` that is free upwards or downwards."""
    key, size = heaps.keys[heap, item], heaps.sizes[heap]
    while place > 0 and heaps.keys[heap, heaps.items[heap, (place - 1) // 2]] > key:
        _settle(heaps, heap, heaps.items[heap, (place - 1) // 2], place)
        place = (place - 1) // 2
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if (
            child + 1 < size
            and heaps.keys[heap, heaps.items[heap, child + 1]]
            < heaps.keys[heap, heaps.items[heap, child]]
        ):
            child += 1
        if heaps.keys[heap, heaps.items[heap, child]] >= key:
            break
        _settle(heaps, heap, heaps.items[heap, child], place)
        place = child
    _settle(heaps, heap, item, place)


@inner_kernel
def _settle(heaps: Heaps, heap: int, item: int, place: int) -> None:
    heaps.items[heap, place] = item
    heaps.places[heap, item] = place
