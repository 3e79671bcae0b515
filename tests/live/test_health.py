"""Health: what is wrong is found by a watch that waits for nobody, told when it begins and when it is over."""

from pathlib import Path
from typing import Any

import pytest

from src.core.errors import BrokerUnavailable
from src.core.sync import Event, start_thread
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.live.alert_delivery import Message
from src.live.alerts import Alerts
from src.live.health import Health, HealthLimits
from src.live.logs import BotLog
from src.live.notify_section import NotifySection
from src.live.secrets import Secrets

MONITOR, WORKER = "monitor:positions", "worker:BTCUSDT"


class World:
    """A watch with clocks that are moved by hand and alerts that are kept."""

    def __init__(self, **limits: Any) -> None:
        self.now_ns = 1_000 * SECOND_NS
        self.real_ns = 0
        self.free = 10**12
        self.told: list[tuple[str, str, str, bool]] = []
        self.health = Health(
            lambda: self.now_ns, HealthLimits(**limits), alerts=self, folder=Path(), real_ns=lambda: self.real_ns,
            free_bytes=lambda folder: self.free,
        )  # type: ignore[arg-type]  # fmt: skip  # of alerts it needs the one method below

    def tell(self, level: str, kind: str, text: str, key: str = "", *, over: bool = False) -> None:
        """See `Alerts.tell`."""
        self.told.append((level, kind, key, over))

    def pass_s(self, seconds: float) -> None:
        """Let both clocks go on."""
        self.now_ns += int(seconds * SECOND_NS)
        self.real_ns += int(seconds * SECOND_NS)

    def look(self) -> list[tuple[str, str]]:
        """What is wrong now."""
        return [(each.kind, each.key) for each in self.health.look().findings]


@pytest.fixture
def world() -> World:
    """A watch with the limits that are the default."""
    return World()


def test_prices_that_grow_old_are_found_and_told_once(world: World) -> None:
    """A feed without an answer for longer than allowed is stale until the next answer; both are told once."""
    world.health.feed_ok(world.now_ns)
    world.pass_s(5)
    fresh = world.look()
    world.pass_s(0.1)
    stale = [world.look(), world.look()]
    world.health.feed_ok(world.now_ns)
    again = world.look()

    assert (fresh, stale, again) == ([], [[("stale_feed", "feed")]] * 2, [])
    assert world.told == [("warning", "stale_feed", "feed", False), ("warning", "stale_feed", "feed", True)]


def test_a_market_that_has_ended_is_told_while_the_venue_answers(world: World) -> None:
    """Its strategies decide nothing any more, and nobody would know; the other markets go on."""
    prices: dict[str, int | None] = {"AAA": world.now_ns, "BBB": None, "CCC": world.now_ns}
    world.health.prices = lambda: prices
    world.health.feed_begins(world.now_ns)
    fresh = world.look()
    world.pass_s(6)
    world.health.feed_ok(world.now_ns)
    prices["CCC"] = world.now_ns
    ended = world.look()
    world.pass_s(6)
    silent = world.look()
    world.health.feed_ok(world.now_ns)
    prices.update(dict.fromkeys(prices, world.now_ns))

    assert (fresh, world.look()) == ([], [])
    assert ended == [("stale_feed", "AAA"), ("stale_feed", "BBB")]
    assert silent == [("stale_feed", "feed")]  # of a venue that does not answer it is said once


def test_a_feed_that_never_answers_is_stale(world: World) -> None:
    """From its begin on a feed is expected to answer."""
    world.health.feed_begins(world.now_ns)
    world.pass_s(6)

    assert world.look() == [("stale_feed", "feed")]


def test_failures_in_a_row_are_a_lost_connection(world: World) -> None:
    """Two failures are none, three are one, an answer brings it back; who was told of one is told of the other."""
    seen = []
    for call in ("failed", "failed", "ok", "failed", "failed", "failed", "failed", "ok"):
        if call == "ok":
            world.health.feed_ok(world.now_ns)
        else:
            world.health.feed_failed(BrokerUnavailable("expected an answer to the quotes, found none"))
        seen.append(len(world.look()))

    assert seen == [0, 0, 0, 0, 0, 1, 1, 0]
    assert world.told == [
        ("critical", "connection_lost", "venue", False),
        ("critical", "connection_back", "venue", True),
    ]


def test_a_turn_that_is_not_given_back_is_a_hang_and_nobody_else_is_blamed(world: World) -> None:
    """Who holds the turn is named, those who wait for it are not, and it is over when the turn ends."""
    for name in (MONITOR, WORKER):
        world.health.expect(name, poll_ns=SECOND_NS)
    world.health.turn_began(WORKER)
    world.pass_s(60)
    before = world.look()
    world.pass_s(10)
    hanging = world.look()
    world.health.turn_ended(WORKER)
    for name in (MONITOR, WORKER):
        world.health.polled(name)
    after = world.look()

    assert (before, hanging, after) == ([], [("hanging_thread", WORKER)], [])
    assert world.told == [
        ("critical", "hanging_thread", WORKER, False), ("critical", "hanging_thread", WORKER, True),
    ]  # fmt: skip


