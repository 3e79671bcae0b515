"""The live view: what it shows at which size, where it is drawn, and that it only looks."""

import io
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import pytest
from rich.cells import cell_len
from rich.console import Console

from src.backtesting.run import PreparedRun, compose, execute, prepare
from src.cli import watch
from src.cli.output import Output
from src.cli.threads import probe_for
from src.cli.watch import KeptPrints, live_watch, watch_console
from src.cli.watch_sample import Sampler
from src.cli.watch_view import ParticipantRow, PositionRow, Sample, Shares, brief, fitted, frame, span
from src.core.config_file import parse_config
from src.core.errors import ConfigError
from src.core.timeframe import MINUTE_NS, parse_instant
from tests.cli.small import CONFIG

NOW = parse_instant("2024-01-02 03:04:00")


def participant(name: str, rank: int, state: str = "waiting", what: str = "the next step") -> ParticipantRow:
    """A row whose figures follow from its rank."""
    return ParticipantRow(
        name=name, rank=rank, state=state, what=what, since_ns=NOW - MINUTE_NS, turns=1_000 - rank,
        shares=Shares(strategy=0.125, broker=0.25, hand_over=0.5), longest_ns=1_234_567,
    )  # fmt: skip


def position(symbol: str, volume: float = 2.5) -> PositionRow:
    """An open position with a profit of a dozen."""
    return PositionRow(symbol=symbol, book="my_strategy", volume=volume, entry_price=1.23456, profit=12.0)


SAMPLE = Sample(
    title="my-bot", synthetic=7, status="running", pace="60x", plans=(), now_ns=NOW, bars=250, total_bars=1_000,
    bars_per_s=50.0, steps_per_s=25.0, left_s=15.0, real_s=5.0,
    shares=Shares(strategy=0.1, broker=0.2, bot=0.3, hand_over=0.05, market=0.15),
    participants=(participant("monitor:positions", 1), participant("worker:BTCUSDT", 0, "running", "")),
    currency="USDT", equity=10_012.5, balance=10_000.0, margin_used=300.0, positions=(position("BTCUSDT"),), orders=2,
    trades=439, refusals={"margin": 3, "max_open_positions": 9}, last=("12:00 BTCUSDT buy",), message="", keys=True,
)  # fmt: skip


def crowd(count: int) -> Sample:
    """A sample of many workers, the later the busier, each with a position."""
    names = [f"worker:SYM{i:03d}USDT" for i in range(count)]
    return replace(
        SAMPLE,
        participants=tuple(participant(name, count - 1 - i) for i, name in enumerate(names)),
        positions=tuple(position(f"SYM{i:03d}USDT", -1.0) for i in range(count)),
    )


def shown(sample: Sample, width: int = 80, height: int = 24) -> list[str]:
    """The lines as plain text."""
    return [line.plain for line in frame(sample, width, height)]


def test_a_standard_terminal_shows_everything() -> None:
    """Header, participants in their order, account, positions, the last execution and the keys, in 80 x 24."""
    lines = [line.rstrip() for line in shown(SAMPLE)]

    assert lines[0].split() == ["Lockstep", "my-bot", "SYNTHETIC,", "seed", "7", "pace", "60x", "RUNNING"]
    assert lines[1].startswith("2024-01-02 03:04:00Z ━━")
    assert lines[1].endswith(" 25 %  250 of 1,000 bars")
    assert lines[2] == "25 steps/s, 50 bars/s, 5 s gone, 15 s left"
    assert lines[3] == "time in  strategy 10.0%  broker 20.0%  bot 30.0%  hand-over 5.0%  market 15.0%"
    assert lines[5].split() == ["participant", "state", "since", "turns", "strat.", "broker", "hand", "longest"]
    assert lines[6].split() == [
        "monitor:positions", "waits:", "next", "step", "03:03:00", "999", "12.5%", "25.0%", "50.0%", "1.23", "ms",
    ]  # fmt: skip
    assert lines[7].split() == ["worker:BTCUSDT", "running", "1,000", "12.5%", "25.0%", "50.0%", "1.23", "ms"]
    assert lines[9] == "equity 10,012.50 USDT  balance 10,000.00  open +12.50  margin 300.00"
    assert lines[10].startswith("1 open position, 2 live orders, 439 closed trades, 12 refused (")
    assert lines[12].split() == ["BTCUSDT", "long", "2.5", "1.23456", "+12.00", "my_strategy"]
    assert lines[13] == "last  12:00 BTCUSDT buy"
    assert lines[23] == "space pause  s step  g go to  b break  +/- pace  m max  q stop  ? help"


