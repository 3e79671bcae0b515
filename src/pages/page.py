"""`Page`: collects pieces, charts and tables, and becomes one HTML file that needs no network.

Used by one thread. Equal calls give equal bytes. Charts are figures of the chart library as plain values; a colour in
them is the name of a role (`accent`, `good`, `bad`, `dim`, `warn`, `text`, `line`, `series-0` to `series-7`, each also
as `accent@0.3` with an opacity), which the page resolves for light and dark.
"""

import math
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np

from src.core.errors import InternalError
from src.pages.packing import Packable, columns_text, plain, script_json
from src.pages.pieces import note as small_print
from src.pages.pieces import safe

__all__ = ["Column", "Kind", "Page", "write_page"]

Kind = Literal["text", "number", "money", "percent", "instant", "duration", "html"]

_PACKED_FROM = 1_000  # rows; smaller tables stay readable in the file
_IDENT = re.compile(r"[a-z][a-z0-9_-]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table.

    Args:
        name: its heading.
        kind: how values are shown and sorted. `instant` and `duration` are whole nanoseconds; `percent` is a value
            in percent; `html` is HTML already. None is shown as a dash and sorted last.
        meaning: what the column says; shown on hover over the heading.
        tone: whether values above zero are shown as good and those below as bad.
        digits: decimals of a number; by default as many as it needs, up to six significant ones.
        wide: whether long texts may wrap.
        key: the name in code, such as `max_drawdown_percent`; the filter knows it besides the heading.
    """

    name: str
    kind: Kind = "text"
    meaning: str = ""
    tone: bool = False
    digits: int | None = None
    wide: bool = False
    key: str = ""


class Page:
    """One HTML page. `chart` and `table` return the HTML of their place, which is to be added where it belongs."""

    def __init__(self, title: str, *, heading: str = "") -> None:
        """Start a page.

        Args:
            title: of the window, and of the page unless `heading` is given.
            heading: HTML of the page's head in place of the title.
        """
        self.title = title
        self._heading = heading or f"<h1>{safe(title)}</h1>"
        self._body: list[str] = []
        self._charts: dict[str, Any] = {}
        self._tables: dict[str, Any] = {}
        self._packs: dict[str, tuple[str, str]] = {}
        self._values: dict[str, Any] = {}
        self._scripts: list[str] = []

    def add(self, html: str) -> None:
        """Put HTML at the page's end."""
        self._body.append(html)

    def chart(self, ident: str, figure: Mapping[str, Any], *, height_px: int = 320, note: str = "") -> str:
        """The place of a chart, which is drawn when it comes near the window.

        Args:
            ident: of the element; lower-case letters, digits, dashes; once in a page.
            figure: `data` and `layout` of the chart library; arrays may be NumPy's, instants are milliseconds.
            note: small print under the chart.
        """
        self._new(ident)
        self._charts[ident] = plain(figure)
        return f'<div id="{ident}" class="chart" style="height:{int(height_px)}px"></div>{small_print(note)}'

    def table(
        self,
        ident: str,
        columns: Sequence[Column],
        rows: Sequence[Sequence[Any]],
        *,
        page: int = 100,
        filters: bool = True,
    ) -> str:
        """The place of a table that sorts by a click on a heading, filters by a field over it, and shows pages.

        Args:
            ident: of the element, as for charts.
            rows: plain values, one for each column; sorted by value and not by text.
            page: rows that are shown at once.
            filters: whether there is a field to filter by.
        """
        self._new(ident)
        heads = [
            {"name": one.name, "kind": one.kind, "meaning": one.meaning, "tone": one.tone, "digits": one.digits,
             "wide": one.wide, **({"key": one.key} if one.key else {})}
            for one in columns
        ]  # fmt: skip
        values = [_column(one, [row[place] for row in rows]) for place, one in enumerate(columns)]
        table: dict[str, Any] = {"columns": heads, "page": page, "filters": filters, "count": len(rows)}
        if len(rows) < _PACKED_FROM:
            table["values"] = plain(values)
        else:
            table["pack"] = f"table-{ident}"
            self.pack(table["pack"], {str(place): _packable(one) for place, one in enumerate(values)})
        self._tables[ident] = table
        return f'<div id="{ident}" class="table"></div>'

    def pack(self, name: str, columns: Mapping[str, Packable]) -> None:
        """Store columns compressed; a script of the page reads them with `await lockstep.unpack(name)`."""
        self._new(f"pack-{name}")
        self._packs[name] = columns_text(columns)

    def value(self, name: str, value: Any) -> None:
        """Store a plain value; a script of the page reads it as `lockstep.values[name]`."""
        self._values[name] = plain(value)

    def script(self, name: str) -> None:
        """Add a script of this package, such as `candles.js`; once, however often it is asked for."""
        if name not in self._scripts:
            self._scripts.append(name)

    def html(self) -> str:
        """The whole page."""
        data = {"charts": self._charts, "tables": self._tables, "values": self._values}
        packs = [
            f'<script type="text/plain" id="pack-{safe(name)}" data-columns="{safe(described)}">{text}</script>'
            for name, (described, text) in self._packs.items()
        ]
        parts = {
            "title": safe(self.title),
            "heading": self._heading,
            "style": _asset("page.css"),
            "body": "\n".join(self._body),
            "data": script_json(data),
            "packs": "\n".join(packs),
            "plotly": _plotly() if self._charts or self._scripts else "",
            "script": "\n".join(_asset(name) for name in ("page.js", "tables.js", *self._scripts, "start.js")),
        }
        # One pass over the frame alone, so that braces in a user's words are never taken for a place.
        return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], _asset("page.html"))

    def _new(self, ident: str) -> None:
        taken = ident in self._charts or ident in self._tables or ident.removeprefix("pack-") in self._packs
        if taken or not _IDENT.match(ident):
            raise InternalError(f"expected a new name of lower-case letters, digits and dashes, found {ident!r}")


def write_page(path: Path, page: Page) -> None:
    """Write a page whole or not at all: what is at `path` is replaced in one step."""
    beside = path.with_name(f".{path.name}.tmp")
    # What a strategy raised may hold anything, half of a surrogate pair too.
    content = page.html().encode("utf-8", errors="backslashreplace")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def _column(column: Column, values: list[Any]) -> list[Any]:
    if column.kind in ("text", "html"):
        return ["" if value is None else str(value) for value in values]
    scale = {"instant": 1e6, "duration": 1e9}.get(column.kind, 1)
    return [_number(value, scale) for value in values]


def _number(value: Any, scale: float) -> float | int | None:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if scale != 1:
        return int(value) / scale
    return int(value) if isinstance(value, int | np.integer) else float(value)


def _packable(values: list[Any]) -> Packable:
    if values and isinstance(values[0], str):
        return values
    if all(isinstance(value, int) for value in values):
        return np.array(values, dtype=np.int64)
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _asset(name: str) -> str:
    return resources.files("src.pages").joinpath(name).read_text(encoding="utf-8")


def _plotly() -> str:
    return resources.files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")
