"""Each thing that can be wrong with the data is found under its code, with a command that mends it."""

import pickle
import shlex
from pathlib import Path

import numpy as np
import pytest

from src.backtesting.preflight import PreflightReport
from src.core.errors import ConfigError, PreflightError
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, parse_instant
from src.data.store import HistoricalDataStore
from tests.backtesting.preflight.projects import START, change, codes, examined, minutes, prepared, project, series

BEFORE = -2.0  # hours of warm-up, more than the strategy looks back


def test_sound_data_have_no_findings(tmp_path: Path) -> None:
    """The report says what was read: bars, warm-up, and that each execution bar has all of its minutes."""
    report = examined(project(tmp_path, minutes(BEFORE, 6)))
    (row,) = report.series

    assert codes(report) == []
    assert (row.bars, row.absent, row.longest_ns, row.refused) == (440, 0, 0, ())
    assert row.warmup == {5 * MINUTE_NS: (15, 15)}
    assert row.mapping == {5 * MINUTE_NS: (88, 88)}


def test_the_run_uses_the_arrays_that_were_judged(tmp_path: Path) -> None:
    """Rows are read once: what changes in the store afterwards changes no run."""
    config = project(tmp_path, minutes(BEFORE, 6))
    run = prepared(config)
    before = run.market.base["AAA"].close.copy()
    change(config, "UPDATE bars SET close = 1, low = 1")

    assert np.array_equal(run.market.base["AAA"].close, before)
    assert not run.market.base["AAA"].close.flags.writeable


def test_a_late_store_is_told_with_what_is_missing_and_never_read_beyond(tmp_path: Path) -> None:
    """Warm-up is counted in bars of the timeframe that looks back; the store has none before its first bar."""
    report = examined(project(tmp_path, minutes(-0.25, 6)))
    (one,) = report.warnings

    assert (one.code, report.series[0].warmup) == ("warmup", {5 * MINUTE_NS: (15, 3)})
    assert "looks back on 15 bars of 5m and 3 have closed before 2024-01-03; 12 are missing (1h)" in one.sentence
    assert shlex.split(one.mend)[-2:] == ["--set", "backtest.start=2024-01-03 01:00:00Z"]
    assert report.errors == ()


def test_a_hole_longer_than_the_limit_is_refused_until_it_is_accepted(tmp_path: Path) -> None:
    """The command accepts it; it is refused while nobody has said why, and then the reason is part of the run."""
    config = project(tmp_path, minutes(BEFORE, 6, without=[(1, 3.5)]))
    limit = "backtest.data.gaps={AAA: {longest: 2h}}"
    found = examined(config, limit)
    (one,) = found.errors
    words = shlex.split(one.mend)
    pasted = [words[i + 1] for i, word in enumerate(words) if word == "--set"]

    assert (one.code, found.series[0].longest_ns) == ("hole", int(2.5 * HOUR_NS))
    assert "1 hole longer than 2h of open hours by calendar 24/7: 2024-01-03 01:00:00Z to" in one.sentence
    assert pasted[0] == limit
    with pytest.raises(ConfigError, match="expected a reason in words"):
        prepared(config, *pasted)
    accepted = [pasted[0], pasted[1].replace('"..."', "maintenance")]
    run = prepared(config, *accepted)
    other = prepared(config, accepted[0], accepted[1].replace("maintenance", "outage"))
    assert run.preflight is not None
    assert (run.preflight.errors, run.preflight.series[0].accepted, run.preflight.series[0].absent) == ((), 1, 0)
    assert run.manifest["configuration"]["backtest"]["data"]["accept_gaps"][0]["reason"] == "maintenance"
    assert run.run_id != other.run_id


def test_limits_change_no_identity(tmp_path: Path) -> None:
    """They refuse a run or let it be."""
    config = project(tmp_path, minutes(BEFORE, 6))

    assert prepared(config).run_id == prepared(config, "backtest.data.gaps={'*': {longest: 3h}}").run_id