def test_a_poll_that_is_overdue_is_a_hang(world: World) -> None:
    """A participant that nobody asks any more is found, one that has left is not."""
    world.health.expect(MONITOR, poll_ns=5 * SECOND_NS)
    world.health.expect(WORKER, poll_ns=SECOND_NS)
    world.health.left(WORKER)
    world.pass_s(65)
    before = world.look()
    world.pass_s(1)

    assert before == []
    assert world.look() == [("hanging_thread", MONITOR)]


def test_a_hang_is_measured_by_real_time(world: World) -> None:
    """A bot's clock that runs fast or stands still changes nothing about a hang."""
    world.health.turn_began(WORKER)
    world.now_ns += 60 * MINUTE_NS
    fast = world.look()
    world.real_ns += 2 * MINUTE_NS

    assert fast == []
    assert world.look() == [("hanging_thread", WORKER)]


def test_dead_threads_are_found(world: World) -> None:
    """A thread that has ended by an error or without a word is dead until one of its name works again."""
    lives = {"feed": True}
    world.health.expect("feed", alive=lambda: lives["feed"])
    world.health.turn_began(WORKER)
    world.health.died(WORKER, ValueError("no such bar"))
    one = world.look()
    lives["feed"] = False
    two = world.look()
    world.health.expect(WORKER)
    world.health.left("feed")

    assert (one, two) == ([("dead_thread", WORKER)], [("dead_thread", "feed"), ("dead_thread", WORKER)])
    assert world.look() == []


def test_a_clock_that_is_off_is_found_on_both_sides(world: World) -> None:
    """More than the limit in either direction is a finding, the limit itself is not."""
    seen = []
    for skew_ns in (SECOND_NS, SECOND_NS + 1, -SECOND_NS - 1, 0):
        world.health.skew(skew_ns)
        seen.append(world.look())

    assert seen == [[], [("clock_skew", "clock")], [("clock_skew", "clock")], []]


def test_a_disk_that_fills_is_found_and_not_asked_all_the_time(world: World) -> None:
    """Too little room is a finding; the disk is asked every 30 s."""
    world.look()
    world.free = 1
    unasked = world.look()
    world.pass_s(30)

    assert unasked == []
    assert world.look() == [("disk_full", "disk")]


def test_unprotected_positions_and_unknown_orders_are_findings(world: World) -> None:
    """What others have judged stands in the report until they take it back."""
    world.health.unprotected("BTCUSDT", "BTCUSDT has no stop at the venue")
    world.health.order_unknown("b7", "nobody knows whether b7 was taken")
    both = world.look()
    world.health.protected("BTCUSDT")
    world.health.order_known("b7")

    assert both == [("unknown_order", "b7"), ("unprotected_position", "BTCUSDT")]
    assert world.look() == []


def test_a_report_is_plain_for_the_heartbeat(world: World) -> None:
    """The report says since when, changes nothing, and becomes plain values."""
    world.health.feed_ok(world.now_ns)
    world.health.skew(3 * SECOND_NS)
    world.look()
    world.pass_s(2)

    report = world.health.report()

    assert not report.ok
    assert report.to_plain() == {
        "ok": False, "instant": "1970-01-01 00:16:42Z", "feed_age_s": 2.0, "skew_s": 3.0,
        "findings": [{
            "kind": "clock_skew", "key": "clock", "level": "warning", "since": "1970-01-01 00:16:40Z",
            "text": "expected this machine's clock within 1 s of the venue's, found it 3.000 s behind it; "
            "set the clock",
        }],
    }  # fmt: skip


def test_a_hanging_thread_does_not_stop_the_watch(tmp_path: Path) -> None:
    """While a bot's thread hangs in its turn the watch tells a target of it, and logs where it hangs."""
    arrived, hold, inside = Event(), Event(), Event()

    def deliver(target: str, message: Message) -> None:
        if "hanging thread" in message.title:
            arrived.set()

    def hangs_here() -> None:
        health.turn_began(WORKER)
        inside.set()
        hold.wait()
        health.turn_ended(WORKER)

    notify = NotifySection.model_validate({"targets": [{"url_env": "A"}], "daily_summary": None})
    with (
        BotLog(tmp_path / "bot.log", lambda: 0, secrets=Secrets()) as bot_log,
        Alerts(notify, deliver, lambda: 0) as alerts,
    ):
        health = Health(lambda: 0, HealthLimits(hang_after_ns=1), alerts=alerts, log=bot_log.log)
        health.watch(every_s=0.005)
        thread = start_thread(WORKER, hangs_here)
        told = inside.wait(120) and arrived.wait(120)
        hold.set()
        thread.join()
        health.close()

    assert told
    assert "hangs_here" in (tmp_path / "bot.log").read_text(encoding="utf-8")
