"""Reading a configuration: every problem at once with its line, overrides, and what the bot's sections refuse."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.core.config import BotConfig, InstrumentConfig
from src.core.config_file import read_config
from src.core.errors import ConfigError
from src.core.timeframe import MINUTE_NS, SECOND_NS

GOOD = """\
name: example
account: {type: margin, currency: USDT, balance: 10_000, leverage: 3}
instruments:
  BTCUSDT: {venue: "BTC/USDT:USDT", kind: perpetual, tick: 0.1, volume_step: 0.001}
  ETHUSDT: {}
symbols: [BTCUSDT, ETHUSDT]
strategies:
  - {use: sma_cross, timeframe: 15m, params: {fast: 20, slow: 50}}
risk: {size: {risk_percent: 0.5}, max_open_positions: 2, cool_down_after_loss: 30m}
manage: {on: bar_close, break_even: {at_r: 1}, trailing: {start_r: 1.5, distance_atr: 1}}
poll: {worker: 1s, position_monitor: 5s}
on_error: stop_symbol
"""

Read = Callable[..., BotConfig]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads a text as the file bot.yaml."""

    def reader(text: str = GOOD, *overrides: str) -> BotConfig:
        (tmp_path / "bot.yaml").write_text(text, encoding="utf-8")
        return read_config(tmp_path / "bot.yaml", list(overrides)).validate(BotConfig)

    return reader


def problems(read: Read, text: str, *overrides: str) -> list[str]:
    """The sentences of the error that the text causes."""
    with pytest.raises(ConfigError) as caught:
        read(text, *overrides)
    found: list[str] = caught.value.problems
    return found


def test_a_configuration_is_read_with_durations_as_nanoseconds(read: Read) -> None:
    """`on:` is a key and `10_000` a number."""
    config = read()

    assert config.account.balance == 10_000
    assert config.manage.on == "bar_close"
    assert config.strategies[0].timeframe_ns == 15 * MINUTE_NS
    assert config.strategies[0].params == {"fast": 20, "slow": 50}
    assert (config.poll.worker_ns, config.risk.cool_down_after_loss_ns) == (SECOND_NS, 30 * MINUTE_NS)
    assert config.instruments["BTCUSDT"].build("BTCUSDT", "USDT").quote_currency == "USDT"


def test_a_configuration_survives_its_own_dump(read: Read) -> None:
    """What is written into a manifest can be read again."""
    config = read()

    assert BotConfig.model_validate(config.model_dump(mode="json", by_alias=True)) == config


def test_every_problem_is_reported_at_once_with_its_line(read: Read) -> None:
    """Unknown keys with a suggestion, missing ones, values out of range and words of the wrong kind."""
    text = (
        GOOD.replace("currency: USDT, ", "")
        .replace("max_open_positions: 2", "max_open_position: 2")
        .replace("at_r: 1}", "at_r: -1}")
        .replace("timeframe: 15m", "timeframe: 90s")
        .replace("stop_symbol", "stop_symbols")
    )

    found = problems(read, text)

    assert found.pop(1).startswith("bot.yaml:8: strategies.0.timeframe: expected a timeframe of whole minutes")
    assert found == [
        "bot.yaml:2: account.currency: is required and missing",
        "bot.yaml:9: risk.max_open_position: unknown key 'max_open_position'; did you mean 'max_open_positions'?",
        "bot.yaml:10: manage.break_even.at_r: input should be greater than 0, found -1",
        "bot.yaml:12: on_error: input should be 'stop_all' or 'stop_symbol', found 'stop_symbols'; did you mean "
        "'stop_symbol'?",
    ]


