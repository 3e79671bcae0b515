"""Pages: self-contained, escaped, equal for equal calls, and whole on the disk."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from src.core.errors import InternalError
from src.pages import Column, Page, Tile, banner, details, pair, section, tiles, write_page
from src.pages.packing import unpacked


def data_of(text: str) -> Any:
    """The values that the page's script reads."""
    match = re.search(r'<script type="application/json" id="page-data">(.*?)</script>', text, flags=re.DOTALL)
    assert match is not None
    return json.loads(match.group(1))


def without_library(text: str) -> str:
    """The page without the inlined chart library."""
    return re.sub(r"<script>/\*\*.*?</script>", "", text, flags=re.DOTALL)


def some_page() -> Page:
    """A page with a chart and a table."""
    page = Page("Title <of> the page")
    page.add(section("A & B", page.chart("chart", {"data": [{"y": [1, 2]}], "layout": {}}), "part"))
    page.add(page.table("rows", [Column(name="N", kind="number"), Column(name="At", kind="instant")], [(1, 10**18)]))
    return page


def test_a_page_asks_the_network_for_nothing() -> None:
    """No addresses, no sources, the library once, and the page forbids all loading."""
    text = some_page().html()
    own = without_library(text)

    assert len(text) - len(own) > 1_000_000
    assert not re.search(r"https?:|src=|@import|url\(", own)
    assert "default-src 'none'" in own


def test_equal_pages_have_equal_bytes() -> None:
    """The same calls give the same text."""
    assert some_page().html() == some_page().html()


def test_texts_are_escaped() -> None:
    """Titles, names, notes and sentences are text, and braces in them are not taken for places."""
    page = Page("<b>{{data}}")
    page.add(tiles([Tile(name="<i>", text="<u>", note="<s>", meaning='"<q>')]) + banner("<w>", "<x>"))
    page.add(pair(section("<h>", ""), "") + details("<d>", "kept <em>"))

    text = page.html()

    assert "<title>&lt;b&gt;{{data}}</title>" in text
    assert not re.search(r"<(?:i|u|s|q|w|x|h|d)>", text)
    assert "kept <em>" in text


def test_a_page_without_charts_needs_no_library() -> None:
    """A table alone makes a small file."""
    page = Page("small")
    page.add(page.table("rows", [Column(name="N")], [("a",)]))

    assert len(page.html()) < 60_000


def test_table_values_are_kept_by_column() -> None:
    """Instants become milliseconds, durations seconds, what is absent null or an empty text."""
    page = Page("t")
    columns = [
        Column(name="a"),
        Column(name="b", kind="instant"),
        Column(name="c", kind="duration"),
        Column(name="d", kind="money"),
    ]
    page.table("rows", columns, [("x", 2_000_000, 3_000_000_000, 1.5), (None, None, None, float("nan"))])

    table = data_of(page.html())["tables"]["rows"]

    assert table["values"] == [["x", ""], [2.0, None], [3.0, None], [1.5, None]]


def test_large_tables_are_packed() -> None:
    """From a thousand rows on the values are compressed, and are the same."""
    page = Page("t")
    page.table("rows", [Column(name="a"), Column(name="b", kind="money")], [(f"n{i % 3}", i / 4) for i in range(1_000)])

    text = page.html()

    match = re.search(r'id="pack-table-rows" data-columns="([^"]*)">([^<]*)<', text)
    assert match is not None
    found = unpacked(match.group(1).replace("&quot;", '"'), match.group(2))
    assert found["0"][:4] == ["n0", "n1", "n2", "n0"]
    assert found["1"].tolist() == [i / 4 for i in range(1_000)]


@pytest.mark.parametrize("ident", ["chart", "Big", "a b", ""])
def test_a_name_is_used_once_and_well_formed(ident: str) -> None:
    """A second chart of a name, and a name that is none, are refused."""
    page = some_page()

    with pytest.raises(InternalError, match="expected a new name"):
        page.chart(ident, {})


def test_a_page_replaces_what_was_there(tmp_path: Path) -> None:
    """The file is whole, and nothing lies beside it."""
    path = tmp_path / "page.html"
    path.write_text("old", encoding="utf-8")

    write_page(path, some_page())

    assert path.read_text(encoding="utf-8") == some_page().html()
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]


def test_a_page_that_cannot_be_put_there_leaves_nothing_behind(tmp_path: Path) -> None:
    """Where a folder has its name, the file beside it is taken away again."""
    path = tmp_path / "page.html"
    path.mkdir()

    with pytest.raises(OSError, match=r"page\.html"):
        write_page(path, some_page())

    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]
