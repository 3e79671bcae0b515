"""What `--watch` looks at: one sample of a running backtest, taken from a thread that has no part in it.

It reads counters, the probe's sums and the venue's own snapshot, and changes nothing; between two readings the run goes
on, so that a sample's figures may be some microseconds apart. Real time is for the reader only.
"""

from collections import deque
from contextlib import suppress

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.engine.control import ControlState
from src.backtesting.engine.ports import ParticipantState
from src.backtesting.run import PreparedRun, synthetic_so_far
from src.backtesting.tracing import Probe
from src.backtesting.tracing.track import Kind, Track
from src.brokers.simulated import SimulatedBroker
from src.cli.watch_view import ParticipantRow, PositionRow, Sample, Shares
from src.core.records import Fill, Position
from src.core.sync import monotonic_ns
from src.core.timeframe import format_instant

__all__ = ["Sampler"]

#: Speed is that of the last so many seconds.
_WINDOW_NS = 5_000_000_000
#: So long the busiest participants keep their places.
_RANKS_NS = 2_000_000_000
#: So many positions are valued; no terminal shows more.
_VALUED = 60
_LAST = 3


class Sampler:
    """Takes samples of one run; by one thread at a time.

    Args:
        prepared: what runs.
        controller: the run; a probe that it has is read, without one there are no shares.
    """

    def __init__(self, prepared: PreparedRun, controller: BacktestController) -> None:
        self._title = prepared.config.name
        self._prepared = prepared
        self._controller = controller
        self._probe = controller.probe or Probe()
        self._began_ns = self._looked_ns = monotonic_ns()
        self._paused_ns = 0
        self._was_paused = False
        #: Real time without pauses, bars and steps of the last seconds.
        self._past: deque[tuple[int, int, int]] = deque()
        self._ranks: dict[str, int] = {}
        self._ranked_ns = 0
        self._refusals: dict[str, int] = {}

    def take(self, message: str, *, keys: bool) -> Sample:
        """The run at this moment.

        Args:
            message: what is to be shown besides.
            keys: whether somebody can press keys.
        """
        controller, venue = self._controller, self._controller.venue
        state = controller.control.state
        time = controller.time_controller.statistics()
        bars, total_bars = controller.market.bars, controller.market.total_bars
        now_ns = self._pass_time(paused=state.status == "paused")
        real_ns = now_ns - self._began_ns - self._paused_ns
        bars_per_s, steps_per_s = self._speeds(real_ns, bars, time.steps)
        measured_ns = max(
            1, real_ns if self._probe.began_ns is None else now_ns - self._probe.began_ns - self._paused_ns
        )
        tracks = {track.name: track for track in self._probe.tracks}
        snapshot = venue.snapshot()
        account = snapshot.account
        return Sample(
            title=self._title,
            synthetic=synthetic_so_far(self._prepared, controller),
            status=state.status,
            pace=state.pace,
            plans=_plans(state),
            now_ns=time.now_ns,
            bars=bars,
            total_bars=total_bars,
            bars_per_s=bars_per_s,
            steps_per_s=steps_per_s,
            left_s=(total_bars - bars) / bars_per_s if bars_per_s else None,
            real_s=real_ns / 1e9,
            shares=_all_shares(tracks, measured_ns),
            participants=self._participants(time.participants, tracks, measured_ns, now_ns),
            currency=account.currency,
            equity=account.equity,
            balance=account.balance,
            margin_used=account.margin_used,
            positions=tuple(
                _position(each, venue if i < _VALUED else None) for i, each in enumerate(snapshot.positions)
            ),
            orders=len(snapshot.orders),
            trades=len(venue.trades()),
            refusals=self._refused(),
            last=tuple(_sentence(fill) for fill in reversed(venue.fills()[-_LAST:])),
            message=message,
            keys=keys,
        )

    def looked_away(self) -> None:
        """Somebody had the terminal since the last sample; that was a pause if nothing went on meanwhile."""
        now_ns = monotonic_ns()
        if self._past and self._past[-1][1] == self._controller.market.bars:
            self._paused_ns += now_ns - self._looked_ns
        self._looked_ns = now_ns

    def _pass_time(self, *, paused: bool) -> int:
        """Real nanoseconds now; what passed since the last sample was a pause if the run stood still then and now."""
        now_ns = monotonic_ns()
        if paused and self._was_paused:
            self._paused_ns += now_ns - self._looked_ns
        self._was_paused, self._looked_ns = paused, now_ns
        return now_ns

    def _speeds(self, real_ns: int, bars: int, steps: int) -> tuple[float | None, float | None]:
        past = self._past
        past.append((real_ns, bars, steps))
        while len(past) > 2 and past[1][0] < real_ns - _WINDOW_NS:
            past.popleft()
        first_ns, first_bars, first_steps = past[0]
        if real_ns <= first_ns:
            return None, None
        seconds = (real_ns - first_ns) / 1e9
        return (bars - first_bars) / seconds, (steps - first_steps) / seconds

    def _participants(
        self, states: tuple[ParticipantState, ...], tracks: dict[str, Track], measured_ns: int, now_ns: int
    ) -> tuple[ParticipantRow, ...]:
        # A timer and a helper thread have a seat each, which stays when they have ended; there may be very many.
        shown = [each for each in states if each.state != "left" or "/" not in each.name]
        ranks = self._ranked(shown, tracks, now_ns)
        return tuple([_row(each, tracks.get(each.name), ranks[each.name], measured_ns) for each in shown])

    def _ranked(self, states: list[ParticipantState], tracks: dict[str, Track], now_ns: int) -> dict[str, int]:
        known = all(each.name in self._ranks for each in states)
        if not known or now_ns - self._ranked_ns >= _RANKS_NS:
            self._ranked_ns = now_ns

            def busy_ns(each: ParticipantState) -> int:
                track = tracks.get(each.name)
                return 0 if track is None else track.busy_ns

            ordered = sorted(states, key=lambda each: (each.state == "left", -busy_ns(each)))
            self._ranks = {each.name: rank for rank, each in enumerate(ordered)}
        return self._ranks

    def _refused(self) -> dict[str, int]:
        with suppress(RuntimeError):  # a first refusal of its kind came while they were counted; the next sample has it
            self._refusals = self._controller.trading_controller.refusals
        return self._refusals


