"""An account with `type: spot` is traded on the spot markets of its exchange, live and on paper."""

from pathlib import Path

from src.brokers.ccxt_client import key_names
from src.brokers.ccxt_spot_broker import CcxtSpotBroker
from src.core.config_file import parse_config
from src.core.records import OrderRequest, OrderType, Side
from src.core.timeframe import MINUTE_NS
from src.live.config import LIVE, LiveConfig, read_live_config
from src.live.sources import Needs, live_source, paper_source, venue_time
from src.testing.venue import KEY, SECRET
from tests.brokers.ccxt_benches import SYMBOL
from tests.brokers.ccxt_spot_benches import RULES, spot_bench

NEEDS = Needs(instruments={SYMBOL: RULES}, timeframes={SYMBOL: (MINUTE_NS,)}, warm_up_ns=0)


def config_at(url: str) -> LiveConfig:
    """A bot at a venue to test against."""
    text = f"""
name: spotty
account: {{type: spot, currency: USDT, balance: 10_000}}
instruments: {{{SYMBOL}: {{kind: spot, fees_in: base}}}}
symbols: [{SYMBOL}]
strategies: [{{use: sma_cross, timeframe: 1m}}]
risk: {{size: {{volume: 1}}}}
live: {{exchange: binance, environment: demo, url: "{url}"}}
paper: {{exchange: binance, url: "{url}", costs: {{commission_percent: 0.1, spread_percent: 0, slippage_percent: 0}}}}
"""
    return read_live_config(parse_config(text, "bot.yaml", Path("/configs")), LIVE)


def test_a_spot_account_is_traded_live_on_spot_markets() -> None:
    """What is bought there is held there."""
    with spot_bench() as bench:
        config, venue = config_at(bench.venue.url), bench.venue
        assert config.live is not None
        keys = dict(zip(key_names("binance", "demo"), (KEY, SECRET), strict=True))
        source = live_source(config, config.live, NEEDS, venue.now_ns, venue.now_ns(), keys)
        source.start()
        source.place(
            OrderRequest(client_id="kin", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET, volume=1.0)
        )
        source.refresh()

        assert isinstance(source, CcxtSpotBroker)
        assert source.position("S", SYMBOL).volume == 1.0
        assert venue_time("binance", "demo", venue.url)[0] == venue.now_ns()
        source.client.close()


def test_paper_looks_at_the_spot_markets_of_a_spot_account() -> None:
    """Without keys."""
    with spot_bench() as bench:
        config, venue = config_at(bench.venue.url), bench.venue
        paper = paper_source(config, NEEDS, venue.now_ns, venue.now_ns(), lambda event: None)
        paper.start()
        paper.refresh()

        quote = paper.quote(SYMBOL)
        assert quote is not None
        assert (quote.bid, paper.instrument(SYMBOL).kind) == (99.99, "spot")
