"""The runs of a bot in real time: which one is under way, where it lies, and what it had sent.

A run is under way until the bot was stopped with nothing held and nothing working; until then a process that starts
goes on with it. Called by one thread.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.core.broker import Connection
from src.core.errors import ConfigError, DataError
from src.core.instrument import Instrument
from src.core.records import Order, OrderEvent, OrderRequest, Position
from src.core.timeframe import DAY_NS, MINUTE_NS
from src.live.account_state import AccountState
from src.live.recording import FILE, Entry, last_world, read_entries, skips_of
from src.live.wire import from_plain

__all__ = [
    "Holdings", "RunUnderWay", "Sent", "begin_run", "end_run", "holdings_of", "known_requests",
    "new_folder", "run_before", "run_under_way", "sent_lately", "venue_of",
]  # fmt: skip

_KEY, _OVER = "run", "run before"
#: Executions are asked for from some seconds before the first order on; what was over by then must have been long over.
_APART_NS = MINUTE_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class RunUnderWay:
    """A run that a process can go on with."""

    folder: Path

    @property
    def recording(self) -> Path:
        """The file of its recording."""
        return self.folder / FILE


def run_under_way(state: AccountState) -> RunUnderWay | None:
    """The run that is not over, None when there is none.

    Raises:
        DataError: its recording is gone.
    """
    text = state.value(_KEY)
    if text is None:
        return None
    folder = Path(json.loads(text)["folder"])
    if not (folder / FILE).is_file():
        raise DataError(
            f"expected the recording of the run that is under way in {folder}, found none; without it nobody knows "
            f"what the bot holds: bring it back, or see what the account holds, and start anew after removing "
            f"{state.path}"
        )
    return RunUnderWay(folder=folder)


def venue_of(meta: Mapping[str, str]) -> tuple[dict[str, Instrument], Connection]:
    """The rules of each symbol, and how far the venue can be relied on, as they were when a run began."""
    rules = [from_plain(Instrument, plain) for plain in json.loads(meta["instruments"])]
    return {each.symbol: each for each in rules}, from_plain(Connection, json.loads(meta["connection"]))


def begin_run(state: AccountState, folder: Path) -> None:
    """A run is under way."""
    state.keep(_KEY, json.dumps({"folder": str(folder)}))


def end_run(state: AccountState) -> None:
    """It is over."""
    state.keep(_OVER, state.value(_KEY))
    state.keep(_KEY, None)


def run_before(state: AccountState) -> Path | None:
    """The recording of the run that is under way or was last, None where there is none."""
    text = state.value(_KEY) or state.value(_OVER)
    path = None if text is None else Path(json.loads(text)["folder"]) / FILE
    return path if path is not None and path.is_file() else None


def new_folder(runs_dir: Path, label: str, mode: str) -> Path:
    """A folder for a new run, `<label>-<mode>-<n>`, made here.

    Raises:
        ConfigError: it cannot be made.
    """
    n = 1
    while True:
        folder = runs_dir / f"{label}-{mode}-{n}"
        try:
            runs_dir.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            if not folder.exists():
                raise ConfigError(f"expected a folder for runs at {runs_dir}, found a file of this name") from None
            n += 1
        except OSError as error:
            raise ConfigError(
                f"expected a folder for runs that can be written at {runs_dir}, found: {error.strerror or error}; "
                "write another one as backtest.runs"
            ) from None
        else:
            return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What was held and what worked when a recording ended."""

    positions: tuple[Position, ...]
    orders: tuple[Order, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing."""
        return not self.positions and not self.orders


def holdings_of(recording: Path) -> Holdings:
    """What the bot knew last that it held."""
    positions: Sequence[Any] = ()
    orders: Sequence[Any] = ()
    for change in _changes(recording):
        positions = change.get("positions", positions)
        orders = change.get("orders", orders)
    return Holdings(
        positions=tuple([from_plain(Position, each) for each in positions]),
        orders=tuple([from_plain(Order, each) for each in orders]),
    )


def _changes(recording: Path) -> Iterator[Mapping[str, Any]]:
    for entry in read_entries(recording, kinds=("world", "reply"), about=("positions", "orders")):
        yield _change(entry)


def _change(entry: Entry) -> Mapping[str, Any]:
    return entry.body if entry.kind == "world" else entry.body.get("world", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An order that was sent, or written down to be sent.

    Attributes:
        answered: whether the venue said what became of it.
    """

    instant_ns: int
    request: OrderRequest
    answered: bool


def known_requests(recording: Path, before: int | None = None) -> list[Sent]:
    """What was sent and may matter still, in its order.

    Of each symbol everything since it was last flat without orders, as far as the bot has heard of that; an order that
    nobody answered counts as one for a day.

    Args:
        before: what was written from this entry on, the end of the last process, the bot will not have heard of.
    """
    found = _Sending()
    skips = skips_of(recording)
    kinds = ("world", "call", "reply", "known")
    for entry in read_entries(recording, kinds=kinds, about=("positions", "orders", "events")):
        heard = (before is None or entry.n < before) and not any(first <= entry.n <= last for first, last in skips)
        found.take(entry, heard=heard)
    account = last_world(recording, "account", before)
    return found.left(0 if account is None else account["instant_ns"])


def sent_lately(recording: Path, since_ns: int, refused: Collection[str] = ()) -> list[int]:
    """When the orders and their changes were sent, from an instant on; one that nobody has answered was.

    Args:
        refused: codes of answers that no venue has given, so that nothing was sent.
    """
    sent_ns: list[int] = []
    at: dict[int, int] = {}
    for entry in read_entries(recording, kinds=("call", "reply")):
        number = entry.body["n"]
        if entry.kind == "call" and entry.body["method"] in ("place", "modify", "close"):
            at[number] = len(sent_ns)
            sent_ns.append(entry.instant_ns)
        elif number in at and (entry.body.get("result") or {}).get("code") in refused:
            sent_ns[at[number]] = since_ns - 1
    return sorted(each for each in sent_ns if each >= since_ns)


class _Sending:
    """What was sent, read from a recording entry by entry."""

    def __init__(self) -> None:
        self._by_symbol: dict[str, dict[str, tuple[int, OrderRequest]]] = {}
        #: Client ids of which nobody has said anything, with the instant at which they were sent.
        self._unanswered: dict[str, int] = {}
        #: The client id that each call is about.
        self._about: dict[int, str] = {}
        self._answered_ns: dict[str, int] = {}
        #: Since when a symbol has been flat without orders.
        self._over_ns: dict[str, int] = {}
        self._account_ns = 0
        #: What the world told last besides prices.
        self._latest: Mapping[str, Any] = {}
        self._held: set[str] = set()
        self._working: set[str] = set()

    def take(self, entry: Entry, *, heard: bool) -> None:
        """Look at an entry; `heard` is whether the bot goes on with what it tells."""
        if entry.kind in ("call", "known"):
            self._sent(entry)
            return
        if entry.kind == "reply":
            self._replied(entry)
        change = _change(entry)
        if not heard or not change:
            return
        if "account" in change:
            self._account_ns = change["account"]["instant_ns"]
        if "positions" in change:
            self._held = {each["symbol"] for each in change["positions"]}
        if "orders" in change:
            self._working = {each["request"]["symbol"] for each in change["orders"]}
        if entry.kind == "world" and self._by_symbol:
            self._latest = change
            self._forget(change, entry.instant_ns)

    def _sent(self, entry: Entry) -> None:
        body = entry.body
        args = body["args"] if entry.kind == "call" else body
        plain = args.get("request")
        if plain is not None:
            request = from_plain(OrderRequest, plain)
            over_ns = self._over_ns.pop(request.symbol, None)
            if over_ns is not None and entry.instant_ns - over_ns > _APART_NS:
                del self._by_symbol[request.symbol]
            self._by_symbol.setdefault(request.symbol, {})[request.client_id] = (entry.instant_ns, request)
            if entry.kind == "call" or not body["answered"]:
                self._unanswered[request.client_id] = entry.instant_ns
        identity = args.get("client_id") if plain is None else plain["client_id"]
        if entry.kind == "call" and identity is not None:
            self._about[body["n"]] = identity

    def _replied(self, entry: Entry) -> None:
        identity, result = self._about.pop(entry.body["n"], None), entry.body.get("result")
        if identity is None or result is None:
            return
        # An order itself, or what became of a placement; one that was accepted without an id is not known to exist.
        if "request" in result or not result.get("accepted") or result.get("order_id"):
            self._unanswered.pop(identity, None)
            for symbol, requests in self._by_symbol.items():
                if identity in requests:
                    self._answered_ns[symbol] = entry.instant_ns

    def _forget(self, change: Mapping[str, Any], instant_ns: int) -> None:
        self._unanswered = {
            identity: at_ns for identity, at_ns in self._unanswered.items() if instant_ns - at_ns < DAY_NS
        }
        busy = self._held | self._working | _mentioned(change)
        for symbol, requests in list(self._by_symbol.items()):
            # An account from before the answer does not show what was accepted.
            seen = self._account_ns > self._answered_ns.get(symbol, 0)
            if symbol not in busy and seen and not any(each in self._unanswered for each in requests):
                self._over_ns.setdefault(symbol, instant_ns)
            else:
                self._over_ns.pop(symbol, None)

    def left(self, account_ns: int) -> list[Sent]:
        """What may matter still, with the instant of the last account that the bot has heard of."""
        self._account_ns = max(self._account_ns, account_ns)
        self._forget(self._latest, self._account_ns)
        rows = [
            Sent(instant_ns=at_ns, request=request, answered=identity not in self._unanswered)
            for symbol, requests in self._by_symbol.items() if symbol not in self._over_ns
            for identity, (at_ns, request) in requests.items()
        ]  # fmt: skip
        return sorted(rows, key=lambda each: each.instant_ns)


def _mentioned(change: Mapping[str, Any]) -> set[str]:
    """Symbols whose orders were told of only now: what became of them is not over yet."""
    return {
        symbol
        for symbol, events in change.get("events", {}).items()
        if any(not from_plain(OrderEvent, each).order.state.is_final for each in events)
    }
