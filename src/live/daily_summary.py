"""The summary of a day in words, for people. Pure."""

from dataclasses import dataclass

__all__ = ["DayFigures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFigures:
    """How an account's day was.

    Attributes:
        currency: of all amounts.
        equity_before: with open profit, at the day's start; None when it is not known.
        equity_after: the same at its end.
        trades: closed in the day.
        won: of these with a profit.
        fills: of all orders.
        refused: orders that were refused, by the bot itself or by the venue.
        open_positions: at the end, each as a short text such as `BTCUSDT long 0.01`.
    """

    currency: str
    equity_before: float | None
    equity_after: float
    trades: int = 0
    won: int = 0
    fills: int = 0
    refused: int = 0
    open_positions: tuple[str, ...] = ()

    def text(self) -> str:
        """A few lines."""
        lines = [f"equity {self.equity_after:,.2f} {self.currency}"]
        before = self.equity_before
        if before is not None:
            change = self.equity_after - before
            share = f" ({100 * change / before:+.2f} percent)" if before > 0 else ""
            lines[0] += f", {change:+,.2f}{share} in the day"
        lines.append(f"{self.trades} trades closed, {self.won} won; {self.fills} fills, {self.refused} orders refused")
        lines.append(f"open: {', '.join(self.open_positions) or 'nothing'}")
        return "\n".join(lines)
