"""The verbs that look after a bot which runs in another process."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from src.brokers.ccxt_broker import CcxtBroker
from src.brokers.ccxt_client import key_names
from src.cli import operate_target
from src.cli.app import main
from src.core.records import Order, OrderRequest, OrderState, OrderType, Position, Side
from src.core.timeframe import MINUTE_NS
from src.live import account_state
from src.live.account_state import AccountState
from src.live.reconcile import Difference, open_differences
from src.live.recording import FILE, Recording
from src.live.runs import begin_run
from src.live.wire import to_plain
from src.testing.venue import KEY, SECRET, LocalVenue
from tests.brokers.ccxt_benches import ACCOUNT, COSTS, RULES, START_NS, SYMBOL, WITHIN_NS, client_to, standing_prices
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
ENTRY = OrderRequest(
    client_id="kentry", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET, volume=1.0, stop=90.0
)
RESTING = OrderRequest(
    client_id="krest", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.LIMIT, volume=0.5, price=80.0
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration that trades at a demo venue."""
    path = tmp_path / "bot.yaml"
    path.write_text(BOT + "live: {exchange: binanceusdm, environment: demo}\n")
    return path


def state_of(config: Path) -> Path:
    """The file of the bot's durable state."""
    return config.parent / "live" / "mine.sqlite"