def _plans(state: ControlState) -> tuple[str, ...]:
    plans = []
    if state.steps_left is not None:
        plans.append(f"after {state.steps_left:,} steps" if state.steps_left > 1 else "after this step")
    if state.run_to_ns is not None:
        plans.append(f"after {format_instant(state.run_to_ns)}")
    if state.break_when is not None:
        plans.append(f"when {state.break_when}")
    return tuple(plans)


def _row(state: ParticipantState, track: Track | None, rank: int, measured_ns: int) -> ParticipantRow:
    since_ns: int | None = state.since_ns
    # Whoever waits for the market has done so since its last turn.
    if state.what == "the next step" and track is not None and track.turn_at_ns is not None:
        since_ns = track.turn_at_ns
    return ParticipantRow(
        name=state.name, rank=rank, state=state.state, what=state.what, since_ns=since_ns, turns=state.turns,
        shares=Shares() if track is None else _shares([track], measured_ns),
        longest_ns=0 if track is None else track.longest_ns,
    )  # fmt: skip


def _all_shares(tracks: dict[str, Track], measured_ns: int) -> Shares:
    return _shares(list(tracks.values()), measured_ns)


def _shares(tracks: list[Track], measured_ns: int) -> Shares:
    def part(kind: Kind) -> float:
        return min(1.0, sum(track.own_ns[kind] for track in tracks) / measured_ns)

    return Shares(
        strategy=part(Kind.STRATEGY), broker=part(Kind.BROKER), bot=part(Kind.TURN), market=part(Kind.STEP),
        hand_over=min(1.0, sum(track.hand_over_ns for track in tracks) / measured_ns),
    )  # fmt: skip


def _position(position: Position, venue: SimulatedBroker | None) -> PositionRow:
    quote = None if venue is None else venue.quote(position.symbol)
    profit = None
    if quote is not None:
        leaving = quote.bid if position.volume > 0 else quote.ask
        profit = position.volume * (leaving - position.entry_price) * quote.rate
    return PositionRow(
        symbol=position.symbol, book=position.book, volume=position.volume, entry_price=position.entry_price,
        profit=profit,
    )  # fmt: skip


def _sentence(fill: Fill) -> str:
    why = f": {fill.reason}" if fill.reason.replace(" ", "_") not in ("", fill.kind) else ""
    return (
        f"{format_instant(fill.filled_ns)[:19]} {fill.symbol} {fill.side} {fill.volume:,.8g} at {fill.price:,.8g}, "
        f"{fill.kind}{why}"
    )
