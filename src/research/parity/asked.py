"""What a run asked of its venue, and the prices that it saw, in the form in which a simulated venue takes them.

Pure; any thread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from src.core.bars import BarSeries
from src.core.errors import DataError
from src.core.journal import FIELDS, JournalRecord
from src.core.record import record
from src.core.records import OrderRequest
from src.core.timeframe import MINUTE_NS
from src.live.wire import from_plain
from src.research.parity.decisions import Decision, Stream
from src.research.parity.seen import Evidence, SeenQuote

__all__ = ["Asked", "Price", "RecordedMarket", "asked_of", "market_of", "series_of_bars"]

_METHODS = frozenset({"place", "close", "cancel", "modify", "protect"})
_PROTECT = FIELDS["protect"]


@record
class Asked:
    """A request that the venue took, or the protection that stood there.

    Attributes:
        method: place, close, cancel, modify or protect.
        args: as recorded, by name.
        request: of a placement.
        is_state: it says what stood at the venue from then on; nobody asked for it here.
    """

    instant_ns: int
    method: str
    symbol: str
    book: str
    args: Mapping[str, Any]
    request: OrderRequest | None = None
    is_state: bool = False


@record
class Price:
    """A quote or a closed base bar, when it became known.

    Attributes:
        seen_ns: when it was known.
        instant_ns: the quote's stamp, or the bar's close.
        quote: (bid, ask), None for a bar.
        bar: (open_ns, open, high, low, close, volume), None for a quote.
    """

    symbol: str
    seen_ns: int
    instant_ns: int
    quote: tuple[float, float] | None = None
    bar: tuple[int, float, float, float, float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedMarket:
    """The prices of a recording.

    Attributes:
        base: the base bars of each symbol that had closed at the start.
        prices: what came later, in the order in which it became known; bars before quotes of the same instant.
        quotes: all of them.
        start_ns, end_ns: when the first quote and the last price became known.
    """

    base: Mapping[str, BarSeries]
    prices: tuple[Price, ...]
    quotes: tuple[SeenQuote, ...]
    start_ns: int
    end_ns: int


def asked_of(
    evidence: Evidence, decisions: Sequence[Decision], records: Sequence[JournalRecord]
) -> tuple[list[Asked], int]:
    """The requests of a run by time, and how many of them cannot be told whose they were.

    A request that was refused is left out; one whose reply was lost is not, since it may have arrived.

    Args:
        decisions: of the run, which say whose an order or a position is.
        records: its journal, which says which protection stood.
    """
    whose: dict[str, Stream] = {each.identity: each.stream for each in decisions if each.identity}
    found: list[Asked] = []
    lost = 0
    for call in evidence.calls:
        if call.method not in _METHODS or call.accepted is False:
            continue
        request = from_plain(OrderRequest, call.args["request"]) if call.method == "place" else None
        stream = whose.get(call.identity) if request is None else (request.symbol, request.book)
        if stream is None:
            lost += 1
            continue
        whose.setdefault(call.identity, stream)
        found.append(
            Asked(
                instant_ns=call.sent_ns, method=call.method, symbol=stream[0], book=stream[1], args=call.args,
                request=request,
            )
        )  # fmt: skip
    for each in records:
        if each.kind == "protect":
            values = dict(zip(_PROTECT, each.values, strict=True))
            stream = whose.get(str(values["position"]))
            if stream is not None:
                found.append(
                    Asked(
                        instant_ns=each.instant_ns, method="protect", symbol=stream[0], book=stream[1], is_state=True,
                        args={"stop": values["stop"], "target": values["target"]},
                    )
                )  # fmt: skip
    found.sort(key=lambda each: each.instant_ns)
    return found, lost


def market_of(evidence: Evidence, sides: Mapping[str, str] | None = None) -> RecordedMarket:
    """The prices that a run saw.

    Args:
        sides: which price the bars of a symbol are made of; trade for the others.

    Raises:
        DataError: no quote was recorded.
    """
    quotes = evidence.quotes
    if not quotes:
        raise DataError("expected quotes in the recording, found none; without them no fill can be simulated")
    start_ns = min(each.seen_ns for each in quotes)
    quoted = {each.symbol for each in quotes}
    lengths: dict[str, int] = {}
    for symbol, length_ns, _ in evidence.bars:
        lengths[symbol] = min(length_ns, lengths.get(symbol, length_ns))
    base = {
        symbol: BarSeries.empty(symbol, lengths.get(symbol, MINUTE_NS), price_side=(sides or {}).get(symbol, "trade"))
        for symbol in sorted(quoted)
    }
    prices = [
        Price(symbol=each.symbol, seen_ns=each.seen_ns, instant_ns=min(each.instant_ns, each.seen_ns),
              quote=(each.bid, each.ask))
        for each in quotes
    ]  # fmt: skip
    for (symbol, length_ns, open_ns), bar in sorted(evidence.bars.items()):
        if symbol not in base or length_ns != base[symbol].timeframe_ns:
            continue
        first, high, low, last, volume = bar.values
        row = (open_ns, first, high, low, last, volume)
        if bar.seen_ns <= start_ns:
            base[symbol].append(*row)
        else:
            prices.append(Price(symbol=symbol, seen_ns=bar.seen_ns, instant_ns=open_ns + length_ns, bar=row))
    prices.sort(key=lambda each: (each.seen_ns, each.instant_ns, each.bar is None, each.symbol))
    return RecordedMarket(base=base, prices=tuple(prices), quotes=quotes, start_ns=start_ns, end_ns=prices[-1].seen_ns)


def series_of_bars(evidence: Evidence, sides: Mapping[str, str] | None = None) -> dict[tuple[str, int], BarSeries]:
    """The bars that a run saw, by symbol and length, all of them visible; `sides` as of `market_of`."""
    rows: dict[tuple[str, int], list[tuple[int, tuple[float, ...]]]] = {}
    for (symbol, length_ns, open_ns), bar in sorted(evidence.bars.items()):
        rows.setdefault((symbol, length_ns), []).append((open_ns, bar.values))
    found = {}
    for (symbol, length_ns), own in rows.items():
        columns = [np.array([values[i] for _, values in own], dtype=np.float64) for i in range(5)]
        opens = np.array([each for each, _ in own], dtype=np.int64)
        side = (sides or {}).get(symbol, "trade")
        found[symbol, length_ns] = BarSeries(symbol, length_ns, opens, *columns, price_side=side)
    return found
