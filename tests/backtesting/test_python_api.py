"""`run_backtest` and `open_run`: the run of the command line, as pandas frames."""

import datetime as dt
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from src.backtesting import Run, open_run, run_backtest
from src.backtesting.export import write_csv
from src.backtesting.progress_bar import progress_bar
from src.core.bars import Bar
from src.core.errors import ConfigError, DataError, PreflightError, StrategyError
from src.core.strategy import BarStrategy
from tests.backtesting.api_world import Crossing, small
from tests.end_to_end.command import ROOT
from tests.end_to_end.command import run as command

TABLES = ("trades", "orders", "fills", "journal")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the market and the runs of this module lie."""
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def done(folder: Path) -> Run:
    """The small run."""
    return run_backtest(small(folder))


@pytest.mark.slow
def test_importing_the_package_loads_nothing_heavy() -> None:
    """Neither pandas nor the engine; only asking for the function does."""
    code = (
        "import sys, src.backtesting as b; heavy = {'pandas', 'tqdm', 'plotly', 'pyarrow', 'duckdb', 'numpy'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules); assert 'run_backtest' in dir(b); "
        "b.run_backtest; assert 'pandas' in sys.modules"
    )

    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)

    assert ended.returncode == 0, ended.stderr


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As of any other module."""
    import src.backtesting as package

    with pytest.raises(AttributeError, match="no attribute 'run_backtests'"):
        _ = package.run_backtests


@pytest.mark.slow
def test_the_same_configuration_is_the_same_run_as_from_the_command_line(done: Run, folder: Path) -> None:
    """Run id, digest and every table: one path, two doors."""
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(small(folder)), encoding="utf-8")

    ended = command("--mode", "backtest", "--config", path, "--json", cwd=folder)
    from_file = run_backtest(path)

    assert (ended.value["run_id"], ended.value["digest"]) == (done.run_id, done.digest)
    assert ended.value["metrics"] == done.metrics.to_dict()
    assert (from_file.run_id, from_file.digest, from_file.folder) == (done.run_id, done.digest, done.folder)


def test_a_run_knows_what_came_of_it(done: Run) -> None:
    """Folder, outcome, label and figures are those that are stored."""
    metrics = json.loads((done.folder / "metrics.json").read_text(encoding="utf-8"))

    assert (done.outcome, done.synthetic, done.folder.name) == ("COMPLETED", True, done.run_id)
    assert done.metrics.to_dict() == metrics
    assert done.metrics.trades == len(done.trades) > 3
    assert repr(done) == f"<Run {done.run_id} COMPLETED SYNTHETIC>"


@pytest.mark.parametrize("name", TABLES)
def test_frames_hold_what_the_tables_hold(done: Run, name: str) -> None:
    """Each value, in its row; instants to the nanosecond, in UTC, absent ones too."""
    table = pq.read_table(done.folder / f"{name}.parquet")
    frame = getattr(done, name)

    assert len(frame) == table.num_rows > 0
    assert [column.removesuffix("_ns") for column in table.column_names] == [
        "instant" if column == "at" else column.removesuffix("_at") for column in frame
    ]
    for column, stored in zip(frame, table.column_names, strict=True):
        values = table.column(stored).to_pylist()
        if stored.endswith("_ns"):
            assert str(frame[column].dtype) == "datetime64[ns, UTC]"
            assert [None if pd.isna(each) else each.value for each in frame[column]] == values
        else:
            assert [None if pd.isna(each) else each for each in frame[column]] == values


def test_money_of_the_frames_adds_up_to_the_figures(done: Run) -> None:
    """Sums of the trades' columns, the last of the equity, and the returns compounded."""
    metrics, trades = done.metrics, done.trades

    assert trades["net"].sum() == pytest.approx(metrics.net)
    assert done.equity.iloc[-1] == pytest.approx(metrics.final_equity)
    assert done.equity.index.tz is dt.UTC or str(done.equity.index.tz) == "UTC"
    assert float((1 + done.returns).prod()) == pytest.approx(metrics.final_equity / metrics.initial_balance)
    assert [str(day.date()) for day in done.returns.index] == ["2024-01-01", "2024-01-02"]
    assert done.returns.name == done.run_id


