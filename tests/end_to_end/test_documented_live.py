"""What the pages about real time show is what happens: their configuration is read, their commands and queries run."""

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.backtesting import open_run
from src.cli.app import main
from src.core.config_file import parse_config
from src.core.timeframe import MINUTE_NS, parse_instant
from src.live.config import LimitsSection, LiveSection, PaperSection, read_live_config
from src.live.recording import read_entries, read_meta
from src.testing.venue import KEY, SECRET, LocalVenue
from src.testing.venue_client import client_of
from src.testing.worlds import bar_series
from tests.brokers.ccxt_benches import RULES
from tests.documentation.pages import block_of, commands, text_of
from tests.end_to_end.command import MAIN, ROOT, Ended, Told, run

LIVE = text_of("docs/live.md")
RECORDING = text_of("docs/recording.md")
SECTIONS = block_of("docs/live.md", "paper:").text
INSTALL, ON_PAPER, AT_THE_VENUE, CONFIRMED = commands(block_of("docs/live.md", "pip install"))
QUERIES = re.findall(r'^    sqlite3 "file:\S+" "(.*)"$', RECORDING, re.MULTILINE)
BOT = """
name: mine
account: {currency: USDT, balance: 10_000, leverage: 5}
instruments:
  BTCUSDT: {venue: "BTC/USDT:USDT", kind: perpetual, tick: 0.01, volume_step: 0.001, min_volume: 0.01}
  ETHUSDT: {venue: "ETH/USDT:USDT", kind: perpetual, tick: 0.01, volume_step: 0.001, min_volume: 0.01}
symbols: [BTCUSDT, ETHUSDT]
strategies: [{use: sma_cross, timeframe: 1m, params: {fast: 2, slow: 5}}]
risk: {size: {equity_percent: 5}}
"""
START_NS = parse_instant("2024-01-02")
SPEED = 60.0
HISTORY = 240


@contextmanager
def exchange() -> Iterator[LocalVenue]:
    """A venue with the two symbols of the bot."""
    rng = np.random.default_rng(5)
    bars, rules = {}, {}
    for symbol, price in (("BTCUSDT", 100.0), ("ETHUSDT", 50.0)):
        path = np.round(price * np.exp(np.cumsum(rng.normal(0, 0.001, HISTORY + 900))), 2)
        steps = zip(path[:-1].tolist(), path[1:].tolist(), strict=True)
        rows = [(a, max(a, b) + 0.01, min(a, b) - 0.01, b) for a, b in steps]
        bars[symbol] = bar_series(symbol, rows, "1m", START_NS - HISTORY * MINUTE_NS)
        rules[symbol] = replace(RULES, symbol=symbol)
    with LocalVenue(bars, rules, START_NS, balance=10_000.0, leverage=5.0, speed=SPEED) as venue:
        yield venue


