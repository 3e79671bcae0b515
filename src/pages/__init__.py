"""HTML pages made of plain values: one file each, self-contained, light and dark, with charts and tables.

Pure; any thread. Equal inputs give equal bytes: there is no wall clock and no network in a page.
"""

from src.pages.packing import milliseconds
from src.pages.page import Column, Page, write_page
from src.pages.pieces import Tile, banner, details, note, pair, safe, section, tiles

__all__ = [
    "Column",
    "Page",
    "Tile",
    "banner",
    "details",
    "milliseconds",
    "note",
    "pair",
    "safe",
    "section",
    "tiles",
    "write_page",
]