@pytest.mark.parametrize(
    ("at", "dates", "first_end"),
    [
        ("17:00", ["2024-01-01", "2024-01-02", "2024-01-03"], "2024-01-01 22:00"),
        ("00:00", ["2023-12-31", "2024-01-01", "2024-01-02"], "2024-01-01 05:00"),
    ],
)
def test_a_day_of_the_account_goes_by_its_date(at: str, dates: list[str], first_end: str, folder: Path) -> None:
    """Where it is: the hours after the close of New York belong to the next day, those before its midnight do not."""
    run = run_backtest(small(folder), set=[f"risk.day={{zone: America/New_York, at: '{at}'}}"])

    assert [str(day.date()) for day in run.returns.index] == dates
    assert len(run.returns) == run.metrics.days
    at_end = run.equity[: pd.Timestamp(first_end, tz="UTC")].iloc[-1]
    assert run.returns.iloc[0] == pytest.approx(at_end / 10_000 - 1)


def test_a_stored_run_is_opened_by_its_folder_or_its_name(done: Run, folder: Path) -> None:
    """Both give what the run itself gave."""
    for again in (open_run(done.folder), open_run(done.run_id, runs=folder / "runs"), open_run(str(done.folder))):
        assert (again.run_id, again.digest, again.folder) == (done.run_id, done.digest, done.folder)
        pd.testing.assert_frame_equal(again.trades, done.trades)
        pd.testing.assert_series_equal(again.equity, done.equity)


def test_a_run_that_is_not_there_is_refused_with_a_sentence(tmp_path: Path) -> None:
    """Neither a folder nor a name; and a folder that holds no run."""
    with pytest.raises(ConfigError, match=r"expected the folder of a run, or the name of one in runs, found 'nothing'"):
        open_run("nothing")
    with pytest.raises(DataError, match=r"expected manifest.json of a run in .*is it the folder of a run\?"):
        open_run(tmp_path)


def test_a_table_that_is_gone_is_named(done: Run, tmp_path: Path) -> None:
    """A folder that lost a file says which."""
    for name in ("manifest.json", "metrics.json"):
        (tmp_path / name).write_bytes((done.folder / name).read_bytes())

    with pytest.raises(DataError, match=r"expected the trades of a run at .*trades.parquet"):
        _ = open_run(tmp_path).trades


def test_figures_of_another_version_are_named(done: Run, tmp_path: Path) -> None:
    """A file without a figure that this version has is no file of this version."""
    values = done.metrics.to_dict()
    del values["sharpe"]
    (tmp_path / "manifest.json").write_bytes((done.folder / "manifest.json").read_bytes())
    (tmp_path / "metrics.json").write_text(json.dumps(values), encoding="utf-8")

    with pytest.raises(DataError, match=r"found none called sharpe; run it again"):
        _ = open_run(tmp_path).metrics


@pytest.mark.slow
def test_arguments_change_the_configuration_as_words_do(done: Run, folder: Path) -> None:
    """`set` as words and as a mapping, `end` as a text, a date and an instant: one run."""
    key, berlin = "strategies.0.params.fast", pd.Timestamp("2024-01-02 01:00", tz="Europe/Berlin")
    runs = [
        run_backtest(small(folder), set=["backtest.end=2024-01-02", f"{key}=4"]),
        run_backtest(small(folder), set={key: np.int64(4)}, end=dt.date(2024, 1, 2)),
        run_backtest(small(folder), set={key: 4}, end=berlin),
        run_backtest(small(folder), set=f"{key}=4", end=dt.datetime(2024, 1, 2), start="2024-01-01"),
    ]

    assert len({run.run_id for run in runs}) == 1
    assert runs[0].run_id != done.run_id


