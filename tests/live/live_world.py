"""A small exchange that outlives the bots that trade on it, and what it takes to run, kill and resume a live session.

Nothing is on a network: orders fill at once at the price of the minute. Like a real one it accepts a client id that it
has seen before, so that an order that is sent twice is there twice.
"""

import shutil
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from src.brokers.ccxt_feed import OddBar
from src.brokers.simulated import FillRules
from src.brokers.simulated.costs_section import costs_of
from src.core.bars import BarSeries
from src.core.broker import Connection
from src.core.config_file import ConfigDocument
from src.core.errors import BrokerUnavailable
from src.core.instrument import Instrument
from src.core.records import (
    Fill,
    Order,
    OrderEvent,
    OrderRequest,
    OrderResult,
    OrderState,
    OrderType,
    Position,
    Quote,
    Side,
    Snapshot,
    make_account,
    make_fill,
    make_order,
    make_order_event,
    make_order_request,
    make_order_result,
    make_position,
    make_quote,
    make_snapshot,
)
from src.core.strategy import Bar, BarStrategy, Strategy, param
from src.core.timeframe import MINUTE_NS, SECOND_NS, parse_instant
from src.core.wake import Signals
from src.live import beginning, process
from src.live.config import read_live_config
from src.live.paper import PaperBroker
from src.live.recording import FILE, Recording, read_entries
from src.live.session import LiveOptions, LiveResult, LiveSession
from src.research.parity.recorded import read_recorded
from src.research.parity.run_parity import parity_of_replay
from src.research.replay import replay_recorded
from tests.patient_time import patient_time

__all__ = ["BASE", "START_NS", "Coming", "Exchange", "Holding", "LiveWorld", "Source", "check_whole", "live_world"]

START_NS = parse_instant("2024-01-02")
BASE = 100.0
SPEED = 240.0


def price_at(symbol: str, minute: int) -> float:
    """The close of a minute: up and down, differently for each symbol."""
    return round(BASE * (1 + 0.001 * ((minute * 7 + len(symbol) + ord(symbol[0]) * 3) % 11 - 5)), 2)


class Coming(BarStrategy):
    """Buys when it holds nothing, and closes after some bars."""

    timeframe = "1m"
    hold: int = param(2, low=1, high=100)

    def on_bar(self, bar: Bar) -> None:
        """See `BarStrategy`."""
        self.state["bars"] = self.state.get("bars", 0) + 1
        if self.position.is_flat:
            self.state["since"] = self.state["bars"]
            self.buy(volume=1.0, stop=bar.close * 0.5, reason="in")
        elif self.state["bars"] - self.state["since"] >= self.hold:
            self.close(reason="out")


class Holding(Coming):
    """Buys, and does nothing more."""

    hold: int = param(100, low=1, high=100)


