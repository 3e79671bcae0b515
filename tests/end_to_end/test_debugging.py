"""The worked example of docs/debugging.md: its commands are run as they stand, and what it quotes is what they say."""

import io
import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.documentation.pages import text_of
from tests.end_to_end.command import MAIN, ROOT, Ended, run

pexpect = pytest.importorskip("pexpect", reason="no pseudo-terminals on this system")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")]

PAGE = text_of("docs/debugging.md")
_PART = re.compile(r"^```(?P<kind>\w+)\n(?P<block>.*?)^```$|^    python (?P<command>[^\n]*)$", re.DOTALL | re.MULTILINE)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: Free runs until two turns overlap so that both look before one acts; on two cores three of four do.
MOST_FREE_RUNS = 12
ENTRIES = ("ETHUSDT", "XRPUSDT")


def parts() -> Iterator[tuple[list[str], list[str]]]:
    """Each command of the page as words, with the lines that it quotes of what comes of it."""
    words: list[str] = []
    quoted: list[str] = []
    for part in _PART.finditer(PAGE):
        if part["command"]:
            if words:
                yield words, quoted
            words, quoted = shlex.split(part["command"], posix=True), []
        elif part["kind"] == "text":
            quoted += part["block"].splitlines()
    yield words, quoted


STEPS = list(parts())
EXPLORED = [step for step in STEPS if step[0][1] == "explore"]
WATCHED = [step for step in STEPS if "--watch" in step[0]]
#: The exit codes that the page names.
CODES = {"Counting": 4, "Locked": 4, "Strongest": 0}


def of_class(words: list[str]) -> str:
    """Which of the three ways of counting a command runs."""
    return next(word.rpartition(":")[2] for word in words if word.startswith("strategies.0.use="))


def missing(quoted: list[str], text: str) -> list[str]:
    """The quoted lines that do not stand in what was printed, however it is indented and broken."""
    shown = " ".join(text.split())
    return [line for line in quoted if " ".join(line.split()) not in shown]


def at_terminal(words: list[str], folder: Path, keys: str = "") -> tuple[int, str]:
    """A command at a terminal of 80 x 24, and keys once it stands still; its exit code, and all that it showed."""
    child: Any = pexpect.spawn(
        sys.executable, [str(MAIN), *words[1:]], cwd=str(folder), encoding="utf-8", timeout=240, dimensions=(24, 80)
    )
    text = ""
    if keys:
        child.expect_exact("paused at")
        text = child.before
        child.send(keys)
    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus), _ESCAPES.sub("", (text + child.before).replace("\x1b[H", "\n"))


def counted(words: list[str], folder: Path) -> str:
    """What a `python -c` of the page prints."""
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(io.StringIO()) as printed:
        patched.chdir(folder)
        exec(words[1], {})
    return printed.getvalue()


def bought(folder: Path) -> list[str]:
    """The entries of the run in a folder, as a live view shows them, the last first."""
    fills = pd.read_parquet(folder / "fills.parquet")
    rows = fills[fills.kind == "entry"].itertuples()
    return [f"{row.symbol} buy {row.volume:,.8g} at {row.price:,.8g}, entry: {row.reason}" for row in rows][::-1]