def bot_in(folder: Path, venue: LocalVenue) -> dict[str, str]:
    """Write the bot of the page, at a venue, into a folder; the environment that it needs."""
    tested = SECTIONS.partition("notify:")[0]
    for name in ("paper", "live"):
        tested = tested.replace(f"{name}:\n", f"{name}:\n  url: {venue.url}\n  speed: {SPEED:g}\n")
    for patient in ("max_age: 5s", "protect_within: 5s"):
        tested = tested.replace(patient, patient.replace("5s", "10m"))
    (folder / "bot.yaml").write_text(BOT + tested, encoding="utf-8")
    names = [line.partition("=")[0] for line in commands(block_of("docs/live.md", "LOCKSTEP_BINANCEUSDM_DEMO_KEY"))]
    return dict(zip(names, (KEY, SECRET), strict=True))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder with the bot of the page, at a venue of its own, and the environment that it needs."""
    folder = tmp_path_factory.mktemp("bot")
    with exchange() as venue:
        yield folder, bot_in(folder, venue)


@pytest.fixture(scope="module")
def paper(world: tuple[Path, dict[str, str]]) -> Ended:
    """A run on paper that ended in order."""
    folder, _ = world
    return run(*shlex.split(ON_PAPER)[2:], "--stop-after", "2m", "--json", cwd=folder)


@pytest.fixture(scope="module")
def live(world: tuple[Path, dict[str, str]]) -> Ended:
    """A run at the venue that ended in order."""
    folder, keys = world
    return run(*shlex.split(AT_THE_VENUE)[2:], "--stop-after", "6m", cwd=folder, env=keys)


def tables(page: str, header: str) -> set[str]:
    """The names in the first column of the table under a header."""
    rows = page.partition(header)[2].partition("\n\n")[0].splitlines()[1:]
    return {name for line in rows for name in re.findall(r"`([a-z_]+)`", line.split("|")[1])}


def test_the_sections_of_the_page_are_read_and_name_every_key() -> None:
    """A key that is added has to be explained; `url` and `speed` are explained below."""
    config = read_live_config(parse_config(BOT + SECTIONS, "bot.yaml", ROOT), "live")
    keys = {
        field.alias or name
        for model in (LiveSection, PaperSection, LimitsSection)
        for name, field in model.model_fields.items()
    }

    assert config.label == "my-bot"
    assert sorted(key for key in keys - {"url", "speed"} if f" {key}:" not in SECTIONS) == []


def test_the_options_of_the_page_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """Every long option behind a command, in the text and in blocks, is one that some help page lists."""
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", LIVE))
    helps = [["--help"], *([verb, "--help"] for verb in ("stop", "status", "kill", "resume", "parity", "replay"))]
    listed = ""
    for words in [*helps, ["data", "sync", "--help"]]:
        main(words)
        listed += capsys.readouterr().out

    assert sorted(option for option in named if option not in listed) == []


@pytest.mark.slow
def test_a_start_and_an_end_print_what_the_page_shows(world: tuple[Path, dict[str, str]], live: Ended) -> None:
    """Lines are compared up to their numbers."""
    blocks = [block_of("docs/live.md", begins) for begins in ("look:", "STOPPED")]
    printed = re.sub(r"python \S+main\.py", "python main.py", live.out + live.err)
    shown = [line for block in blocks for line in block.text.splitlines()]
    beginnings = [re.split(r"\d|\.\.\.|interrupted", line)[0].rstrip() for line in shown]

    assert live.code == 0, live.err
    assert [each for each in beginnings if each not in printed and "refused:" not in each] == []


@pytest.mark.slow
def test_the_commands_of_the_morning_after_say_that_nothing_differs(
    world: tuple[Path, dict[str, str]], live: Ended, paper: Ended, told: Told
) -> None:
    """Those that need no exchange are run as they stand, each on one of the recordings."""
    folder, _ = world
    lines = [line for line in commands(block_of("docs/live.md", "python main.py parity")) if line.endswith(" RUN")]
    runs = ["runs/my-bot-live-1", "runs/my-bot-paper-1"]
    codes = [
        told(*(each if word == "RUN" else word for word in shlex.split(line)[2:]), cwd=folder).code
        for each, line in zip(runs, lines, strict=True)
    ]

    assert (paper.code, paper.value["outcome"]) == (0, "STOPPED")
    assert codes == [0, 0]


@pytest.mark.slow
@pytest.mark.usefixtures("live", "paper")
@pytest.mark.parametrize("name", ["my-bot-live-1", "my-bot-paper-1"])
def test_a_run_that_has_ended_is_opened_from_python(world: tuple[Path, dict[str, str]], name: str) -> None:
    """With the tables of a backtest, as docs/python.md says."""
    again = open_run(name, runs=world[0] / "runs")

    assert again.metrics.fills == len(again.fills)
    assert again.equity.iloc[-1] == pytest.approx(again.metrics.final_equity)
    assert again._repr_html_().count("<tr>") > 5


@pytest.mark.slow
@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("query", QUERIES)
def test_each_query_of_the_page_finds_something(world: tuple[Path, dict[str, str]], query: str) -> None:
    """On the recording of a run with trades."""
    with sqlite3.connect(f"file:{world[0] / 'runs/my-bot-live-1/recording.sqlite'}?mode=ro", uri=True) as db:
        rows: list[Any] = db.execute(query).fetchall()
    db.close()

    assert rows
    assert all(value is not None for row in rows for value in row)


@pytest.mark.slow
@pytest.mark.usefixtures("live", "paper")
def test_every_kind_and_key_of_a_recording_is_in_the_tables_of_the_page(world: tuple[Path, dict[str, str]]) -> None:
    """Kinds of entries, keys of what became visible, and what is kept of the run as a whole."""
    kinds: set[str] = set()
    keys: set[str] = set()
    metas: set[str] = set()
    for path in sorted((world[0] / "runs").glob("*/recording.sqlite")):
        metas |= read_meta(path).keys()
        for entry in read_entries(path):
            kinds.add(entry.kind)
            keys |= (entry.body if entry.kind == "world" else entry.body.get("world", {})).keys()

    assert {"world", "turn", "call", "reply", "outcome", "paper", "command"} <= kinds
    assert kinds <= tables(RECORDING, "| kind | body | |\n")
    assert keys <= tables(RECORDING, "| key | |\n")
    assert sorted(key for key in metas if f"`{key}`" not in RECORDING) == []


@pytest.mark.slow
@pytest.mark.usefixtures("live")
def test_the_python_of_the_page_reads_the_recording(world: tuple[Path, dict[str, str]]) -> None:
    """It prints the mode, and a line for each trade."""
    block = block_of("docs/recording.md", "from pathlib")
    done = subprocess.run(
        [sys.executable, "-c", block.text], cwd=world[0], env={"PYTHONPATH": str(ROOT)}, capture_output=True,
        encoding="utf-8", check=True,
    )  # fmt: skip

    assert done.stdout.splitlines()[0] == "live"


# -- looking after a bot that runs; last, because the account is not left as the tests above want it -------------


@pytest.mark.slow
@pytest.mark.usefixtures("live", "paper")
def test_each_command_about_a_bot_that_runs_does_what_its_page_says(world: tuple[Path, dict[str, str]]) -> None:
    """In the page's order, about a bot that was started with its label confirmed, which then ends in order."""
    folder, keys = world
    env = {**os.environ, "PYTHONIOENCODING": "utf-8", **keys}
    bot = subprocess.Popen(
        [sys.executable, str(MAIN), *shlex.split(CONFIRMED)[2:]], cwd=folder, env=env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
    )  # fmt: skip
    try:
        for _ in range(60):  # each of them takes about a second
            if run("status", "--config", "bot.yaml", cwd=folder, env=keys).code == 0:
                break
        ended = {}
        for line in commands(block_of("docs/operation.md", "python main.py status")):
            ended[line] = run(*shlex.split(line)[2:], "--config", "bot.yaml", cwd=folder, env=keys)
        said, _ = bot.communicate(timeout=100)
    finally:
        bot.kill()
        bot.wait()

    assert len(ended) == 8
    assert {line: each.out + each.err for line, each in ended.items() if each.code != 0} == {}
    assert bot.returncode == 0, said


@pytest.mark.slow
def test_an_account_that_is_not_as_the_bot_left_it_is_refused_as_the_page_shows(tmp_path: Path) -> None:
    """Somebody buys by hand before the bot begins."""
    with exchange() as venue:
        keys = bot_in(tmp_path, venue)
        client = client_of(venue)
        client.load_markets()
        client.create_order("ETH/USDT:USDT", "market", "buy", 0.1)
        ended = run(*shlex.split(AT_THE_VENUE)[2:], cwd=tmp_path, env=keys)
        client.close()

    printed = re.sub(r"python \S+main\.py", "python main.py", ended.err).splitlines()
    assert ended.code == 2, ended.err
    assert [line for line in block_of("docs/live.md", "error:").text.splitlines() if line not in printed] == []