def test_the_defaults_let_thin_and_interrupted_markets_be(tmp_path: Path) -> None:
    """Half of the minutes absent, and eleven hours of outage, are no damage; thirteen hours are."""
    thin = minutes(-30, 6)[::2]
    eleven, thirteen = (thin[(thin < START - 20 * HOUR_NS) | (thin >= START - h * HOUR_NS)] for h in (9, 7))
    words = "strategies.0.params={fast: 2, slow: 300}"  # so that it is read from before the outage
    for name, opens, expected in (("a", eleven, []), ("b", thirteen, ["hole"])):
        (tmp_path / name).mkdir()
        report = examined(project(tmp_path / name, opens), words)

        assert [one.code for one in report.errors] == expected


def test_too_many_absent_bars_are_refused(tmp_path: Path) -> None:
    """The share counts bars that the calendar has; the command says that so many may be absent."""
    config = project(tmp_path, minutes(BEFORE, 6)[::2])
    limit = "backtest.data.gaps={AAA: {absent_share: 0.2}}"
    (one,) = examined(config, limit).errors

    assert (one.code, "49.9 %; expected at most 20 %" in one.sentence) == ("absent", True)
    assert one.mend.endswith("backtest.data.gaps.AAA.absent_share=0.5")
    assert examined(config, limit, "backtest.data.gaps.AAA.absent_share=0.5").errors == ()


def test_hours_in_which_the_market_is_closed_are_no_hole(tmp_path: Path) -> None:
    """A weekend of the forex week is one by calendar 24/7 only."""
    friday, sunday = parse_instant("2024-01-05 22:00"), parse_instant("2024-01-07 22:00")
    opens = np.concatenate((np.arange(START, friday, MINUTE_NS), np.arange(sunday, sunday + DAY_NS, MINUTE_NS)))
    until = "backtest.end=2024-01-08 20:00"
    found = {}
    for calendar in ("forex", "24/7"):
        folder = tmp_path / calendar.replace("/", "")
        folder.mkdir()
        found[calendar] = examined(project(folder, opens, calendar=calendar), until)

    assert [one.code for one in found["forex"].errors] == []
    assert found["forex"].series[0].absent == 0
    assert [one.code for one in found["24/7"].errors] == ["hole"]
    assert found["24/7"].series[0].refused == ((friday, sunday, 2 * DAY_NS),)


def test_bars_of_another_calendar_are_told(tmp_path: Path) -> None:
    """A market that trades over the weekend does not follow the forex week; 24/7 has no outside."""
    opens = np.arange(START - 2 * HOUR_NS, START + 6 * DAY_NS, MINUTE_NS)
    config = project(tmp_path, opens, calendar="forex")
    report = examined(config, "backtest.end=2024-01-09")
    always = examined(config, "backtest.end=2024-01-09", "instruments.AAA.calendar=24/7")

    assert (codes(report), codes(always)) == ([("warning", "outside")], [])
    assert (
        "2,880 of 8,640 bars in the window, 33.3 %, lie outside the sessions of calendar forex"
        in report.warnings[0].sentence
    )
    assert codes(examined(config, "backtest.end=2024-01-05")) == []


def test_all_absent_symbols_come_in_one_report(tmp_path: Path) -> None:
    """Each with the command that imports it, also when the window is wrong as well."""
    config = project(tmp_path, minutes(BEFORE, 6))
    more = ["instruments={AAA: {currency: USD}, BBB: {currency: USD}, CCC: {currency: USD}}", "symbols=[AAA, BBB, CCC]"]
    report = examined(config, *more)
    wrong = examined(config, *more, "backtest.end=2024-01-31")
    none = examined(config, "instruments={BBB: {currency: USD}, CCC: {currency: USD}}", "symbols=[BBB, CCC]")

    assert [(one.code, one.symbol) for one in report.errors] == [("no_data", "BBB"), ("no_data", "CCC")]
    assert [one.symbol for one in none.errors] == ["BBB", "CCC"]
    assert [one.code for one in wrong.errors] == ["no_data", "no_data", "coverage"]
    assert "FILE --symbol CCC --store" in report.errors[1].mend
    assert shlex.split(wrong.errors[2].mend)[-1] == "backtest.end=2024-01-03"


