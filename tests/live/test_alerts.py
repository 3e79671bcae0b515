"""Alerts: over real HTTP to a target, in nobody's way, counted instead of repeated, and all of them in a file."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.log import Log
from src.core.sync import Event, monotonic_ns, start_thread
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from src.live.alert_delivery import AppriseDelivery, Message
from src.live.alerts import Alerts, Kind, Level
from src.live.daily_summary import DayFigures
from src.live.notify_section import NotifySection

SOON_S = 120.0


def section(*levels: str, **more: Any) -> NotifySection:
    """A section with a target of each level, called A, B and so on."""
    targets = [{"url_env": chr(ord("A") + number), "level": level} for number, level in enumerate(levels)]
    return NotifySection.model_validate({"targets": targets, "daily_summary": None, **more})


class Targets:
    """Deliveries into memory; fails as often as it is told to, and waits where it is held."""

    def __init__(self, fail: int = 0) -> None:
        self.arrived: list[tuple[str, Message]] = []
        self.fail = fail
        self.tries = 0
        self.entered = Event()
        self.go_on = Event()
        self.go_on.set()

    def __call__(self, target: str, message: Message) -> None:
        self.tries += 1
        self.entered.set()
        self.go_on.wait()
        if self.fail:
            self.fail -= 1
            raise ConnectionError("nobody there")
        self.arrived.append((target, message))

    def bodies(self) -> list[str]:
        """The first line of each text that has arrived."""
        return [message.body.splitlines()[0] for _, message in self.arrived]


class Ages:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.ns = DAY_NS

    def __call__(self) -> int:
        return self.ns


def file_of(path: Path) -> list[dict[str, Any]]:
    """The lines of the file of alerts."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def outcomes(path: Path) -> list[str]:
    """What has become of the alerts, in the file's order."""
    return [line["outcome"] for line in file_of(path) if "outcome" in line]


