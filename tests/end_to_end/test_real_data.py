"""The two configurations over recorded markets, after the commands of README, which are run as they stand there."""

import shlex
import sys
from pathlib import Path

import pytest

from tests.documentation.pages import block_of
from tests.documentation.shell import clone_in
from tests.end_to_end.command import Ended, Told

pytestmark = [
    pytest.mark.slow, pytest.mark.real_data, pytest.mark.timeout(900),  # half a minute where nothing else is done
    pytest.mark.skipif(sys.platform == "win32", reason="the commands are for a POSIX shell"),
]  # fmt: skip


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, real_data_dir: Path) -> Path:
    """The delivered configurations beside a store with the recorded bars."""
    clone = clone_in(tmp_path_factory.mktemp("real"))
    block = block_of("README.md", "DATA=")
    script = block.text.replace(block.begins, f"DATA={shlex.quote(str(real_data_dir))}")
    assert script != block.text
    ended = clone.run(script, timeout_s=850.0)
    assert ended.code == 0, ended.out + ended.err
    assert ended.out.count("\nCOMPLETED") == 2
    return clone.folder


def start(told: Told, clone: Path, name: str, *words: str) -> Ended:
    """Run one of the configurations."""
    return told("--mode", "backtest", "--config", f"configs/{name}.yaml", "--json", "--quiet", *words, cwd=clone)


def test_five_symbols_share_one_account_over_real_holes(clone: Path, told: Told) -> None:
    """Two slots are contended, both strategies trade, break-even and trailing act; threads and fibers agree."""
    threads = start(told, clone, "crypto-2019")
    fibers = start(told, clone, "crypto-2019", "--set", "backtest.runtime=fibers")
    metrics = threads.value["metrics"]

    assert (threads.code, threads.value["outcome"], threads.value["synthetic"]) == (0, "COMPLETED", False)
    assert threads.value["bars"] == 131_335 + 124_757 + 122_127 + 114_793 + 104_536
    assert min(row["trades"] for row in (*metrics["per_symbol"], *metrics["per_book"])) > 0
    assert min(metrics["exit_kinds"][kind] for kind in ("break_even", "trailing")) > 0
    assert threads.value["refusals"]["max_open_positions"] > 0
    assert (fibers.value["run_id"], fibers.value["digest"]) == (threads.value["run_id"], threads.value["digest"])


def test_eurusd_of_2017_runs_on_bid_bars(clone: Path, told: Told) -> None:
    """The spread is a cost of its own, in price units."""
    ended = start(told, clone, "eurusd-2017")

    assert (ended.code, ended.value["outcome"], ended.value["bars"]) == (0, "COMPLETED", 186_348)
    assert ended.value["metrics"]["trades"] > 50
    assert ended.value["metrics"]["spread_cost"] > 0


def test_the_check_of_recorded_bars_finds_them_sound_and_counts_the_holes(clone: Path, told: Told) -> None:
    """Absent minutes are counted and are no error."""
    ended = told("data", "check", "--json", cwd=clone)
    absent = {one["symbol"]: one["absent"] for one in ended.value["series"]}

    assert ended.code == 0
    assert absent == {
        "BTCUSD": 1145, "ETHUSD": 7723, "XRPUSD": 10353, "LTCUSD": 17687, "EOSUSD": 27943, "EURUSD": 311,
    }  # fmt: skip
