"""Bars and funding rates of an exchange through ccxt.

Called by one thread, which waits for the network, for ccxt's own rate limit and between tries. The question which bars
have closed is answered by the exchange's clock where it tells it, else by this machine's.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

from src.core.bars import BarSeries
from src.core.errors import ConfigError, DataError
from src.core.sync import wall_ns
from src.core.timeframe import MINUTE_NS, format_duration, format_instant, parse_timeframe
from src.core.words import meant
from src.data.instruments import defaults_for
from src.data.resample import freeze
from src.data.sources.asking import OnRetry, Patience, Unanswered, Wait, ask, real_wait, root_cause
from src.data.sources.port import FundingPage, SourceSymbol

__all__ = ["CcxtSource", "ccxt_source"]

T = TypeVar("T")

_MS = 1_000_000
_PAGE_BARS = 1_000
_KINDS = {"spot": "spot", "swap": "perpetual"}
# An exchange may still change a bar for a moment after its close.
_SETTLING_NS = 2_000_000_000
# Funding falls due every one, two, four or eight hours; a request for so many hours stays under every known limit.
_FUNDING_STEP_NS = 90 * 60 * MINUTE_NS
_FUNDING_LIMIT = 100


def ccxt_source(
    exchange: str,
    *,
    options: Mapping[str, Any] | None = None,
    venues: Mapping[str, str] | None = None,
    wait: Wait = real_wait,
    wall: Callable[[], int] = wall_ns,
    patience: Patience | None = None,
) -> "CcxtSource":
    """The source `ccxt:<exchange>`, or `ccxt:<exchange>:mark` for the mark price of its contracts.

    Args:
        exchange: ccxt's name of the exchange, such as `binanceusdm`, and possibly `:mark`.
        options: settings of ccxt's client, such as `{"timeout": 20000}`; they are merged into its own.
        venues: the exchange's name of a symbol where it differs, such as `{"BTCUSDT": "BTC/USDT:USDT"}`.
        wait: lets so many seconds pass; called between tries.
        wall: the time of this machine, nanoseconds UTC; asked where the exchange does not tell its own.
        patience: how often and how long to go on asking.

    Raises:
        ConfigError: ccxt is not installed or knows no such exchange.
    """
    try:
        ccxt = import_module("ccxt")
    except ImportError:
        raise ConfigError(
            "the source ccxt needs a package that is not installed: pip install 'lockstep[live]'"
        ) from None
    exchange, colon, price = exchange.partition(":")
    if colon and price != "mark":
        raise ConfigError(
            f"expected mark after ccxt:{exchange}:, found {price!r}; leave it out for trades", found=price
        )
    if exchange not in ccxt.exchanges:
        hint = meant(exchange, ccxt.exchanges, 3)
        raise ConfigError(f"expected an exchange that ccxt knows after ccxt:, found {exchange!r}{hint}", found=exchange)
    try:
        client = getattr(ccxt, exchange)(dict(options or {}))
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"ccxt:{exchange} cannot be made: {type(error).__name__}: {_short(error)}; look at the options of "
            "the source",
            found=exchange,
        ) from error
    if price and not client.has.get("fetchMarkOHLCV"):
        raise ConfigError(f"ccxt:{exchange} has no bars of the mark price; leave :mark out", found=exchange)
    return CcxtSource(
        client, ccxt, price_side=price or "trade", venues=venues or {}, wait=wait, wall=wall,
        patience=patience or Patience(),
    )  # fmt: skip


class CcxtSource:
    """See `src.data.sources.port.FundingSource`; made by `ccxt_source`."""

    def __init__(
        self, client: Any, ccxt: Any, *, price_side: str, venues: Mapping[str, str], wait: Wait,
        wall: Callable[[], int], patience: Patience,
    ) -> None:  # fmt: skip
        # Any: ccxt's classes are generated and typed loosely.
        self.name = f"ccxt:{client.id}" if price_side == "trade" else f"ccxt:{client.id}:{price_side}"
        self.page_bars = _PAGE_BARS
        self._client = _strict(client)
        self._errors = ccxt
        self._price_side = price_side
        self._params = {} if price_side == "trade" else {"price": price_side}
        self._venues = dict(venues)
        self._wait = wait
        self._wall = wall
        self._patience = patience
        #: Told before each wait for another try; whoever shows something to somebody sets it.
        self.on_retry: OnRetry | None = None
        #: By market and timeframe, where the last window ended and up to where the exchange was seen to have nothing.
        self._nothing: dict[tuple[str, str], tuple[int, int]] = {}

    def now_ns(self) -> int:
        """See `BarSource.now_ns`; a moment earlier, because a bar may still change right after its close."""
        now_ns = self._wall()
        if self._client.has.get("fetchTime"):
            now_ns = int(self._ask(self._client.fetch_time)) * _MS
        return now_ns - _SETTLING_NS

    def symbol(self, name: str) -> SourceSymbol:
        """See `BarSource.symbol`."""
        market = self._market(name)
        return SourceSymbol(
            symbol=name, venue=str(market["symbol"]), price_side=self._price_side,
            defaults=self._defaults(name, market),
        )  # fmt: skip

    def refuse_timeframe(self, symbol: str, timeframe_ns: int) -> None:
        """See `BarSource`."""
        self._timeframe(timeframe_ns)

    def bars(self, symbol: str, timeframe_ns: int, start_ns: int, end_ns: int) -> Iterator[BarSeries]:
        """See `BarSource.bars`; one piece for each answer of the exchange."""
        timeframe = self._timeframe(timeframe_ns)
        venue = str(self._market(symbol)["symbol"])
        limit = self._limit(venue)
        # Of pages that follow each other, those before a market's listing are not asked for one by one.
        last_end_ns, empty_to_ns = self._nothing.get((venue, timeframe), (0, 0))
        cursor_ns = max(start_ns, empty_to_ns) if last_end_ns == start_ns else start_ns
        self._nothing[venue, timeframe] = (end_ns, cursor_ns)
        while cursor_ns < end_ns:
            # Never more bars than fit into the window: then an answer that is cut on either side cannot be taken for
            # a hole, whether the exchange counts from `since` or looks at the window alone.
            wanted = min(limit, -(-(end_ns - cursor_ns) // timeframe_ns))
            stop_ns = min(end_ns, cursor_ns + wanted * timeframe_ns)
            columns = self._ask(lambda: self._rows(venue, timeframe, cursor_ns, stop_ns, wanted))  # noqa: B023 - called here
            count = len(columns[0])
            if count:
                yield BarSeries(symbol, timeframe_ns, *freeze(*columns), price_side=self._price_side)
            # An answer may be shorter than what was asked for. So the next question begins behind its last bar, and
            # only an empty answer says that the rest of the window is empty.
            empty_to_ns = self._nothing[venue, timeframe][1]
            cursor_ns = int(columns[0][-1]) + timeframe_ns if count else max(stop_ns, empty_to_ns)

    def funding(self, symbol: str, start_ns: int, end_ns: int) -> Iterator[FundingPage]:
        """See `FundingSource.funding`."""
        if not self._client.has.get("fetchFundingRateHistory"):
            raise ConfigError(f"{self.name} knows no history of funding rates; leave --funding out", source=self.name)
        venue = str(self._market(symbol)["symbol"])
        cursor_ns = start_ns
        while cursor_ns < end_ns:
            stop_ns = min(end_ns, cursor_ns + _FUNDING_STEP_NS)
            page = self._ask(lambda: self._rates(venue, cursor_ns, stop_ns))  # noqa: B023 - called here
            if len(page.ts_ns):
                yield page
            cursor_ns = int(page.ts_ns[-1]) + 1 if len(page.ts_ns) else stop_ns

    def close(self) -> None:
        """See `BarSource.close`."""
        self._client.close()

    # ------------------------------------------------------------------------------------------------- inner parts

    def _ask(self, call: Callable[[], T]) -> T:
        return ask(lambda: self._once(call), self.name, self._wait, self._patience, self.on_retry)

    def _once(self, call: Callable[[], T]) -> T:
        """One question; ccxt's exceptions as who must act sees them."""
        errors = self._errors
        self._client.last_http_response = None  # tells below whether anything was answered
        try:
            return call()
        except (errors.BadSymbol, errors.NotSupported, errors.AuthenticationError, errors.ArgumentsRequired) as error:
            raise ConfigError(f"{self.name} refuses the question: {_short(error)}", source=self.name) from error
        except errors.OperationFailed as error:  # time-outs, rate limits, maintenance, broken answers
            is_limit = isinstance(error, (errors.DDoSProtection, errors.RateLimitExceeded))
            after_s = self._asked_for_s() if is_limit else None
            raise Unanswered(f"{type(error).__name__}: {root_cause(error)}", after_s, _short(error)) from error
        except errors.BaseError as error:
            cause = root_cause(error) if error.__cause__ else ""  # why no connection came about, as with a bad address
            raise DataError(
                f"{self.name} refuses the question: {type(error).__name__}: {_short(error)}"
                f"{f' ({cause})' if cause else ''}",
                source=self.name,
            ) from error
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            if self._client.last_http_response is None:
                # Nobody was asked: an option of the client cannot be used, and asking again changes nothing.
                raise ConfigError(
                    f"{self.name} cannot be asked: {type(error).__name__}: {_short(error)}; look at the options of "
                    f"the source",
                    source=self.name,
                ) from error
            # What ccxt raises about an answer that is no JSON, or JSON of another shape.
            raise Unanswered(f"its answer cannot be read: {type(error).__name__}: {_short(error)}") from error

    def _asked_for_s(self) -> float | None:
        headers = getattr(self._client, "last_response_headers", None) or {}
        try:
            seconds = float(headers.get("Retry-After") or headers.get("retry-after") or 0.0)
        except ValueError:  # a date; the usual delays do
            return None
        return seconds if math.isfinite(seconds) else None

    def _market(self, name: str) -> Mapping[str, Any]:
        markets: dict[str, Any] = self._ask(self._client.load_markets)
        wanted = self._venues.get(name, name)
        if wanted in markets:
            found: Mapping[str, Any] = markets[wanted]
            return found
        named = list(self._client.markets_by_id.get(wanted, []))
        if len(named) > 1:
            usual = self._client.options.get("defaultType")
            named = [market for market in named if market.get("type") == usual] or named
        if len(named) == 1:
            return dict(named[0])
        if named:
            names = ", ".join(sorted(str(market["symbol"]) for market in named))
            raise ConfigError(
                f"{self.name} has several markets called {wanted}; expected one of {names}, written {name}=MARKET",
                symbol=name,
            )
        known = [*markets, *self._client.markets_by_id]
        raise ConfigError(f"{self.name} has no market {wanted}{meant(wanted, known, 3)}", symbol=name, source=self.name)

    def _defaults(self, name: str, market: Mapping[str, Any]) -> dict[str, Any]:
        """The instrument's defaults with what the exchange says of ticks and steps."""
        found = defaults_for("crypto", name)
        found["kind"] = _KINDS.get(str(market.get("type")), found["kind"])
        if market.get("quote"):
            found["currency"] = str(market["quote"])
        in_steps = self._client.precisionMode == self._errors.TICK_SIZE
        precision = market.get("precision") or {}
        least = ((market.get("limits") or {}).get("amount") or {}).get("min")
        # Volumes of a market in contracts are numbers of contracts there; here they are in units of the base currency.
        size = float(market.get("contractSize") or 1.0)
        for key, value, scale in (
            ("tick", precision.get("price") if in_steps else None, 1.0),
            ("volume_step", precision.get("amount") if in_steps else None, size),
            ("min_volume", least, size),
        ):
            if value is not None and math.isfinite(float(value)) and float(value) > 0:
                found[key] = float(value) * scale
        found["venue"] = str(market["symbol"])
        return found

    def _timeframe(self, timeframe_ns: int) -> str:
        # `1M` is a month, which has no length; `1s` is finer than a minute.
        names = [str(name) for name in self._client.timeframes or {} if name[-1] in "mhdw" and name[:-1].isdigit()]
        for name in names:
            if parse_timeframe(name) == timeframe_ns:
                return name
        raise ConfigError(
            f"{self.name} has no bars of {format_duration(timeframe_ns)}; expected one of {', '.join(names)}; longer "
            f"bars are built from 1m bars when a run needs them",
            timeframe_ns=timeframe_ns,
        )

    def _limit(self, venue: str) -> int:
        limit = self._client.feature_value(venue, "fetchOHLCV", "limit", 500)
        return max(1, min(int(limit or 500), _PAGE_BARS))

    def _rows(self, venue: str, timeframe: str, start_ns: int, stop_ns: int, limit: int) -> tuple[Any, ...]:
        """The columns of one answer, inside the window; a failure of the form raises ValueError and is asked again."""
        # Rounded up: a bar that opens inside a millisecond does not exist.
        rows = self._client.fetch_ohlcv(venue, timeframe, -(-start_ns // _MS), limit, dict(self._params))
        self._refuse_no_json()
        if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) >= 5 for row in rows):
            raise ValueError(f"expected rows of time, open, high, low, close and volume, found {str(rows)[:80]}")
        stamps = np.array([int(row[0]) for row in rows], np.int64) * _MS
        if len(stamps) and int(stamps.min()) >= stop_ns:
            self._refuse_latest_only(venue, timeframe, start_ns)
            self._nothing[venue, timeframe] = (self._nothing[venue, timeframe][0], int(stamps.min()))
        values = np.array([_numbers(row) for row in rows], np.float64).reshape(-1, 5)
        keep = (stamps >= start_ns) & (stamps < stop_ns)
        stamps, values = stamps[keep], values[keep]
        order = np.argsort(stamps, kind="stable")
        stamps, values = stamps[order], values[order]
        again = np.flatnonzero(stamps[1:] == stamps[:-1])
        if len(again):
            if not np.array_equal(values[again], values[again + 1], equal_nan=True):
                raise ValueError("the answer holds two different bars of one instant")
            first = np.ones(len(stamps), np.bool_)
            first[again + 1] = False
            stamps, values = stamps[first], values[first]
        return (stamps, *(np.ascontiguousarray(values[:, i]) for i in range(5)))

    def _refuse_latest_only(self, venue: str, timeframe: str, start_ns: int) -> None:
        """Refuse an exchange that answers with its latest bars, whatever it is asked for: they hide a past, not a hole.

        Called when an answer begins behind the window. The same question for as many bars as there can be tells: an
        exchange that counts from `since` then ends far from the present, or has fewer.
        """
        limit = self._limit(venue)
        rows = self._client.fetch_ohlcv(venue, timeframe, -(-start_ns // _MS), limit, dict(self._params))
        length_ns = parse_timeframe(timeframe)
        if len(rows) < limit or int(rows[-1][0]) * _MS + 2 * length_ns < self.now_ns():
            return
        first = format_instant(int(rows[0][0]) * _MS)
        raise DataError(
            f"{self.name} hands out its latest {limit} bars of {timeframe} of {venue} only: expected bars from "
            f"{format_instant(start_ns)} on, found none before {first}; begin there, or import the past from files",
            source=self.name, symbol=venue,
        )  # fmt: skip

    def _refuse_no_json(self) -> None:
        # An answer without any content passes through ccxt as a list without bars, and would be kept as a hole.
        if self._client.last_json_response is None:
            raise ValueError("expected JSON")

    def _rates(self, venue: str, start_ns: int, stop_ns: int) -> FundingPage:
        rows = self._client.fetch_funding_rate_history(
            venue, -(-start_ns // _MS), _FUNDING_LIMIT, {"until": (stop_ns - 1) // _MS}
        )
        self._refuse_no_json()
        found = {int(row["timestamp"]) * _MS: float(row["fundingRate"]) for row in rows}
        stamps = sorted(stamp for stamp in found if start_ns <= stamp < stop_ns)
        rates = np.array([found[stamp] for stamp in stamps], np.float64)
        if not np.all(np.isfinite(rates)):
            raise ValueError("a funding rate is no number")
        return FundingPage(ts_ns=np.array(stamps, np.int64), rate=rates)


def _strict(client: Any) -> Any:
    """The client, made to raise for rows that it cannot read; by itself it leaves them out without a word."""
    client.enableLastHttpResponse = True
    client.enableLastJsonResponse = True
    client.enableLastResponseHeaders = True
    of_bars, of_funding = client.parse_ohlcv, client.parse_funding_rate_history

    def parse_ohlcv(row: Any, market: Any = None) -> Any:
        parsed = of_bars(row, market)
        if parsed[0] is None:
            raise ValueError(f"expected a bar, found {str(row)[:80]}")
        return parsed

    def parse_funding_rate_history(row: Any, market: Any = None) -> Any:
        parsed = of_funding(row, market)
        if parsed["timestamp"] is None or parsed["fundingRate"] is None:
            raise ValueError(f"expected a funding rate, found {str(row)[:80]}")
        return parsed

    client.parse_ohlcv = parse_ohlcv
    client.parse_funding_rate_history = parse_funding_rate_history
    return client


def _numbers(row: Sequence[Any]) -> list[float]:
    """Open, high, low, close and volume; an absent price is not-a-number, an absent volume 0."""
    prices = [math.nan if value is None else float(value) for value in row[1:5]]
    return [*prices, float(row[5] or 0.0) if len(row) > 5 else 0.0]


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:200]}..."