def test_no_store_at_all_is_a_finding_with_its_command(tmp_path: Path) -> None:
    """The path in it is the one of the configuration, without a way up and down again."""
    report = examined(project(tmp_path, minutes(BEFORE, 6)), "backtest.data.store=../none/./absent.duckdb")
    (one,) = report.errors
    path = shlex.split(one.mend)[-1]

    assert (one.code, one.symbol) == ("no_data", "")
    assert "data import FILE --store" in one.mend
    assert (Path(path), ".." in path) == (tmp_path.parent / "none" / "absent.duckdb", False)


@pytest.mark.parametrize(
    ("source", "seed"),
    [
        ("SYNTHETIC seed 7 from 2024-01-01", 7),
        ("SYNTHETIC something", "unknown"),
        ("file", None),
    ],
)
def test_generated_bars_of_a_store_are_labelled(tmp_path: Path, source: str, seed: int | str | None) -> None:
    """What was synced from a synthetic market is one in every run."""
    run = prepared(project(tmp_path, minutes(BEFORE, 6), source=source))

    assert run.synthetic == seed
    assert (run.manifest["synthetic"], run.manifest["synthetic_seed"]) == (seed is not None, seed)


def test_a_currency_is_never_made_up(tmp_path: Path) -> None:
    """Somebody has to say it; the advice is no account in a currency that does not exist."""
    config = project(tmp_path, minutes(BEFORE, 6))

    with pytest.raises(ConfigError, match="its name tells none: write instruments.AAA.currency"):
        prepared(config, "instruments={AAA: {kind: spot}}")
    assert prepared(config, "instruments={AAA: {kind: equity}}").instruments["AAA"].quote_currency == "USD"


@pytest.mark.slow  # importing the calendars of exchanges takes a second or two
def test_bars_stamped_with_their_close_are_named_where_the_market_closes(tmp_path: Path) -> None:
    """At every closing there is a bar, and at no opening."""
    days = [parse_instant(f"2024-01-{day:02d} 14:30") for day in (2, 3, 4, 5, 8, 9)]
    opens = np.concatenate([np.arange(day, day + 390 * MINUTE_NS, MINUTE_NS) for day in days])
    (tmp_path / "close").mkdir()
    (tmp_path / "open").mkdir()
    until = "backtest.end=2024-01-09 21:00"

    wrong = examined(project(tmp_path / "close", opens + MINUTE_NS, calendar="XNYS"), until)
    right = examined(project(tmp_path / "open", opens, calendar="XNYS"), until)

    assert ([one.code for one in wrong.errors], right.errors) == (["stamp"], ())
    assert wrong.errors[0].mend.endswith("--stamp close")
    assert right.series[0].absent == 0


def test_a_stamp_inside_a_minute_is_refused(tmp_path: Path) -> None:
    """It is the last moment of a bar, or of another clock."""
    opens = minutes(BEFORE, 6) + 59_999_000_000

    assert [one.code for one in examined(project(tmp_path, opens)).errors] == ["stamp"]


@pytest.mark.parametrize(
    "sql", ["high = low - 1", "open = high + 1", "close = 'nan'", "low = -1", "volume = -1", "high = 'inf'"]
)
def test_a_bar_that_cannot_be_right_is_refused(tmp_path: Path, sql: str) -> None:
    """The store refuses to take one; what changed it otherwise is found, and named with its instant."""
    config = project(tmp_path, minutes(BEFORE, 6))
    change(config, f"UPDATE bars SET {sql} WHERE open_ns = {START + HOUR_NS}")
    (one,) = examined(config).errors

    assert (one.code, "1 bar cannot be right, the first one at 2024-01-03 01:00:00Z" in one.sentence) == (
        "wrong_bar", True,
    )  # fmt: skip
    assert shlex.split(one.mend)[-4:-1] == ["data", "heal", "--store"]


