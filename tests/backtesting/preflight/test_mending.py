"""The command of a finding mends it: a source is asked again only where it has not answered."""

import json
import shlex
from pathlib import Path

import pytest

from src.cli.app import main
from src.core.timeframe import HOUR_NS, MINUTE_NS
from src.data.store import HistoricalDataStore
from tests.backtesting.preflight.projects import START, change, examined, minutes, project

BEFORE = -2.0
STRICT = "backtest.data.gaps={AAA: {longest: 1h}}"
EXCHANGE = "ccxt:binanceusdm"
SYNTHETIC = "backtest.data.sync=synthetic:7"
TWO_HOLES = minutes(BEFORE, 6, without=[(1, 2.5), (3, 5)])


def answer(config: Path, begin: float, end: float, bars: int) -> None:
    """Let the exchange have answered a window, in hours since the start, with so many bars."""
    with HistoricalDataStore(config.parent / "bars.duckdb") as store:
        store.log_sync("AAA", MINUTE_NS, EXCHANGE, START + int(begin * HOUR_NS), START + int(end * HOUR_NS), bars)


def pasted(capsys: pytest.CaptureFixture[str], config: Path, *overrides: str) -> tuple[int, dict[str, str]]:
    """The exit code of `preflight` and the command of each finding that has one, by its code."""
    words = [part for word in overrides for part in ("--set", word)]
    code = main(["preflight", "--config", str(config), "--json", *words])
    findings = json.loads(capsys.readouterr().out)["findings"]
    return code, {one["code"]: one["mend"] for one in findings if one["mend"]}


def test_a_hole_that_the_source_has_answered_is_accepted_and_not_asked_for_again(tmp_path: Path) -> None:
    """The sync would ask for nothing; the sentence says why the command is another one."""
    config = project(tmp_path, TWO_HOLES, source=EXCHANGE)
    answer(config, -2, 6, len(TWO_HOLES))
    (one,) = examined(config, STRICT).errors

    assert "data sync" not in one.mend
    assert 'accept_gaps=[{symbol: "AAA", from: "2024-01-03 01:00:00Z"' in one.mend
    assert one.sentence.endswith("ccxt:binanceusdm was asked for all of these and has no bars there")


def test_holes_that_are_partly_answered_are_asked_for_as_far_as_they_are_not(tmp_path: Path) -> None:
    """From the first hole without an answer on; what is left after that is to be accepted."""
    config = project(tmp_path, TWO_HOLES, source=EXCHANGE)
    answer(config, 0.5, 2.75, 45)
    (one,) = examined(config, STRICT).errors
    answer(config, 2.75, 6, 75)
    (later,) = examined(config, STRICT).errors

    assert one.sentence.endswith("ccxt:binanceusdm was asked for 1 of these and has no bars there")
    assert "data sync --source ccxt:binanceusdm --symbols AAA" in one.mend
    assert "accept_gaps" in later.mend


def test_bars_that_were_answered_and_are_gone_are_asked_for_again(tmp_path: Path) -> None:
    """More was stored than is there: the source has them."""
    config = project(tmp_path, TWO_HOLES, source=EXCHANGE)
    answer(config, -2, 6, len(TWO_HOLES) + 90)

    assert "data sync" in examined(config, STRICT).errors[0].mend


def test_an_absent_share_and_a_late_begin_are_asked_for_once(tmp_path: Path) -> None:
    """Answered, a share may be allowed, and missing warm-up moves the start."""
    config = project(tmp_path, minutes(-0.25, 6)[::2], source=EXCHANGE)
    limit = "backtest.data.gaps={AAA: {absent_share: 0.2}}"
    before = {one.code: one.mend for one in examined(config, limit).findings}
    answer(config, -48, 6, 188)
    after = {one.code: one.mend for one in examined(config, limit).findings}

    assert ["data sync" in before[code] for code in ("absent", "warmup")] == [True, True]
    assert after["absent"].endswith("--set backtest.data.gaps.AAA.absent_share=0.5")
    assert "backtest.start=2024-01-03 01:" in after["warmup"]


