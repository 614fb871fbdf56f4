"""Files of client sizes are data; whoever brings them here is told where they belong."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpifl.traces.importers.client_sizes import Oort, Pyramidfl
from tests.traces.importers.refusing import refusal


@pytest.mark.parametrize(
    ("importer", "name"),
    [(Oort(), "oort_speech_size.pkl"), (Pyramidfl(), "pyramidfl_har_obs_client_distribution.mat")],
)
def test_it_says_what_takes_them(importer: Oort, name: str) -> None:
    message = refusal(importer, Path(name))
    assert message.startswith(f"{name}: client sizes")
    assert "mpifl data import sizes" in message
