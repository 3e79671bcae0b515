"""The variants of `benchmarks/variants.py` through the real engine, as deals that can be compared.

One call runs one variant in this process through the bot's own parts: strategy, order desk, risk manager, simulated
broker, virtual clock. Called from one thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import variants, workloads
from benchmarks.variants import Deal, Leg, Variant
from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.engine.time_controller import TimeController
from src.backtesting.result import BacktestResult
from src.brokers.simulated import Commission, Costs, FillRules, SimulatedBroker, Slippage
from src.core.bars import Bar, BarSeries
from src.core.config import BotConfig
from src.core.features import Feature, FeatureView, sma
from src.core.records import Fill, OrderEvent, Trade
from src.core.strategy import BarStrategy
from src.core.sync import runtime_named

__all__ = ["Obedient", "Outcome", "deals_of", "run_variant"]

#: What ends a position, by the kind of its fill.
KINDS = {"exit": "market", "reverse": "market", "stop": "stop", "trailing": "stop", "target": "target"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a program made of a variant: its deals by time of entry, and the account's value at the last close."""

    deals: list[Deal]
    equity: float


class Obedient(BarStrategy):
    """Does what `variant` says."""

    variant: Variant

    f: FeatureView
    s: FeatureView

    def features(self) -> dict[str, Feature]:
        """Both averages."""
        return {"f": sma(self.variant.fast), "s": sma(self.variant.slow)}

    def on_start(self) -> None:
        """Nothing is wanted yet."""
        self.side = 0
        self.entry = ""
        self.held: int | None = None
        self.late = False
        self.stop_level: float | None = None

    def on_order(self, event: OrderEvent) -> None:
        """Count the bars of a position from the one that filled its entry."""
        if event.fill is not None and event.fill.kind == "entry":
            self.held, self.late = 0, self.variant.late

    def on_bar(self, bar: Bar) -> None:
        """Decide at a close."""
        if len(self.bars) <= self.variant.slow:
            return
        side = variants.side_of(self.f[-1], self.s[-1])
        if side and side != self.side:
            self.side = side
            self.turn(side, bar.close)
        elif not self.variant.hedging and not self.position.is_flat:
            self.manage(bar.close)

    def turn(self, side: int, close: float) -> None:
        """Withdraw, close, enter."""
        variant = self.variant
        if self.entry:
            self.cancel(self.entry)  # refused when it was filled, which is as good
            self.entry = ""
        flat = side < 0 and variant.long_only
        # A market entry without a stated volume closes the other side by itself.
        reverses = variant.entry == "market" and not flat
        if not variant.hedging and not reverses and not self.position.is_flat:
            self.close()
        if flat:
            return
        price = None if variant.entry == "market" else variant.entry_at(close, side)
        origin = close if price is None else price
        stop = None if variant.late else variant.stop_at(origin, side)
        target = None if variant.late else variant.target_at(origin, side)
        minutes = (variant.patience or 0) * variant.market.minutes
        result = (self.buy if side > 0 else self.sell)(
            volume=None if reverses else workloads.SIZE_UNITS,
            limit=price if variant.entry == "limit" else None, trigger=variant.trigger_at(close, side),
            trigger_limit=variant.limit_at(close, side) if variant.entry == "stop_limit" else None,
            stop=stop, target=target, expires_ns=self.now_ns + minutes * variants.MINUTE_NS if minutes else None,
        )  # fmt: skip
        self.entry = result.order_id if price is not None and result.accepted else ""
        self.stop_level = stop

    def manage(self, close: float) -> None:
        """What happens to an open position at a close."""
        variant, position = self.variant, self.position
        if self.held is None:
            return
        self.held += 1
        side = 1 if position.is_long else -1
        if self.late:
            self.late = False
            entry_price = position.entry_price
            if variant.beyond(close, entry_price, side):
                self.close()
                return
            stop, target = variant.stop_at(entry_price, side), variant.target_at(entry_price, side)
            self.protect(stop, target)
        if variant.follow and self.stop_level is not None:
            level = variant.stop_at(close, side)
            if level is not None and side * (level - self.stop_level) > 0:
                self.protect(level, None)
        if variant.hold is not None and self.held == variant.hold:
            self.close()
        elif variant.half_after is not None and self.held == variant.half_after:
            self.close(volume=abs(position.volume) / 2)

    def protect(self, stop: float | None, target: float | None) -> None:
        """Give the position a stop, a target, or both."""
        if stop is not None:
            self.stop_level = stop
            self.move_stop(stop)
        if target is not None:
            self.move_target(target)