@pytest.mark.slow
def test_symbols_choose_among_those_of_the_configuration(folder: Path) -> None:
    """A run of one of two symbols trades that one."""
    config = small(folder)
    config["instruments"]["BBBUSDT"] = config["instruments"]["AAAUSDT"]
    config["symbols"] = ["AAAUSDT", "BBBUSDT"]
    config["backtest"]["data"]["store"] = str(folder / "two.duckdb")

    run = run_backtest(config, symbols=["BBBUSDT"])

    assert set(run.trades["symbol"]) == {"BBBUSDT"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"set": ["risk.sise=1"]}, r"unknown key 'sise'; did you mean 'size'\?"),
        ({"set": ["nothing"]}, r"expected set=\['key=value'\], found 'nothing'"),
        ({"set": {"backtest.end": "soon"}}, r"set backtest.end: .*expected a date"),
        ({"end": "2023-01-01"}, r"end"),
        ({"strategies": "sma_cros"}, r"did you mean 'sma_cross'\?"),
        ({"strategies": dict}, r"expected a strategy, found dict; derive it from"),
        ({"strategies": {"use": Crossing, "params": {"fast": 1}}}, r"fast: expected at least 2, found 1"),
        ({"symbols": ["ZZZ"]}, r"ZZZ"),
    ],
)
def test_what_is_wrong_is_said_in_the_sentences_of_the_command_line(
    arguments: dict[str, Any], sentence: str, folder: Path
) -> None:
    """And nothing is run."""
    with pytest.raises(ConfigError, match=sentence):
        run_backtest(small(folder), **arguments)


def test_a_run_without_data_is_refused_by_its_own_error(folder: Path) -> None:
    """The data are judged first, as everywhere."""
    with pytest.raises(PreflightError, match=r"beyond the stored bars|no data|nothing"):
        run_backtest(small(folder, data={"source": "store", "store": str(folder / "absent.duckdb")}))


def test_a_run_that_fails_raises_and_says_where_it_lies(folder: Path) -> None:
    """The error of the strategy itself; what was simulated until then is stored."""

    class Failing(BarStrategy):
        timeframe = "15m"

        def on_bar(self, bar: Bar) -> None:
            raise ValueError("no more")

    with pytest.raises(StrategyError, match="no more") as caught:
        run_backtest(small(folder), strategies=Failing)

    assert open_run(caught.value.folder).outcome == "FAILED"


def test_a_symbol_that_was_stopped_is_warned_of(folder: Path) -> None:
    """The run ends, its outcome says what it is, and nobody overlooks it."""

    class Failing(BarStrategy):
        timeframe = "15m"

        def on_bar(self, bar: Bar) -> None:
            raise ValueError("no more")

    with pytest.warns(UserWarning, match=r"AAAUSDT was stopped: .*no more"):
        run = run_backtest(small(folder), strategies=Failing, set=["on_error=stop_symbol"])

    assert run.outcome == "DEGRADED"


def test_an_interrupted_run_raises_as_python_does(folder: Path) -> None:
    """Ctrl-C ends the cell; what was simulated until then is stored."""

    class Interrupting(BarStrategy):
        timeframe = "1m"

        def on_bar(self, bar: Bar) -> None:
            if "sent" not in self.state:
                self.state["sent"] = True
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match=r"what was simulated until then is stored in ") as caught:
        run_backtest(small(folder), strategies=Interrupting, end="2024-01-20")

    assert open_run(str(caught.value).rpartition(" in ")[2]).outcome == "INTERRUPTED"


def test_a_notebook_sees_the_table_and_the_warning(done: Run) -> None:
    """SYNTHETIC first; text is escaped."""
    shown = done._repr_html_()

    assert shown.index("SYNTHETIC") < shown.index("Final equity") < shown.index(done.run_id)
    assert "<script" not in shown


