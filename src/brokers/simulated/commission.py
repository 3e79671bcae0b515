"""The commission model: money for each execution. Pure."""

from dataclasses import dataclass

__all__ = ["Commission"]


@dataclass(frozen=True, slots=True)
class Commission:
    """What a venue takes for executions.

    Attributes:
        percent: of the notional; where `maker_percent` is given, of what takes liquidity alone.
        per_unit: for each unit of volume, in the account's currency, like `per_trade` and `minimum`.
        per_trade: for each order that is executed, however many executions it takes.
        minimum: least commission of an order.
        maker_percent: of the notional of what waited in the book, limits and targets; None for `percent`.
    """

    percent: float = 0.0
    per_unit: float = 0.0
    per_trade: float = 0.0
    minimum: float = 0.0
    maker_percent: float | None = None

    @property
    def simple(self) -> bool:
        """Whether an execution's commission depends on its volume and price alone."""
        return self.per_trade == 0.0 and self.minimum == 0.0 and self.maker_percent is None

    def of(self, volume: float, price: float) -> float:
        """Commission of an execution that takes liquidity, without what is counted by order; price is the fill's."""
        return volume * price * self.percent / 100.0 + volume * self.per_unit

    def executed(self, volume: float, price: float, rate: float, *, maker: bool) -> float:
        """The same with the percents of maker and taker; `rate` converts the notional into the account's currency."""
        percent = self.maker_percent if maker and self.maker_percent is not None else self.percent
        return volume * price * percent / 100.0 * rate + volume * self.per_unit

    def of_order(self, executed: float) -> float:
        """What a whole order costs whose executions cost `executed` by themselves."""
        return max(self.minimum, executed + self.per_trade)
