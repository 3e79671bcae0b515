"""What `--watch` shows: one sample of a run as lines of text that fit a terminal.

Pure: no clock, no terminal, no run. Where not everything fits, the busiest participants and the first positions are
shown and the rest is counted.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from src.core.timeframe import DAY_NS, format_instant
from src.core.words import counted

__all__ = ["ParticipantRow", "PositionRow", "Sample", "Shares", "frame"]

#: From this width on instants have their date, and columns their whole names.
WIDE = 110
_MOST_MESSAGE = 5
_KEYS = (
    "space pause  s step  g go to  b break  +/- pace  m max  q stop  ? help",
    "space pause  s step  q stop  ? help",
)
_PLAIN = str.maketrans({"━": "#", "─": "-", "…": "~"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Parts of the real time in which the run was not paused, 0 to 1."""

    strategy: float = 0.0
    broker: float = 0.0
    bot: float = 0.0
    hand_over: float = 0.0
    market: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantRow:
    """One participant.

    Attributes:
        rank: its place among all by real time in turns, 0 for the busiest.
        state: `running`, `ready`, `waiting` or `left`.
        what: what it waits for.
        since_ns: virtual instant since which it waits, None when that is not known.
        longest_ns: real nanoseconds of its longest turn.
    """

    name: str
    rank: int
    state: str
    what: str
    since_ns: int | None
    turns: int
    shares: Shares
    longest_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionRow:
    """An open position; `profit` in the account's currency at the price that would close it, None without a price."""

    symbol: str
    book: str
    volume: float
    entry_price: float
    profit: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A run at one moment.

    Attributes:
        title: the configuration's name.
        synthetic: the seed of a generated market, None for real data.
        status: `running`, `pausing`, `paused` or `ended`.
        pace: see `ControlState.pace`.
        plans: where it will pause.
        bars, total_bars: base bars shown to the bot, and in the window.
        bars_per_s, steps_per_s: over the last seconds; None before there are any.
        left_s: real seconds to the end at that speed, None when it cannot be told.
        real_s: real seconds since the start, pauses left out.
        orders: how many are live.
        refusals: how many intents were refused, by code.
        last: the last executions as sentences, the latest first.
        message: the last thing that was said, perhaps in several lines.
        keys: whether somebody can press keys.
    """

    title: str
    synthetic: int | str | None
    status: str
    pace: str
    plans: tuple[str, ...]
    now_ns: int
    bars: int
    total_bars: int
    bars_per_s: float | None
    steps_per_s: float | None
    left_s: float | None
    real_s: float
    shares: Shares
    participants: tuple[ParticipantRow, ...]
    currency: str
    equity: float
    balance: float
    margin_used: float
    positions: tuple[PositionRow, ...]
    orders: int
    trades: int
    refusals: dict[str, int]
    last: tuple[str, ...]
    message: str
    keys: bool


def frame(sample: Sample, width: int, height: int, *, ascii_only: bool = False) -> list[Text]:
    """Lines for a terminal of that size: at most `height`, none wider than `width`, the keys on the last one.

    Args:
        ascii_only: the terminal shows nothing else.
    """
    head = _head(sample, width)
    account = _account(sample)
    tail = _tail(sample, width, min(_MOST_MESSAGE, max(0, height - 7)))
    gaps = 2 if height >= 20 else 0
    room = height - len(head) - len(account) - len(tail) - gaps
    people, held, events = _divided(room, len(sample.participants), len(sample.positions), len(sample.last))
    gap = [Text()] if gaps else []
    middle = [
        *head, *gap, *_participants(sample, people, width), *gap, *account, *_positions(sample, held, width),
        *(_line((f"last  {text}", "dim")) for text in sample.last[:events]),
    ]  # fmt: skip
    above = max(0, height - len(tail))
    lines = [*middle[:above], *([Text()] * max(0, above - len(middle))), *tail][:height]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        if ascii_only:
            line.plain = line.plain.translate(_PLAIN)
    return lines


def _divided(room: int, people: int, held: int, events: int) -> tuple[int, int, int]:
    """How many lines participants, positions (their headers included) and events get."""
    wanted_people, wanted_held = 1 + people, 1 + held if held else 0
    room = max(0, room)
    events = min(events, 3 if wanted_people + wanted_held + 3 <= room else 1 if room >= 8 else 0)
    room -= events
    if wanted_people + wanted_held <= room:
        return wanted_people, wanted_held, events
    # A third for the positions, and more where the participants do not need the rest; at least two of them.
    third = min(wanted_held, max(room // 3, room - wanted_people))
    for_held = third if third >= 2 else 0
    return room - for_held, for_held, events


# -- the parts -------------------------------------------------------------------------------------


_STATUS = {"running": "black on green", "paused": "black on yellow", "pausing": "black on yellow"}


def _head(sample: Sample, width: int) -> list[Text]:
    status = f" {sample.status.upper()} "
    pace = f"pace {sample.pace}  "
    name = f"Lockstep  {clean(sample.title)}"
    synthetic = "" if sample.synthetic is None else f"  SYNTHETIC, seed {sample.synthetic}"
    room = max(0, width - len(pace) - len(status))
    shown = fitted(name + synthetic, room)
    lines = [
        _line(
            (shown[: len(name)], "bold"),
            (shown[len(name) :], "yellow"),
            (pace, ""),
            (status, _STATUS.get(sample.status, "black on white")),
        ),
        _progress(sample, width),
        _line((_speed(sample), "")),
        _line(("time in  ", "dim"), (_shares(sample.shares), "")),
    ]
    if sample.plans:
        lines.append(_line(("will pause  ", "dim"), (clean(", ".join(sample.plans)), "yellow")))
    return lines


def _progress(sample: Sample, width: int) -> Text:
    done = min(1.0, sample.bars / sample.total_bars) if sample.total_bars else 0.0
    instant = format_instant(sample.now_ns)
    per_cent = f" {int(done * 100):>3} % "
    bars = f" {sample.bars:,} of {counted(sample.total_bars, 'bar')}"
    room = width - len(instant) - len(per_cent) - len(bars) - 1
    length = max(0, min(60, room))
    filled = int(done * length)
    full, empty = "━" * filled, "─" * (length - filled)
    return _line((f"{instant} ", "bold cyan"), (full, "green"), (empty, "dim"), (per_cent, "bold"), (bars, ""))


def _speed(sample: Sample) -> str:
    parts = []
    if sample.status == "paused":
        parts.append("stands still")
    elif sample.steps_per_s is not None and sample.bars_per_s is not None:
        parts.append(f"{rate(sample.steps_per_s)} steps/s, {rate(sample.bars_per_s)} bars/s")
    parts.append(f"{span(sample.real_s)} gone")
    if sample.left_s is not None and sample.status != "paused":
        parts.append(f"{span(sample.left_s)} left")
    return ", ".join(parts)


def _shares(shares: Shares) -> str:
    named = (
        ("strategy", shares.strategy), ("broker", shares.broker), ("bot", shares.bot), ("hand-over", shares.hand_over),
        ("market", shares.market),
    )  # fmt: skip
    return "  ".join(f"{name} {value:.1%}" for name, value in named)


def _participants(sample: Sample, lines: int, width: int) -> list[Text]:
    everyone = sample.participants
    if lines < 2 or not everyone:
        return []
    shown: Sequence[ParticipantRow] = everyone
    if len(everyone) > lines - 1:
        shown = sorted(everyone, key=lambda row: row.rank)[: max(0, lines - 2)]
    wide = width >= WIDE
    name_width = min(max([11, *(cell_len(clean(row.name)) for row in shown)]), 36 if wide else 22)
    since_width = 19 if wide else 8
    # Name and state to the left, figures to the right; the state takes what is left over.
    figures = (("turns", 9), ("strategy", 8), ("broker", 6), ("hand-over", 9), ("longest turn", 12)) if wide else (
        ("turns", 7), ("strat.", 6), ("broker", 6), ("hand", 5), ("longest", 8),
    )  # fmt: skip
    others = name_width + since_width + sum(size + 1 for _, size in figures) + 2
    state_width = max(7, min(48, width - others))

    def one(cells: Sequence[str], style: str = "", state_style: str | None = None) -> Text:
        name, state, since, *values = cells
        right = "".join(" " + fitted(value, size, right=True) for value, (_, size) in zip(values, figures, strict=True))
        return _line(
            (fitted(name, name_width) + " ", style),
            (fitted(state, state_width) + " ", style if state_style is None else state_style),
            (fitted(since, since_width) + right, style),
        )

    table = [one(["participant", "state", "since", *(name for name, _ in figures)], "bold")]
    for row in shown:
        style = "dim" if row.state == "left" else ""
        shares = [f"{part:.1%}" for part in (row.shares.strategy, row.shares.broker, row.shares.hand_over)]
        since = _since(row, sample.now_ns, wide=wide)
        cells = [row.name, _state(row), since, f"{row.turns:,}", *shares, brief(row.longest_ns)]
        table.append(one(cells, style, _STATE_STYLES.get(row.state)))
    hidden = len(everyone) - len(shown)
    if hidden:
        table.append(_line((f"… {hidden:,} more, less busy", "dim")))
    return table


_STATE_STYLES = {"running": "bold green", "ready": "green"}


def _state(row: ParticipantRow) -> str:
    if row.state != "waiting":
        return row.state
    # Shorter than in errors, because it stands in a column.
    return f"waits: {row.what.removeprefix('the ')}" if row.what else "waits"


def _since(row: ParticipantRow, now_ns: int, *, wide: bool) -> str:
    if row.since_ns is None or row.state != "waiting":
        return ""
    text = format_instant(row.since_ns)[:19]
    if wide:
        return text
    return text[11:] if row.since_ns // DAY_NS == now_ns // DAY_NS else text[5:10]


def _account(sample: Sample) -> list[Text]:
    profit = sample.equity - sample.balance
    refused = sum(sample.refusals.values())
    most = sorted(sample.refusals.items(), key=lambda item: (-item[1], item[0]))[:3]
    why = f" ({', '.join(f'{code} {count:,}' for code, count in most)})" if most else ""
    return [
        _line(
            ("equity ", "dim"), (f"{sample.equity:,.2f} {clean(sample.currency)}", "bold"),
            ("  balance ", "dim"), (f"{sample.balance:,.2f}", ""),
            ("  open ", "dim"), (f"{profit:+,.2f}", _money_style(profit)),
            ("  margin ", "dim"), (f"{sample.margin_used:,.2f}", ""),
        ),
        _line(
            (f"{counted(len(sample.positions), 'open position')}, {counted(sample.orders, 'live order')}, "
             f"{counted(sample.trades, 'closed trade')}, {refused:,} refused{why}", ""),
        ),
    ]  # fmt: skip


def _positions(sample: Sample, lines: int, width: int) -> list[Text]:
    held = sample.positions
    if lines < 2 or not held:
        return []
    shown = held if len(held) <= lines - 1 else held[: lines - 2]
    symbol_width = min(max([6, *(cell_len(clean(row.symbol)) for row in shown)]), 24)
    sizes = (5, 12, 13, 12)

    def one(cells: Sequence[str], book: str, style: str = "", profit_style: str = "") -> Text:
        symbol, side, volume, price, profit = cells
        return _line(
            (fitted(symbol, symbol_width) + " " + fitted(side, sizes[0]) + " ", style),
            (fitted(volume, sizes[1], right=True) + " " + fitted(price, sizes[2], right=True) + " ", style),
            (fitted(profit, sizes[3], right=True), style or profit_style),
            ("  " + fitted(book, max(0, width - symbol_width - sum(sizes) - 6)).rstrip(), style),
        )

    table = [one(["symbol", "side", "volume", "entry", "profit"], "strategy", "bold")]
    for row in shown:
        profit = "" if row.profit is None else f"{row.profit:+,.2f}"
        side = "long" if row.volume > 0 else "short"
        cells = [row.symbol, side, number(abs(row.volume)), number(row.entry_price), profit]
        table.append(one(cells, row.book, profit_style=_money_style(row.profit or 0.0)))
    if len(shown) < len(held):
        table.append(_line((f"… {counted(len(held) - len(shown), 'more position')}", "dim")))
    return table


def _tail(sample: Sample, width: int, most: int) -> list[Text]:
    wrapped = [
        part for line in sample.message.splitlines() for part in textwrap.wrap(clean(line), max(1, width)) or [""]
    ]
    lines = [_line((line, "yellow")) for line in wrapped[:most]]
    long, short = _KEYS
    keys = (long if len(long) <= width else short) if sample.keys else "Ctrl-C stops the run"
    return [*lines, _line((keys, "reverse"))]


# -- texts -----------------------------------------------------------------------------------------


def clean(text: str) -> str:
    """A text that moves no cursor, whoever wrote it."""
    return text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)


def fitted(text: str, width: int, *, right: bool = False) -> str:
    """Exactly `width` cells: filled with spaces, or cut with a mark."""
    text = clean(text)
    cells = cell_len(text)
    if cells > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    return " " * (width - cells) + text if right else text + " " * (width - cells)


def number(value: float) -> str:
    """A price or a volume with the digits that it has, eight at most."""
    return f"{value:,.8g}"


def rate(per_s: float) -> str:
    """`190,000`, and below ten one decimal."""
    return f"{per_s:,.0f}" if per_s >= 10 else f"{per_s:.1f}"


def span(seconds: float) -> str:
    """`12 s`, `3 min 04 s`, `2 h 05 min`, `4 d 03 h`."""
    whole = max(0, round(seconds))
    for size, name, part, part_name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size:,} {name} {whole % size // part:02d} {part_name}"
    return f"{whole} s"


def brief(duration_ns: int) -> str:
    """Real time in three figures: `12.3 us`, `123 ms`, `1.23 s`."""
    value, unit = duration_ns / 1e3, "us"
    for size, longer in ((1e6, "ms"), (1e9, "s")):
        if duration_ns >= size:
            value, unit = duration_ns / size, longer
    return f"{value:,.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"


def _money_style(value: float) -> str:
    return "green" if value > 0 else "red" if value < 0 else ""


def _line(*parts: tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True)