@contextmanager
def receiver(statuses: list[int]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that answers with these statuses, then with 200, and keeps what it is sent."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = statuses.pop(0) if statuses else 200
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if status == 200:
                got.append({**body, "path": self.path})
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = start_thread("receiver", lambda: server.serve_forever(poll_interval=0.01))
    try:
        yield f"json://127.0.0.1:{server.server_address[1]}/told", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_alert_arrives_over_http_after_the_target_has_failed(tmp_path: Path) -> None:
    """A target that answers with an error at first is asked again, gets the message once, and the file says all."""
    path = tmp_path / "run" / "alerts.jsonl"
    notify = section("warning")
    with receiver([500, 503]) as (url, got):
        alerts = Alerts(
            notify, AppriseDelivery(notify, {"A": url}), lambda: DAY_NS, label="eur", path=path, pauses_s=(0.01,)
        )
        alerts.tell(Level.CRITICAL, Kind.UNPROTECTED_POSITION, "BTCUSDT has no stop <b>", key="BTCUSDT")
        arrived = alerts.settle(SOON_S)
        alerts.close()

    assert arrived
    assert [(each["title"], each["message"], each["type"], each["path"]) for each in got] == [
        ("eur: CRITICAL: unprotected position", "BTCUSDT has no stop <b>\n1970-01-02 00:00:00Z", "failure", "/told")
    ]
    first, *rest = file_of(path)
    assert first == {
        "alert": 1, "instant": "1970-01-02 00:00:00Z", "level": "critical", "kind": "unprotected_position",
        "key": "BTCUSDT", "text": "BTCUSDT has no stop <b>", "participant": "main",
    }  # fmt: skip
    assert [line["outcome"] for line in rest] == ["failed", "failed", "delivered"]
    assert "500" in rest[0]["why"]
    assert url not in path.read_text(encoding="utf-8")


def test_each_target_has_its_lowest_level(tmp_path: Path) -> None:
    """A target is told of its level and above; the file has everything."""
    targets, path = Targets(), tmp_path / "alerts.jsonl"
    with Alerts(section("info", "warning", "critical"), targets, lambda: 0, path=path) as alerts:
        for level in Level:
            alerts.tell(level, Kind.LIMIT_HIT, f"{level} text")
            assert alerts.settle(SOON_S)

    told = {name: [message.level for target, message in targets.arrived if target == name] for name in "ABC"}
    assert told == {"A": ["info", "warning", "critical"], "B": ["warning", "critical"], "C": ["critical"]}
    assert [line["level"] for line in file_of(path) if "text" in line] == ["info", "warning", "critical"]


def test_telling_waits_for_nobody(tmp_path: Path) -> None:
    """A target that hangs holds up neither who tells nor another target, and the end says what has not arrived."""
    targets, path = Targets(), tmp_path / "alerts.jsonl"
    targets.go_on.clear()
    alerts = Alerts(section("info"), targets, lambda: 0, path=path)
    alerts.tell("critical", Kind.KILL, "first")
    assert targets.entered.wait(SOON_S)

    for number in range(500):
        alerts.tell("info", Kind.FILL, f"fill {number}")
    alerts.close(within_s=0.0)

    left = {line["outcome"]: line["alerts"] for line in file_of(path) if line.get("why") == "the end"}
    assert targets.arrived == []
    assert left["unknown"] == [1]
    assert len(left["not delivered"]) == 200
    assert len([line for line in file_of(path) if "text" in line]) == 501
    targets.go_on.set()


def test_too_many_messages_drop_the_lowest_level_first_and_say_so(tmp_path: Path) -> None:
    """Where a queue is full the lowest level goes, the oldest first, and the next message names how many went."""
    targets, path = Targets(), tmp_path / "alerts.jsonl"
    targets.go_on.clear()
    with Alerts(section("info", most_waiting=10), targets, lambda: 0, path=path) as alerts:
        alerts.tell("info", Kind.START, "started")
        assert targets.entered.wait(SOON_S)
        for number in range(4):
            alerts.tell("critical", Kind.REFUSED_ORDER, f"refused {number}")
        for number in range(8):
            alerts.tell("info", Kind.FILL, f"fill {number}")
        targets.go_on.set()
        assert alerts.settle(SOON_S)

    _, message = targets.arrived[1]
    assert "10 messages, CRITICAL" in message.title
    assert "fill 1" not in message.body
    assert "fill 2" in message.body
    assert message.body.splitlines()[-1] == "(2 earlier messages were dropped, since too many waited: 2 info)"
    assert [line["alerts"] for line in file_of(path) if line.get("outcome") == "dropped"] == [[6], [7]]


def test_the_same_is_told_once_and_then_with_a_count(tmp_path: Path) -> None:
    """Within `repeat_after` the same kind and key is sent once; then once more with how often it came."""
    targets, real, path = Targets(), Ages(), tmp_path / "alerts.jsonl"
    with Alerts(section("info", repeat_after="5m"), targets, lambda: 0, path=path, real_ns=real) as alerts:
        for number in range(4):
            alerts.tell("warning", Kind.STALE_FEED, f"prices are {number} s old", key="feed")
            assert alerts.settle(SOON_S)
        alerts.tell("warning", Kind.STALE_FEED, "another feed", key="other")
        assert alerts.settle(SOON_S)
        before = targets.bodies()
        real.ns += 5 * MINUTE_NS
        alerts.look()
        assert alerts.settle(SOON_S)
        after = targets.bodies()
        real.ns += 5 * MINUTE_NS
        alerts.look()
        repeated = alerts.statistics().repeated

    assert sorted(before) == ["another feed", "prices are 0 s old"]
    assert [text for text in after if text not in before] == ["prices are 3 s old (and 3 times before)"]
    assert targets.bodies() == after
    assert repeated == 3
    assert outcomes(path).count("repeated") == 3


def test_the_log_says_how_often_something_came(tmp_path: Path) -> None:
    """What is told of at the end although it is long over would read as news without that."""
    logged: list[dict[str, Any]] = []
    log = SimpleNamespace(warning=lambda text, **about: logged.append({"text": text, **about}))
    with Alerts(section(), Targets(), lambda: 0, log=cast(Log, log)) as alerts:
        for _ in range(3):
            alerts.tell("warning", Kind.LIMIT_HIT, "the kill switch is set", key="latched")

    assert [(each["text"], each.get("repeats")) for each in logged] == [
        ("the kill switch is set", None), ("the kill switch is set", 2),
    ]  # fmt: skip


def test_what_gets_worse_or_begins_again_is_told_at_once() -> None:
    """A higher level is no repetition, and neither is what begins again after it was over."""
    targets, real = Targets(), Ages()
    with Alerts(section("info"), targets, lambda: 0, real_ns=real) as alerts:
        for level, over, text in (
            ("info", False, "a little"), ("critical", False, "much"), ("warning", False, "less"),
            ("critical", True, "over"), ("critical", False, "again"), ("critical", True, "over again"),
        ):  # fmt: skip
            alerts.tell(level, Kind.CONNECTION_LOST, text, key="venue", over=over)
            assert alerts.settle(SOON_S)

    # At the end what was counted is told too.
    assert targets.bodies() == [
        "a little", "much", "over (and 1 times before)", "again", "over again (and 1 times before)",
    ]  # fmt: skip


def test_texts_without_a_key_are_different_things() -> None:
    """Two fills told without a key are two alerts and no repetition."""
    targets = Targets()
    with Alerts(section("info"), targets, lambda: 0) as alerts:
        alerts.tell("info", Kind.FILL, "bought 1")
        alerts.tell("info", Kind.FILL, "bought 2")
        assert alerts.settle(SOON_S)

    assert alerts.statistics().repeated == 0
    assert "bought 2" in "".join(message.body for _, message in targets.arrived)


def test_what_a_target_never_takes_is_given_up_and_recorded(tmp_path: Path) -> None:
    """After long enough a message is given up; the file and the others do not suffer from it."""
    path = tmp_path / "alerts.jsonl"
    arrived = Event()

    def deliver(target: str, message: Message) -> None:
        if "poison" in message.body:
            raise ValueError("too long")
        arrived.set()

    notify = section("info", give_up_after="1ns")
    with Alerts(notify, deliver, lambda: 0, path=path, pauses_s=(0.001,)) as alerts:
        alerts.tell("critical", Kind.KILL, "poison")
        assert alerts.settle(SOON_S)
        alerts.tell("info", Kind.STOP, "stopped")
        assert arrived.wait(SOON_S)

    assert outcomes(path) == ["failed", "failed", "failed", "given up", "delivered"]


def test_the_end_tries_once_more_what_waits(tmp_path: Path) -> None:
    """What waits for its next try when the bot ends is tried at once; what comes later is only written."""
    targets, path = Targets(fail=1), tmp_path / "alerts.jsonl"
    alerts = Alerts(section("info"), targets, lambda: 0, path=path, pauses_s=(3_600.0,))
    alerts.tell("info", Kind.STOP, "stopped")
    assert targets.entered.wait(SOON_S)

    alerts.close()
    alerts.tell("critical", Kind.KILL, "too late")
    alerts.close()

    assert targets.bodies() == ["stopped"]
    assert outcomes(path) == ["failed", "delivered", "not delivered"]


def test_telling_never_raises(tmp_path: Path) -> None:
    """Odd texts, an unknown level, a clock and a folder that fail: who tells goes on, and the next alert arrives."""
    targets = Targets()
    broken = tmp_path / "file"
    broken.write_text("", encoding="utf-8")
    instants: Iterator[int] = iter([0, 0, 0])
    alerts = Alerts(section("info"), targets, lambda: next(instants), path=broken / "alerts.jsonl")

    alerts.tell("info", Kind.FILL, "odd \udcff \x00 {} %s")
    assert alerts.settle(0.0) is False
    alerts.tell("loud", "new", "no such level")
    alerts.tell("info", Kind.FILL, "second")
    alerts.tell("info", Kind.FILL, "the clock has ended")
    alerts.close(within_s=SOON_S)

    text = "".join(message.body for _, message in targets.arrived)
    assert "odd \\udcff" in text
    assert all(each in text for each in ("no such level", "second", "the clock has ended"))


def test_a_day_that_ends_is_summarised_once() -> None:
    """At the day's end, in its zone, every target that wants it gets the summary, whatever its level."""
    targets, clock = Targets(), Ages()
    figures = DayFigures(
        currency="USDT", equity_before=10_000, equity_after=10_150, trades=3, won=2, fills=7, refused=1,
        open_positions=("BTCUSDT long 0.01",),
    )  # fmt: skip
    notify = NotifySection.model_validate({
        "targets": [{"url_env": "A", "level": "critical"}, {"url_env": "B", "level": "critical", "summary": False}],
        "daily_summary": {"zone": "Europe/Berlin", "at": "23:00"},
    })  # fmt: skip
    with Alerts(notify, targets, clock, summary=figures.text) as alerts:
        clock.ns += 22 * HOUR_NS - SECOND_NS
        alerts.look()
        assert alerts.settle(SOON_S)
        before = list(targets.arrived)
        clock.ns += SECOND_NS
        alerts.look()
        alerts.look()
        assert alerts.settle(SOON_S)

    assert before == []
    assert [(name, message.body.splitlines()) for name, message in targets.arrived] == [
        ("A", [
            "equity 10,150.00 USDT, +150.00 (+1.50 percent) in the day",
            "3 trades closed, 2 won; 7 fills, 1 orders refused", "open: BTCUSDT long 0.01",
            "alerts since the start: none", "1970-01-02 22:00:00Z",
        ]),
    ]  # fmt: skip


def test_a_day_that_ended_while_the_bot_was_down_is_summarised_at_the_start() -> None:
    """With the instant of the last summary a restart makes up for the one that is due, and figures may fail."""
    targets = Targets()
    notify = section("info", daily_summary={"zone": "UTC", "at": "00:00"})

    def broken() -> str:
        raise KeyError("equity")

    with Alerts(notify, targets, lambda: 3 * DAY_NS, summary=broken, summarised_ns=DAY_NS) as alerts:
        alerts.look()
        assert alerts.settle(SOON_S)

    assert [body[:60] for body in targets.bodies()] == ["the day has ended; its figures could not be had (KeyError: '"]


@settings(max_examples=50)
@given(
    told=st.lists(st.tuples(st.sampled_from(list(Level)), st.sampled_from("abc"), st.booleans()), max_size=30),
    fail=st.integers(0, 5),
)
def test_nothing_is_lost_without_a_word(told: list[tuple[str, str, bool]], fail: int) -> None:
    """Whatever is told and however often the target fails: each alert arrives or counts as a repetition."""
    lost: list[str] = []
    targets = Targets(fail=fail)
    alerts = Alerts(section("info"), targets, lambda: 0, pauses_s=(0.0,))
    for level, key, over in told:
        alerts.tell(level, Kind.LIMIT_HIT, f"<{key}{over}>", key=key, over=over)
    lost += [] if alerts.settle(SOON_S) else ["not settled"]
    statistics = alerts.statistics()
    alerts.close(SOON_S)

    text = "".join(message.body for _, message in targets.arrived)
    missing = [f"<{key}{over}>" for _, key, over in told if f"<{key}{over}>" not in text]
    assert (lost, missing) == ([], [])
    assert sum(statistics.told.values()) == len(told)
    assert text.count("<") >= len(told) - statistics.repeated


@pytest.mark.parametrize("refuse", [True, False])
def test_a_section_without_targets_needs_no_package(refuse: bool) -> None:
    """Nobody to tell is allowed; the file is all there is then."""
    notify = NotifySection() if refuse else NotifySection.model_validate(None)
    deliver: Callable[[str, Message], None] = AppriseDelivery(notify, {})

    with Alerts(notify, deliver, lambda: 0) as alerts:
        began_ns = monotonic_ns()
        alerts.tell("info", Kind.START, "started")

        assert alerts.settle(SOON_S)
    assert monotonic_ns() - began_ns < SOON_S * SECOND_NS