def test_an_unknown_key_without_a_likeness_names_the_known_ones(read: Read) -> None:
    """A guess that helps nobody is not made."""
    (found,) = problems(read, GOOD + "zzz: 1\n")

    assert found.startswith("bot.yaml:13: zzz: unknown key 'zzz'; known here: name, account, instruments, symbols")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "{risk_percent: 0.5}",
            "{risk_percent: 0.5, volume: 1}",
            "expected exactly one of .*, found volume and risk_percent",
        ),
        ("{risk_percent: 0.5}", "{}", "expected exactly one of .*, found none"),
        ("symbols: [BTCUSDT, ETHUSDT]", "symbols: [BTCUSDT, BTCUSDT]", "each symbol may stand there once"),
        ("symbols: [BTCUSDT, ETHUSDT]", "symbols: [XRPUSDT]", "XRPUSDT has no entry under instruments"),
        ("symbols: [BTCUSDT, ETHUSDT]", "symbols: []", "at least 1 item"),
        ("params: {", "symbols: [XRPUSDT], params: {", "strategies.0.symbols: XRPUSDT is not one of symbols"),
        ("type: margin", "type: spot", "a spot account has leverage 1, found 3"),
        ("balance: 10_000", "balance: .nan", "finite number"),
        ("balance: 10_000", "balance: .inf", "finite number"),
        ("worker: 1s", "worker: 0s", "greater than 0"),
        ("name: example", "name: a/b", "match pattern"),
    ],
)
def test_what_does_not_fit_together_is_refused(read: Read, old: str, new: str, sentence: str) -> None:
    """Each rule has its sentence."""
    assert old in GOOD

    with pytest.raises(ConfigError, match=sentence):
        read(GOOD.replace(old, new))


def test_two_strategies_may_not_share_a_symbol_of_a_netting_account(read: Read) -> None:
    """On a hedging account, or on symbols of their own, they may; two instances need two names."""
    second = "\n  - {use: sma_cross, name: again}\nrisk:"
    twice = GOOD.replace("\nrisk:", second)

    with pytest.raises(ConfigError, match="sma_cross and again trade BTCUSDT on one netting account"):
        read(twice)
    with pytest.raises(ConfigError, match="the name 'sma_cross' is taken"):
        read(twice.replace(", name: again", ""), "account.positions=hedging")
    assert len(read(twice, "account.positions=hedging").strategies) == 2
    apart = twice.replace("again}", "again, symbols: [ETHUSDT]}").replace("params:", "symbols: [BTCUSDT], params:")
    assert len(read(apart).strategies) == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (GOOD + "name: other\n", "bot.yaml:13: the key name stands there twice, first on line 1; keep one"),
        (
            GOOD.replace("ETHUSDT: {}", "ETHUSDT: {tick: 1, tick: 2}"),
            "bot.yaml:5: the key instruments.ETHUSDT.tick stands there twice, first on line 5",
        ),
        (GOOD + "bad: }\n", "bot.yaml:13: not valid YAML"),
        ("a:\n  b: 1\n c: 2\n", "bot.yaml:3: not valid YAML: .*; indent this line as the others"),
        ("a:\n\tb: 1\n", "bot.yaml:2: not valid YAML: .*; indent with spaces and not with tabs"),
        ("a 1\nb: 2\n", "bot.yaml:2: not valid YAML: .*; the key above it may lack its colon"),
        ("a: 1\nb\nc: 2\n", "bot.yaml:3: not valid YAML: .*; write key: value"),
        ("- a\n- b\n", "expected a mapping of keys, found list"),
        ("", "expected a mapping of keys, found NoneType"),
    ],
)
def test_a_file_that_is_no_mapping_of_single_keys_is_refused(read: Read, text: str, sentence: str) -> None:
    """A key that stands there twice would silently lose one of its values."""
    with pytest.raises(ConfigError, match=sentence):
        read(text)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """The message says how to get one."""
    with pytest.raises(ConfigError, match="expected a configuration file at .*init DIR"):
        read_config(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("override", "get", "value"),
    [
        ("account.balance=500", lambda c: c.account.balance, 500),
        ("strategies.0.params.fast=7", lambda c: c.strategies[0].params, {"fast": 7, "slow": 50}),
        ("strategies.0.params.new=true", lambda c: c.strategies[0].params["new"], True),
        ("symbols=[ETHUSDT]", lambda c: c.symbols, ("ETHUSDT",)),
        ("manage.time_exit.after=2h", lambda c: c.manage.time_exit.after_ns, 120 * MINUTE_NS),
        ("name=on", lambda c: c.name, "on"),
        ("poll.worker=250ms", lambda c: c.poll.worker_ns, 250_000_000),
    ],
)
def test_an_override_reaches_the_configuration(
    read: Read, override: str, get: Callable[[BotConfig], Any], value: Any
) -> None:
    """Values are YAML, parts are keys or places in a list, and sections that are missing are made."""
    assert get(read(GOOD, override)) == value


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("account.balance", "expected --set key=value"),
        ("=5", "expected --set key=value"),
        ("name.sub=5", "name is a plain value and has no key 'sub'"),
        ("strategies.1.use=x", "strategies"),
        ("strategies.first.use=x", "strategies"),
        ("account.balance=[1", "is not a YAML value"),
    ],
)
def test_an_override_that_hits_nothing_is_refused(read: Read, override: str, sentence: str) -> None:
    """Never silently ignored."""
    with pytest.raises(ConfigError, match=sentence):
        read(GOOD, override)


