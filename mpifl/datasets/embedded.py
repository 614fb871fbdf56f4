"""The data set that needs no download: scikit-learn's digits."""

from __future__ import annotations

import numpy as np

from mpifl.datasets.dataset import Dataset, grouped
from mpifl.seeds import Purpose, generator

NAME = "digits"
TEST_SHARE = 0.2


def digits() -> Dataset:
    """Return scikit-learn's 1,797 images of handwritten digits, 8x8, values 0 to 16.

    A seeded fifth of each class is the test part. The source names no writers, so all train samples
    belong to one client until a partitioner deals them out.
    """
    from sklearn.datasets import load_digits  # slow to import; needed only to fill the cache

    images, labels = load_digits(return_X_y=True)
    x = images.reshape(-1, 8, 8).astype(np.uint8)
    y = labels.astype(np.int64)

    random = generator(0, Purpose.SPLIT)
    test = np.zeros(len(y), bool)
    for label in range(10):
        rows = random.permutation(np.flatnonzero(y == label))
        test[rows[: round(TEST_SHARE * len(rows))]] = True

    client = np.array(["all"])
    return Dataset(
        name=NAME,
        outputs=10,
        source="scikit-learn's digits: optical recognition of handwritten digits, UCI, test part",
        licence="CC BY 4.0",
        train=grouped(x[~test], y[~test], np.repeat(client, (~test).sum())),
        test=grouped(x[test], y[test], np.repeat(client, test.sum())),
        feature_scale=1 / 16,
    )
