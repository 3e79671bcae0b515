"""One position from flat to flat: average price, protection, initial risk, and the trade that it becomes.

Pure accounting without lock, clock or I/O; every broker adapter uses it, so a trade means the same everywhere. The
owner calls it while holding whatever protects the account.
"""

from typing import Any

from src.core.errors import InternalError
from src.core.records import Fill, Position, Side, Trade, make_position, make_trade

__all__ = ["Book"]


class Book:
    """The open position of one book, fed with its fills.

    Args:
        book: name of the strategy instance.
        symbol: the instrument.
    """

    __slots__ = ("_commission", "_entry_reason", "_entry_value", "_entry_volume", "_exit_value", "_exit_volume",
                 "_financing", "_missed", "_other_best", "_other_worst", "_profit", "_slippage", "_snapshot",
                 "_spread", "ambiguous", "book", "entry_price", "initial_risk", "initial_stop", "initial_volume",
                 "opened_ns", "position_id", "rate", "side", "stop", "stop_cost", "stop_kind", "symbol", "target",
                 "trail", "volume")  # fmt: skip

    def __init__(self, book: str, symbol: str) -> None:
        self.book = book
        self.symbol = symbol
        self._reset()

    def _reset(self) -> None:
        self.position_id = ""
        self.side = Side.BUY
        self.volume = 0.0
        self.entry_price = 0.0
        self.opened_ns = 0
        self.stop: float | None = None
        self.target: float | None = None
        self.stop_kind = "stop"
        self.stop_cost = 0.0
        self.initial_stop: float | None = None
        self.initial_risk: float | None = None
        self.initial_volume = 0.0
        self.ambiguous = False
        self._commission = self._spread = self._slippage = 0.0
        self._entry_value = self._entry_volume = self._exit_value = self._exit_volume = 0.0
        self._other_best = self._other_worst = 0.0
        self._entry_reason = ""
        self._financing = 0.0
        #: The realised profit where it has to be converted into the account's currency, None where it need not.
        self._profit: float | None = None
        self.rate = 1.0
        #: How the venue lets the stop follow the price, None when it does not; its owner knows what it means.
        self.trail: Any = None
        self._missed: tuple[tuple[float, float, float, float, float, float], ...] = ()
        self._snapshot: Position | None = None

    def open(self, fill: Fill, *, stop: float | None, target: float | None, stop_cost: float) -> None:
        """Open the position, or add to it, with a fill on its side.

        Each fill's initial risk is fixed when it happens, by the stop of that moment. A position that was opened
        without a stop has no initial risk, whatever is set or added later.

        Args:
            stop, target: protection after this fill; None leaves what an earlier fill has set. An addition never
                loosens a stop: of its own and the present one, which may be trailing, the tighter guards the whole.
            stop_cost: expected money per unit of volume for getting out at the stop.
        """
        sign = fill.side.sign
        if self.volume * sign < 0:
            raise InternalError(f"{fill.fill_id} opens against the position of {self.symbol}")
        if self.volume == 0.0:  # everything else is as `_reset` left it
            self.position_id = fill.position_id
            self.side = fill.side
            self.opened_ns = fill.filled_ns
            self._entry_reason = fill.reason
        held = abs(self.volume)
        total = held + fill.volume
        self.entry_price = fill.price if held == 0.0 else (self.entry_price * held + fill.price * fill.volume) / total
        self.volume = sign * total
        self.initial_volume = max(self.initial_volume, total)
        self._entry_value += fill.price * fill.volume
        self._entry_volume += fill.volume
        self._add_costs(fill)
        if stop is not None and (held == 0.0 or self.stop is None or sign * (stop - self.stop) > 0):
            self.stop = stop
            self.stop_kind = "stop"
            self.stop_cost = stop_cost
            if held == 0.0:
                self.initial_stop = stop
        if target is not None:
            self.target = target
        if self.initial_stop is not None and self.stop is not None:
            distance = max(0.0, sign * (fill.price - self.stop))
            self.initial_risk = (self.initial_risk or 0.0) + (distance * fill.rate + self.stop_cost) * fill.volume
        self._snapshot = None

    def reduce(self, fill: Fill) -> tuple[float, Trade | None]:
        """Close a part of the position, or all of it.

        Returns:
            The realised profit before commission, in the account's currency, and the trade when the position is flat
            now.
        """
        sign = self.side.sign
        if fill.side.sign != -sign:
            raise InternalError(f"{fill.fill_id} does not reduce the position of {self.symbol}")
        if fill.volume > abs(self.volume) * (1 + 1e-12):
            raise InternalError(f"{fill.fill_id} reduces more than {self.symbol} holds")
        profit = sign * (fill.price - self.entry_price) * fill.volume
        if self._profit is not None:
            profit *= fill.rate
            self._profit += profit
        left = abs(self.volume) - fill.volume
        # Volumes are multiples of a step; what is left after taking all of them away is float noise.
        self.volume = 0.0 if left <= 1e-12 * self.initial_volume else sign * left
        self._exit_value += fill.price * fill.volume
        self._exit_volume += fill.volume
        self._add_costs(fill)
        if fill.ambiguous and fill.other_price is not None:
            self.ambiguous = True
            other = sign * (fill.other_price - fill.price) * fill.volume * fill.rate
            self._other_best += max(0.0, other)
            self._other_worst += min(0.0, other)
        self._snapshot = None
        return profit, self._close(fill) if self.volume == 0.0 else None

    def protect(self, *, stop: float | None, target: float | None, kind: str) -> None:
        """Move the stop or the target; None leaves one as it is."""
        if stop is not None:
            self.stop = stop
            self.stop_kind = kind
        if target is not None:
            self.target = target
        self._snapshot = None

    def finance(self, amount: float) -> None:
        """Count a swap or a funding that was credited while the position is open; negative when it was paid."""
        self._financing -= amount

    def convert_at(self, rate: float) -> None:
        """Set the account's money for one unit of the price's currency now, which is another than the account's."""
        if self._profit is None:
            self._profit = 0.0
        if rate != self.rate:
            self.rate = rate
            self._snapshot = None

    def doubt(self, gain: float) -> None:
        """Count what another path would have brought beyond the execution that comes next, in the price's currency."""
        self.ambiguous = True
        self._other_best += max(0.0, gain * self.rate)
        self._other_worst += min(0.0, gain * self.rate)

    def miss(self, price: float, volume: float | None = None) -> None:
        """Remember that another path of the prices would have closed what is held now, at this price.

        Args:
            volume: how much of it, unsigned; all by default.
        """
        volume = abs(self.volume) if volume is None else volume
        before = self._exit_value, self._exit_volume, self._other_worst, self._other_best
        self._missed = (*self._missed, (price, volume, *before))

    def position(self) -> Position:
        """What is held now; the same object until something changes."""
        if self._snapshot is None:
            self._snapshot = make_position(
                position_id=self.position_id, book=self.book, symbol=self.symbol, volume=self.volume,
                entry_price=self.entry_price, opened_ns=self.opened_ns, stop=self.stop, target=self.target,
                stop_kind=self.stop_kind, initial_stop=self.initial_stop, initial_risk=self.initial_risk,
                initial_volume=self.initial_volume, stop_cost=self.stop_cost, rate=self.rate,
            )  # fmt: skip
        return self._snapshot

    def _add_costs(self, fill: Fill) -> None:
        self._commission += fill.commission
        self._spread += fill.spread_cost
        self._slippage += fill.slippage_cost

    def _weigh_missed(self, rate: float) -> None:
        """Compare each exit that was missed with what became of the volume that it would have closed.

        What was left to doubt about parts that had been closed before adds to it; what came later it would have spared.
        """
        self.ambiguous = True
        for price, volume, value_before, volume_before, worst_before, best_before in self._missed:
            later = (self._exit_value - value_before) / (self._exit_volume - volume_before)
            other = self.side.sign * (price - later) * volume * rate
            self._other_best = max(self._other_best, best_before + other)
            self._other_worst = min(self._other_worst, worst_before + other)

    def _close(self, fill: Fill) -> Trade:
        # The gross result is measured at mid prices: what the fills' prices lost to spread and slippage is given back
        # here and listed as costs, the entry's as well.
        exit_price = self._exit_value / self._exit_volume
        entry_price = self._entry_value / self._entry_volume
        costs = self._commission + self._spread + self._slippage
        profit = self._profit
        if profit is None:
            profit = self.side.sign * (self._exit_value - self._entry_value)
        gross = profit + self._spread + self._slippage
        net = gross - costs
        if self._financing:
            net -= self._financing
        risk = self.initial_risk
        if self._missed:
            self._weigh_missed(fill.rate)
        trade = make_trade(
            trade_id=self.position_id, book=self.book, symbol=self.symbol, side=self.side, volume=self.initial_volume,
            entry_ns=self.opened_ns, exit_ns=fill.filled_ns, entry_price=entry_price, exit_price=exit_price,
            gross=gross, commission=self._commission, spread_cost=self._spread, slippage_cost=self._slippage, net=net,
            risk=risk, r=net / risk if risk else None, initial_stop=self.initial_stop, exit_kind=fill.kind,
            entry_reason=self._entry_reason, exit_reason=fill.reason, ambiguous=self.ambiguous,
            net_worst=net + self._other_worst, net_best=net + self._other_best,
            financing=self._financing,
        )  # fmt: skip
        self._reset()
        return trade
