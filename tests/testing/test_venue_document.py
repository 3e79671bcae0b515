"""The document of the local venue names what can be asked, and what can go wrong."""

import re
from pathlib import Path

from src.testing.venue import FaultKind
from tests.testing.venues import make_venue

TEXT = (Path(__file__).parents[2] / "docs" / "venue.md").read_text(encoding="utf-8")


def test_the_document_names_every_request() -> None:
    """Neither more nor less than the venue answers."""
    named = re.findall(r"`((?:GET|POST|PUT|DELETE) [^`]+)`", TEXT)

    assert sorted(named) == sorted(make_venue().endpoints)


def test_the_document_names_every_fault() -> None:
    """Each kind stands in its table."""
    table = TEXT[TEXT.index("## What goes wrong") : TEXT.index("## What it does not imitate")]
    rows = [line for line in table.splitlines() if line.startswith("| `")]

    assert sorted(re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in rows))) == sorted(FaultKind)