def test_a_bar_twice_is_refused_before_anything_is_made_of_it(tmp_path: Path) -> None:
    """Also with preflight skipped: no market can be built from it."""
    config = project(tmp_path, minutes(BEFORE, 6))
    change(config, f"INSERT INTO bars SELECT * FROM bars WHERE open_ns = {START + HOUR_NS}")

    assert [one.code for one in examined(config).errors] == ["order"]
    with pytest.raises(PreflightError, match="once, found 1 bar too many, the first one at 2024-01-03 01:00:00Z"):
        prepared(config, preflight=False)


def test_what_cannot_be_loaded_hides_nothing_else(tmp_path: Path) -> None:
    """A bar twice, one that cannot be right, and a hole in another symbol come in one report, each with its command."""
    config = project(tmp_path, minutes(BEFORE, 6))
    with HistoricalDataStore(tmp_path / "bars.duckdb") as store:
        store.write_bars(series(minutes(BEFORE, 6, without=[(1, 3.5)]), "BBB"), source="file")
    change(config, f"INSERT INTO bars SELECT * FROM bars WHERE open_ns = {START + HOUR_NS} AND symbol = 'AAA'")
    change(config, f"UPDATE bars SET close = -1 WHERE open_ns = {START} AND symbol = 'AAA'")
    more = ["instruments.BBB={currency: USD}", "symbols=[AAA, BBB]", "backtest.data.gaps={BBB: {longest: 2h}}"]
    report = examined(config, *more, "backtest.costs.spread_percent=null")

    assert [(one.code, one.symbol) for one in report.errors] == [
        ("costs", ""), ("order", "AAA"), ("wrong_bar", "AAA"), ("hole", "BBB"),
    ]  # fmt: skip
    assert ["data heal" in one.mend for one in report.errors] == [False, True, True, False]
    assert "found 1 bar too many, the first one at 2024-01-03 01:00:00Z" in report.errors[1].sentence
    assert "every cost has a number" not in report.findings[-1].sentence


def test_bars_of_two_clocks_are_not_called_bars_twice(tmp_path: Path) -> None:
    """They lie inside each other; a bar that is there twice besides is a finding of its own."""
    config = project(tmp_path, minutes(BEFORE, 6))
    named = "symbol, timeframe_ns, price_side"
    half = f"SELECT {named}, open_ns + {MINUTE_NS // 2}, * EXCLUDE ({named}, open_ns)"
    change(config, f"INSERT INTO bars {half} FROM bars WHERE open_ns = {START + HOUR_NS}")
    (one,) = examined(config).errors
    change(config, f"INSERT INTO bars SELECT * FROM bars WHERE open_ns = {START}")
    twice, inside = examined(config).errors

    assert "found 2024-01-03 01:00:30Z inside the bar of 2024-01-03 01:00:00Z" in one.sentence
    assert (twice.code, inside.sentence) == ("order", one.sentence)
    assert "1 bar too many, the first one at 2024-01-03" in twice.sentence


def test_missing_costs_and_missing_bars_come_in_one_report(tmp_path: Path) -> None:
    """Everything that is wrong is told at once, each with its code."""
    config = project(tmp_path, minutes(BEFORE, 6))
    report = examined(config, "backtest.costs.spread_percent=null", "backtest.end=2024-01-31")

    assert codes(report) == [("error", "costs"), ("error", "coverage"), ("warning", "ends_early")]
    assert shlex.split(report.errors[0].mend)[-1] == "backtest.costs.spread_percent=0"
    assert shlex.split(report.errors[1].mend)[-1] == "backtest.end=2024-01-03"


def test_bars_that_end_early_are_told(tmp_path: Path) -> None:
    """The symbol is traded for a part of the window only; nothing is refused."""
    config = project(tmp_path, minutes(BEFORE, 3))
    report = examined(config, "backtest.data.gaps={AAA: {longest: 2h}}")

    assert codes(report) == [("warning", "ends_early")]
    assert "3h of open hours are missing" in report.warnings[0].sentence


def test_bars_that_begin_late_are_told(tmp_path: Path) -> None:
    """With what is missing of the window; its strategies have no warm-up either."""
    report = examined(project(tmp_path, minutes(3, 6)), "backtest.data.gaps={AAA: {longest: 2h}}")

    assert codes(report) == [("warning", "begins_late"), ("warning", "warmup")]
    assert "the bars begin at 2024-01-03 03:00:00Z" in report.warnings[0].sentence


