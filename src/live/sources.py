"""Who the bot trades with in real time, as the configuration says: an exchange, or public prices with fills on paper.

The brokers for real money stand in `src.live.brokers` by name. Called by one thread, before the bot is made.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from src.brokers.ccxt_broker import CcxtBroker
from src.brokers.ccxt_client import CcxtClient
from src.brokers.ccxt_feed import CcxtFeed
from src.brokers.ccxt_spot_broker import CcxtSpotBroker
from src.brokers.ccxt_spot_wire import SPOT_OPTIONS
from src.brokers.simulated import FillRules
from src.brokers.simulated.costs_section import costs_of
from src.core.config import BotConfig
from src.core.errors import BrokerUnavailable, ConfigError
from src.core.instrument import Instrument
from src.core.program import command
from src.core.strategy import Strategy
from src.core.strategy_runner import declared_lookbacks, strategy_timeframes
from src.core.sync import wall_ns
from src.core.timeframe import MINUTE_NS
from src.live.brokers import broker_named
from src.live.config import LiveConfig, LiveSection, PaperSection
from src.live.feed import LiveSource
from src.live.paper import PaperBroker, PaperEvent
from src.live.world import SeriesKey

__all__ = ["Needs", "ccxt_source", "client_settings", "live_source", "needs_of", "paper_source", "venue_time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a configuration needs of a venue.

    Attributes:
        instruments: the rules of each symbol as the file has them.
        timeframes: of each symbol the lengths of its bars, nanoseconds; the finest are its base bars.
        warm_up_ns: how far back bars have to reach before the first decision.
    """

    instruments: dict[str, Instrument]
    timeframes: dict[str, tuple[int, ...]]
    warm_up_ns: int

    def series(self) -> list[SeriesKey]:
        """The bars that the bot sees."""
        return [(symbol, length, "trade") for symbol, lengths in self.timeframes.items() for length in lengths]


def needs_of(config: BotConfig, classes: Mapping[str, type[Strategy]], warm_up: int | None) -> Needs:
    """What the bot needs; positions are managed by bars of a minute, as everywhere.

    Args:
        warm_up: how many bars of each timeframe, in place of what the strategies declare.
    """
    lengths: dict[str, set[int]] = {symbol: {MINUTE_NS} for symbol in config.symbols}
    back_ns = 0
    for strategy in config.strategies:
        cls = classes[strategy.instance]
        for symbol in strategy.symbols or config.symbols:
            lengths[symbol].update(strategy_timeframes(cls, strategy))
        for length, bars in declared_lookbacks(cls, strategy).items():
            back_ns = max(back_ns, length * (bars if warm_up is None else warm_up))
    trailing = config.manage.trailing
    if trailing is not None and trailing.distance_atr is not None:
        longest = max(max(each) for each in lengths.values())
        back_ns = max(back_ns, longest * (trailing.atr + 1))
    currency = config.account.currency
    instruments = {symbol: config.instruments[symbol].build(symbol, currency) for symbol in config.symbols}
    timeframes = {symbol: tuple(sorted(found)) for symbol, found in lengths.items()}
    for symbol, found in timeframes.items():
        odd = [each for each in found if each % found[0]]
        if odd:
            raise ConfigError(f"{symbol}: expected timeframes of whole minutes, found one of {odd[0] / 1e9:g} s")
    return Needs(instruments=instruments, timeframes=timeframes, warm_up_ns=back_ns + MINUTE_NS)


def venue_time(exchange: str, environment: str, url: str) -> tuple[int, int]:
    """The time of a venue to test against, for a clock that has to run as its own, and the real one at that moment.

    Raises:
        BrokerUnavailable: no answer.
    """
    client = CcxtClient(exchange, environment=environment, signed=False, url=url)
    try:
        best: tuple[int, int, int] | None = None
        for _ in range(5):  # the first question opens the connection, and takes longer
            before_ns = wall_ns()
            try:
                told_ns = int(client.read("the time", lambda ccxt: ccxt.fetch_time())) * 1_000_000
            except BrokerUnavailable as error:
                raise BrokerUnavailable(
                    f"expected an exchange at {url}, found no answer; start what is to be there, as "
                    f"`{command('venue', '--config')} FILE` does on this machine, or leave url out: {error.message}"
                ) from None
            took_ns = wall_ns() - before_ns
            if best is None or took_ns < best[0]:
                best = took_ns, told_ns, before_ns + took_ns // 2
        return (0, 0) if best is None else best[1:]
    finally:
        client.close()


def client_settings(config: BotConfig, exchange: str, url: str | None) -> dict[str, Any]:
    """What the client of an exchange is made with: of a spot account the spot markets alone; no pauses for a test."""
    settings: dict[str, Any] = {"enableRateLimit": False} if url else {}
    return settings | {"options": SPOT_OPTIONS} if config.account.type == "spot" and exchange == "binance" else settings


def live_source(
    config: BotConfig, section: LiveSection, needs: Needs, now_ns: Callable[[], int], bars_from_ns: int,
    environ: Mapping[str, str],
) -> LiveSource:  # fmt: skip
    """The broker of a `live` section."""
    return broker_named(section.broker)(config, section, needs, now_ns, bars_from_ns, environ)


def ccxt_source(
    config: BotConfig, section: LiveSection, needs: Needs, now_ns: Callable[[], int], bars_from_ns: int,
    environ: Mapping[str, str],
) -> CcxtBroker:  # fmt: skip
    """An exchange that the library ccxt knows."""
    client = CcxtClient(
        section.exchange, environment=section.environment, url=section.url or "", now_ns=now_ns, environ=environ,
        options=client_settings(config, section.exchange, section.url),
    )  # fmt: skip
    make = CcxtSpotBroker if config.account.type == "spot" else CcxtBroker
    return make(
        client, config.account, needs.instruments, needs.timeframes, now_ns=now_ns, bars_from_ns=bars_from_ns,
        fee_percent=section.fee_percent, trigger_by=section.trigger_by, settle_ns=section.settle_ns,
        protect_within_ns=section.protect_within_ns, max_skew_ns=section.max_clock_skew_ns,
    )  # fmt: skip


def paper_source(
    config: LiveConfig, needs: Needs, now_ns: Callable[[], int], bars_from_ns: int,
    on_event: Callable[[PaperEvent], None],
) -> PaperBroker:  # fmt: skip
    """Public prices of an exchange, and the simulated venue's fills."""
    section = config.paper or PaperSection()
    exchange, costs = config.paper_exchange, config.paper_costs
    if exchange is None or costs is None:
        raise ConfigError("expected paper.exchange and costs, found none")
    client = CcxtClient(
        exchange, environment="real", signed=False, url=section.url or "", now_ns=now_ns,
        options=client_settings(config, exchange, section.url),
    )  # fmt: skip
    feed = CcxtFeed(
        client, needs.instruments, needs.timeframes, now_ns=now_ns, bars_from_ns=bars_from_ns,
        settle_ns=section.settle_ns,
    )  # fmt: skip
    account = config.account.model_copy(update={"balance": config.paper_balance})
    rules = {symbol: feed.instrument(symbol) for symbol in needs.instruments}
    return PaperBroker(
        feed, account, rules, needs.timeframes, costs_of(costs), FillRules(), now_ns, on_event=on_event
    )  # fmt: skip
