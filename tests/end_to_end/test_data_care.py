"""Looking after a store as its users do: in a terminal, and with recorded data."""

import sys
from pathlib import Path

import pytest

from tests.data.care import write_store
from tests.end_to_end.command import MAIN, Told

pytestmark = pytest.mark.slow


@pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")
def test_a_deletion_asks_in_a_terminal(tmp_path: Path, told: Told) -> None:
    """A "no" leaves everything; a "yes" deletes what was named."""
    pexpect = pytest.importorskip("pexpect", reason="no pseudo-terminals on this system")
    store = write_store(tmp_path / "data" / "market.duckdb", [1, 2, 3])
    codes, left = [], []
    for answer in ("n", "y"):
        words = [str(MAIN), "data", "delete", "BTCUSD"]
        child = pexpect.spawn(sys.executable, words, cwd=str(tmp_path), encoding="utf-8", timeout=240)
        child.expect("BTCUSD 1m from 1970-01-01 00:01:00Z")
        child.expect("Delete this for good")
        child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        codes.append(child.exitstatus)
        left.append(len(told("data", "list", "--json").value["series"]))

    assert (codes, left) == ([2, 0], [1, 0])
    assert store.exists()


@pytest.mark.real_data
def test_recorded_bars_of_other_markets_have_the_documented_holes(
    tmp_path: Path, real_data_dir: Path, told: Told
) -> None:
    """Gold in the forex week, shares in regular hours; both price sides; and the mirror holds what the store holds."""
    files = [("lean_oanda_XAUUSD_1m_bidask_2014-05", "XAUUSD", "fx", "bid")]
    files += [("lean_AIG_BAC_IBM_1m_trade_quote_2013-10-04_11", name, "equity", "trade") for name in ("AIG", "IBM")]
    for file, symbol, kind, price in files:
        said = ("--symbol", symbol, "--kind", kind, "--stamp", "open", "--price", price, "--quiet")
        ended = told("data", "import", real_data_dir / f"{file}.parquet", *said)
        assert ended.code == 0, ended.err
    exported = told("data", "export", "--json")

    ended = told("data", "check", "--json")
    found = {
        (one["symbol"], one["price_side"]): (one["absent"], one["expected"], one["longest_hole"], one["faults"])
        for one in ended.value["series"]
    }

    assert (exported.code, ended.code) == (0, 0)
    assert found["XAUUSD", "bid"] == found["XAUUSD", "ask"] == (618, 15840, 60, [])
    assert found["AIG", "trade"] == (1, 2340, 1, [])
    assert found["IBM", "trade"] == (2, 2340, 1, [])
    assert all(one["mirrored"] for one in ended.value["series"])