@pytest.mark.slow  # importing the calendars of exchanges takes a second or two
def test_bars_outside_the_sessions_belong_to_no_longer_bar(tmp_path: Path) -> None:
    """Before the open of an exchange there are prices, of which no bar of 45 minutes is made."""
    days = [parse_instant(f"2024-01-{day:02d} 14:00") for day in (2, 3, 4)]
    opens = np.concatenate([np.arange(day, day + 420 * MINUTE_NS, MINUTE_NS) for day in days])
    words = ["strategies.0.timeframe=45m", "backtest.end=2024-01-04 21:00"]
    report = examined(project(tmp_path, opens, calendar="XNYS"), *words)

    assert [one.code for one in report.warnings] == ["outside", "warmup", "unmapped"]
    assert "90 bars of 1m belong to no bar of 45m" in report.warnings[2].sentence


def test_the_command_for_synced_bars_asks_their_source(tmp_path: Path) -> None:
    """Whole days around the hole, from where the other bars came."""
    config = project(tmp_path, minutes(BEFORE, 6, without=[(1, 3.5)]), source="ccxt:binanceusdm")
    (one,) = examined(config, "backtest.data.gaps={AAA: {longest: 2h}}").errors
    words = shlex.split(one.mend)

    assert words[-13:-1] == [
        "data", "sync", "--source", "ccxt:binanceusdm", "--symbols", "AAA", "--timeframes", "1m",
        "--start", "2024-01-03", "--end", "2024-01-04", "--store",
    ][-12:]  # fmt: skip


def test_coarse_bars_are_told(tmp_path: Path) -> None:
    """Where there are no minutes, orders are matched on what there is; three absent bars are never too many."""
    opens = np.arange(START - DAY_NS, START + 6 * HOUR_NS, 5 * MINUTE_NS)
    opens = np.delete(opens, [300, 301, 302])
    report = examined(
        project(tmp_path, opens, timeframe_ns=5 * MINUTE_NS), "backtest.data.gaps={AAA: {longest: 1m}}"
    )  # fmt: skip

    assert codes(report) == [("info", "coarse")]


def test_a_report_survives_its_error(tmp_path: Path) -> None:
    """What refuses a run carries everything that was found, also from another process."""
    config = project(tmp_path, minutes(-0.25, 6, without=[(1, 3.5)]))
    with pytest.raises(PreflightError) as raised:
        prepared(config, "backtest.data.gaps={AAA: {longest: 2h}}")
    error = pickle.loads(pickle.dumps(raised.value))
    report = PreflightReport.of(error)

    assert codes(report) == [("error", "hole"), ("warning", "warmup")]
    assert report.series[0].refused[0][2] == int(2.5 * HOUR_NS)
    assert PreflightReport.of(PreflightError("else")).errors[0].code == "refused"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("gaps={AAB: {longest: 2h}}", "found 'AAB'; did you mean 'AAA'?"),
        ("gaps={AAA: {absent_share: 5}}", "absent_share"),
        ("accept_gaps=[{symbol: AAB, from: 2024-01-03, to: 2024-01-04, reason: closed}]", "accept_gaps.0.symbol"),
        ("accept_gaps=[{symbol: AAA, from: 2024-01-04, to: 2024-01-03, reason: closed}]", "to must lie after from"),
        ("accept_gaps=[{symbol: AAA, from: 2024, to: 2024-01-03, reason: closed}]", "found the number 2024"),
        ("accept_gaps=[{symbol: AAA, from: 2024-01-03, to: 2024-01-04}]", "reason: is required"),
    ],
)
def test_a_wrong_limit_is_refused_with_its_key(tmp_path: Path, override: str, sentence: str) -> None:
    """Before anything is read."""
    with pytest.raises(ConfigError) as refusal:
        prepared(project(tmp_path, minutes(BEFORE, 6)), f"backtest.data.{override}")

    assert sentence in refusal.value.message