@pytest.mark.slow
def test_the_configured_source_is_asked_by_the_run_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a store, and with a hole: the command is pasted as it is, and then there is nothing left to mend."""
    monkeypatch.chdir(tmp_path)
    config = project(tmp_path, minutes(BEFORE, 6))
    (tmp_path / "bars.duckdb").unlink()
    _, absent = pasted(capsys, config, SYNTHETIC)
    first = main(shlex.split(absent["no_data"])[1:])
    change(config, f"DELETE FROM bars WHERE open_ns BETWEEN {START + HOUR_NS} AND {START + 3 * HOUR_NS}")
    capsys.readouterr()
    refused, holed = pasted(capsys, config, SYNTHETIC, STRICT)
    mended = main(shlex.split(holed["hole"])[1:])
    capsys.readouterr()

    assert shlex.split(absent["no_data"])[1:] == [
        "preflight", "--config", "config.yaml", "--set", SYNTHETIC, "--sync",
    ]  # fmt: skip
    assert (first, refused, mended) == (0, 3, 0)
    assert pasted(capsys, config, SYNTHETIC, STRICT) == (0, {})


def test_a_source_that_was_just_asked_is_no_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has no more: then a window that reaches beyond the bars is to be shortened."""
    file = tmp_path / "AAA.csv"
    stamps = minutes(BEFORE, 6) // 1_000_000_000
    rows = "".join(f"{stamp},100,101,99,100,5\n" for stamp in stamps)
    file.write_text(f"timestamp,open,high,low,close,volume\n{rows}", encoding="utf-8")
    config = project(tmp_path, minutes(BEFORE, 6))
    (tmp_path / "bars.duckdb").unlink()
    options = "{kind: crypto, zone: UTC, stamp: open, price: trade, timeframe: 1m}"
    words = [f"backtest.data.sync=csv:{file}", f"backtest.data.sync_options={options}", "backtest.end=2024-01-31"]
    sets = [part for word in words for part in ("--set", word)]
    code = main(["preflight", "--config", str(config), "--json", "--sync", *sets])
    after = {one["code"]: one["mend"] for one in json.loads(capsys.readouterr().out)["findings"]}
    _, before = pasted(capsys, config, *words)

    assert code == 3
    assert after["coverage"].endswith("backtest.end=2024-01-03")
    assert before["coverage"].endswith("--sync")


def test_a_source_that_cannot_be_mixed_with_what_is_stored_is_no_advice(tmp_path: Path) -> None:
    """The sync of the run would be refused."""
    config = project(tmp_path, TWO_HOLES)

    assert "accept_gaps" in examined(config, STRICT, SYNTHETIC).errors[0].mend


def test_beyond_what_a_run_asks_for_the_exchange_is_asked_for_days(tmp_path: Path) -> None:
    """A hole far before the window, where bars are read for the warm-up only because of it."""
    opens = minutes(-40, 6, without=[(-30, -1)])
    config = project(tmp_path, opens, source=EXCHANGE)
    sync = f"backtest.data.sync={EXCHANGE}"
    (near,) = examined(config, sync, STRICT, "strategies.0.params={fast: 2, slow: 30}").errors
    answer(config, -20, 6, 420)
    (far,) = examined(config, sync, STRICT, "strategies.0.params={fast: 2, slow: 30}").errors

    assert near.mend.endswith("--sync")
    assert shlex.split(far.mend)[-6:-2] == ["--start", "2024-01-01", "--end", "2024-01-03"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [("instruments={AAA: {kind: spot}}", 2), ("backtest.costs.spread_percent=null", 3)],
)
def test_a_wrong_setting_is_refused_before_anything_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, expected: int
) -> None:
    """No store is made; the sentence is the one of a run."""
    config = project(tmp_path, minutes(BEFORE, 6))
    (tmp_path / "bars.duckdb").unlink()
    code = main(["preflight", "--config", str(config), "--sync", "--set", SYNTHETIC, "--set", override])
    said = capsys.readouterr()

    assert (code, (tmp_path / "bars.duckdb").exists()) == (expected, False)
    assert "write instruments.AAA.currency" in said.err or "backtest.costs has no spread" in said.out