def test_the_picture_shows_equity_and_drawdown_with_their_lows_and_highs(done: Run) -> None:
    """Thinned to so many points, the deepest fall and the end are still the ones of the figures."""
    figure = done.plot(points=50)
    whole = done.plot()

    equity, fall = figure.data
    assert len(equity.x) < 60 < len(whole.data[0].x)
    assert -min(fall.y) == pytest.approx(done.metrics.max_drawdown_percent)
    assert equity.y[-1] == pytest.approx(done.metrics.final_equity)
    assert "SYNTHETIC" in figure.layout.title.text
    assert (min(equity.y), max(equity.y)) == (done.equity.min(), done.equity.max())


def test_the_bar_counts_the_bars_of_the_run(folder: Path) -> None:
    """Drawn to the end, with the date that was reached; and not drawn where nobody looks."""
    drawn = StringIO()
    counts = SimpleNamespace(now_ns=1_704_240_000_000_000_000)
    controller: Any = SimpleNamespace(
        market=SimpleNamespace(total_bars=2880, bars=2880), time_controller=SimpleNamespace(statistics=lambda: counts)
    )

    watch: Callable[..., Any] | None = progress_bar(True, drawn)
    assert watch is not None
    with watch(controller):
        pass

    assert "2024-01-03 00:00: 100%" in drawn.getvalue()
    assert "2.88k/2.88k" in drawn.getvalue()
    assert progress_bar(False) is None
    assert progress_bar(None) is None  # the tests have no terminal


def test_csv_reads_back_exactly(done: Run, tmp_path: Path) -> None:
    """Numbers to the last bit and instants with their zone, of trades, equity and returns."""
    write_csv(done, tmp_path, ("trades", "equity", "returns"))

    trades = pd.read_csv(tmp_path / "trades.csv", parse_dates=["entry_at", "exit_at"])
    equity = pd.read_csv(tmp_path / "equity.csv", index_col="at", parse_dates=True)
    returns = pd.read_csv(tmp_path / "returns.csv", index_col="day", parse_dates=True)

    assert trades["net"].tolist() == done.trades["net"].tolist()
    assert trades["entry_at"].tolist() == done.trades["entry_at"].tolist()
    assert equity["equity"].tolist() == done.equity.tolist()
    assert equity.index.tolist() == done.equity.index.tolist()
    assert returns["return"].tolist() == done.returns.tolist()


def test_a_run_without_trades_has_empty_frames_of_the_same_columns(done: Run, folder: Path) -> None:
    """Code that reads them needs no other way for it."""

    class Idle(BarStrategy):
        timeframe = "15m"

    run = run_backtest(small(folder), strategies=Idle)

    assert len(run.trades) == len(run.fills) == 0
    pd.testing.assert_series_equal(run.trades.dtypes, done.trades.dtypes)
    pd.testing.assert_series_equal(run.orders.dtypes, done.orders.dtypes)
    assert run.returns.tolist() == [0.0, 0.0]
    assert "NO TRADES" in run._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"progress": "no"}, r"progress=\.\.\.\): expected 'auto', True or False, found 'no'"),
        ({"set": [("risk.max_open_positions", 1)]}, r"set=\.\.\.\): expected words such as"),
        ({"strategies": 3}, r"strategies=\.\.\.\): expected names, classes or entries .*, found 3"),
        ({"strategies": ["sma_cross", None]}, r"strategies=\.\.\.\): expected names, .*, found None"),
        ({"config": 5}, "expected a YAML file or a mapping of its keys, found 5"),
        ({"end": pd.NaT}, r"end=\.\.\.\): backtest\.end: expected a date such as .*, found 'NaT'"),
    ],
)
def test_an_argument_of_another_kind_is_refused_with_its_name(
    arguments: dict[str, Any], sentence: str, folder: Path
) -> None:
    """A sentence that says what is expected, and no error from inside of a library."""
    with pytest.raises(ConfigError, match=sentence):
        run_backtest(**{"config": small(folder), **arguments})


