"""Parameters chosen on each train, the real engine on each test, and one account that goes through all of them."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from src.backtesting.run import execute, prepare
from src.core.config_file import parse_config, read_config
from src.core.errors import DataError
from src.core.timeframe import DAY_NS, HOUR_NS, parse_instant
from src.research.suite.task import forget_data
from src.research.validation import reoptimise
from src.research.validation.reoptimise import Reoptimised, ReoptimiseWatch, run_reoptimise
from src.research.validation.section import ValidationSection
from tests.end_to_end.reoptimising import (
    BASE,
    BEGINS_NS,
    CONFIG,
    COSTS,
    SIDES,
    Here,
    price_at,
    write_bars,
    write_world,
)
from tests.end_to_end.suites import python

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its store, copied and never run in."""
    folder = tmp_path_factory.mktemp("market") / "project"
    write_world(folder)
    return folder


def copied(market: Path, folder: Path, *, choices: str = SIDES, base: str = BASE) -> Path:
    """The project without its runs."""
    shutil.copytree(market, folder, ignore=shutil.ignore_patterns("runs"))
    (folder / "base.yaml").write_text(base.lstrip(), encoding="utf-8")
    (folder / "choices.yaml").write_text(f"base: base.yaml\n{choices}\n", encoding="utf-8")
    return folder


def made(
    folder: Path, *, config: str = CONFIG, workers: int = 1, resume: bool = False, watch: ReoptimiseWatch | None = None
) -> Reoptimised:
    """The walk-forward, with processes of its own."""
    section = parse_config(config, "validate.yaml", folder).validate(ValidationSection)
    return run_reoptimise(section, folder, into=folder / "came", workers=workers, resume=resume, watch=watch)


def files(folder: Path) -> dict[str, bytes]:
    """The bytes of what it has come to."""
    return {name: (folder / "came" / name).read_bytes() for name in ("equity.parquet", "reoptimised.jsonl")}


@pytest.fixture(scope="module")
def walked(market: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reoptimised]:
    """Made once, with two workers."""
    folder = copied(market, tmp_path_factory.mktemp("walked") / "project")
    return folder, made(folder, workers=2)


def test_the_choice_of_each_window_is_the_best_of_its_train_alone(walked: tuple[Path, Reoptimised]) -> None:
    """As separate backtests of all choices say; March is entered long because February rose."""
    folder, found = walked
    config = folder / "base.yaml"

    assert [dict(each.labels)["side"] for each in found.windows] == ["long", "long", "short"]
    for each in found.windows:
        assert each.window.train_to_ns == each.window.test_from_ns
        nets = {}
        for side in ("short", "long", "none"):
            words = [
                f"strategies.0.params.side={side}", f"backtest.start={each.as_dict()['train_from']}",
                f"backtest.end={each.as_dict()['train_to']}",
            ]  # fmt: skip
            alone = execute(prepare(read_config(config, words)), report=False)
            assert alone.metrics is not None
            nets[side] = (alone.metrics.net, alone.run_id) if alone.metrics.trades else (-1e9, "")
        best = max(nets, key=lambda side: nets[side][0])
        assert (best, nets[best][1]) == (dict(each.labels)["side"], each.train_run_id)
        assert each.objective == pytest.approx(nets[best][0], abs=1e-9)
        assert (each.tried, each.eligible) == (3, 2)
    assert [each.name for each in found.windows] == ["run-0001", "run-0001", "run-0000"]


def test_each_window_starts_flat_with_what_was_carried_over_and_pays_to_end_flat(
    walked: tuple[Path, Reoptimised],
) -> None:
    """Worked out by hand: one unit from the second bar to the last price, less spread, slippage and commission."""
    _, found = walked
    equity = 1_000.0

    for each, side in zip(found.windows, (1, 1, -1), strict=True):
        first_ns, last_ns = each.window.test_from_ns + HOUR_NS, each.window.test_to_ns - HOUR_NS
        assert each.equity_from == pytest.approx(equity, abs=1e-9)
        equity += side * (price_at(last_ns) - price_at(first_ns)) - COSTS
        assert each.equity_to == pytest.approx(equity, abs=1e-9)
    # Entered at the open after the first bar of the window, so that the average was warm; closed where the window ends.
    assert found.trades.entry_ns.tolist() == [each.window.test_from_ns + HOUR_NS for each in found.windows]
    assert found.trades.exit_ns.tolist() == [each.window.test_to_ns for each in found.windows]
    assert found.trades.side is not None
    assert found.trades.side.tolist() == [1, 1, -1]
    assert found.final_equity == found.windows[-1].equity_to
    assert (found.error, found.without_r, found.synthetic, found.failed) == ("", 0, False, 0)


