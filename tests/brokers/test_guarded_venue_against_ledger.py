"""The bot's guard before a faulty venue: in the end nothing is doubled, orphaned, naked or stuck."""

import sys
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.errors import StopTest

from tests.brokers.faulty_story import CALM, EVERYTHING, LAST, PAIR
from tests.brokers.ledger_wire import bare
from tests.brokers.test_faulty_venue_against_ledger import FaultyVenueAndLedger

#: A run that finds nothing takes seconds; the shortest telling of a failure is looked for during five minutes.
pytestmark = pytest.mark.timeout(900)

#: So many minutes after the guard has done the last thing, what it has sent has filled.
QUIET = 3


class GuardedVenueAndLedger(FaultyVenueAndLedger):
    """The same stories with the guard between; after each there is time to recover, then its promises are checked."""

    guarded = True

    def teardown(self) -> None:
        """Let calm minutes pass until the guard has nothing left to do."""
        if not self.is_sound or isinstance(sys.exc_info()[1], StopTest):  # which takes no result any more
            return
        steady, naive = self.story.steady, self.story.naive
        assert steady is not None
        quiet = 0
        while self.minute < LAST + CALM and quiet < QUIET:
            flat = [[float(naive.mark[s]) * (64 if s == PAIR else 1)] * 4 for s in EVERYTHING]
            self._pass_minute(flat)
            open_ones = {key[0] for key in steady.repeated._open} - {"late"}
            is_quiet = self.minute > LAST and not open_ones and not len(steady.unanswered) and not self._lasts()
            quiet = quiet + 1 if is_quiet else 0
        self._everything_is_known()
        self._nobody_is_naked()
        self._who_wanted_out_is_out()

    def _lasts(self) -> bool:
        """Whether a fault is to come that lasts."""
        return any(row.end > self.minute for row in self.story.plan.rows)

    def _everything_is_known(self) -> None:
        """No order is at the venue that was refused or given up, and each end was told once."""
        story = self.story
        assert story.steady is not None
        assert len(story.steady.unanswered) == 0
        lost = {each.order.order_id for each in story.heard if each.order.code == "lost"}
        refused = {name for (name, call), (_, code) in story.answers.items()
                   if call in ("place", "close") and code not in ("", "unanswered")}  # fmt: skip
        assert not (lost | refused) & set(story.wire.placed)
        ends = Counter(each.order.order_id for each in story.heard if each.order.state.is_final)
        for name in story.wire.placed:
            order = story.faulty.find_order(name)
            assert order is not None
            if order.state.is_final:
                assert ends[name] == 1, (name, ends)

    def _nobody_is_naked(self) -> None:
        """Whatever is held has a stop, if any of its entries was to have one."""
        naive = self.story.naive
        for stock in naive.stocks():
            entries = [each.order for each in naive.done if each.position == stock.name and each.kind == "entry"]
            if any(not bare(self.story.requests[name]) for name in entries):
                assert naive.guards[stock.name].stop is not None, stock

    def _who_wanted_out_is_out(self) -> None:
        """A position that was to be closed is gone, unless more was added to it afterwards."""
        naive = self.story.naive
        for position, (_, asked) in self.story.wanted_out.items():
            added = [e for e in naive.done if e.position == position and e.kind == "entry" and e.known >= asked]
            held = sum((each.signed for each in naive.done if each.position == position), Fraction(0))
            assert added or held == 0, (position, held)


class ManyGuardedVenues(GuardedVenueAndLedger):
    """The same, for the long run."""


TestGuardedVenueAndLedger = pytest.mark.slow(GuardedVenueAndLedger.TestCase)
TestGuardedVenueAndLedger.settings = settings(
    max_examples=30, stateful_step_count=20, derandomize=True, suppress_health_check=list(HealthCheck)
)
TestManyGuardedVenues = pytest.mark.soak(ManyGuardedVenues.TestCase)
TestManyGuardedVenues.settings = settings(TestGuardedVenueAndLedger.settings, max_examples=300)
