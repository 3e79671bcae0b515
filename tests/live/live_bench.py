"""A bench for whole live bots: a local venue with bars of many symbols, the files of a bot, and its processes.

A bot is `python main.py --mode live` in a process of its own, or the same command in this process. The venue's time
stands until a bot has asked for it, so that nothing passes while a process starts, and all of them have one time that
stands while the machine does; see `tests.patient_time`. After each request the venue's own account is looked at,
whatever the bot believes.
"""

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch
from urllib.parse import parse_qsl

import yaml

from src.cli.app import main
from src.core.instrument import Instrument
from src.core.journal import JournalRecord
from src.core.records import OrderType
from src.core.rng import numpy_stream
from src.core.sync import Event, Lock, start_thread, wall_ns
from src.core.timeframe import MINUTE_NS, SECOND_NS, parse_instant
from src.live.recording import Entry, read_entries
from src.research.replay.recorded import record_of
from src.testing.venue import KEY, SECRET, LocalVenue
from src.testing.venue_wire import Reply
from src.testing.worlds import bar_series
from tests.patient_time import following, patient_time

__all__ = [
    "BALANCE", "NOTIFY", "ROOT", "START_NS", "SYMBOLS", "BenchVenue", "BotProcess", "Files", "Nursery", "Request",
    "entries_of", "environment", "journal_of", "make_bench", "planted_in", "problems_of_account", "run_here",
    "while_running", "write_bot",
]  # fmt: skip