def test_the_curve_goes_on_exactly_at_each_seam(walked: tuple[Path, Reoptimised]) -> None:
    """The last equity of a window is the first of the next, to the last bit, and that of the run behind it."""
    folder, found = walked
    table = pq.read_table(folder / "came" / "equity.parquet").to_pydict()
    windows = [[i for i, number in enumerate(table["window"]) if number == each] for each in (1, 2, 3)]

    assert sum(map(len, windows)) == len(table["equity"]) == len(found.equity)
    for each, inside in zip(found.windows, windows, strict=True):
        assert table["instant_ns"][inside[0]] == each.window.test_from_ns
        assert table["instant_ns"][inside[-1]] == each.window.test_to_ns
        assert (table["equity"][inside[0]], table["equity"][inside[-1]]) == (each.equity_from, each.equity_to)
    assert [each.equity_from for each in found.windows[1:]] == [each.equity_to for each in found.windows[:-1]]
    lines = [json.loads(line) for line in (folder / "came" / "reoptimised.jsonl").read_text().splitlines()]
    for line in lines:
        run = read_config(folder / "runs" / line["test_run_id"] / "manifest.json").values
        assert run["initial_balance"] == line["equity_from"]
    assert lines == [each.as_dict() for each in found.windows]


def test_the_efficiency_is_that_of_the_chosen_runs(walked: tuple[Path, Reoptimised]) -> None:
    """Mean R of the tests over mean R of the trains, and costs of each trade in R."""
    _, found = walked
    train = [dict(each.train)["total_r"] for each in found.windows]

    assert found.efficiency == pytest.approx(sum(found.trades.r_net) / 3 / (sum(train) / 3), abs=1e-9)
    assert found.trades.cost_r is not None
    risk = [COSTS / each for each in found.trades.cost_r]
    assert all(20 <= each < 21 for each in risk)
    assert found.trades.r_net * np.array(risk) == pytest.approx(
        [each.equity_to - each.equity_from for each in found.windows]
    )


def test_trials_land_in_the_ledger_and_what_was_read_is_told(walked: tuple[Path, Reoptimised]) -> None:
    """Each different run is a trial; the ledger's lines of the window are found by what was read."""
    _, found = walked
    lines = [json.loads(line) for line in (found.runs_dir / "trials.jsonl").read_text().splitlines()]

    assert len({line["configuration_hash"] for line in lines}) == found.runs == 9 + 3 - 1
    (data,) = found.data
    assert data.series == (("BTCUSDT", "test"),)
    assert (data.start_ns, data.end_ns) == (parse_instant("2024-01-01"), parse_instant("2024-05-01"))


def test_one_worker_and_a_repeat_give_the_same_bytes(
    market: Path, walked: tuple[Path, Reoptimised], tmp_path: Path
) -> None:
    """As two workers did; a repeat changes no byte, and with what is recorded no run is made."""
    folder = copied(market, tmp_path / "project")
    made(folder)
    first = files(folder)
    stamp = (folder / "came" / "equity.parquet").stat().st_mtime_ns
    resumed = made(folder, resume=True)

    assert first == files(walked[0]) == files(folder)
    assert (folder / "came" / "equity.parquet").stat().st_mtime_ns == stamp
    assert resumed.run_seconds == 0.0
    assert resumed.known == resumed.runs


class Interrupted(BaseException):
    """As by Ctrl-C."""


class Interrupting:
    """Ends a walk-forward when so much is done."""

    def __init__(self, ended: int) -> None:
        self.ended = ended

    def prepared(self, *given: Any) -> None:
        """Nothing to do."""

    def done(self, done: int, failed: int, total: int) -> None:
        """Count."""
        if done == self.ended:
            raise Interrupted


def test_killed_and_resumed_it_gives_the_same_bytes(
    market: Path, walked: tuple[Path, Reoptimised], tmp_path: Path
) -> None:
    """Killed among the trains with a torn record behind, then interrupted after the first window."""
    folder = copied(market, tmp_path / "project")
    killing = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from src.core.config_file import parse_config
from src.research.validation.reoptimise import run_reoptimise
from src.research.validation.section import ValidationSection

class Killing:
    def prepared(self, *given):
        pass
    def done(self, done, failed, total):
        if done == 4:
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    folder = Path.cwd()
    section = parse_config(sys.argv[2], "validate.yaml", folder).validate(ValidationSection)
    run_reoptimise(section, folder, into=folder / "came", workers=2, watch=Killing())