def run_variant(
    variant: Variant, columns: Sequence[workloads.Columns], rules: FillRules | None = None, runtime: str = "fibers"
) -> Outcome:
    """Run one variant on its bars.

    Args:
        columns: one set of bars for each symbol.
        rules: of fills; by default those of the workloads, where a touch is enough for a limit.
        runtime: `fibers` or `threads`, which decides nothing but the time that it takes.

    Raises:
        LockstepError: The run failed.
        ValueError: An order was refused that every program must accept.
    """
    base = {one.symbol: _series(variant, one) for one in columns}
    account = {
        "currency": "USD", "balance": workloads.START_CASH, "leverage": variants.LEVERAGE,
        "positions": "hedging" if variant.hedging else "netting",
    }  # fmt: skip
    config = BotConfig.model_validate(
        {
            "account": account,
            "instruments": {symbol: {"currency": "USD"} for symbol in base},
            "symbols": list(base),
            "strategies": [{"use": "obedient", "timeframe": f"{variant.market.minutes}m"}],
            "risk": {"size": {"volume": workloads.SIZE_UNITS}},
        }
    )
    costs = Costs(
        commission=Commission(percent=workloads.COST_PER_SIDE * 100), slippage=Slippage(), spread_percent=0.0,
        spread_points=0.0,
    )  # fmt: skip
    instruments = {symbol: config.instruments[symbol].build(symbol, "USD") for symbol in base}
    rules = FillRules(limit_fill="touch", at_end="keep") if rules is None else rules
    broker = SimulatedBroker(config.account, instruments, base, {}, costs, rules)
    clock = TimeController(list(base), runtime=runtime_named(runtime))
    strategy = type("Variant", (Obedient,), {"variant": variant})
    result = BacktestController(broker, clock, config, {"obedient": strategy}, keep_records=False).run()
    if result.error is not None:
        raise result.error
    unexpected = {code: count for code, count in result.refusals.items() if code not in ("not_working", "no_data")}
    if unexpected:
        raise ValueError(f"Expected no order to be refused in {variant.name}, found {unexpected}.")
    return Outcome(deals=deals_of(result, base), equity=result.account.equity)


def _series(variant: Variant, one: workloads.Columns) -> BarSeries:
    return BarSeries(
        one.symbol, variant.market.minutes * variants.MINUTE_NS, one.open_ns, one.open, one.high, one.low, one.close,
        one.volume, price_side="mid",
    )  # fmt: skip


def deals_of(result: BacktestResult, base: dict[str, BarSeries]) -> list[Deal]:
    """The positions of a run, from its fills; the profits are those of its trades."""
    orders = {order.order_id: order for order in result.orders}
    trades: dict[str, Trade] = {trade.trade_id: trade for trade in result.trades}
    by_position: dict[str, list[Fill]] = {}
    for fill in result.fills:
        by_position.setdefault(fill.position_id, []).append(fill)
    deals = []
    for position_id, fills in by_position.items():
        first, *rest = fills
        order, trade = orders.get(first.order_id), trades.get(position_id)
        legs = [Leg(each.filled_from_ns, each.price, each.volume, KINDS.get(each.kind, each.kind)) for each in rest]
        deals.append(
            Deal(
                symbol=first.symbol, side=first.side.sign, volume=first.volume, entry_ns=first.filled_from_ns,
                entry_price=first.price, entry_kind="market" if order is None else order.request.type.value,
                legs=tuple(legs), net=None if trade is None else trade.net,
            )
        )  # fmt: skip
    return sorted(deals, key=lambda deal: (deal.entry_ns, deal.symbol, deal.side))
