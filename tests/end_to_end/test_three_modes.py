"""One configuration as a backtest, on paper and live, over the same hours of one market: the same decisions."""

import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

from src.backtesting.artifacts.tables import read_journal
from src.core.instrument import Instrument
from src.core.journal import JournalRecord
from src.core.timeframe import MINUTE_NS
from src.live.control import OPERATOR
from src.research.parity.decisions import Decision, decision_digest, decisions_of
from src.research.parity.recorded import RecordedRun, read_recorded
from tests.documentation.pages import block_of, commands
from tests.end_to_end.command import MAIN, Told
from tests.end_to_end.three_modes import UNTIL_NS, Played, project_in
from tests.ports import free_port

#: A try takes half a minute on a machine that has nothing else to do, and there may be several.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Records = dict[str, list[JournalRecord]]


@pytest.fixture(scope="session")
def recorded(played: Played) -> dict[str, RecordedRun]:
    """The recordings, by mode."""
    return {mode: read_recorded(played.runs[mode]) for mode in ("paper", "live")}


@pytest.fixture(scope="session")
def rules(recorded: dict[str, RecordedRun]) -> dict[str, Instrument]:
    """By which prices and volumes are rounded."""
    return dict(recorded["live"].instruments)


@pytest.fixture(scope="session")
def records(played: Played, recorded: dict[str, RecordedRun]) -> Records:
    """The journals, by mode, over the hours that all have."""
    found = {mode: list(each.records) for mode, each in recorded.items()}
    found["backtest"] = read_journal(played.runs["backtest"] / "journal.parquet")
    return {mode: [each for each in own if each.instant_ns < UNTIL_NS] for mode, own in found.items()}


def bot_decisions(own: Sequence[JournalRecord], rules: dict[str, Instrument]) -> list[Decision]:
    """What the bot decided, without its operator."""
    return [each for each in decisions_of(own, rules) if each.participant != OPERATOR]


def test_three_modes_decide_the_same(records: Records, rules: dict[str, Instrument]) -> None:
    """One digest over all decisions, whatever the mode."""
    digests = {mode: decision_digest(own, rules, commands=False) for mode, own in records.items()}

    assert digests["paper"] == digests["live"] == digests["backtest"]


def test_each_decision_is_made_at_the_same_bar_in_every_mode(records: Records, rules: dict[str, Instrument]) -> None:
    """Live decides within the minute that begins where the backtest decides, stream by stream in the same order."""
    bars = {
        mode: sorted(
            (each.stream, each.instant_ns // MINUTE_NS, each.participant, each.action)
            for each in bot_decisions(own, rules)
        )
        for mode, own in records.items()
    }

    assert bars["paper"] == bars["live"] == bars["backtest"]


def test_the_hours_hold_all_that_is_compared(records: Records, rules: dict[str, Instrument]) -> None:
    """Entries, a slot that somebody else has, break-even, trailing, a time exit and a stop that filled."""
    found = bot_decisions(records["backtest"], rules)
    kinds = {each.type if each.action != "enter" else each.verdict for each in found}
    exits = {each.values[-1] for each in records["live"] if each.kind == "trade"}

    assert {"accepted", "max_open_positions", "break_even", "trailing", "time_exit"} <= kinds
    assert {"stop", "trailing", "time_exit"} <= exits
    assert {each.symbol for each in found} == {"BTCUSDT", "ETHUSDT", "XRPUSDT"}


def test_a_live_run_fills_at_the_prices_of_the_backtest(records: Records, rules: dict[str, Instrument]) -> None:
    """The venue is that of the backtest, so each order fills as there."""
    fills = {
        mode: [
            (each.stream, each.values[2], each.values[3], rules[each.stream].round_price(each.values[4]))
            for each in sorted(own, key=lambda each: (each.stream, each.instant_ns)) if each.kind == "fill"
        ]
        for mode, own in records.items()
    }  # fmt: skip

    assert fills["live"] == fills["backtest"]


def test_both_recordings_hold_the_market_of_the_backtest(recorded: dict[str, RecordedRun]) -> None:
    """Bar by bar, of all symbols and timeframes, in the hours that both saw."""
    seen = {
        mode: {key: bar.values for key, bar in each.evidence.bars.items() if key[2] + key[1] < UNTIL_NS}
        for mode, each in recorded.items()
    }
    common = seen["paper"].keys() & seen["live"].keys()

    assert len({key[:2] for key in common}) == 6
    assert {key: seen["paper"][key] for key in common} == {key: seen["live"][key] for key in common}


# -- the venue as a user has it --------------------------------------------------------------------


def test_the_venue_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    """It says where it is and what to type, answers as the exchange does, and ends with Ctrl-C."""
    config = project_in(tmp_path / "configs")
    (line,) = commands(block_of("docs/venue.md", "python main.py venue"))
    served = subprocess.Popen(
        [sys.executable, str(MAIN), *shlex.split(line)[2:], "--port", str(free_port())],
        cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    assert served.stdout is not None
    lines = list(iter(served.stdout.readline, "Ctrl-C ends it\n"))
    first, told = lines[0], "".join(lines)
    url = first.split()[0]
    with urllib.request.urlopen(f"{url}/fapi/v1/ticker/bookTicker", timeout=240) as answer:
        quotes = answer.read().decode()
    served.send_signal(signal.SIGINT)
    out, err = served.communicate(timeout=240)

    assert (served.returncode, err) == (0, "")
    assert "speaks as binanceusdm: BTCUSDT, ETHUSDT, XRPUSDT, 60 seconds of the market in one" in first
    assert "export LOCKSTEP_BINANCEUSDM_DEMO_KEY=" in told
    assert f"--mode live --config {config.parent.name}/{config.name} --set live.url={url}" in told
    assert "BTCUSDT" in quotes
    assert "after 1 request" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--speed", "0"), "--speed: expected a pace above 0 and at most 10000, found 0"),
        (("--start", "2025-01-01"), "expected bars of BTCUSDT around the instant at which the venue starts"),
        (("--set", "instruments.BTCUSDT.venue=ETH/USDT:USDT"), "named as at the exchange"),
        (("--set", "instruments.BTCUSDT.kind=spot"), "the local venue has perpetuals in USDT"),
    ],
)
def test_a_venue_that_cannot_be_is_refused_in_a_sentence(
    tmp_path: Path, words: tuple[str, ...], sentence: str, told: Told
) -> None:  # fmt: skip
    """Exit code 2, and nothing serves."""
    config = project_in(tmp_path / "mine")

    ended = told("venue", "--config", config.name, *words, cwd=config.parent)

    assert (ended.code, ended.out) == (2, "")
    assert sentence in ended.err
    assert "Traceback" not in ended.err


def test_a_port_that_is_taken_is_named(tmp_path: Path, told: Told) -> None:
    """With what to do instead."""
    config = project_in(tmp_path / "mine")
    with _Taken() as port:
        ended = told("venue", "--config", config.name, "--port", str(port), cwd=config.parent)

    assert ended.code == 2
    assert f"expected the port {port} to be free" in ended.err


class _Taken:
    """A port that somebody else has."""

    def __enter__(self) -> int:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        return int(self._socket.getsockname()[1])

    def __exit__(self, *error: object) -> None:
        self._socket.close()
