"""The report's list of trades that another path inside a bar would have ended otherwise. Builds text; any thread."""

from collections.abc import Sequence

from src.backtesting.report_curves import safe
from src.backtesting.summary import money_text
from src.core.records import Trade
from src.core.timeframe import format_instant
from src.core.words import counted

__all__ = ["ambiguity_section"]

#: More rows than that help nobody; all trades are in trades.parquet.
MOST_ROWS = 200

_HEAD = ("#", "Symbol", "Book", "Side", "Exit", "Closed by", "Worst", "Chosen", "Best")


def ambiguity_section(trades: Sequence[Trade], interval: tuple[float, float], net: float, currency: str) -> str:
    """The section as HTML; empty when nothing was left to doubt.

    Args:
        trades: all closed trades, in order; their numbers are their places.
        interval: the run's net profit had every ambiguous trade gone the worse, the better way.
        net: the run's net profit as it was simulated.
    """
    rows = [(number, trade) for number, trade in enumerate(trades, 1) if trade.ambiguous]
    if not rows:
        return ""
    worst, best = interval
    words = (
        f"{counted(len(rows), 'trade')} of {len(trades):,} would have ended otherwise on another path inside a bar: "
        f"the net profit of {money_text(net, currency, signed=True)} lies between {money_text(worst, signed=True)} and "
        f"{money_text(best, currency, signed=True)}."
    )
    if len(rows) > MOST_ROWS:
        words += f" The first {MOST_ROWS} are shown; all are in trades.parquet."
    head = "".join(f'<th class="t">{safe(name)}</th>' for name in _HEAD[:6])
    head += "".join(f"<th>{safe(name)}</th>" for name in _HEAD[6:])
    lines = "".join(_row(number, trade) for number, trade in rows[:MOST_ROWS])
    return (
        f'<section><h2>Ambiguous trades</h2><p class="dim">{safe(words)}</p><div class="scroll">'
        f'<table id="ambiguous"><tr>{head}</tr>{lines}</table></div></section>'
    )


def _row(number: int, trade: Trade) -> str:
    texts = (
        str(number), trade.symbol, trade.book, trade.side.value, format_instant(trade.exit_ns)[:16], trade.exit_kind
    )  # fmt: skip
    money = (trade.net_worst, trade.net, trade.net_best)
    left = "".join(f'<td class="t">{safe(text)}</td>' for text in texts)
    return f"<tr>{left}{''.join(f'<td>{safe(money_text(amount))}</td>' for amount in money)}</tr>"
