"""The pieces of a page that are plain HTML: sections, tiles, banners. Pure; any thread.

Every argument that is called `html` is HTML already and goes into the page as it is; everything else is text and is
escaped here.
"""

import html as escaping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Tile", "banner", "details", "meant", "note", "pair", "safe", "section", "tiles"]

TONES = ("", "good", "bad", "warn", "dim")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One headline figure.

    Args:
        name: what the figure is called.
        text: the figure, as it is shown.
        note: a few words under it.
        tone: colour of the figure: "", "good", "bad", "warn" or "dim".
        meaning: what the figure says and how it is computed; shown on hover and by keyboard focus.
        key: the figure's name in code, such as `max_drawdown_percent`; lets a test find the tile.
    """

    name: str
    text: str
    note: str = ""
    tone: str = ""
    meaning: str = ""
    key: str = ""


def safe(value: Any) -> str:
    """The value as text that is safe inside HTML, also within a quoted attribute."""
    return escaping.escape(str(value), quote=True)


def meant(meaning: str) -> str:
    """The attributes that make an element show `meaning` on hover and focus, with a space before them, or nothing."""
    return f' data-meaning="{safe(meaning)}" tabindex="0"' if meaning else ""


def tiles(figures: Sequence[Tile]) -> str:
    """A grid of headline figures."""
    cells = []
    for one in figures:
        tone = f' class="{safe(one.tone)}"' if one.tone else ""
        key = f' data-key="{safe(one.key)}"' if one.key else ""
        cells.append(
            f'<div class="tile"{key}{meant(one.meaning)}><span>{safe(one.name)}</span><b{tone}>{safe(one.text)}</b>'
            f"<small>{safe(one.note) or '&nbsp;'}</small></div>"
        )
    return f'<div class="tiles">{"".join(cells)}</div>'


def section(title: str, html: str, ident: str = "", *, meaning: str = "", short: str | None = None) -> str:
    """A card with a heading.

    Args:
        ident: of the element; a section with one can be linked to, and stands in the page's own navigation.
        meaning: shown on hover over the heading.
        short: what it is called in the navigation, if not as it is; an empty text leaves it out there.
    """
    named = f' id="{safe(ident)}"' if ident else ""
    named += f' data-short="{safe(short)}"' if short is not None else ""
    return f"<section{named}><h2{meant(meaning)}>{safe(title)}</h2>{html}</section>"


def pair(*parts: str) -> str:
    """Sections side by side where the window is wide enough for it; empty ones are left out."""
    return f'<div class="pair">{"".join(parts)}</div>' if any(parts) else ""


def banner(word: str, sentence: str, *, tone: str = "warn") -> str:
    """A line over the whole width that nobody overlooks: one loud word and a sentence."""
    return f'<div class="banner {safe(tone)}"><strong>{safe(word)}</strong><span>{safe(sentence)}</span></div>'


def note(text: str) -> str:
    """A paragraph of small print."""
    return f'<p class="note">{safe(text)}</p>' if text else ""


def details(title: str, html: str, *, opened: bool = False) -> str:
    """A part that is folded away until it is asked for."""
    return f"<details{' open' if opened else ''}><summary>{safe(title)}</summary>{html}</details>"