def test_an_override_that_is_wrong_is_reported_as_what_was_typed(read: Read) -> None:
    """Not with a line of the file, which says something else, or nothing, about that key."""
    assert problems(read, GOOD, "risk.size.risk_percent=200", "risk.daily=1", "account.balance=much") == [
        "--set account.balance: input should be a valid number, unable to parse string as a number, found 'much'",
        "--set risk.size.risk_percent: input should be less than or equal to 100, found 200",
        "--set risk.daily: unknown key 'daily'; did you mean 'day'?",
    ]


def test_a_problem_below_an_override_names_the_override_and_the_key(read: Read) -> None:
    """The file's lines below it are void, also those of an override that came before."""
    strategies = "strategies=[{use: sma_cross, timeframe: 5 parsecs}]"

    (sentence,) = problems(read, GOOD, "strategies.0.timeframe=1x", strategies)

    assert sentence.startswith("--set strategies: strategies.0.timeframe: expected a ")


def test_a_problem_of_a_section_says_what_was_overridden_in_it(read: Read) -> None:
    """The line alone would send whoever reads it to a file in which nothing is wrong."""
    (sentence,) = problems(read, GOOD, "account.type=spot", "account.leverage=3")

    assert sentence.startswith("bot.yaml:")
    assert "account: a spot account has leverage 1" in sentence
    assert sentence.endswith("(with --set account.type, --set account.leverage)")


def test_a_wrong_value_of_the_file_keeps_its_line_beside_overrides(read: Read) -> None:
    """Only what was overridden is somebody else's word."""
    text = GOOD.replace("risk_percent: 0.5", "risk_percent: 500")

    (sentence,) = problems(read, text, "account.balance=500")

    assert sentence == "bot.yaml:9: risk.size.risk_percent: input should be less than or equal to 100, found 500"


def test_words_that_yaml_takes_for_truth_values_stay_words(read: Read) -> None:
    """Only true and false are truth values; a symbol may be called NO."""
    text = GOOD.replace("ETHUSDT", "NO")

    assert read(text).symbols == ("BTCUSDT", "NO")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("17:00", "17:00"), ("00:00", "00:00"), ("1:30:00", "1:30:00"), ("7", 7), ("-7", -7), ("+1_000", 1000),
        ("0x10", 16), ("1.5", 1.5), ("-.5", -0.5), ("1e5", 1e5), ("1.5e-3", 0.0015), ("5.", 5.0), ("true", True),
        ("yes", "yes"), ("0", 0),
    ],
)  # fmt: skip
def test_plain_words_and_numbers_mean_what_they_look_like(tmp_path: Path, text: str, value: object) -> None:
    """A time of day is a text and not a number to the base of 60, and a number may have an exponent."""
    (tmp_path / "x.yaml").write_text(f"x: {text}\n", encoding="utf-8")

    found = read_config(tmp_path / "x.yaml").values["x"]

    assert (found, type(found)) == (value, type(value))


