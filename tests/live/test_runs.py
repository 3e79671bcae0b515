"""Which run is under way, and what it had sent that may matter still."""

from pathlib import Path
from typing import Any

import pytest

from src.core.errors import DataError
from src.core.records import OrderType, Side, make_order_request
from src.core.timeframe import DAY_NS
from src.live.account_state import AccountState
from src.live.recording import FILE, Recording
from src.live.runs import (
    begin_run,
    end_run,
    holdings_of,
    known_requests,
    new_folder,
    run_before,
    run_under_way,
    sent_lately,
)
from src.live.wire import to_plain

Row = tuple[str, dict[str, Any]]
ACCOUNT = {"currency": "USDT", "balance": 1.0, "equity": 1.0, "margin_used": 0.0}


def request(identity: str, symbol: str = "AAA") -> dict[str, Any]:
    """An order, as it is written."""
    made = make_order_request(
        client_id=identity, book="b", symbol=symbol, side=Side.BUY, type=OrderType.MARKET, volume=1.0
    )
    plain: dict[str, Any] = to_plain(made)
    return plain


def call(n: int, identity: str, symbol: str = "AAA") -> Row:
    """It is about to be sent."""
    return "call", {"n": n, "method": "place", "args": {"request": request(identity, symbol)}}


def reply(n: int, *, accepted: bool = True, order_id: str = "x", **world: Any) -> Row:
    """The venue's answer."""
    result = {"accepted": accepted, "order_id": order_id}
    return "reply", {"n": n, "result": result, **({"world": world} if world else {})}


def seen(instant_ns: int, held: tuple[str, ...] = (), working: tuple[str, ...] = ()) -> Row:
    """An account of an instant."""
    return "world", {
        "account": {**ACCOUNT, "instant_ns": instant_ns},
        "positions": [{"position_id": "p", "book": "b", "symbol": each, "volume": 1.0} for each in held],
        "orders": [
            {"order_id": "x", "request": request("x", each), "state": "working", "placed_ns": 1, "effective_ns": 1,
             "updated_ns": 1}
            for each in working
        ],
    }  # fmt: skip


def known(folder: Path, *rows: Row, before: int | None = None) -> list[tuple[str, bool]]:
    """Client ids that may matter, and whether they were answered; each row is at an instant ten times its number."""
    path = folder / FILE
    recording = Recording(path)
    for kind, body in rows:
        recording.write(recording.count * 10, kind, "w", body)
    recording.close()
    return [(each.request.client_id, each.answered) for each in known_requests(path, before)]


def test_an_order_without_an_answer_is_known(tmp_path: Path) -> None:
    """Whatever the account shows: it may arrive yet."""
    assert known(tmp_path, call(0, "a"), seen(15), ("reply", {"n": 0, "error": {}}), seen(35)) == [("a", False)]


def test_an_order_that_was_accepted_without_an_id_is_known(tmp_path: Path) -> None:
    """Nobody knows whether it exists."""
    assert known(tmp_path, call(0, "a"), reply(0, order_id=""), seen(25)) == [("a", False)]


def test_the_orders_of_what_is_held_or_works_are_known(tmp_path: Path) -> None:
    """Those that closed a part among them, and those of no other symbol."""
    rows = [call(0, "a"), reply(0), call(1, "b", "BBB"), reply(1), call(2, "c", "CCC"), reply(2),
            seen(65, ("AAA",), ("BBB",)), call(3, "d"), reply(3), seen(95, ("AAA",), ("BBB",))]  # fmt: skip

    assert known(tmp_path, *rows) == [("a", True), ("b", True), ("d", True)]


def test_what_is_over_is_forgotten(tmp_path: Path) -> None:
    """The account was asked after the answer, and shows nothing."""
    assert known(tmp_path, call(0, "a"), reply(0), seen(25)) == []


def test_an_account_from_before_the_answer_tells_nothing(tmp_path: Path) -> None:
    """It was on its way while the order was accepted."""
    assert known(tmp_path, call(0, "a"), reply(0), seen(5)) == [("a", True)]


def test_a_refused_order_is_forgotten(tmp_path: Path) -> None:
    """The venue said that there is none."""
    assert known(tmp_path, call(0, "a"), reply(0, accepted=False, order_id=""), seen(25)) == []


def test_an_order_that_was_looked_up_and_found_is_answered(tmp_path: Path) -> None:
    """So that it is forgotten once nothing is held."""
    find: Row = ("call", {"n": 1, "method": "find_order", "args": {"client_id": "a"}})
    found: Row = ("reply", {"n": 1, "result": {"order_id": "a", "request": request("a")}})

    assert known(tmp_path, call(0, "a"), ("reply", {"n": 0, "error": {}}), find, found, seen(45)) == []


