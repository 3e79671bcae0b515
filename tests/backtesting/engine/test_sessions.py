"""The bot's session close and session filter over whole worlds: by their timer, journaled, the same however it runs."""

from typing import Any

import pytest

from src.backtesting.result import BacktestResult
from src.core.bars import Bar, BarSeries
from src.core.config import BotConfig
from src.core.strategy import BarStrategy
from src.core.timeframe import format_instant
from src.testing import bar_series, bot_config, build_world

both = pytest.mark.parametrize("runtime", ["threads", "fibers"])

#: Ten minutes before the forex week closes, the weekend, and four minutes after it opens.
FRIDAY = "2024-01-05T21:50Z"
WEEKEND: list[float | None] = [*(100.0 + i for i in range(10)), *[None] * (48 * 60), *(200.0 + i for i in range(4))]


class BuysWhenFlat(BarStrategy):
    """Asks for a position whenever it has none."""

    def on_bar(self, bar: Bar) -> None:
        if self.position.is_flat:
            self.buy()


def config(calendar: str = "forex", *, manage: dict[str, Any] | None = None, **strategy: Any) -> BotConfig:
    """One symbol with a calendar."""
    text = bot_config(["EURUSD"], [], strategies=[{"use": "BuysWhenFlat", **strategy}], manage=manage).model_dump(
        by_alias=True
    )
    text["instruments"]["EURUSD"]["calendar"] = calendar
    return BotConfig.model_validate(text)


def run(series: BarSeries, bot: BotConfig, runtime: str) -> BacktestResult:
    """The whole bot."""
    return build_world([series], [BuysWhenFlat], bot, runtime=runtime, at_end="keep").run()


def fills(result: BacktestResult) -> list[tuple[str, str]]:
    """Kind and time of each fill."""
    return [(fill.kind, format_instant(fill.filled_ns)[8:16]) for fill in result.fills]


@both
def test_positions_are_closed_before_the_weekend_and_entries_resume_after_it(runtime: str) -> None:
    """The monitor decides at its timer's instant; what fills after the weekend has its end on the next Friday."""
    bot = config(manage={"session_close": {"before": "90s"}}, session={"from": "00:00", "to": "21:58"})

    result = run(bar_series("EURUSD", WEEKEND, start=FRIDAY), bot, runtime)

    decisions = [
        (format_instant(r.instant_ns)[8:19], r.participant)
        for r in result.records
        if r.kind == "decision" and r.participant == "monitor:positions"
    ]
    assert decisions == [("05 21:58:30", "monitor:positions")]
    assert fills(result) == [("entry", "05 21:51"), ("session_close", "05 21:59")]
    assert [trade.exit_kind for trade in result.trades] == ["session_close"]


@both
def test_entries_out_of_session_are_refused_and_journaled(runtime: str) -> None:
    """A bar that closes with the market belongs to a session that is over; the next week's first bar is in."""
    bot = config(session={})

    result = run(bar_series("EURUSD", [*[None] * 9, *WEEKEND[9:]], start=FRIDAY), bot, runtime)

    verdicts = [
        (format_instant(r.instant_ns)[8:16], dict(r.fields)["verdict"]) for r in result.records if r.kind == "decision"
    ]
    assert verdicts == [("05 22:00", "out_of_session"), ("07 22:01", "accepted")]
    assert result.refusals == {"out_of_session": 1}
    assert fills(result) == [("entry", "07 22:01")]


def test_the_rules_give_one_digest_however_it_runs() -> None:
    """Threads and fibers, and twice the same."""
    bot = config(
        manage={"session_close": {"before": "5m"}, "time_exit": {"after": "3m"}}, session={"calendar": "forex"}
    )
    series = [bar_series("EURUSD", WEEKEND, start=FRIDAY) for _ in range(3)]

    results = [run(one, bot, runtime) for one, runtime in zip(series, ("threads", "fibers", "threads"), strict=True)]

    assert len({result.digest for result in results}) == 1
    assert [kind for kind, _ in fills(results[0])][:4] == ["entry", "time_exit", "entry", "session_close"]


def test_a_market_that_never_closes_has_no_session_close() -> None:
    """And its monitor has no turn for it."""
    rows = [100.0] * 8
    plain = run(bar_series("EURUSD", rows, start=FRIDAY), config("24/7"), "fibers")
    ruled = run(
        bar_series("EURUSD", rows, start=FRIDAY), config("24/7", manage={"session_close": {"before": "5m"}}), "fibers"
    )

    assert (ruled.digest, ruled.turns) == (plain.digest, plain.turns)