def turns(trace: dict[str, Any], symbol: str) -> tuple[float, float]:
    """When the longest turn of a symbol's worker began and ended."""
    events = trace["traceEvents"]
    (thread,) = [
        one["tid"] for one in events if one["name"] == "thread_name" and one["args"]["name"] == f"worker:{symbol}"
    ]
    longest = max((one for one in events if one["name"] == "turn" and one["tid"] == thread), key=lambda one: one["dur"])
    return longest["ts"], longest["ts"] + longest["dur"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The delivered configurations in a folder of their own, in which the first command of the page has been run."""
    place = tmp_path_factory.mktemp("debugging")
    shutil.copytree(ROOT / "configs", place / "configs")
    first = run(*STEPS[0][0][1:], cwd=place)
    assert first.code == 0, first.err
    return place


@pytest.fixture(scope="module")
def explored(folder: Path) -> Iterator[dict[str, Future[Ended]]]:
    """The explorations of the page by class; they go on while a run in real time waits for its seconds."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {of_class(words): pool.submit(run, *words[1:], "--workers", "1", cwd=folder) for words, _ in EXPLORED}


@pytest.fixture(scope="module")
def live(folder: Path, explored: dict[str, Future[Ended]]) -> tuple[int, str]:
    """The run in real time, looked at."""
    return at_terminal(WATCHED[0][0], folder)


@pytest.fixture(scope="module")
def overlapping(folder: Path, live: tuple[int, str]) -> tuple[list[str], dict[str, Any]]:
    """Entries and trace of a free run of these minutes in which both workers looked before one of them acted."""
    hurried = ["backtest.pace=100000x" if "time_mode" in word else word for word in WATCHED[0][0][1:]]
    hurried.remove("--watch")
    run_folder = folder / "runs" / "free-1"  # that of the run in real time, which may be one
    for _ in range(MOST_FREE_RUNS):
        entries = bought(run_folder)
        if [entry.endswith("beside 0") for entry in entries] == [True, True]:
            return entries, json.loads((folder / "trace.json").read_text(encoding="utf-8"))
        run_folder = Path(run(*hurried, "--json", cwd=folder).value["folder"])
    pytest.fail(f"no two turns overlapped in {MOST_FREE_RUNS} free runs")


def test_each_command_is_run_by_a_test() -> None:
    """One plain run, two that are watched, three explorations, two looks at the orders and a free run."""
    assert len(STEPS) == 9
    assert [of_class(words) for words, _ in EXPLORED] == list(CODES)
    assert [words[0] for words, _ in STEPS].count("-c") == len(WATCHED) == 2


def test_the_code_of_the_page_is_that_of_the_bot() -> None:
    """Each quoted piece stands in the delivered file as it is."""
    source = (ROOT / "configs" / "two_slots.py").read_text(encoding="utf-8")
    blocks = [part["block"] for part in _PART.finditer(PAGE) if part["kind"] == "python"]

    assert len(blocks) == 3
    assert [block for block in blocks if block not in source] == []


def test_the_order_of_fifo_counts_right(folder: Path) -> None:
    """So nobody sees the race in an ordinary backtest."""
    words, quoted = STEPS[1]

    assert counted(words, folder).splitlines() == quoted


def test_the_view_in_real_time_shows_what_each_believed(live: tuple[int, str]) -> None:
    """It says that it is not deterministic and paced, and ends with a trace to open."""
    code, text = live
    loud = [line for line in WATCHED[0][1] if line.startswith("NON-DETERMINISTIC")]

    assert code == 0
    assert len(loud) == 2
    assert missing([*loud, "pace REALTIME RUNNING", "open it in ui.perfetto.dev or chrome://tracing"], text) == []
    assert [symbol for symbol in ENTRIES if not re.search(rf"{symbol} buy .*entry: beside [01]", text)] == []


def test_a_free_run_overlaps_as_the_page_shows(overlapping: tuple[list[str], dict[str, Any]]) -> None:
    """Both entries are beside nothing, and in the trace the two turns lie one below the other."""
    entries, trace = overlapping
    quoted = [line.removeprefix("last  2024-01-02 04:00:00 ") for line in WATCHED[0][1] if line.startswith("last")]
    begins, ends = zip(*(turns(trace, symbol) for symbol in ENTRIES), strict=True)

    assert sorted(entries) == sorted(quoted)
    assert max(begins) < min(ends)


def test_the_events_of_the_page_are_such_as_a_trace_has(overlapping: tuple[list[str], dict[str, Any]]) -> None:
    """The same spans of the same threads at the same instant, in an order that makes the race."""
    (block,) = [part["block"] for part in _PART.finditer(PAGE) if part["kind"] == "json"]
    quoted = [json.loads(line) for line in block.splitlines()]
    real = [{**each, "ts": 0, "dur": 0} for each in overlapping[1]["traceEvents"] if each["ph"] == "X"]
    xrp, eth, eth_place, xrp_place = quoted

    assert [each for each in quoted if {**each, "ts": 0, "dur": 0} not in real] == []
    assert xrp["ts"] < eth["ts"] < eth["ts"] + eth["dur"] < xrp["ts"] + xrp["dur"]
    assert xrp["ts"] < eth_place["ts"] < xrp_place["ts"]


@pytest.mark.parametrize("number", range(3))
def test_each_exploration_says_what_the_page_quotes(number: int, explored: dict[str, Future[Ended]]) -> None:
    """The race of the count, what the lock leaves, and nothing."""
    words, quoted = EXPLORED[number]
    ended = explored[of_class(words)].result()

    assert ended.code == CODES[of_class(words)], ended.err
    assert len(quoted) >= 2
    assert missing(quoted, ended.out.replace(str(MAIN), "main.py")) == []


def test_the_schedule_that_was_found_stops_where_it_happens(folder: Path, explored: dict[str, Future[Ended]]) -> None:
    """What is seen there and what it leads to are the same in each run, and explore named that schedule."""
    (words, quoted), (count, counts) = WATCHED[1], STEPS[STEPS.index(WATCHED[1]) + 1]
    (schedule,) = [word for word in words if word.startswith("backtest.schedule=")]
    code, text = at_terminal(words, folder, keys=" ")

    assert code == 0
    assert f"--set {schedule}\n" in explored["Counting"].result().out
    assert missing(quoted, text) == []
    assert "time_exit: time exit" not in text  # what ended a position is said once
    assert counted(count, folder).splitlines() == counts


def test_the_lock_keeps_the_count_under_each_schedule_that_was_tried(explored: dict[str, Future[Ended]]) -> None:
    """Of two that want in at one instant one sees the other."""
    reasons = re.findall(r"reason (beside \S+)", explored["Locked"].result().out)

    assert sorted(reasons) == ["beside 0", "beside 1"]


def test_a_free_run_of_the_mended_bot_does_what_every_schedule_does(
    folder: Path, explored: dict[str, Future[Ended]]
) -> None:
    """Nobody shares anything with another at one instant, so nothing depends on who is faster."""
    words, quoted = STEPS[-1]
    ended = run(*words[1:], cwd=folder)

    assert ended.code == 0, ended.err
    assert quoted == [f"its digest is its own: {quoted[0][-16:]}"]
    assert missing(quoted, ended.err) == []
    assert quoted[0][-16:] in explored["Strongest"].result().out