def test_every_kind_of_instant_is_the_same_end(folder: Path, done: Run) -> None:
    """Dates, texts, timestamps of pandas and of numpy in any unit; `set` may be left empty."""
    ends: list[Any] = ["2024-01-03", dt.date(2024, 1, 3), dt.datetime(2024, 1, 3), pd.Timestamp("2024-01-03")]
    ends += [np.datetime64("2024-01-03", unit) for unit in ("D", "us", "ns")]
    nothing: Any = None

    assert {run_backtest(small(folder), end=end, set=nothing).run_id for end in ends} == {done.run_id}


def test_a_name_that_is_nearly_one_is_answered_with_it(done: Run, folder: Path) -> None:
    """A letter that is wrong, or a name that was cut off; what lies hidden beside the runs is nobody's name."""
    (folder / "runs" / ".unfinished").mkdir(exist_ok=True)

    for text in (f"{done.run_id[:-1]}x", done.run_id[:8]):
        with pytest.raises(ConfigError, match=rf"found '{text}'; did you mean '{done.run_id}'\?"):
            open_run(text, runs=folder / "runs")
    with pytest.raises(ConfigError, match=r"found ''; give another one"):
        open_run("", runs=folder / "runs")
    with pytest.raises(ConfigError, match=r"found 'unfinished'; give another one"):
        open_run("unfinished", runs=folder / "runs")


def test_a_run_goes_before_a_folder_that_only_has_its_name(
    done: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody exported into a folder of that name, and asks for the run again."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / done.run_id).mkdir()

    assert open_run(done.run_id, runs=folder / "runs").folder == done.folder


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("manifest.json", "{}", r"expected the manifest of a run at .*, found one without run_id, digest, outcome"),
        ("manifest.json", "[]", r"expected an object in .*manifest.json, found list; run it again"),
        ("metrics.json", "null", "the money of this run did not add up"),
        ("metrics.json", "[]", r"expected an object in .*metrics.json, found list; run it again"),
    ],
)
def test_a_file_of_another_shape_is_named(file: str, text: str, sentence: str, done: Run, tmp_path: Path) -> None:
    """Whatever somebody wrote into it."""
    for name in ("manifest.json", "metrics.json"):
        (tmp_path / name).write_bytes((done.folder / name).read_bytes())
    (tmp_path / file).write_text(text, encoding="utf-8")

    with pytest.raises(DataError, match=sentence):
        _ = Run(str(tmp_path)).metrics


def test_groups_of_another_version_are_named_and_more_figures_do_no_harm(done: Run, tmp_path: Path) -> None:
    """A figure that a later version has is left out; one that is absent in a group is missed."""
    values = {**done.metrics.to_dict(), "later": 1.0}
    values["per_symbol"][0]["later"] = 1.0
    (tmp_path / "manifest.json").write_bytes((done.folder / "manifest.json").read_bytes())
    (tmp_path / "metrics.json").write_text(json.dumps(values), encoding="utf-8")
    read = Run(tmp_path).metrics
    del values["per_symbol"][0]["net"]
    (tmp_path / "metrics.json").write_text(json.dumps(values), encoding="utf-8")

    assert read == done.metrics
    with pytest.raises(DataError, match="found none called net; run it again"):
        _ = Run(tmp_path).metrics


def test_a_notebook_shows_a_run_without_figures(done: Run, tmp_path: Path) -> None:
    """What it is, where it lies, and why there are none, instead of a traceback under the cell."""
    (tmp_path / "manifest.json").write_bytes((done.folder / "manifest.json").read_bytes())
    (tmp_path / "metrics.json").write_text("null", encoding="utf-8")

    shown = Run(tmp_path)._repr_html_()

    assert "COMPLETED" in shown
    assert "did not add up" in shown
    assert done.run_id in shown


def test_a_recorded_run_that_has_not_ended_is_named_as_one(tmp_path: Path) -> None:
    """Paper and live write their tables at the end; until then there is a recording, which other verbs read."""
    (tmp_path / "recording.sqlite").write_bytes(b"")

    with pytest.raises(DataError, match=r"found the recording of one on paper or live that has not; `report` shows it"):
        open_run(tmp_path)