def test_an_order_without_an_answer_is_forgotten_after_a_day(tmp_path: Path) -> None:
    """No venue has it then."""
    path = tmp_path / FILE
    recording = Recording(path)
    for at_ns, (kind, body) in ((0, call(0, "a")), (DAY_NS + 1, seen(DAY_NS + 1))):
        recording.write(at_ns, kind, "w", body)
    recording.close()

    assert known_requests(path) == []


def test_an_order_that_ended_is_known_until_its_events_are_told(tmp_path: Path) -> None:
    """A part of it may fill after the position is gone."""
    order = {"order_id": "a", "request": request("a"), "state": "partly_filled", "placed_ns": 1, "effective_ns": 1,
             "updated_ns": 1}  # fmt: skip
    kind, world = seen(25)
    world["events"] = {"AAA": [{"order": order}]}

    assert known(tmp_path, call(0, "a"), reply(0), (kind, world)) == [("a", True)]


def test_what_was_sent_in_the_end_of_a_process_is_known_though_that_saw_it_done(tmp_path: Path) -> None:
    """The bot goes on from before the end, and has not heard of it."""
    rows = [call(0, "a"), reply(0), seen(25, ("AAA",)), ("command", {"verb": "stop"}), call(1, "b"), reply(1),
            seen(65)]  # fmt: skip

    assert known(tmp_path, *rows, before=3) == [("a", True), ("b", True)]
    (tmp_path / FILE).unlink()
    assert known(tmp_path, *rows, ("resumed", {"skips_from": 3})) == [("a", True), ("b", True)]
    (tmp_path / FILE).unlink()
    assert known(tmp_path, *rows, ("resumed", {"skips_from": 3}), seen(85)) == []


def test_what_a_run_of_before_has_sent_is_known(tmp_path: Path) -> None:
    """A new run that took over what is held is killed and gone on with, too."""
    rows: list[Row] = [
        ("known", {"request": request("a"), "answered": True}), ("known", {"request": request("b", "BBB"),
         "answered": False}), seen(25, ("AAA",)),
    ]  # fmt: skip

    assert known(tmp_path, *rows) == [("a", True), ("b", False)]


def test_what_was_held_last_is_found(tmp_path: Path) -> None:
    """In replies and in the world."""
    path = tmp_path / FILE
    recording = Recording(path)
    rows = [seen(5, ("AAA",), ("BBB",)), ("world", {"quotes": {}}), reply(0, positions=[])]
    for kind, body in rows:
        recording.write(0, kind, "w", body)
    recording.close()

    holdings = holdings_of(path)

    assert holdings.positions == ()
    assert [each.request.symbol for each in holdings.orders] == ["BBB"]
    assert not holdings.is_empty


def test_a_run_is_under_way_until_it_is_over(tmp_path: Path) -> None:
    """For every process that opens the state."""
    folder = new_folder(tmp_path / "runs", "bot", "live")
    Recording(folder / FILE).close()
    with AccountState(tmp_path / "bot.sqlite") as state:
        assert run_under_way(state) is None
        begin_run(state, folder)
    with AccountState(tmp_path / "bot.sqlite") as state:
        under_way = run_under_way(state)
        assert under_way is not None
        assert under_way.recording == folder / FILE
        end_run(state)
        assert run_under_way(state) is None


def test_a_run_whose_recording_is_gone_is_told(tmp_path: Path) -> None:
    """Without it nobody knows what the bot holds."""
    with AccountState(tmp_path / "bot.sqlite") as state:
        begin_run(state, tmp_path / "nowhere")
        with pytest.raises(DataError, match="bring it back"):
            run_under_way(state)


def test_each_run_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """Numbered by label and mode."""
    names = [new_folder(tmp_path, "bot", mode).name for mode in ("live", "live", "paper")]

    assert names == ["bot-live-1", "bot-live-2", "bot-paper-1"]


def test_what_was_sent_lately_is_counted_whoever_answered(tmp_path: Path) -> None:
    """What the bot's own limits have held back was not sent; what the venue refused, or nobody answered, was."""
    refused = {"n": 3, "result": {"accepted": False, "code": "paused"}}
    margin = {"n": 2, "result": {"accepted": False, "code": "margin"}}
    rows = [call(0, "old"), reply(0), call(1, "a"), reply(1), call(2, "b"), ("reply", margin), call(3, "c"),
            ("reply", refused), ("call", {"n": 4, "method": "cancel", "args": {}}), call(5, "d")]  # fmt: skip
    known(tmp_path, *rows)

    assert sent_lately(tmp_path / FILE, 5, ("paused",)) == [20, 40, 90]


def test_the_run_before_is_known_when_it_is_over(tmp_path: Path) -> None:
    """What it has sent counts for its minute, though it holds nothing any more."""
    known(tmp_path, call(0, "a"))
    with AccountState(tmp_path / "bot.sqlite") as state:
        first = run_before(state)
        begin_run(state, tmp_path)
        end_run(state)

        assert (first, run_before(state), run_under_way(state)) == (None, tmp_path / FILE, None)