@pytest.mark.parametrize("count", [0, 1, 7, 400])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60), (130, 20), (60, 12), (40, 8), (20, 3), (3, 1)])
def test_it_fits_every_terminal(width: int, height: int, count: int) -> None:
    """As many lines as there are, none too wide, whatever is to be shown; the keys are on the last one."""
    sample = replace(
        crowd(count), title="a name longer than any line" * 9, message="said: " + "word " * 99, plans=("when 1 < 2",)
    )

    lines = shown(sample, width, height)

    assert len(lines) == height
    assert max(cell_len(line) for line in lines) <= width
    assert lines[-1].startswith("spa"[:width] if width > 3 else "sp")


@pytest.mark.parametrize("height", [16, 24, 50])
def test_of_many_participants_the_busiest_are_shown_and_the_rest_is_counted(height: int) -> None:
    """Busiest first, without a gap; what is hidden and what is shown add up, for positions too."""
    lines = shown(crowd(400), 80, height)

    rows = [line.split()[0] for line in lines if line.startswith("worker:")]
    held = [line for line in lines if line.startswith("SYM")]
    assert rows == [f"worker:SYM{399 - i:03d}USDT" for i in range(len(rows))]
    assert len(rows) >= height // 4
    assert f"… {400 - len(rows)} more, less busy" in lines
    assert f"… {400 - len(held)} more positions" in lines


def test_a_wide_terminal_tells_dates_and_whole_names() -> None:
    """From 110 columns on."""
    lines = shown(SAMPLE, 140, 40)

    assert "2024-01-02 03:03:00" in lines[6]
    assert lines[5].split()[-3:] == ["hand-over", "longest", "turn"]


def test_a_wait_since_another_day_shows_that_day() -> None:
    """A time of day alone would be read as today's."""
    late = replace(SAMPLE.participants[0], since_ns=NOW - 24 * 60 * MINUTE_NS)

    assert "01-01" in shown(replace(SAMPLE, participants=(late,)))[6]


def test_a_paused_run_says_so_and_where_it_will_pause_next() -> None:
    """No speed and no remaining time; plans and what was said stand there whole."""
    sample = replace(SAMPLE, status="paused", plans=("when account.equity < 9000",), message="first\nsecond")

    lines = [line.rstrip() for line in shown(sample)]

    assert lines[0].endswith("PAUSED")
    assert lines[2] == "stands still, 5 s gone"
    assert lines[4] == "will pause  when account.equity < 9000"
    assert lines[21:23] == ["first", "second"]


def test_names_move_no_cursor() -> None:
    """What a user's text holds besides letters is shown as a question mark; wide letters count twice."""
    row = participant("worker:\x1b[2J漢字", 0, what="the lock \nx")

    lines = shown(replace(SAMPLE, participants=(row,), message="a\x07b"))

    assert lines[6].startswith("worker:?[2J漢字 ")
    assert "lock ?x" in lines[6]
    assert lines[22] == "a?b"
    assert fitted("漢字漢字", 5) == "漢字…"


def test_a_terminal_without_other_letters_gets_plain_ones() -> None:
    """The bar and the marks of what was cut."""
    text = "".join(line.plain for line in frame(crowd(99), 80, 24, ascii_only=True))

    assert text.isascii()


@pytest.mark.parametrize(
    ("real_ns", "text"),
    [(0, "0.00 us"), (12_345, "12.3 us"), (999_996, "1,000 us"), (5_000_000, "5.00 ms"), (61_000_000_000, "61.0 s")],
)
def test_real_time_is_told_in_three_figures(real_ns: int, text: str) -> None:
    """From microseconds to seconds."""
    assert brief(real_ns) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.9, "1 min 00 s"), (3_725, "1 h 02 min"), (100_000, "1 d 03 h")]
)
def test_remaining_time_is_told_in_two_units(seconds: float, text: str) -> None:
    """Nobody wants the seconds of a day."""
    assert span(seconds) == text


# -- where it is drawn -----------------------------------------------------------------------------


@pytest.fixture
def prepared(tmp_path: Path) -> PreparedRun:
    """A day of one symbol, ready to run."""
    return prepare(parse_config(CONFIG, "small.yaml", tmp_path))


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    """A stream that is a terminal; what is written to it goes nowhere."""
    other, own = os.openpty()
    with open(own, "w", encoding="utf-8") as stream:
        yield stream
    os.close(other)


