"""A venue and a client of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from src.testing.venue import LocalVenue
from src.testing.venue_client import client_of
from tests.testing.venues import make_venue


@pytest.fixture
def venue() -> Iterator[LocalVenue]:
    """At 100 and 50, for an hour to come."""
    with make_venue() as made:
        yield made


@pytest.fixture
def client(venue: LocalVenue) -> Iterator[Any]:
    """The exchange's client, which has loaded its markets."""
    made = client_of(venue)
    made.load_markets()
    yield made
    made.close()
