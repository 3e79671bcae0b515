"""The sections of paper and live in the one configuration file."""

from pathlib import Path
from typing import Any

import pytest

from src.backtesting.config import BacktestConfig
from src.core.config_file import ConfigDocument, parse_config
from src.core.errors import ConfigError
from src.core.timeframe import SECOND_NS
from src.live.config import LIVE, PAPER, LimitsSection, LiveSection, check_confirmation, read_live_config

BOT = """
name: My_Bot
account: {currency: USDT, balance: 5000, leverage: 3}
instruments: {BTCUSDT: {kind: perpetual}, ETHUSDT: {kind: perpetual}}
symbols: [BTCUSDT, ETHUSDT]
strategies: [{use: sma_cross, timeframe: 1m}]
risk: {size: {volume: 1}}
backtest: {start: 2024-01-01, runs: ../runs, costs: {commission_percent: 0.04}}
"""
DEMO = "live: {exchange: binanceusdm, environment: demo}\n"
LIMITS = {
    "max_order_notional": 100, "max_total_notional": 200, "orders_per_minute": 5, "symbols": ["BTCUSDT"],
    "price_collar_percent": 2,
}  # fmt: skip


def document(text: str = "", *overrides: str) -> ConfigDocument:
    """The bot with further sections."""
    return parse_config(BOT + text, "bot.yaml", Path("/configs"), list(overrides))


def real(**more: Any) -> LiveSection:
    """A section that means real money."""
    return LiveSection.model_validate(
        {"exchange": "binanceusdm", "environment": "real", "limits": LIMITS, "account": "mine", **more}
    )


def test_one_file_serves_all_modes() -> None:
    """Each mode reads what is its own and passes over the rest."""
    both = document(DEMO + "paper: {balance: 700}\nnotify: {targets: [{url_env: PHONE}]}\n")

    config, backtest = read_live_config(both, LIVE), both.validate(BacktestConfig)

    assert config.live is not None
    assert (config.live.exchange, config.live.environment, config.live.max_age_ns) == ("binanceusdm", "demo", 5 * 10**9)
    assert (config.paper_exchange, config.paper_balance) == ("binanceusdm", 700)
    assert config.identity() == read_live_config(both, PAPER).identity()
    assert backtest.identity() == document().validate(BacktestConfig).identity()


def test_paper_takes_what_it_does_not_say_from_elsewhere() -> None:
    """Costs are those of the backtest, the balance is the account's, the exchange that of live."""
    said = read_live_config(document("paper: {exchange: kraken, costs: {commission_percent: 1}}\n"), PAPER)
    unsaid = read_live_config(document(DEMO), PAPER)

    found = [(each.paper_exchange, each.paper_costs.commission_percent) for each in (said, unsaid) if each.paper_costs]
    assert found == [("kraken", 1), ("binanceusdm", 0.04)]
    assert unsaid.paper_balance == 5000


def test_paper_holds_the_limits_of_live() -> None:
    """What refuses an order there refuses it here; without a section there are none."""
    both = read_live_config(document(DEMO, "live.limits.orders_per_minute=3", "live.max_age=2s"), PAPER)
    alone = read_live_config(document("paper: {exchange: binanceusdm}\n"), PAPER)

    assert [both.limits_of(mode).orders_per_minute for mode in (PAPER, LIVE)] == [3, 3]
    assert alone.limits_of(PAPER) == LimitsSection()
    assert (both.max_age_ns, alone.max_age_ns) == (2 * SECOND_NS, 5 * SECOND_NS)


def test_the_label_is_made_of_the_name_and_names_the_state() -> None:
    """Paper and live never share a state; paths are relative to the file."""
    own = read_live_config(document(DEMO, "live.state=../state"), LIVE)
    named = read_live_config(document(DEMO, "live.account=mine"), LIVE)

    assert (own.label, named.label) == ("my-bot", "mine")
    assert own.state_path(LIVE, Path("/configs")) == Path("/state/my-bot.sqlite")
    assert named.state_path(PAPER, Path("/configs")) == Path("/configs/live/mine.paper.sqlite")
    assert own.runs_dir(Path("/configs")) == Path("/runs")


@pytest.mark.parametrize(
    ("text", "mode", "sentence"),
    [
        ("", LIVE, "expected a section live, found none"),
        ("", PAPER, "expected paper.exchange"),
        ("live: {exchange: x}\n", LIVE, "live.environment: is required"),
        ("live: {exchange: x, environment: demmo}\n", LIVE, "demmo"),
        ("live: {exchange: x, environment: demo, polll: 1s}\n", LIVE, "did you mean 'poll'"),
        ("live: {exchange: x, environment: demo, speed: 60}\n", LIVE, "write its url"),
        ("paper: {exchange: x, speed: 60}\n", PAPER, "write its url"),
        ("live: {exchange: x, environment: demo, url: 127.0.0.1}\n", LIVE, "expected an address"),
        ("live: {exchange: x, environment: demo, account: 'My Bot'}\n", LIVE, "live.account"),
        ("live: {exchange: x, environment: demo, limits: {symbols: [BTCUSD]}}\n", LIVE, "did you mean 'BTCUSDT'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, mode: str, sentence: str) -> None:
    """Missing sections, misspelt keys and impossible values are refused with a sentence."""
    with pytest.raises(ConfigError) as caught:
        read_live_config(document(text), mode)

    assert sentence in caught.value.message


@pytest.mark.parametrize("missing", list(LimitsSection.model_fields))
def test_real_money_needs_every_limit(missing: str) -> None:
    """Each one that is not there is named."""
    limits = {name: value for name, value in LIMITS.items() if name != missing}

    with pytest.raises(ValueError, match=rf"missing: limits\.{missing} "):
        real(limits=limits)

    assert real().needs_stops
    assert not real(bot_side_stops=True).needs_stops


def test_real_money_is_at_the_exchange_itself() -> None:
    """An address to test against and real money exclude each other."""
    with pytest.raises(ValueError, match="leave url out"):
        real(url="http://127.0.0.1:8080")


def test_real_money_needs_its_label_a_second_time() -> None:
    """Without it, or with another one, nothing starts; a wrong label is refused for any account."""
    demo = LiveSection(exchange="binanceusdm", environment="demo", account="mine")
    check_confirmation(real(), "mine")
    check_confirmation(demo, None)

    sentences = []
    for section, confirm in ((real(), None), (real(), "other"), (demo, "other")):
        with pytest.raises(ConfigError) as caught:
            check_confirmation(section, confirm)
        sentences.append(caught.value.message)
    assert "--confirm mine" in sentences[0]
    assert all("expected mine" in each and "'other'" in each for each in sentences[1:])
    assert demo.poll_ns == SECOND_NS