ROOT = Path(__file__).resolve().parent.parent.parent
START_NS = parse_instant("2024-01-02")
BEFORE = 120
BALANCE = 100_000.0
#: Twenty symbols, with a price and a tick each.
SYMBOLS = tuple(
    f"{name}USDT"
    for name in (
        "BTC", "ETH", "XRP", "SOL", "ADA", "BNB", "DOT", "LTC", "TRX", "UNI",
        "XLM", "EOS", "ETC", "NEO", "BCH", "ZEC", "XMR", "FIL", "AVAX", "LINK",
    )
)  # fmt: skip
#: The address of somebody who is told of alerts and never answers; its token is as secret as the keys.
NOTIFY = "json://127.0.0.1:9/planted-token-of-the-chat"
_PLANTED = (KEY, SECRET, "planted-token-of-the-chat")
_SIGNED = re.compile(rb"signature=[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it comes in.

    Attributes:
        number: from 1 on, among all that the venue got.
        endpoint: as in `VenueCall`.
    """

    number: int
    endpoint: str
    params: Mapping[str, str]
    at_ns: int


@dataclass(slots=True)
class Audit:
    """What the venue's account looked like over time, by the venue's own time.

    Attributes:
        naked_ns: the longest that a position was seen without a stop that rests for all of it, while one process lived.
        most: how many positions were seen at once at most.
        looks: how often it was looked at.
    """

    naked_ns: int = 0
    most: int = 0
    looks: int = 0
    since: dict[str, int] = field(default_factory=dict)
    where: str = ""


class BenchVenue(LocalVenue):
    """A local venue that looks at its own account after each request, and lets a test come between.

    Attributes:
        before: called with each request before the venue sees it; what it returns is answered instead.
        after: called with the answer before it is sent; may return another one.
        asleep: its time goes on when somebody asks for it.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.before: Callable[[Request], Reply | None] = lambda _: None
        self.after: Callable[[Request, Reply], Reply] = lambda _, reply: reply
        self.asleep = True
        self.audit = Audit()
        self.polls = 0
        self._counted = 0
        self._looking = Lock()
        self._time = ExitStack()
        self.clock.hold()

    def __enter__(self) -> Self:
        self._time.enter_context(patient_time())
        return super().__enter__()

    def __exit__(self, *problem: Any) -> None:
        with self._time:
            super().__exit__(*problem)

    def sleep(self) -> None:
        """Stand still until the next bot asks for the time."""
        self.clock.hold()
        self.asleep = True
        with self._looking:
            self.audit.since.clear()

    def _asked(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> Reply:
        endpoint = f"{method} {path.strip('/').split('/', 2)[-1]}"
        if self.asleep and endpoint == "GET time":
            self.asleep = False
            self.clock.go_on()
        if endpoint == "GET ticker/bookTicker":
            self.polls += 1
        self._counted += 1
        seen = Request(
            number=self._counted, endpoint=endpoint, params=dict(parse_qsl(query, keep_blank_values=True)),
            at_ns=self.clock.now_ns(),
        )  # fmt: skip
        early = self.before(seen)
        if early is not None:
            return early
        reply = super()._asked(method, path, query, headers)
        self._look()
        return self.after(seen, reply)

    def _look(self) -> None:
        with self._lock:
            snapshot, now_ns = self.broker.snapshot(), self._world.now_ns
        audit = self.audit
        with self._looking:
            audit.looks += 1
            audit.most = max(audit.most, len(snapshot.positions))
            stopped: dict[str, float] = {}
            for order in snapshot.orders:
                if order.request.reduce_only and order.request.type is OrderType.STOP:
                    stopped[order.request.symbol] = stopped.get(order.request.symbol, 0.0) + order.request.volume
            naked = {
                each.symbol for each in snapshot.positions if stopped.get(each.symbol, 0.0) < abs(each.volume) - 1e-9
            }
            for symbol in [each for each in audit.since if each not in naked]:
                del audit.since[symbol]
            for symbol in naked:
                lasted_ns = now_ns - audit.since.setdefault(symbol, now_ns)
                if lasted_ns > audit.naked_ns:
                    audit.naked_ns, audit.where = lasted_ns, symbol

    @property
    def placed(self) -> dict[str, Request]:
        """Every order that the venue has taken, by the client's id."""
        found = {}
        for call in self.calls:
            if call.endpoint == "POST order" and call.status == 200:
                identity = call.params["newClientOrderId"]
                found[identity] = Request(
                    number=call.number, endpoint=call.endpoint, params=call.params, at_ns=call.at_ns
                )
        return found

    @property
    def trades(self) -> list[tuple[Any, ...]]:
        """What was traded, without the venue's own ids."""
        with self._lock:
            return sorted(
                (each.symbol, each.entry_ns, each.exit_ns, each.side.value, each.volume, each.entry_price,
                 each.exit_price)
                for each in self.broker.trades()
            )  # fmt: skip

    @property
    def held(self) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Positions and working orders, without ids."""
        with self._lock:
            snapshot = self.broker.snapshot()
        return (
            sorted((each.symbol, each.volume, each.entry_price, each.opened_ns) for each in snapshot.positions),
            sorted(
                (request.symbol, request.type.value, request.side.value, request.volume, request.price,
                 request.reduce_only)
                for request in [each.request for each in snapshot.orders]
            ),
        )  # fmt: skip


def make_bench(
    symbols: Sequence[str] = SYMBOLS[:3], *, minutes: int = 60, speed: float = 30.0, seed: int = 3, **more: Any
) -> BenchVenue:
    """A venue with so many minutes of prices to come, whose time stands until somebody asks for it."""
    rng = numpy_stream(seed, "live bench")
    bars, rules = {}, {}
    for i, symbol in enumerate(symbols):
        start, tick = (40_000.0, 0.1) if i == 0 else (2000.0 / (1 + i), 0.01)
        path = start
        rows = []
        for step in rng.normal(0, 0.0008, BEFORE + minutes):
            last, path = path, max(tick, round(path * (1 + float(step)) / tick) * tick)
            high, low = max(last, path) * 1.0003, min(last, path) * 0.9997
            rows.append((last, round(high / tick) * tick, round(low / tick) * tick, path))
        bars[symbol] = bar_series(symbol, rows, "1m", START_NS - BEFORE * MINUTE_NS)
        rules[symbol] = Instrument(
            symbol=symbol, kind="perpetual", quote_currency="USDT", base_currency=symbol[:-4], tick=tick,
            volume_step=0.001, min_volume=0.001, min_notional=5.0, max_volume=1e6,
        )  # fmt: skip
    return BenchVenue(bars, rules, START_NS, balance=BALANCE, leverage=5.0, speed=speed, **more)


# -- a bot's files ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where a bot lies."""

    folder: Path
    config: Path

    @property
    def runs(self) -> list[Path]:
        """The folders of its runs."""
        return sorted((self.folder / "runs").glob("*"))

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """Everything that was told, by all runs."""
        found = []
        for run in self.runs:
            path = run / "alerts.jsonl"
            if path.exists():
                found += [json.loads(line) for line in path.read_text().splitlines()]
        return found


def write_bot(
    folder: Path, venue: LocalVenue, strategy: str, name: str, symbols: Sequence[str], *, speed: float,
    live: Mapping[str, Any] | None = None, **sections: Any,
) -> Files:  # fmt: skip
    """Write the files of a bot that trades at the venue.

    Args:
        strategy: the text of its module.
        name: of the class in it.
        live: of the section, besides what every bot of the bench has.
        sections: instead of those of every bot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "strategy.py").write_text(strategy)
    rules = {symbol: venue.broker.instrument(symbol) for symbol in symbols}
    document = {
        "name": "bench",
        "account": {
            "type": "margin", "currency": "USDT", "balance": BALANCE, "positions": "netting", "leverage": 5,
        },
        "instruments": {
            symbol: {
                "venue": symbol, "kind": "perpetual", "tick": rule.tick, "volume_step": rule.volume_step,
                "min_volume": rule.min_volume, "calendar": "24/7",
            }
            for symbol, rule in rules.items()
        },
        "symbols": list(symbols),
        "strategies": [{"use": f"./strategy.py:{name}"}],
        "risk": {"size": {"equity_percent": 10}, "max_open_positions": len(symbols)},
        "live": {
            "exchange": "binanceusdm", "environment": "demo", "url": venue.url, "speed": speed, "max_age": "60s",
            "protect_within": "60s", **(live or {}),
        },
        "notify": {"targets": [{"url_env": "LOCKSTEP_NOTIFY_CHAT"}]},
        "backtest": {"runs": "runs"},
        **sections,
    }  # fmt: skip
    config = folder / "bot.yaml"
    config.write_text(yaml.safe_dump(document, sort_keys=False))
    return Files(folder=folder, config=config)


def environment() -> dict[str, str]:
    """The variables of a bot's process, with keys that must never be seen anywhere else."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("LOCKSTEP", "PYTEST"))}
    return {
        **own, "LOCKSTEP_BINANCEUSDM_DEMO_KEY": KEY, "LOCKSTEP_BINANCEUSDM_DEMO_SECRET": SECRET,
        "LOCKSTEP_NOTIFY_CHAT": NOTIFY,
    }  # fmt: skip


#: Has everything imported that a bot needs, and makes bots by splitting itself: a start takes a tenth of the time.
_NURSERY = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from tests.patient_time import follow, note_presence
follow(sys.argv[2])
import ccxt, apprise
import src.cli.live_command, src.live.session, src.brokers.ccxt_broker, src.research.replay, src.strategies
from src.cli.app import main
print("ready", flush=True)
for line in sys.stdin:
    said = json.loads(line)
    if "wait" in said:
        print(os.waitstatus_to_exitcode(os.waitpid(said["wait"], 0)[1]), flush=True)
        continue
    pid = os.fork()
    if not pid:
        note_presence()
        os.chdir(said["folder"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        out = os.open(said["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1), os.dup2(out, 2)
        sys.argv = ["main.py", *said["arguments"]]
        code = main(said["arguments"])
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)
    print(pid, flush=True)
"""


class Nursery:
    """Starts bots quickly; a context manager. Each is a process of its own, which has the command's own code run."""

    def __enter__(self) -> "Nursery":
        self._lock = Lock()
        self._time = ExitStack()
        time = self._time.enter_context(patient_time())
        self._process = subprocess.Popen(
            [sys.executable, "-c", _NURSERY, str(ROOT), time], env=environment(), text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        with self._time:
            if self._process.stdin is not None and self._process.stdout is not None:
                self._process.stdin.close()
                self._process.wait(60)
                self._process.stdout.close()

    def _answer(self) -> str:
        if self._process.stdout is None:
            raise RuntimeError("no answers")
        return self._process.stdout.readline().strip()

    def ask(self, **said: Any) -> int:
        """Tell it something; what it answers."""
        with self._lock:
            if self._process.stdin is None:
                raise RuntimeError("no questions")
            self._process.stdin.write(json.dumps(said) + "\n")
            return int(self._answer())


class BotProcess:
    """A bot in a process of its own.

    Args:
        nursery: who starts it; None for a new interpreter, which takes seconds.

    Attributes:
        lines: the arguments of its process as the system shows them to everybody.
    """

    def __init__(self, files: Files, *more: str, nursery: Nursery | None = None) -> None:
        number = len(list(files.folder.glob("out-*.txt"))) + 1
        self.output = files.folder / f"out-{number}.txt"
        arguments = ["--mode", "live", "--config", str(files.config), *more]
        self._nursery = nursery
        self._process: subprocess.Popen[bytes] | None = None
        self._code: int | None = None
        self._ending = Lock()
        if nursery is None:
            with self.output.open("wb") as out, patient_time() as time:
                self._process = subprocess.Popen(
                    following(time, arguments), cwd=files.folder, env=environment(),
                    stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                )  # fmt: skip
            self.pid = self._process.pid
        else:
            self.output.touch()
            self.pid = nursery.ask(folder=str(files.folder), output=str(self.output), arguments=arguments)
        self.lines = b""
        self.look()

    def look(self) -> None:
        """Read what the system shows of its arguments."""
        path = Path(f"/proc/{self.pid}/cmdline")
        if path.exists():
            self.lines += path.read_bytes()

    @property
    def code(self) -> int | None:
        """Its exit code, None while it lives."""
        if self._process is not None:
            return self._process.poll()
        if self._code is None:
            with suppress(OSError):  # somebody else has waited for it just now
                state = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
                if state == "Z":
                    self._wait()
        return self._code

    def _wait(self) -> int:
        if self._process is not None:
            return self._process.wait(60)
        with self._ending:
            if self._code is None and self._nursery is not None:
                self._code = self._nursery.ask(wait=self.pid)
        return self._code or 0

    def kill(self) -> None:
        """Kill it as no process can prevent, and wait until it is gone."""
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
        self._wait()

    def stop(self) -> int:
        """Ask it to end, and wait; its exit code."""
        if self.code is None:
            os.kill(self.pid, signal.SIGTERM)
        return self._wait()


def run_here(files: Files, stop_after: str, *more: str) -> tuple[int, str]:
    """Run the bot in this process until it stops by itself; its exit code, and what it said."""
    out = io.StringIO()
    command = ["--mode", "live", "--config", str(files.config), "--stop-after", stop_after, *more]
    with patch.dict(os.environ, environment(), clear=True), redirect_stdout(out), redirect_stderr(out):
        code = main(command)
    (files.folder / f"out-here-{len(list(files.folder.glob('out-here-*')))}.txt").write_text(out.getvalue())
    return code, out.getvalue()


@contextmanager
def while_running(act: Callable[[Event], None]) -> Iterator[None]:
    """Let something go on beside the bot; it is given an event that says when it is over."""
    over = Event()
    thread = start_thread("beside", lambda: act(over))
    try:
        yield
    finally:
        over.set()
        thread.join(30)


# -- what came of it -------------------------------------------------------------------------------------


def entries_of(files: Files, *kinds: str) -> list[Entry]:
    """What the newest run has recorded."""
    return list(read_entries(files.runs[-1] / "recording.sqlite", kinds=kinds))


def journal_of(files: Files) -> list[JournalRecord]:
    """The journal of the newest run, over all its processes."""
    return [record_of(each) for each in entries_of(files, "outcome")]


def problems_of_account(venue: BenchVenue, *, protect_within_ns: int = 60 * SECOND_NS) -> list[str]:
    """What must never be, whatever has happened: a sentence each."""
    problems = []
    positions, orders = venue.held
    held = {each[0]: each[1] for each in positions}
    for symbol, kind, side, volume, price, reduces in orders:
        if symbol not in held:
            problems.append(f"an orphan: {kind} {side} {volume} {symbol} at {price}, reduces: {reduces}")
    for symbol, volume in held.items():
        stops = [each for each in orders if each[0] == symbol and each[1] == "stop" and each[5]]
        if len(stops) != 1 or abs(stops[0][3] - abs(volume)) > 1e-9:
            problems.append(f"{volume} of {symbol} has not one stop for all of it but {stops}")
    audit = venue.audit
    if audit.naked_ns > protect_within_ns:
        problems.append(f"{audit.where} stood without a stop for {audit.naked_ns / SECOND_NS:.1f} s")
    venue.catch_up()
    net = sum(each.net for each in venue.broker.trades())
    balance = venue.broker.snapshot().account.balance
    if abs(BALANCE + net - balance) > 1e-6:
        problems.append(f"the balance is {balance}, the trades brought {net}")
    return problems


def planted_in(folder: Path, more: bytes = b"") -> list[str]:
    """The files that hold a key, a signature or the token of an address."""
    found = []
    texts = [("arguments", more)] + [(str(path), path.read_bytes()) for path in folder.rglob("*") if path.is_file()]
    for where, text in texts:
        found += [f"{where}: {secret}" for secret in _PLANTED if secret.encode() in text]
        if _SIGNED.search(text):
            found.append(f"{where}: a signature")
    return found


def real_ns() -> int:
    """The real time."""
    return wall_ns()