class Exchange:
    """See the module's text.

    Attributes:
        sent: the client ids of all placements that arrived, in order.
        before, after: called with the method around each call that changes something.
        down: whether nobody answers.
        tick: of its rules.
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbols = tuple(symbols)
        self.sent: list[str] = []
        self.orders: dict[str, Order] = {}
        self.events: list[OrderEvent] = []
        self.positions: dict[str, Position] = {}
        self.owner: dict[str, str] = {}
        self.realised = 0.0
        self.count = 0
        self.before: Callable[[str], None] = lambda method: None
        self.after: Callable[[str], None] = lambda method: None
        self.down = False
        self.tick = 0.01

    def copy(self) -> dict[str, Any]:
        """What it is at this moment."""
        names = ("sent", "orders", "events", "positions", "owner", "realised", "count")
        return {name: deepcopy(getattr(self, name)) for name in names}

    def become(self, state: Mapping[str, Any]) -> None:
        """Be as it was at a moment."""
        for name, value in deepcopy(dict(state)).items():
            setattr(self, name, value)

    def instrument(self, symbol: str) -> Instrument:
        """The rules of a symbol."""
        return Instrument(
            symbol=symbol, kind="perpetual", quote_currency="USDT", base_currency=symbol[:3], tick=self.tick,
            volume_step=0.001, min_volume=0.001, calendar="24/7",
        )  # fmt: skip

    def fill(self, request: OrderRequest, now_ns: int) -> None:
        """An order that fills at once."""
        self.sent.append(request.client_id)
        self.count += 1
        held = self.positions.get(request.symbol)
        price = price_at(request.symbol, now_ns // MINUTE_NS - 1)
        sign = 1 if request.side is Side.BUY else -1
        if request.reduce_only or held is not None:
            kind, position_id = request.exit_kind, "" if held is None else held.position_id
            if held is not None:
                self.realised += (price - held.entry_price) * held.volume
                del self.positions[request.symbol]
        else:
            kind, position_id = "entry", f"p{self.count}"
            self.owner[request.symbol] = request.client_id
            self.positions[request.symbol] = make_position(
                position_id=position_id, book=request.book, symbol=request.symbol, volume=sign * request.volume,
                entry_price=price, opened_ns=now_ns, stop=request.stop, initial_stop=request.stop,
                initial_volume=request.volume,
            )  # fmt: skip
        order = make_order(
            order_id=request.client_id, request=request, state=OrderState.FILLED, placed_ns=now_ns,
            effective_ns=now_ns, updated_ns=now_ns, filled_volume=request.volume, average_price=price,
        )  # fmt: skip
        fill: Fill = make_fill(
            fill_id=f"f{self.count}", order_id=request.client_id, position_id=position_id, book=request.book,
            symbol=request.symbol, side=request.side, volume=request.volume, price=price, filled_ns=now_ns,
            filled_from_ns=now_ns, kind=kind, reason=request.reason,
        )  # fmt: skip
        self.orders[request.client_id] = order
        self.events.append(make_order_event(order=order, fill=fill))


class Source:
    """What one process sees of the exchange, see `LiveSource`."""

    differing: tuple[str, ...] = ()

    def __init__(
        self, exchange: Exchange, lengths: Mapping[str, Sequence[int]], now_ns: Callable[[], int], from_ns: int
    ) -> None:
        self._exchange = exchange
        self._now_ns = now_ns
        self.signals = Signals()
        self.feed = SimpleNamespace(late=deque[OddBar](), revised=deque[OddBar]())
        self.foreign: dict[str, float] = {}
        self._bars = {
            (symbol, length): BarSeries.empty(symbol, length) for symbol, found in lengths.items() for length in found
        }
        self._next = {key: from_ns // key[1] * key[1] for key in self._bars}
        self._mail: dict[str, deque[OrderEvent]] = {symbol: deque() for symbol in lengths}
        self._quotes: dict[str, Quote] = {}
        self._known: set[str] = set()
        self._told = 0
        self._snapshot: Snapshot | None = None

    @property
    def skew_ns(self) -> int:
        """None."""
        return 0

    def start(
        self, known: Iterable[OrderRequest] = (), since_ns: int | None = None, sent_ns: Mapping[str, int] | None = None
    ) -> None:
        """See `LiveSource`: executions of known orders are told again, what others hold is foreign."""
        self._known = {each.client_id for each in known}
        self.foreign = {
            symbol: held.volume for symbol, held in self._exchange.positions.items()
            if self._exchange.owner[symbol] not in self._known
        }  # fmt: skip
        self.refresh()

    def refresh(self) -> None:
        """See `LiveSource`."""
        if self._exchange.down:
            raise BrokerUnavailable("nobody answers")
        now_ns = self._now_ns()
        self._see(now_ns)
        for key, bars in self._bars.items():
            while self._next[key] + key[1] <= now_ns:
                open_ns = self._next[key]
                close = price_at(key[0], open_ns // MINUTE_NS)
                bars.append(open_ns, close, close + 0.05, close - 0.05, close, 1.0)
                self._next[key] = open_ns + key[1]
        for symbol in self._mail:
            price = price_at(symbol, now_ns // MINUTE_NS - 1)
            self._quotes[symbol] = make_quote(symbol=symbol, instant_ns=now_ns, bid=price, ask=price)

    def _see(self, now_ns: int) -> None:
        exchange = self._exchange
        while self._told < len(exchange.events):
            event = exchange.events[self._told]
            self._told += 1
            if event.order.order_id in self._known:
                self._mail[event.order.request.symbol].append(event)
        own = [each for symbol, each in exchange.positions.items() if symbol not in self.foreign]
        money = 10_000.0 + exchange.realised
        account = make_account(currency="USDT", instant_ns=now_ns, balance=money, equity=money, margin_used=0.0)
        self._snapshot = make_snapshot(account=account, positions=tuple(own), orders=())

    # -- the port --------------------------------------------------------------------------------------

    def connection(self) -> Connection:
        """See `Broker`."""
        return Connection(certain=False, in_flight_ns=10 * SECOND_NS)

    def instrument(self, symbol: str) -> Instrument:
        """See `Broker`."""
        return self._exchange.instrument(symbol)

    def series(self, symbol: str, timeframe_ns: int) -> BarSeries:
        """See `Broker`."""
        return self._bars[symbol, timeframe_ns]

    def base_series(self, symbol: str) -> BarSeries:
        """See `Broker`."""
        return self._bars[symbol, MINUTE_NS]

    def quote(self, symbol: str) -> Quote | None:
        """See `Broker`."""
        return self._quotes.get(symbol)

    def snapshot(self) -> Snapshot:
        """See `Broker`."""
        assert self._snapshot is not None
        return self._snapshot

    def equity(self) -> float:
        """See `Broker`."""
        return self.snapshot().account.equity

    def position(self, book: str, symbol: str) -> Position:
        """See `Broker`."""
        return next(iter(self.positions(symbol)), make_position(position_id="", book=book, symbol=symbol, volume=0.0))

    def positions(self, symbol: str) -> Sequence[Position]:
        """See `Broker`."""
        return [each for each in self.snapshot().positions if each.symbol == symbol]

    def mailbox(self, symbol: str) -> "deque[OrderEvent]":
        """See `Broker`."""
        return self._mail[symbol]

    def entry_per_unit(self, symbol: str, price: float) -> float:
        """See `Broker`."""
        return 0.0

    def exit_per_unit(self, symbol: str, price: float) -> float:
        """See `Broker`."""
        return 0.0

    def margin_per_unit(self, symbol: str, price: float) -> float:
        """See `Broker`."""
        return price / 10

    def place(self, request: OrderRequest) -> OrderResult:
        """See `Broker`."""
        self._exchange.before("place")
        if self._exchange.down:
            raise BrokerUnavailable("nobody answers")
        self._known.add(request.client_id)
        self._exchange.fill(request, self._now_ns())
        self._exchange.after("place")
        self._see(self._now_ns())
        return make_order_result(accepted=True, order_id=request.client_id)

    def find_order(self, client_id: str) -> Order | None:
        """See `Broker`."""
        if self._exchange.down:
            raise BrokerUnavailable("nobody answers")
        return self._exchange.orders.get(client_id)

    def cancel(self, order_id: str) -> OrderResult:
        """See `Broker`."""
        return make_order_result(accepted=False, code="unknown_order")

    def modify(
        self, order_id: str, *, price: float | None = None, limit: float | None = None, volume: float | None = None
    ) -> OrderResult:
        """See `Broker`."""
        return make_order_result(accepted=False, code="unknown_order")

    def protect(
        self, position_id: str, *, stop: float | None = None, target: float | None = None, kind: str = "stop"
    ) -> OrderResult:
        """See `Broker`."""
        for symbol, held in self._exchange.positions.items():
            if held.position_id == position_id:
                self._exchange.positions[symbol] = replace(held, stop=stop)
                return make_order_result(accepted=True, order_id=position_id)
        return make_order_result(accepted=False, code="no_position")

    def close(
        self, position_id: str, *, client_id: str, volume: float | None = None, kind: str = "exit", reason: str = ""
    ) -> OrderResult:
        """See `Broker`."""
        self._exchange.before("close")
        if self._exchange.down:
            raise BrokerUnavailable("nobody answers")
        for held in list(self._exchange.positions.values()):
            if held.position_id == position_id:
                request = make_order_request(
                    client_id=client_id, book=held.book, symbol=held.symbol,
                    side=Side.SELL if held.volume > 0 else Side.BUY, type=OrderType.MARKET, volume=abs(held.volume),
                    reduce_only=True, position_id=position_id, exit_kind=kind, reason=reason,
                )  # fmt: skip
                self._known.add(client_id)
                self._exchange.fill(request, self._now_ns())
                self._exchange.after("close")
                self._see(self._now_ns())
                return make_order_result(accepted=True, order_id=client_id)
        return make_order_result(accepted=False, code="no_position")


class PaperPrices(Source):
    """The same market, to look at."""

    late: deque[Any] = deque()
    revised: deque[Any] = deque()


class LiveWorld:
    """Sessions of one bot on one exchange, in a folder.

    Attributes:
        now_ns: when the next process begins; it moves with each.
        moments: how many moments there were at which a kill would leave something else.
        classes: the strategies by instance.
    """

    def __init__(
        self, folder: Path, symbols: Sequence[str], monkeypatch: pytest.MonkeyPatch, mode: str = "live", **more: Any
    ) -> None:  # fmt: skip
        self.folder = folder
        self.mode = mode
        self.exchange = Exchange(symbols)
        self.now_ns = START_NS
        self.told: list[str] = []
        self.moments = 0
        self.classes: dict[str, type[Strategy]] = {"in": Coming}
        self._present: Callable[[], int] = lambda: self.now_ns
        self._kill_at: int | None = None
        self._killed: dict[str, Any] | None = None
        self._copy = folder / "killed"
        self.source: Source | None = None
        values: dict[str, Any] = {
            "name": "bot",
            "account": {"type": "margin", "currency": "USDT", "balance": 10_000, "positions": "netting",
                        "leverage": 10},
            "instruments": {
                symbol: {"venue": symbol, "kind": "perpetual", "tick": 0.01, "volume_step": 0.001,
                         "min_volume": 0.001, "calendar": "24/7"}
                for symbol in symbols
            },
            "symbols": list(symbols),
            "risk": {"size": {"volume": 1}, "max_open_positions": 10},
            "strategies": [{"use": "here:In", "name": "in"}],
            "live": {"exchange": "made_up", "environment": "demo", "url": "http://127.0.0.1:1", "speed": SPEED,
                     "poll": "4s", "max_age": "60s", "protect_within": "60s", "warm_up": 3},
        }  # fmt: skip
        costs = {"spread_points": 0, "commission_percent": 0.05, "slippage_percent": 0}
        values["paper"] = {**{name: values["live"][name] for name in ("exchange", "url", "speed", "poll")},
                           "costs": costs}  # fmt: skip
        self.values = {**values, **more}
        monkeypatch.setattr(beginning, "paper_source", self._made_on_paper)
        monkeypatch.setattr(beginning, "live_source", self._made)
        monkeypatch.setattr(process, "origin_of", lambda *_: lambda: self.now_ns)
        moment = self._moment
        for name in ("commit", "make_durable"):
            whole = getattr(Recording, name)
            monkeypatch.setattr(Recording, name, lambda each, whole=whole: (whole(each), moment())[0])
        self.exchange.after = lambda method: moment()

    def _made(self, config: Any, section: Any, needs: Any, now_ns: Callable[[], int], from_ns: int, _: Any) -> Source:
        self._present = now_ns
        self.source = Source(self.exchange, needs.timeframes, now_ns, from_ns)
        return self.source

    def _made_on_paper(
        self, config: Any, needs: Any, now_ns: Callable[[], int], from_ns: int, on_event: Callable[[Any], None]
    ) -> PaperBroker:  # fmt: skip
        self._present = now_ns
        feed = PaperPrices(self.exchange, needs.timeframes, now_ns, from_ns)
        feed.start()
        rules = {symbol: self.exchange.instrument(symbol) for symbol in self.exchange.symbols}

        def told(event: Any) -> None:
            on_event(event)
            if event["what"] not in ("pump", "start"):
                self._moment()

        return PaperBroker(
            feed, config.account, rules, needs.timeframes, costs_of(config.paper_costs), FillRules(), now_ns,
            on_event=told,
        )  # fmt: skip

    def _moment(self) -> None:
        """A kill here leaves what is on the disk now, and at the exchange."""
        self.moments += 1
        if self.moments == self._kill_at and self._killed is None:
            self._copy.mkdir(parents=True, exist_ok=True)
            for path in self._files():
                target = self._copy / path.relative_to(self.folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                with sqlite3.connect(path) as db, sqlite3.connect(target) as to:
                    db.backup(to)
            self._killed = self.exchange.copy()
            self._killed_ns = self._present()

    def _files(self) -> list[Path]:
        return [*self.folder.glob("live/*.sqlite"), *self.folder.glob("runs/*/recording.sqlite")]

    def run(self, minutes: float, *, accept: bool = False, rest: int = 0) -> LiveResult:
        """A process that is stopped after some minutes of the bot's clock, `rest` nanoseconds after the last one."""
        self.now_ns = max(self.now_ns, self._present()) + rest
        options = LiveOptions(accept_config_change=accept, stop_after_ns=round(minutes * MINUTE_NS))
        config = read_live_config(ConfigDocument(self.values, {}, "live.yaml", self.folder), self.mode)
        session = LiveSession(
            config, self.mode, self.values, self.folder, self.classes, options, environ={},
            tell=self.told.append,
        )  # fmt: skip
        try:
            return session.run()
        finally:
            at_ns = self._present()
            self._present = lambda: at_ns

    def run_killed(self, minutes: float, at: int, *, rest: int = 0) -> bool:
        """A process of which nothing is left that was done after a moment; whether it came to that moment."""
        self._kill_at, self._killed, self.moments = at, None, 0
        shutil.rmtree(self._copy, ignore_errors=True)
        self.run(minutes, rest=rest)
        self._kill_at = None
        if self._killed is None:
            return False
        for path in self._files():
            for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
                each.unlink(missing_ok=True)
        for path in self._copy.rglob("*.sqlite"):
            target = self.folder / path.relative_to(self._copy)
            shutil.copyfile(path, target)
        self.exchange.become(self._killed)
        at_ns = self._killed_ns
        self.now_ns, self._present = at_ns, lambda: at_ns
        return True

    @property
    def recordings(self) -> list[Path]:
        """Those that there are, the oldest first."""
        return sorted(self.folder.glob(f"runs/*/{FILE}"))


