"""What `--trace` and `--stats` show of the threads.

Runs in the main thread, before and after a run.
"""

from pathlib import Path

from src.backtesting.engine.pacing import TimeMode
from src.backtesting.run import PreparedRun
from src.backtesting.tracing import DEFAULT_SPANS, ParticipantTimes, Probe, ThreadStatistics, write_trace
from src.cli.output import Output
from src.core.timeframe import format_instant
from src.core.words import counted

__all__ = ["probe_for", "show_statistics", "store_trace"]


def probe_for(prepared: PreparedRun, *, spans: bool) -> Probe:
    """A probe for a run.

    Args:
        spans: whether spans are kept for a trace; the sums are made anyway.
    """
    section = prepared.config.backtest
    # Only where real time is what the market's time would be can a turn be too long for its poll.
    real = section.time_mode is TimeMode.REALTIME or "free" in section.schedule.split(":")
    return Probe(max_spans=DEFAULT_SPANS if spans else 0, flag_overruns=real)


def store_trace(probe: Probe | None, path: Path | None, out: Output, *, title: str) -> None:
    """Write the trace of a run that took place and say where it is; nothing when none was asked for.

    Raises:
        ConfigError: the file cannot be written.
    """
    if probe is None or path is None or probe.began_ns is None:
        return
    spans = write_trace(probe, path, title=f"Lockstep {title}")
    out.say(f"trace   {path.resolve()}: {counted(spans, 'span')}; open it in ui.perfetto.dev or chrome://tracing")
    if probe.dropped_spans:
        out.warn(
            f"the trace keeps the first {counted(spans, 'span')} and lacks {probe.dropped_spans:,} that came later; "
            "a shorter window shows all of them, and the statistics count them all"
        )


def show_statistics(statistics: ThreadStatistics, out: Output) -> None:
    """A table of the participants' real time, and a line about the hand-overs."""
    out.say()
    columns = (
        "thread", "turns", "busy s", "waiting s", "longest turn", "at", "strategy", "broker", "bot", "hand-over",
        "overruns",
    )  # fmt: skip
    shown = columns if statistics.overruns else columns[:-1]
    rows = [_row(each, statistics)[: len(shown)] for each in statistics.participants]
    out.table(shown, rows, numbers=[name for name in shown if name not in ("thread", "at")])
    out.say(
        f"shares of {statistics.elapsed_ns / 1e9:.3f} s: strategy {statistics.strategy_share:.1%}, "
        f"broker {statistics.broker_share:.1%}, bot {statistics.bot_share:.1%}, "
        f"hand-over {statistics.hand_over_share:.1%}, market {statistics.step_share:.1%}, "
        f"the engine between turns, locks and measuring {_rest(statistics):.1f}%"
    )
    out.say(_hand_over_text(statistics))
    if statistics.overruns:
        turns = counted(statistics.overruns, "turn")
        out.warn(f"OVERRUN: {turns} took longer than the poll; live that would have been late")


def _rest(statistics: ThreadStatistics) -> float:
    """What the other shares, as they are shown, leave of 100 %."""
    shares = (
        statistics.strategy_share, statistics.broker_share, statistics.bot_share, statistics.hand_over_share,
        statistics.step_share,
    )  # fmt: skip
    return max(0.0, 100.0 - sum(round(100 * share, 1) for share in shares))


def _row(each: ParticipantTimes, whole: ThreadStatistics) -> list[str]:
    at_ns = each.longest_turn_at_ns
    return [
        each.name,
        f"{each.turns:,}",
        f"{each.busy_ns / 1e9:.3f}",
        f"{each.waiting_ns / 1e9:.3f}",
        f"{each.longest_turn_ns / 1e6:.3f} ms",
        "" if at_ns is None else format_instant(at_ns),
        f"{whole.share(each.strategy_ns):.1%}",
        f"{whole.share(each.broker_ns):.1%}",
        f"{whole.share(each.bot_ns):.1%}",
        f"{whole.share(each.hand_over_ns):.1%}",
        f"{each.overruns:,}",
    ]


def _hand_over_text(statistics: ThreadStatistics) -> str:
    median_ns, p99_ns = statistics.hand_over_median_ns, statistics.hand_over_p99_ns
    if median_ns is None or p99_ns is None:
        return "hand-over: none, the turn stayed with one thread"
    return (
        f"hand-over median {median_ns / 1e3:.1f} us, p99 {p99_ns / 1e3:.1f} us, over {statistics.hand_overs:,}; "
        "measuring takes time itself"
    )
