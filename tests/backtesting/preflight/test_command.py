"""`preflight` and the checks before a run, as somebody at a terminal meets them."""

import json
from pathlib import Path

import pytest

from src.cli.app import main
from src.core.timeframe import HOUR_NS, MINUTE_NS
from src.data.store import HistoricalDataStore
from tests.backtesting.preflight.projects import START, minutes, project, series
from tests.data.exchange_server import Exchange, serving

BEFORE = -2.0
STRICT = "backtest.data.gaps={AAA: {longest: 2h}}"


@pytest.fixture
def holed(tmp_path: Path) -> Path:
    """A configuration whose store has a hole of two and a half hours."""
    return project(tmp_path, minutes(BEFORE, 6, without=[(1, 3.5)]))


def preflight(config: Path, *words: str) -> int:
    """The exit code of `preflight`."""
    return main(["preflight", "--config", str(config), *words])


def test_the_table_names_each_series_and_each_finding_with_its_command(
    holed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """People read rows, sentences and commands; exit code 3 when a run would be refused, 0 when not."""
    codes = [preflight(holed, "--set", STRICT), preflight(holed)]
    out, err = capsys.readouterr()

    assert codes == [3, 0]
    assert "AAA 1m" in out
    assert "error hole: AAA: 1 hole longer than 2h" in out
    assert 'backtest.data.accept_gaps=[{symbol: "AAA"' in out
    assert "a run would be accepted: 0 warnings" in out
    assert "a run would be refused: 1 error, 0 warnings" in err


def test_json_is_one_object_with_findings_and_series(holed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs read the same, with instants in nanoseconds."""
    code = preflight(holed, "--set", STRICT, "--json")
    value = json.loads(capsys.readouterr().out)

    assert (code, value["exit_code"], value["passed"]) == (3, 3, False)
    assert [(one["severity"], one["code"], one["symbol"]) for one in value["findings"]] == [
        ("error", "hole", "AAA"), ("info", "window", ""),
    ]  # fmt: skip
    assert value["series"][0]["refused"] == [
        {"from_ns": START + HOUR_NS, "to_ns": START + int(3.5 * HOUR_NS), "open_hours_ns": int(2.5 * HOUR_NS)}
    ]


@pytest.mark.slow
def test_a_refused_run_leaves_no_folder_and_a_skipped_preflight_leaves_a_record(
    holed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever reads the folder later sees that nobody looked; the digest does not know of it."""
    run = ["--mode", "backtest", "--config", str(holed), "--set", STRICT, "--json"]
    refused = main(run)
    error = json.loads(capsys.readouterr().out)["error"]
    folders = (holed.parent / "runs").exists()
    skipped = main([*run, "--skip-preflight"])
    out, err = capsys.readouterr()
    value = json.loads(out)
    folder = Path(value["folder"])
    accepted = main(["--mode", "backtest", "--config", str(holed), "--json"])
    judged = json.loads(capsys.readouterr().out)

    assert (refused, folders, error["findings"][0]["code"]) == (3, False, "hole")
    assert (skipped, value["preflight"]) == (0, None)
    assert "preflight was skipped" in err
    assert json.loads((folder / "control.jsonl").read_text(encoding="utf-8")) == {
        "action": "skip_preflight", "instant_ns": START,
    }  # fmt: skip
    assert (accepted, judged["digest"], judged["run_id"]) == (0, value["digest"], value["run_id"])
    assert [one["code"] for one in judged["preflight"]] == ["window"]


@pytest.mark.slow
def test_the_report_of_a_run_names_the_accepted_spans(holed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason that somebody gave, as it was written."""
    span = "{symbol: AAA, from: 2024-01-03 01:00, to: 2024-01-03 03:30, reason: the venue <rested>}"
    words = ["--set", STRICT, "--set", f"backtest.data.accept_gaps=[{span}]"]
    code = main(["--mode", "backtest", "--config", str(holed), "--json", *words])
    folder = Path(json.loads(capsys.readouterr().out)["folder"])

    assert code == 0
    assert "the venue &lt;rested&gt;" in (folder / "report.html").read_text(encoding="utf-8")


def test_warnings_are_told_before_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, in a sentence each; quiet silences them."""
    config = project(tmp_path, minutes(-0.25, 6))
    words = ["--mode", "backtest", "--config", str(config)]
    main(words)
    told = capsys.readouterr().err
    main([*words, "--quiet"])

    assert told.startswith("preflight: AAA: sma_cross looks back on 15 bars of 5m and 3 have closed before")
    assert capsys.readouterr().err == ""


def test_a_symbol_that_joins_is_judged_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its bars are read before the run begins, and refused before it begins."""
    config = project(tmp_path, minutes(BEFORE, 6))
    with HistoricalDataStore(tmp_path / "bars.duckdb") as store:
        store.write_bars(series(minutes(BEFORE, 6, without=[(3, 5.5)]), "BBB"), source="file")
    words = ["instruments.BBB={currency: USD}", "backtest.control=[{at: 2024-01-03 01:00, add: BBB}]"]
    joined = [part for word in words for part in ("--set", word)]

    assert preflight(config, *joined) == 0
    assert preflight(config, *joined, "--set", "backtest.data.gaps={BBB: {longest: 2h}}") == 3
    assert "error newcomer: BBB: 1 hole longer than 2h" in capsys.readouterr().out


@pytest.mark.slow
def test_sync_first_gets_what_is_absent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exchange has the hour that the store has not; without a source the option is refused."""
    pytest.importorskip("ccxt")
    config = project(tmp_path, minutes(BEFORE, 0))
    (tmp_path / "bars.duckdb").unlink()
    text = config.read_text(encoding="utf-8").replace("AAA", "BTCUSDT").replace("USD,", "USDT,")
    config.write_text(text, encoding="utf-8")
    assert preflight(config, "--sync") == 2
    with serving(Exchange(now_ms=(START + 9 * HOUR_NS) // 1_000_000)) as exchange:
        options = json.dumps(exchange.options)
        words = ["--set", "backtest.data.sync=ccxt:binanceusdm", "--set", f"backtest.data.sync_options={options}"]
        codes = [preflight(config, "--sync", *words), preflight(config, "--sync", *words)]
    err = capsys.readouterr().err

    assert codes == [0, 0]
    assert "BTCUSDT 1m: 44" in err
    assert "BTCUSDT 1m: nothing new" in err
    with HistoricalDataStore(tmp_path / "bars.duckdb", read_only=True) as store:
        opens = store.read_bars("BTCUSDT", MINUTE_NS).open_ns
    assert (int(opens[0]) < START - HOUR_NS, int(opens[-1])) == (True, START + 6 * HOUR_NS - MINUTE_NS)