def test_the_start_of_the_day_needs_no_quotes(read: Read) -> None:
    """Written as anybody would."""
    assert read(GOOD.replace("size:", "day: {zone: America/New_York, at: 17:00}, size:")).risk.day.at == "17:00"


@pytest.mark.parametrize(
    ("old", "new", "suggested"),
    [
        ("tick: 0.1", "tik: 0.1", "instruments.BTCUSDT.tik: unknown key 'tik'; did you mean 'tick'?"),
        ("timeframe:", "timefram:", "strategies.0.timefram: unknown key 'timefram'; did you mean 'timeframe'?"),
        ("leverage:", "levrage:", "account.levrage: unknown key 'levrage'; did you mean 'leverage'?"),
    ],
)
def test_a_misspelt_key_inside_mappings_and_lists_gets_a_suggestion(
    read: Read, old: str, new: str, suggested: str
) -> None:
    """However deep it stands."""
    (found,) = problems(read, GOOD.replace(old, new))

    assert suggested in found


def test_a_configuration_cannot_be_changed(read: Read) -> None:
    """It is what the run was identified by."""
    with pytest.raises(ValueError, match="frozen"):
        read().name = "other"  # wrong on purpose


@pytest.mark.parametrize(
    ("section", "symbol", "found"),
    [
        ({"kind": "equity"}, "AAPL", "USD"),
        ({"kind": "equity", "currency": "EUR"}, "SAP", "EUR"),
        ({"kind": "fx"}, "EURCHF", "CHF"),
        ({}, "ETHUSDT", "USDT"),
        ({}, "AAPL", None),
    ],
)
def test_the_currency_of_a_share_is_the_accounts_and_none_is_made_up(
    section: dict[str, Any], symbol: str, found: str | None
) -> None:
    """The last letters of a name are a currency only where they can be one."""
    assert InstrumentConfig(**section).quote_of(symbol, "USD") == found


@pytest.mark.parametrize("rules", [{"min_volume": 5, "max_volume": 1}, {"volume_step": 0.1, "max_volume": 0.05}])
def test_rules_under_which_nothing_could_trade_are_refused(rules: dict[str, float]) -> None:
    """The largest volume lies below the least one, or below the step."""
    with pytest.raises(ValueError, match="is below the least volume"):
        InstrumentConfig(**rules)  # type: ignore[arg-type]  # plain numbers


@pytest.mark.parametrize(
    ("account", "rules", "sentence"),
    [
        ({"stop_out_percent": 100}, {"maintenance_percent": 40}, "opening, 33.3333 percent, found 40"),
        (
            {"stop_out_percent": 100},
            {"margin_tiers": [{"from": 0, "leverage": 20, "maintenance_percent": 5.1}]},
            "opening, 5 percent, found 5.1",
        ),
        ({}, {"maintenance_percent": 1}, "it means nothing without a level"),
    ],
)
def test_maintenance_margin_is_refused_where_it_cannot_be_meant(
    read: Read, account: dict[str, Any], rules: dict[str, Any], sentence: str
) -> None:
    """No more than opening needs, here a third with a leverage of 3, and with a level that it counts for."""
    overrides = [f"account.{name}={value}" for name, value in account.items()]
    text = GOOD.replace("ETHUSDT: {}", f"ETHUSDT: {json.dumps(rules)}")

    (found,) = problems(read, text, *overrides)

    assert "instruments.ETHUSDT.maintenance_percent: " in found
    assert sentence in found


def test_maintenance_margin_may_be_all_that_opening_needs(read: Read) -> None:
    """A fifth with a leverage of 5."""
    tiers = [{"from": 0, "leverage": 5, "maintenance_percent": 20}, {"from": 1000, "leverage": 2}]
    text = GOOD.replace("ETHUSDT: {}", f"ETHUSDT: {json.dumps({'margin_tiers': tiers})}")

    config = read(text, "account.margin_call_percent=120")

    assert config.instruments["ETHUSDT"].tiers()[0].maintenance_percent == 20.0
