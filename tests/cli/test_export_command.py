"""`export`: which files it writes, where, and what it refuses."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from src.backtesting import Run, run_backtest
from src.backtesting.export import write_tearsheet
from src.cli.app import main
from src.core.errors import DataError
from tests.backtesting.api_world import small


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small run."""
    return run_backtest(small(tmp_path_factory.mktemp("export")))


def test_without_options_trades_and_equity_go_into_the_runs_folder(
    stored: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their paths are printed, and nothing else on stdout."""
    code = main(["export", str(stored.folder)])

    shown = capsys.readouterr()
    assert code == 0
    assert shown.out.splitlines() == [str(stored.folder / name) for name in ("trades.csv", "equity.csv")]
    assert "SYNTHETIC" in shown.err
    assert (stored.folder / "trades.csv").read_text(encoding="utf-8").count("\n") == len(stored.trades) + 1


def test_named_tables_go_where_they_are_wanted(stored: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there is made; `--json` names the files."""
    code = main(["export", str(stored.folder), "--tables", "fills, returns", "--to", str(tmp_path / "new"), "--json"])

    value = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (value["run_id"], value["folder"]) == (stored.run_id, str(stored.folder))
    assert value["files"] == [str(tmp_path / "new" / name) for name in ("fills.csv", "returns.csv")]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["fills.csv", "returns.csv"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--tables", "trade"], "orders, fills, journal, found trade; did you mean 'trades'?"),
        (["--tables", ","], "--tables: expected names among"),
    ],
)
def test_a_table_that_is_not_there_is_refused(
    words: list[str], sentence: str, stored: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written."""
    code = main(["export", str(stored.folder), *words, "--to", str(tmp_path)])

    assert (code, sentence in capsys.readouterr().err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With what would have been understood."""
    code = main(["export", "nothing"])

    assert (code, "expected the folder of a run, or the name of one in" in capsys.readouterr().err) == (2, True)


def test_a_place_that_cannot_be_written_is_named(
    stored: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file where a folder should be."""
    (tmp_path / "taken").write_text("", encoding="utf-8")

    code = main(["export", str(stored.folder), "--to", str(tmp_path / "taken")])

    assert (code, "choose another folder with --to" in capsys.readouterr().err) == (2, True)


def test_a_tear_sheet_without_quantstats_is_refused_with_its_extra(
    stored: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "quantstats", None)

    code = main(["export", str(stored.folder), "--tearsheet", "--to", str(tmp_path)])

    assert (code, "pip install 'lockstep[tearsheet]'" in capsys.readouterr().err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_tear_sheet_of_one_day_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing that could be said of it."""
    run = run_backtest(small(tmp_path), end="2024-01-02")

    code = main(["export", str(run.folder), "--tearsheet"])

    assert (code, "at least 2 days with positive equity for a tear sheet, found 1" in capsys.readouterr().err) == (
        2,
        True,
    )


def test_a_table_that_is_named_twice_is_written_once(
    stored: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And `all` beside others is all."""
    codes = [main(["export", str(stored.folder), "--tables", names, "--to", str(tmp_path / str(i)), "--json"])
             for i, names in enumerate(("fills,fills", "trades,all"))]  # fmt: skip
    lines = capsys.readouterr().out.splitlines()

    assert codes == [0, 0]
    assert [len(json.loads(line)["files"]) for line in lines] == [1, 6]


@pytest.mark.parametrize(("returns", "refused"), [([1.5, 0.2, 0.0], True), ([1.5, 0.2, -0.1], False)])
def test_returns_that_quantstats_would_take_for_prices_are_refused(
    returns: list[float], refused: bool, tmp_path: Path
) -> None:
    """None below 0 and one above 100 %: it would show a loss of 80 % where the account grew sixfold."""
    quantstats = pytest.importorskip("quantstats", reason="quantstats is not installed")
    series = pd.Series(returns, index=pd.date_range("2024-01-01", periods=3, tz="UTC"))
    run: Any = SimpleNamespace(
        returns=series, manifest={}, run_id="a", synthetic=False, metrics=SimpleNamespace(days_per_year=365.0)
    )

    grown: Any = (1 + quantstats.utils._prepare_returns(series)).prod()
    assert (grown == pytest.approx((1 + series).prod())) is not refused
    if refused:
        with pytest.raises(DataError, match="one of 150%: it would take them for prices"):
            write_tearsheet(run, tmp_path / "sheet.html")
        assert list(tmp_path.iterdir()) == []
