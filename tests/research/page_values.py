"""What a page holds, as its own script reads it: tables by name and column, charts with their numbers."""

import base64
import html
import json
import re
from typing import Any

import numpy as np

from src.pages import Page
from src.pages.packing import unpacked


class PageValues:
    """The values of a page.

    Attributes:
        text: the page without the inlined chart library and the other scripts.
        tables: by name, each a dictionary of columns, by their names in code where they have one.
        heads: the headings of each table.
        charts, values: by name.
    """

    def __init__(self, page: Page | str) -> None:
        whole = page if isinstance(page, str) else page.html()
        match = re.search(r'<script type="application/json" id="page-data">(.*?)</script>', whole, flags=re.DOTALL)
        assert match is not None
        data = json.loads(match[1])
        packs = re.findall(
            r'<script type="text/plain" id="pack-([^"]+)" data-columns="([^"]*)">(.*?)</script>', whole, flags=re.DOTALL
        )
        self._packs = {name: unpacked(html.unescape(described), text) for name, described, text in packs}
        self.tables = {name: self._table(table) for name, table in data["tables"].items()}
        self.heads = {name: [one["name"] for one in table["columns"]] for name, table in data["tables"].items()}
        self.charts: dict[str, Any] = data["charts"]
        self.values: dict[str, Any] = data["values"]
        self.text = re.sub(r"<script.*?</script>", "", whole, flags=re.DOTALL)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table, each by column."""
        columns = self.tables[table]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def tiles(self) -> dict[str, str]:
        """What each tile shows, by its key."""
        found = re.findall(r'<div class="tile" data-key="([^"]+)".*?<b[^>]*>(.*?)</b>', self.text, flags=re.DOTALL)
        return {key: html.unescape(text) for key, text in found}

    def _table(self, table: dict[str, Any]) -> dict[str, list[Any]]:
        names = [column.get("key") or column["name"] for column in table["columns"]]
        if "pack" not in table:
            return dict(zip(names, table["values"], strict=True))
        packed = self._packs[table["pack"]]
        return {name: list(packed[str(place)]) for place, name in enumerate(names)}


def numbers(value: Any) -> list[float]:
    """An array of a chart."""
    if isinstance(value, dict):
        return [float(each) for each in np.frombuffer(base64.b64decode(value["bdata"]), "<f8")]
    return list(value)
