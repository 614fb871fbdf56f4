"""A server of our own for the tests of downloads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.datasets.catalogue.server import CONTENT, Site, serving


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask our server itself, whatever proxy there is."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def site() -> Iterator[Site]:
    """A server that is up and has CONTENT at every path."""
    with serving(Site(CONTENT)) as site:
        yield site