"""
    killed = python(killing, CONFIG, cwd=folder)
    assert killed.code == -signal.SIGKILL, killed.err
    (records,) = (folder / "came").glob("runs-*.jsonl")
    assert records.read_bytes().count(b"\n") == 4
    with records.open("ab") as file:
        file.write(b'{"answer":{"key":"0123')
    with pytest.raises(Interrupted):
        made(folder, resume=True, watch=Interrupting(9 + 1))
    assert records.read_bytes().count(b"\n") == 9  # eight trains that are no test, and the first test, which is one
    assert not (folder / "came" / "reoptimised.jsonl").exists()
    resumed = made(folder, workers=2, resume=True)

    assert resumed.known == 9
    assert files(folder) == files(walked[0])


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    """No process is started."""
    executor = Here()
    monkeypatch.setattr(reoptimise, "executor_for", lambda *given, **more: executor)
    return executor


def test_where_nothing_is_eligible_nothing_is_traded(market: Path, tmp_path: Path, here: Here) -> None:
    """The account stays as it is, and each window says why."""
    folder = copied(market, tmp_path / "project")
    found = made(folder, config=CONFIG.replace("minimum_trades: 1", "minimum_trades: 2"))

    assert (found.error, len(found.trades), found.final_equity, found.efficiency) == ("", 0, 1_000.0, None)
    assert {each.reason for each in found.windows} == {
        "expected at least 2 trades in the train of one of 3 choices, found at most 1; nothing is traded in this window"
    }
    assert found.equity.equity.tolist() == [1_000.0] * 6
    assert json.loads(files(folder)["reoptimised.jsonl"].splitlines()[0])["chosen"] is None


def test_an_account_that_has_nothing_left_trades_no_more(market: Path, tmp_path: Path, here: Here) -> None:
    """Bought in March with 5, which is less than was lost; April would have been won."""
    folder = copied(market, tmp_path / "project", base=BASE.replace("1_000", "5").replace("2024-01-01", "2024-02-01"))
    found = made(folder)

    assert [each.name for each in found.windows] == ["run-0001", ""]
    assert found.windows[0].equity_to < 0
    assert found.windows[1].reason.startswith("the account has -")
    assert found.final_equity == found.windows[0].equity_to
    assert found.error == ""


def test_a_test_that_fails_and_a_train_that_is_lost_are_no_result(market: Path, tmp_path: Path, here: Here) -> None:
    """What was whole before is told, and no file is left; a lost run is made again by a resumed walk-forward."""
    choices = "runs: [{name: a, set: {strategies.0.params: {side: short, mode: MODE}}}]"
    folder = copied(market, tmp_path / "project", choices=choices.replace("MODE", "raising_in_april"))
    failing = made(folder)
    left = (folder / "came" / "reoptimised.jsonl").exists()
    (folder / "choices.yaml").write_text("base: base.yaml\n" + choices.replace("MODE", "well"))
    here.losing = True
    lost = made(folder)
    here.losing = False
    resumed = made(folder, resume=True)

    assert failing.error.startswith("window 3, test of a (")
    assert "it failed, so that nothing can be carried on from it" in failing.error
    assert "no mood for April" in failing.error
    assert [each.name for each in failing.windows] == ["a", "a"]
    assert (failing.failed, left) == (1, False)
    assert lost.error.startswith("window 1, train of a (")
    assert lost.error.endswith("it died (2 attempts); --resume makes it again")
    assert (lost.windows, lost.failed) == ((), 3)
    assert (resumed.error, resumed.known, len(resumed.windows)) == ("", 0, 3)
    assert len(files(folder)) == 2


def test_a_store_that_changes_on_the_way_and_a_second_program_are_refused(
    market: Path, tmp_path: Path, here: Here
) -> None:
    """Its windows would not belong together."""
    folder = copied(market, tmp_path / "project")

    class Changing:
        def prepared(self, *given: Any) -> None:
            with pytest.raises(DataError, match="this very walk-forward is under way in another program"):
                made(folder)

        def done(self, done: int, failed: int, total: int) -> None:
            if done == total:
                forget_data()
                other = folder / "other.duckdb"
                stamps = np.arange(BEGINS_NS, BEGINS_NS + DAY_NS, HOUR_NS, dtype=np.int64)
                write_bars(other, stamps, np.full(24, 50.0))
                os.replace(other, folder / "market.duckdb")

    with pytest.raises(DataError, match="somebody changed or replaced the file"):
        made(folder, watch=Changing())

    assert not (folder / "came" / "reoptimised.jsonl").exists()
