"""`--mode paper` and `--mode live` before anything is asked of an exchange: what is refused, and in which words."""

from pathlib import Path

import pytest

from src.cli.app import main
from src.live import voice
from tests.cli.listening import Heard, heard

__all__ = ["heard"]

BOT = """
name: mine
account: {currency: USDT, balance: 10_000, leverage: 5}
instruments: {BTCUSDT: {kind: perpetual, currency: USDT, tick: 0.01, volume_step: 0.001, min_volume: 0.01}}
symbols: [BTCUSDT]
strategies: [{use: sma_cross, timeframe: 1m}]
risk: {size: {volume: 1}}
"""
LIMITS = (
    "limits: {max_order_notional: 1, max_total_notional: 1, orders_per_minute: 1, symbols: [BTCUSDT], "
    "price_collar_percent: 1}"
)


def said(capsys: pytest.CaptureFixture[str], tmp_path: Path, live: str, *words: str) -> tuple[int, str]:
    """The exit code of a start with this `live` section, and the sentence."""
    path = tmp_path / "bot.yaml"
    path.write_text(BOT + live)
    code = main([*words, "--config", str(path)])
    return code, capsys.readouterr().err


def test_options_of_another_mode_are_refused_by_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """None is passed over in silence."""
    live = said(capsys, tmp_path, "", "--mode", "live", "--watch", "--run-to", "2024-01-01")
    backtest = said(capsys, tmp_path, "", "--mode", "backtest", "--confirm", "mine")

    assert [live[0], backtest[0]] == [2, 2]
    assert "--watch, --run-to, which belong to backtests" in live[1]
    assert "--confirm, which belong to paper and live" in backtest[1]


def test_real_money_needs_every_limit_and_its_label(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The first confirmation stands in the file, the second is said at the start."""
    real = "live: {exchange: binanceusdm, environment: real"
    starts = [
        said(capsys, tmp_path, live, "--mode", "live", *words)
        for live, words in ((real + "}", ()), (f"{real}, {LIMITS}}}", ()), (f"{real}, {LIMITS}}}", ("--confirm", "x")))
    ]

    assert [code for code, _ in starts] == [2, 2, 2]
    assert "missing: limits.max_order_notional, limits.max_total_notional" in starts[0][1]
    assert "--confirm mine" in starts[1][1]
    assert "expected mine, the label in live.account, found 'x'" in starts[2][1]


def test_a_time_to_stop_after_that_is_none_is_refused_with_its_option(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Whoever reads the sentence knows which word was wrong."""
    code, text = said(capsys, tmp_path, "", "--mode", "paper", "--stop-after", "soon")

    assert (code, "--stop-after: expected a duration" in text) == (2, True)


NOTIFY = "\nnotify: {targets: [{url_env: LOCKSTEP_NOTIFY_URL}]}\n"


@pytest.mark.parametrize(
    ("live", "words", "why"),
    [
        ("live: {exchange: binanceusdm, environment: real}", (), "limits.max_order_notional"),
        (f"live: {{exchange: binanceusdm, environment: real, {LIMITS}}}", (), "--confirm mine"),
        ("live: {exchange: binanceusdm, environment: demo, url: 'http://127.0.0.1:9'}", (), "found no answer"),
    ],
)  # fmt: skip
def test_a_start_that_is_refused_is_told_to_those_who_are_not_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, heard: type[Heard], live: str, words: tuple[str, ...], why: str
) -> None:
    """After a power cut nobody reads the terminal, and nobody looks after what is held."""
    code, _ = said(capsys, tmp_path, live + NOTIFY, "--mode", "live", *words)

    assert code in (1, 2)
    assert len(heard.bodies) == 1
    assert "mine has not started in live" in heard.bodies[0]
    assert why in heard.bodies[0]


def test_an_alert_that_does_not_arrive_does_not_hide_the_refusal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, heard: type[Heard], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said besides."""
    monkeypatch.setattr(heard, "fails", True)
    monkeypatch.setattr(voice, "_WITHIN_S", 0.5)  # however long it is waited for, nothing arrives

    code, text = said(capsys, tmp_path, "live: {exchange: binanceusdm, environment: real}" + NOTIFY, "--mode", "live")

    assert code == 2
    assert "not delivered in time" in text
    assert "limits.max_order_notional" in text


@pytest.mark.slow
def test_a_start_names_the_commands_to_look_after_it_as_they_have_to_be_typed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the file and what was set; and keys that are not there are named by their variables."""
    for name in ("KEY", "SECRET"):
        monkeypatch.delenv(f"LOCKSTEP_BINANCEUSDM_DEMO_{name}", raising=False)
    path = tmp_path / "bot.yaml"
    path.write_text(BOT + "live: {exchange: binanceusdm, environment: demo}")

    code = main(["--mode", "live", "--config", str(path), "--set", "live.poll=2s"])

    captured = capsys.readouterr()
    about = f"--config {path} --set live.poll=2s"
    assert code == 2
    assert [f"{verb} {about}" in captured.out for verb in ("status", "stop", "kill")] == [True] * 3
    assert "LOCKSTEP_BINANCEUSDM_DEMO_KEY" in captured.err
    assert list(tmp_path.glob("runs/*")) == []