def run(capsys: pytest.CaptureFixture[str], config: Path, *words: str) -> tuple[int, Any, str]:
    """The exit code, the JSON object, and what people are told."""
    code = main([*words, "--config", str(config), "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


@contextmanager
def bot(path: Path, *, takes: bool = True, answers: bool = True) -> Iterator[list[tuple[str, Any]]]:
    """Somebody who owns the state and answers commands, as far as it does."""
    heard: list[tuple[str, Any]] = []
    over = threading.Event()

    def loop() -> None:
        with AccountState(path) as own:
            while not over.wait(0.005):
                for command in own.take() if takes else ():
                    heard.append((command.verb, dict(command.args)))
                    if answers:
                        own.answer(command.id, command.verb != "adopt", f"did {command.verb}")

    with AccountState(path) as state, state.own():
        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield heard
        finally:
            over.set()
            thread.join()


# -- switches --------------------------------------------------------------------------------------------------------


def test_entries_are_paused_also_where_no_bot_runs(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The switch is in the durable state, and the next start finds it."""
    paused = run(capsys, config, "pause")
    with AccountState(state_of(config)) as state:
        between = state.paused
    resumed = run(capsys, config, "resume")

    with AccountState(state_of(config)) as state:
        assert (between, state.paused) == (True, False)
    assert (paused[0], paused[1]["done"], resumed[0]) == (0, True, 0)
    assert "no bot runs, so this holds for its next start" in paused[2]


def test_a_switch_holds_before_the_bot_hears_of_it(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the bot is told, so that it journals it and cancels what works."""
    with bot(state_of(config)) as heard:
        code, found, _ = run(capsys, config, "pause")

    assert (code, found["answer"], heard) == (0, "did pause", [("pause", {})])


def test_the_latch_is_opened_by_its_label_alone(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without it, or with another one, entries stay stopped."""
    with AccountState(state_of(config)) as state:
        state.latch("operator", "kill was asked for", False, 1)
    codes = [run(capsys, config, "resume", *words)[0] for words in ((), ("--confirm", "other"))]
    with AccountState(state_of(config)) as state:
        still = state.latched is not None
    code, _, _ = run(capsys, config, "resume", "--confirm", "mine")

    with AccountState(state_of(config)) as state:
        assert (codes, still, code, state.latched) == ([2, 2], True, 0, None)


# -- commands --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "heard", "code"),
    [
        (("close", "BTCUSDT"), ("close", {"symbol": "BTCUSDT"}), 0),
        (("flatten",), ("flatten", {}), 0),
        (("stop",), ("stop", {}), 0),
        (("stop", "--flatten"), ("stop", {"positions": "flatten"}), 0),
        (("adopt", "BTCUSDT"), ("adopt", {"symbol": "BTCUSDT"}), 1),
    ],
)
def test_a_bot_that_runs_is_asked(
    config: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], heard: Any, code: int
) -> None:
    """What it answers is told, and a refusal is exit code 1."""
    with bot(state_of(config)) as commands:
        found = run(capsys, config, *words)

    assert commands == [heard]
    assert (found[0], found[1]["exit_code"], found[1]["answer"]) == (code, code, f"did {words[0]}")


@pytest.mark.parametrize(("takes", "sentence"), [(False, "it was withdrawn"), (True, "has not answered within")])
def test_a_bot_that_does_not_answer_is_told_of(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, takes: bool, sentence: str
) -> None:
    """What it has not taken it will not do later; what it has taken it may be at."""
    monkeypatch.setattr(operate_target, "_ANSWER_S", 0.2)
    with bot(state_of(config), takes=takes, answers=False):
        code, found, told = run(capsys, config, "flatten")
        with AccountState(state_of(config)) as state:
            left = state.take()

    assert (code, left) == (1, [])
    assert sentence in found["answer"]
    assert sentence in told


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("close", "btcusd"), "did you mean 'BTCUSDT'?"),
        (("close", "BTCUSDT"), "runs or has run in live mode, found none"),
        (("stop",), "runs or has run in live mode, found none"),
        (("stop", "--keep", "--flatten"), "expected one of --flatten and --keep"),
        (("adopt", "BTCUSDT"), "start the bot, and it tells them"),
        (("status", "--mode", "papr"), "expected paper or live"),
    ],
)
def test_what_cannot_be_done_is_said(
    config: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
) -> None:
    """Bad usage, with what to do."""
    code, found, _ = run(capsys, config, *words)

    assert code == 2
    assert sentence in found["error"]["message"]


def test_a_difference_is_adopted_for_the_next_start(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the bot had found when it refused to start is taken as it is."""
    found = Difference(symbol=SYMBOL, kind="foreign", found="1", sentence="1 is held", resolved_by=(), is_foreign=True)
    with AccountState(state_of(config)) as state:
        open_differences(state, [found])

    code, told, _ = run(capsys, config, "adopt", SYMBOL)

    with AccountState(state_of(config)) as state:
        assert (code, told["answer"], open_differences(state, [found])) == (0, "1 is held", ())


# -- status ----------------------------------------------------------------------------------------------------------


def test_the_status_tells_whether_all_is_well(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bot that runs and beats is well; one that ended, never ran, or is ill is not."""
    never = run(capsys, config, "status")
    with bot(state_of(config)), AccountState(state_of(config)) as state:
        silent = run(capsys, config, "status")
        state.beat({"pid": 7, "health": {"ok": True}, "account": {"equity": 9.5, "currency": "USDT"}})
        well = run(capsys, config, "status")
        state.beat({"health": {"ok": False, "findings": [{"text": "no price of BTCUSDT", "since": "now"}]}})
        ill = run(capsys, config, "status")
        state.latch("operator", "kill was asked for", False, START_NS)
    ended = run(capsys, config, "status")
    with AccountState(state_of(config)) as state:
        state.beat({"running": True})
    crashed = run(capsys, config, "status")

    assert [each[0] for each in (never, silent, well, ill, ended)] == [1, 1, 0, 1, 1]
    assert [each[1]["running"] for each in (never, silent, well, ill, ended)] == [False, True, True, True, False]
    assert "STARTS" in silent[2]
    assert "9.50 USDT" in well[2]
    assert "HEALTH" in ill[2]
    assert "no price of BTCUSDT" in ill[2]
    assert "KILLED" in ended[2]
    assert ["not ended in order" in each[2] for each in (crashed, ended)] == [True, False]
    assert ended[1]["latch"]["by"] == "operator"


def test_a_command_that_is_told_names_the_bot_that_is_meant(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pasted as it stands it must not kill, nor unlock, the bot of the default configuration."""
    monkeypatch.setattr(operate_target, "_ANSWER_S", 0.2)
    about = f"--config {config} --set name=mine"
    with bot(state_of(config), takes=False), AccountState(state_of(config)) as state:
        _, hanging, _ = run(capsys, config, "flatten", "--set", "name=mine")
        state.latch("operator", "kill was asked for", False, START_NS)
        state.set_paused(True, "operator", START_NS)
        main(["status", "--config", str(config), "--set", "name=mine"])
    shown = capsys.readouterr()

    assert f"kill {about}`" in hanging["answer"]
    assert f"resume --confirm mine {about}`" in shown.out + shown.err
    assert f"resume {about}`" in shown.out + shown.err


def test_the_bot_that_runs_is_meant(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Paper has a state of its own; without a word about it the one that runs is asked."""
    with bot(state_of(config).with_name("mine.paper.sqlite")) as heard:
        code, found, _ = run(capsys, config, "flatten")
        other, _, _ = run(capsys, config, "stop", "--mode", "live")

    assert (code, found["mode"], heard, other) == (0, "paper", [("flatten", {})], 2)


def test_on_paper_the_bot_itself_is_the_venue(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To kill it is to latch it and to have it close; where none runs, nothing works."""
    path = state_of(config).with_name("mine.paper.sqlite")
    with bot(path) as heard:
        code, found, _ = run(capsys, config, "kill", "--keep-positions")
    alone = run(capsys, config, "kill", "--mode", "paper")

    with AccountState(path) as state:
        assert state.latched is not None
    assert (code, found["done"], heard) == (0, True, [("kill", {"keep_positions": True})])
    assert (alone[0], alone[1]["latched"]) == (0, True)


@pytest.mark.parametrize(("words", "code", "left"), [((), 1, 2), (("--keep-positions",), 1, 1)])
def test_what_is_left_on_paper_is_said(
    config: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, left: int
) -> None:
    """Where no bot runs nobody can close there, and it must not look as if somebody had."""
    path, folder = state_of(config).with_name("mine.paper.sqlite"), config.parent / "runs" / "mine-paper-1"
    folder.mkdir(parents=True)
    recording = Recording(folder / FILE, {})
    order = Order(
        order_id="krest", request=RESTING, state=OrderState.WORKING, placed_ns=1, effective_ns=1, updated_ns=1
    )
    position = Position(position_id="kentry", book="S", symbol=SYMBOL, volume=1.0)
    recording.write(1, "world", "feed", {"positions": to_plain([position]), "orders": to_plain([order])})
    recording.close()
    with AccountState(path) as state:
        begin_run(state, folder)

    found = run(capsys, config, "kill", "--mode", "paper", *words)

    assert (found[0], found[1]["done"], found[1]["latched"], len(found[1]["left"])) == (code, False, True, left)
    assert "krest" in found[2]


@pytest.mark.parametrize("mode", ["live", "paper"])
def test_a_bot_that_nobody_knows_is_not_told_as_killed(
    config: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    """Whoever has named another file in a hurry would believe that nothing is held any more."""
    paused = run(capsys, config, "pause", "--mode", mode, "--set", "live.account=other")
    killed = run(capsys, config, "kill", "--mode", mode)

    assert paused[0] == 0
    assert "no bot has run as other" in paused[2]
    assert (killed[0], killed[1]["done"], killed[1]["latched"]) == (1, False, True)
    assert "no bot has run as mine" in killed[2]


def test_those_who_are_not_there_hear_of_a_kill(
    config: Path, capsys: pytest.CaptureFixture[str], heard: type[Heard]
) -> None:
    """That somebody has used it, and how it has ended; also when it has failed."""
    notify = "notify: {targets: [{url_env: LOCKSTEP_NOTIFY_URL, level: critical}]}\n"
    config.write_text(BOT + notify + "live: {exchange: binanceusdm, environment: demo}\n")
    run(capsys, config, "pause")
    done = run(capsys, config, "kill")
    first = "\n".join(heard.bodies)
    heard.bodies.clear()
    folder = config.parent / "runs" / "mine-live-1"
    folder.mkdir(parents=True)
    with AccountState(state_of(config)) as state:
        begin_run(state, folder)  # its recording is gone
    failed = run(capsys, config, "kill")

    assert (done[0], failed[0] != 0) == (0, True)
    assert "mine is being killed in live" in first
    assert "nothing is left" in first
    assert "the kill of mine has failed: the latch is set, but" in "\n".join(heard.bodies)


# -- at the venue ----------------------------------------------------------------------------------------------------


@pytest.fixture
def dead_bot(config: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalVenue]:
    """A venue whose minutes take a second, where a bot that is dead has left a position and an entry."""
    for name, value in zip(key_names("binanceusdm", "demo"), (KEY, SECRET), strict=True):
        monkeypatch.setenv(name, value)
    with LocalVenue(
        {SYMBOL: standing_prices()}, {SYMBOL: RULES}, START_NS + WITHIN_NS, account=ACCOUNT, costs=COSTS, speed=60.0
    ) as venue:
        broker = CcxtBroker(client_to(venue), ACCOUNT, {SYMBOL: RULES}, {SYMBOL: (MINUTE_NS,)}, now_ns=venue.now_ns)
        broker.start()
        folder = config.parent / "runs" / "mine-live-1"
        folder.mkdir(parents=True)
        recording = Recording(folder / FILE, {})
        for number, request in enumerate((ENTRY, RESTING)):
            plain = {"n": number, "method": "place", "args": {"request": to_plain(request)}}
            recording.write(venue.now_ns(), "call", "worker:BTCUSDT", plain)
            assert broker.place(request).accepted
        broker.refresh()
        recording.close()
        broker.client.close()
        with AccountState(state_of(config)) as state:
            begin_run(state, folder)
        live = f"{{exchange: binanceusdm, environment: demo, url: '{venue.url}', speed: 60}}"
        config.write_text(f"{BOT}live: {live}\n")
        yield venue


def left(venue: LocalVenue) -> tuple[float, list[str]]:
    """What is held and what works."""
    found = venue.broker.snapshot()
    return sum(each.volume for each in found.positions), sorted(str(each.request.type) for each in found.orders)


@pytest.mark.slow
def test_a_dead_bot_is_taken_out_of_the_market(
    config: Path, dead_bot: LocalVenue, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a process of its own, which knows what is the bot's from its recording; and the latch stays."""
    before = left(dead_bot)

    code, found, told = run(capsys, config, "kill")

    assert before == (1.0, ["limit", "stop"])
    assert (code, found["done"], left(dead_bot)) == (0, True, (0.0, []))
    assert (len(found["cancelled"]), found["closed"]) == (2, ["1 BTCUSDT long of S"])
    assert "resume --confirm mine" in told
    with AccountState(state_of(config)) as state:
        assert state.latched is not None


@pytest.mark.slow
def test_a_symbol_is_closed_at_the_venue_where_no_bot_runs(
    config: Path, dead_bot: LocalVenue, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same, without the latch, and no bot can start meanwhile."""
    code, found, _ = run(capsys, config, "close", SYMBOL)

    assert (code, found["done"], left(dead_bot)) == (0, True, (0.0, []))
    with AccountState(state_of(config)) as state:
        assert state.latched is None


@pytest.mark.slow
def test_without_a_venue_the_latch_holds_all_the_same(
    config: Path, dead_bot: LocalVenue, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys are missing: nothing was closed, it is said, and nothing can be opened."""
    for name in key_names("binanceusdm", "demo"):
        monkeypatch.delenv(name)

    code, found, _ = run(capsys, config, "kill")

    assert code == 2
    assert "the latch is set, but the venue was not reached" in found["error"]["message"]
    with AccountState(state_of(config)) as state:
        assert state.latched is not None


@pytest.mark.slow
def test_a_bot_that_was_halted_while_it_wrote_holds_nothing_up(
    config: Path, dead_bot: LocalVenue, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latch cannot be set, and that is said; what is at the venue is closed all the same."""
    monkeypatch.setattr(account_state, "_BUSY_S", 0.1)
    halted = sqlite3.connect(state_of(config), isolation_level=None)
    halted.execute("BEGIN IMMEDIATE")

    code, found, told = run(capsys, config, "kill")

    halted.close()
    assert (code, found["latched"], found["closed"]) == (1, False, ["1 BTCUSDT long of S"])
    assert left(dead_bot) == (0.0, [])
    assert "the kill switch does not hold" in told


@pytest.mark.slow
def test_a_damaged_state_does_not_keep_a_bot_in_the_market(
    config: Path, dead_bot: LocalVenue, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the bot has sent is read from its last recording then."""
    state_of(config).write_bytes(b"no database" * 1000)

    code, found, _ = run(capsys, config, "kill")

    assert (code, found["done"], left(dead_bot)) == (1, True, (0.0, []))
    assert "damaged" in found["left"][0]