@pytest.fixture
def live_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveWorld]:
    """Two symbols; a minute takes a quarter of a second, in which a machine that is away would miss bars."""
    with patient_time():
        yield LiveWorld(tmp_path, ("AAA", "BBB"), monkeypatch)


def check_whole(world: LiveWorld) -> None:
    """Nothing was sent twice or unwritten, and the run replays as it was."""
    assert len(set(world.exchange.sent)) == len(world.exchange.sent)
    written: set[str] = set()
    for path in world.recordings:
        written |= {
            each.body["args"]["request"]["client_id"]
            for each in read_entries(path, kinds=("call",)) if each.body["args"].get("request")
        }  # fmt: skip
    assert set(world.exchange.sent) <= written
    entries = [each for each in world.exchange.events if each.fill is not None and each.fill.kind == "entry"]
    exits = [each for each in world.exchange.events if each.fill is not None and each.fill.kind != "entry"]
    assert len(entries) - len(exits) == len(world.exchange.positions)
    for path in world.recordings:
        replayed = replay_recorded(path.parent, classes=world.classes)
        assert replayed.difference is None, replayed.difference
        assert list(replayed.records) == list(replayed.recorded)
        report = parity_of_replay(read_recorded(path.parent), replayed)
        assert report.is_same, report.as_dict()
