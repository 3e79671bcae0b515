"""What an account needs of the data besides the bars of its symbols: pairs that convert its profits, and funding rates.

Read once, before a run begins, in one thread.
"""

from collections.abc import Mapping
from dataclasses import replace

from src.backtesting.config import BacktestConfig
from src.brokers.simulated.conversion import conversion_route
from src.brokers.simulated.funding import FundingRates, missing_funding
from src.core.errors import ConfigError, PreflightError
from src.core.instrument import Instrument
from src.core.timeframe import HOUR_NS, format_instant
from src.data.bar_store import BarStore, TapeSource
from src.data.fingerprint import Digest
from src.data.market import MarketData
from src.data.tapes import RateTape

__all__ = [
    "conversion_symbols", "funding_of", "has_rules_of_its_own", "joining_instruments", "refuse_unconvertible",
    "with_funding",
]  # fmt: skip

#: Rates before the window tell how often they come.
_BEFORE_NS = 48 * HOUR_NS


def _instruments(config: BacktestConfig) -> dict[str, Instrument]:
    """All instruments of the file whose currency is known, in a venue's order: first those that are traded."""
    account = config.account.currency
    others = [symbol for symbol in config.instruments if symbol not in config.symbols]
    return {
        symbol: config.instruments[symbol].build(symbol, account)
        for symbol in (*config.symbols, *others)
        if config.instruments[symbol].quote_of(symbol, account) is not None
    }


def refuse_unconvertible(config: BacktestConfig, instrument: Instrument) -> None:
    """Refuse a symbol whose profit no instrument of the file converts into the account's currency.

    Raises:
        ConfigError: there is no such instrument, nor two over USD.
    """
    currency, account = instrument.quote_currency, config.account.currency
    if conversion_route(currency, account, _instruments(config)) is None:
        symbol = instrument.symbol
        raise ConfigError(
            f"{symbol} makes its profit in {currency}, the account is in {account}, and no pair under instruments "
            f"joins the two, nor two over USD: add one, such as {currency}{account} with its bars, write "
            f"account.currency: {currency}, or instruments.{symbol}.currency if {account} is what it is quoted in",
            symbol=symbol,
        )


def conversion_symbols(config: BacktestConfig) -> tuple[str, ...]:
    """The instruments that convert profits and are not traded themselves, in the order of the file."""
    known = _instruments(config)
    traded = _traded(config)
    wanted: set[str] = set()
    for symbol in traded:
        if symbol in known:
            route = conversion_route(known[symbol].quote_currency, config.account.currency, known)
            wanted.update(step for step, _ in route or ())
    return tuple([symbol for symbol in config.instruments if symbol in wanted and symbol not in config.symbols])


def joining_instruments(config: BacktestConfig) -> dict[str, Instrument]:
    """The instruments that the configuration lets join on the way."""
    known = _instruments(config)
    return {symbol: known[symbol] for symbol in _traded(config) if symbol in known and symbol not in config.symbols}


def has_rules_of_its_own(instrument: Instrument, account_currency: str) -> bool:
    """Whether a symbol needs more of the venue than a plain account has, so that it has to be known from the start."""
    own = instrument.margin_tiers or instrument.swap is not None or instrument.funding or instrument.fees_in_base
    return bool(own) or instrument.quote_currency != account_currency


def _traded(config: BacktestConfig) -> list[str]:
    joining = [each.add for each in config.backtest.control if each.add is not None]
    return [*config.symbols, *(symbol for symbol in joining if symbol not in config.symbols)]


def with_funding(
    config: BacktestConfig, store: BarStore, market: MarketData, start_ns: int, end_ns: int
) -> MarketData:  # fmt: skip
    """The market with the stored rates of the perpetuals that pay any; they count in its fingerprint.

    Raises:
        PreflightError: rates are not stored, or not for the whole window; the sentence names the first that is missing.
    """
    paying = [symbol for symbol in _traded(config) if config.instruments[symbol].funding == "stored"]
    if not paying:
        return market
    tapes = {symbol: _read(store, symbol, start_ns, end_ns) for symbol in paying}
    digest = Digest()
    digest.add_text(market.fingerprint)
    for symbol in sorted(tapes):
        digest.add_text(symbol)
        digest.add_number(len(tapes[symbol]))
        digest.add_column(tapes[symbol].ts_ns)
        digest.add_column(tapes[symbol].rate)
    return replace(market, funding=tapes, fingerprint=digest.hexdigest())


def _read(store: BarStore, symbol: str, start_ns: int, end_ns: int) -> RateTape:
    key = f"instruments.{symbol}.funding"
    mend = {key: "none"}
    if not isinstance(store, TapeSource):
        raise PreflightError(
            f"{symbol} pays stored funding and {store.path} has no rates; name a store that has them, or write "
            f"{key}: none",
            code="funding", symbol=symbol, settings=mend,
        )  # fmt: skip
    try:
        tape = store.read_funding(symbol, start_ns - _BEFORE_NS, end_ns)
    except PreflightError as error:
        raise PreflightError(
            f"{symbol} pays stored funding: {error.message}; fetch its rates with `data sync --funding`, or write "
            f"{key}: none",
            code="funding", symbol=symbol, settings=mend,
        ) from None  # fmt: skip
    missing_ns = missing_funding(FundingRates(ts_ns=tape.ts_ns, rate=tape.rate), start_ns, end_ns)
    if missing_ns is not None:
        raise PreflightError(
            f"{symbol} pays stored funding and {store.path.name} has no rate at {format_instant(missing_ns)}; "
            f"fetch its rates from there with `data sync --funding`, or write {key}: none",
            code="funding", symbol=symbol, settings=mend,
        )  # fmt: skip
    return tape


def funding_of(market: MarketData) -> Mapping[str, FundingRates]:
    """The rates of a market as the venue takes them."""
    return {symbol: FundingRates(ts_ns=tape.ts_ns, rate=tape.rate) for symbol, tape in market.funding.items()}