def test_without_a_terminal_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a sentence that says what to do instead."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    with pytest.raises(ConfigError, match="draws on a terminal, found none on standard error or standard output"):
        watch_console(Output())


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals on this system")
def test_json_leaves_standard_output_alone(monkeypatch: pytest.MonkeyPatch, terminal: TextIO) -> None:
    """A terminal there is the view's otherwise; on a terminal that can do nothing it is refused, too."""
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setenv("TERM", "xterm")

    assert watch_console(Output()).file is terminal
    with pytest.raises(ConfigError, match="none on standard error;"):
        watch_console(Output(as_json=True))
    monkeypatch.setenv("TERM", "dumb")
    with pytest.raises(ConfigError, match="--watch draws on a terminal"):
        watch_console(Output())


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals on this system")
def test_what_is_printed_meanwhile_is_printed_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """In its order and on its stream, for terminals; a file gets it at once; whoever types gets it at once, too."""
    other, own = os.openpty()
    file = io.StringIO()
    prints = KeptPrints()
    with open(own, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", file)
        with prints.kept():
            print("one", 1)
            print("to the file", file=sys.stderr)
            with prints.let_through():
                print("at once", flush=True)
            print("\x1b[31mtwo\x1b[0m", 2)
            last, at_once, terminal_like = prints.last, os.read(other, 99), (sys.stdout.isatty(), sys.stdout.fileno())
        later = os.read(other, 99)
        while not later.endswith(b"2\r\n"):
            later += os.read(other, 99)
        back = sys.stdout is stream
    os.close(other)

    assert (last, at_once, later) == ("two 2", b"at once\r\n", b"one 1\r\n\x1b[31mtwo\x1b[0m 2\r\n")
    assert (file.getvalue(), back, terminal_like) == ("to the file\n", True, (True, own))


# -- of a real run ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["threads", "fibers"])
def test_a_watched_run_has_the_digest_of_one_that_nobody_watches(
    tmp_path: Path, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The view comes and goes with the run, shows its participants, and decides nothing, however often it looks."""
    monkeypatch.setattr(watch, "_INTERVAL_S", 0.001)
    monkeypatch.setattr(watch, "_REST", 0)
    prepared = prepare(parse_config(CONFIG, "small.yaml", tmp_path, [f"backtest.runtime={runtime}"]))
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, height=30, highlight=False, markup=False)

    watched = execute(
        prepared, watch=live_watch(prepared, console), report=False, probe=probe_for(prepared, spans=False)
    )
    alone = execute(prepared, report=False)
    text = stream.getvalue()

    assert watched.result.digest == alone.result.digest
    assert "worker:BTCUSDT" in text
    assert (text.count("\x1b[?1049h"), text.count("\x1b[?1049l")) == (1, 1)
    assert text.index("worker:BTCUSDT") < text.index("\x1b[?1049l")


@pytest.mark.slow
def test_a_sample_of_an_ended_run_agrees_with_its_result(prepared: PreparedRun) -> None:
    """Turns, bars, money, executions and refusals are those of the run; shares are parts of its real time."""
    controller = compose(prepared, probe_for(prepared, spans=False))
    sampler = Sampler(prepared, controller)
    before = sampler.take("", keys=False)
    result = controller.run()

    after = sampler.take("said", keys=True)

    assert (before.bars, before.participants, before.last, before.equity) == (0, (), (), 10_000.0)
    assert (after.bars, after.total_bars, after.trades) == (result.bars, result.bars, len(result.trades))
    assert (after.equity, after.balance, after.refusals) == (
        result.account.equity, result.account.balance, result.refusals,
    )  # fmt: skip
    assert sum(each.turns for each in after.participants) == result.turns
    assert len(after.last) == 3
    parts = after.shares
    total = parts.strategy + parts.broker + parts.bot + parts.hand_over + parts.market
    assert min(parts.strategy, parts.broker, parts.bot, parts.market) > 0
    assert total <= 1
    assert (after.status, after.message, after.keys) == ("ended", "said", True)


@pytest.mark.slow
def test_places_do_not_change_from_one_moment_to_the_next(prepared: PreparedRun) -> None:
    """Whoever was busier a moment ago keeps the higher place for a while."""
    controller = compose(prepared, probe_for(prepared, spans=False))
    sampler = Sampler(prepared, controller)
    controller.run()
    first = {each.name: each.rank for each in sampler.take("", keys=False).participants}
    assert controller.probe is not None
    for track in controller.probe.tracks:
        track.busy_ns = 10**12 * (first[track.name] + 1)

    second = {each.name: each.rank for each in sampler.take("", keys=False).participants}

    assert second == first
    assert sorted(first.values()) == [0, 1]
