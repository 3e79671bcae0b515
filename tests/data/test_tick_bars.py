"""Bars built from ticks, on small tapes and on recorded ones whose bars are known."""

from pathlib import Path

import numpy as np
import pytest

from src.core.bars import BarSeries
from src.core.errors import ConfigError
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.data.importing import ImportAnswers, inspect_file, run_import
from src.data.store import HistoricalDataStore
from src.data.stored import COLUMNS
from src.data.tapes import QuoteTape, TradeTape
from src.data.tick_bars import bars_from_quotes, bars_from_trades


def quotes(seconds: list[int], bids: list[float]) -> QuoteTape:
    """Quotes at seconds since the epoch with a spread of one."""
    bid, nothing = np.array(bids), np.zeros(len(bids))
    ts_ns = np.array(seconds, np.int64) * SECOND_NS
    return QuoteTape(symbol="X", ts_ns=ts_ns, bid=bid, ask=bid + 1, bid_size=nothing, ask_size=nothing)


def rows(series: BarSeries) -> list[tuple[float, ...]]:
    """Minute, open, high, low, close, volume of each bar."""
    minutes = (series.open_ns // MINUTE_NS).tolist()
    values = (series.open, series.high, series.low, series.close, series.volume)
    return list(zip(minutes, *(value.tolist() for value in values), strict=True))


def test_a_bar_is_made_of_the_quotes_inside_it() -> None:
    """A stamp on the boundary belongs to the later bar; a minute without a quote has no bar."""
    tape = quotes([0, 30, 59, 60, 200], [5.0, 7.0, 4.0, 6.0, 8.0])

    assert rows(bars_from_quotes(tape, MINUTE_NS)) == [(0, 5, 7, 4, 4, 0), (1, 6, 6, 6, 6, 0), (3, 8, 8, 8, 8, 0)]
    assert rows(bars_from_quotes(tape, MINUTE_NS, "ask"))[0] == (0, 6, 8, 5, 5, 0)
    assert rows(bars_from_quotes(tape, MINUTE_NS, "mid"))[0] == (0, 5.5, 7.5, 4.5, 4.5, 0)


def test_events_of_one_stamp_count_in_the_order_of_their_rows() -> None:
    """The first row is the open and the last the close, though all happened in one instant."""
    assert rows(bars_from_quotes(quotes([7, 7, 7], [5.0, 9.0, 6.0]), MINUTE_NS)) == [(0, 5, 9, 5, 6, 0)]


def test_a_bar_that_is_not_over_is_left_out() -> None:
    """A bar exists from its close on."""
    tape = quotes([0, 61], [5.0, 6.0])

    counts = [bars_from_quotes(tape, MINUTE_NS, until_ns=second * SECOND_NS).loaded for second in (59, 60, 119)]

    assert counts == [0, 1, 1]


def test_the_volume_of_a_bar_is_that_of_its_trades() -> None:
    """Volumes are added in the order of the trades."""
    tape = TradeTape(
        symbol="X", ts_ns=np.array([0, 1, 60], np.int64) * SECOND_NS, price=np.array([5.0, 4.0, 6.0]),
        volume=np.array([0.1, 0.2, 0.3]), buyer_is_maker=np.zeros(3, np.bool_), trade_id=np.arange(3),
    )  # fmt: skip

    assert rows(bars_from_trades(tape, MINUTE_NS)) == [(0, 5, 5, 4, 4, 0.1 + 0.2), (1, 6, 6, 6, 6, 0.3)]


def test_what_cannot_be_built_is_refused() -> None:
    """A side that quotes do not have, and a length that does not divide a day."""
    tape = quotes([0], [1.0])
    with pytest.raises(ConfigError, match="expected bid, ask or mid"):
        bars_from_quotes(tape, MINUTE_NS, "trade")
    with pytest.raises(ConfigError, match="divides a day, found 7m"):
        bars_from_quotes(tape, 7 * MINUTE_NS)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize(("symbol", "minutes"), [("EURUSD", 7206), ("NZDUSD", 7234)])
def test_bars_from_recorded_quotes_equal_the_recorded_bars(
    symbol: str, minutes: int, real_data_dir: Path, store: HistoricalDataStore
) -> None:
    """Ticks and bars of one venue, each imported by itself: every number of every minute is the same, on both sides."""
    for name in ("tick_bidask_2014-05-04_09", "1m_bidask_2014-05"):
        answers = ImportAnswers(symbol=symbol, kind="fx", stamp="open", price="bid")
        run_import(inspect_file(real_data_dir / f"lean_fxcm_{symbol}_{name}.parquet", answers), store)
    tape = store.read_quotes(symbol)
    for side in ("bid", "ask"):
        built = bars_from_quotes(tape, MINUTE_NS, side)
        first, last = int(built.open_ns[0]), int(built.open_ns[-1]) + MINUTE_NS
        recorded = store.read_bars(symbol, MINUTE_NS, first, last, price_side=side)

        assert built.loaded == minutes
        for column in COLUMNS:
            assert np.array_equal(getattr(built, column), getattr(recorded, column)), (side, column)
