"""`backtest.faults` of a configuration: what goes wrong between the bot and its venue. See docs/faults.md."""

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from src.brokers.faults import ORDERS, Fault, FaultKind
from src.core.config import DurationNs, InstantNs, Section

__all__ = ["FaultSection"]

Count = Annotated[int, Field(ge=1)]

#: The kinds for which a key means something, of the keys that do not mean something for all.
_MEANT = {
    "share": ORDERS, "factor": {FaultKind.SPREAD}, "calls": {FaultKind.RATE_LIMIT}, "per_ns": {FaultKind.RATE_LIMIT},
}  # fmt: skip


class FaultSection(Section):
    """One fault: its kind, whom it hits, and when; see `src.brokers.faults.Fault`."""

    kind: FaultKind
    call: Count | None = None
    order: Count | None = None
    chance_percent: Annotated[float, Field(gt=0, le=100)] | None = None
    symbol: str = ""
    from_ns: InstantNs | None = Field(default=None, alias="from")
    to_ns: InstantNs | None = Field(default=None, alias="to")
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    after_ns: DurationNs = Field(default=0, alias="after", ge=0)
    calls: Annotated[int, Field(ge=0)] = 0
    per_ns: DurationNs = Field(default=0, alias="per", ge=0)
    factor: Annotated[float, Field(ge=1)] = 1.0

    @field_validator("from_ns", "to_ns", mode="before")
    @classmethod
    def _no_bare_year(cls, value: Any) -> Any:
        # `from: 2024` is a number in YAML; as nanoseconds it would lie in 1970.
        if isinstance(value, int):
            raise ValueError(f"expected a date such as 2024-01-31, found the number {value}")
        return value

    @model_validator(mode="after")
    def _possible(self) -> "FaultSection":
        problem = self.fault.problem()
        for name, kinds in _MEANT.items():
            field = type(self).model_fields[name]
            if not problem and getattr(self, name) != field.default and self.kind not in kinds:
                key = field.alias or name
                problem = f"{self.kind}: {key} is for {' and '.join(sorted(kinds))} alone; leave it out"
        if problem:
            raise ValueError(problem)
        return self

    @property
    def fault(self) -> Fault:
        """What it says."""
        return Fault(
            kind=self.kind, call=self.call, order=self.order, chance_percent=self.chance_percent, symbol=self.symbol,
            from_ns=self.from_ns, to_ns=self.to_ns, share=self.share, after_ns=self.after_ns, calls=self.calls,
            per_ns=self.per_ns, factor=self.factor,
        )  # fmt: skip
