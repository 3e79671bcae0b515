"""Every figure in a report equals the one that is computed separately, another way, from the Parquet tables."""

import html
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from src.backtesting.artifacts import write_run
from src.backtesting.report import build_run_report
from src.backtesting.report.prices import kept_prices, shown_prices
from src.core.bars import BarSeries
from src.core.records import Side
from src.core.timeframe import HOUR_NS, MINUTE_NS
from tests.backtesting.results.test_report import data_of, numbers, pack_of
from tests.backtesting.results.worlds import START_NS, World

DAYS = 70
LEVERAGE = 4.0
CONFIGURATION = {"account": {"leverage": LEVERAGE}, "instruments": {"BBB": {"leverage": 2.0}}}


def walk(symbol: str, seed: int) -> BarSeries:
    """Bars of ten minutes on a random walk in steps of a cent, with a hole each day."""
    rng = np.random.default_rng(seed)
    count = DAYS * 144
    at = np.arange(count)
    at = at[at % 144 != 77]
    close = np.rint(10_000 + rng.normal(scale=8, size=len(at)).cumsum()) / 100
    opening = np.concatenate(([100.0], close[:-1]))
    high = np.rint((np.maximum(opening, close) + rng.exponential(0.05, len(at))) * 100) / 100
    low = np.rint((np.minimum(opening, close) - rng.exponential(0.05, len(at))) * 100) / 100
    return BarSeries(
        symbol, 10 * MINUTE_NS, START_NS + at * 10 * MINUTE_NS, opening, high, low, close, np.ones(len(at))
    )  # fmt: skip


PRICES = {"AAA": walk("AAA", 1), "BBB": walk("BBB", 2)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stored run of two symbols and two books: winners and losers, with stops and without, in parts, ambiguous."""
    rng = np.random.default_rng(5)
    world = World(days=DAYS, balance=5_000.0)
    busy = {("AAA", "one"): 0.0, ("BBB", "two"): 0.0, ("AAA", "two"): 0.0}
    events = []
    for number in range(80):
        key = list(busy)[int(rng.integers(3))]
        begin = busy[key] + float(rng.integers(1, 3_000)) / 60
        last = begin + float(rng.integers(0, 2_400)) / 60
        busy[key] = last
        if last < DAYS * 24 - 1:
            events.append((begin, last, key, number, bool(rng.integers(2)), float(rng.integers(1, 5))))
    orders = []
    for begin, last, key, number, long, volume in events:
        entered = _price(key[0], begin)
        stop = None if number % 5 == 0 else round(entered * (0.99 if long else 1.01), 2)
        costs = {"commission": 0.0213 * volume, "spread_cost": 0.0117 * volume, "slippage_cost": 0.0059 * volume}
        more: dict[str, Any] = {"symbol": key[0], "book": key[1], **costs}
        side, back = (Side.BUY, Side.SELL) if long else (Side.SELL, Side.BUY)
        orders.append((begin, side, volume, entered, {**more, "stop": stop, "reason": f"reason {number % 4}"}))
        part = volume / 2 if number % 7 == 0 and last > begin else 0.0
        if part:
            middle = (begin + last) / 2
            orders.append((middle, back, part, _price(key[0], middle), more))
        doubt = {"ambiguous": True, "other_price": entered} if number % 11 == 0 else {}
        kind = ("stop", "target", "exit")[number % 3]
        orders.append((last, back, volume - part, _price(key[0], last), {**more, **doubt, "kind": kind}))
    balance = world.balance
    for hours, side, volume, price, more in sorted(orders, key=lambda one: one[0]):
        world.fill(hours, side, volume, price, **more)
        balance = world.balance + world.realised
        world.sample(hours, balance)
    world.sample(DAYS * 24, balance)
    return write_run(
        world.result(), run_id="0123456789abcdef", manifest={"configuration": CONFIGURATION},
        runs_dir=tmp_path_factory.mktemp("runs"), price_series=PRICES,
    )  # fmt: skip


def _price(symbol: str, hours: float) -> float:
    bars = PRICES[symbol]
    at = int(np.searchsorted(bars.open_ns, START_NS + round(hours * HOUR_NS), side="right")) - 1
    return float(bars.close[max(at, 0)])


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    """The page."""
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def trades(folder: Path) -> pd.DataFrame:
    """The closed trades."""
    return pd.read_parquet(folder / "trades.parquet")


def rows_of(text: str, ident: str) -> pd.DataFrame:
    """A table of the page."""
    table = data_of(text)["tables"][ident]
    values = pack_of(text, table["pack"]).values() if "pack" in table else table["values"]
    return pd.DataFrame(dict(zip((one["name"] for one in table["columns"]), values, strict=True)))


def tile(text: str, key: str) -> str:
    """What a headline figure shows."""
    match = re.search(rf'data-key="{key}"[^>]*>.*?<b[^>]*>(.*?)</b>', text)
    assert match is not None
    return html.unescape(match.group(1))


def test_the_headline_is_that_of_the_tables(text: str, folder: Path, trades: pd.DataFrame) -> None:
    """Profit, costs, rates, drawdown and return are what the trades and the samples say."""
    equity = pd.read_parquet(folder / "equity.parquet")["equity"]
    fall = ((equity.cummax() - equity) / equity.cummax()).max() * 100
    costs = trades[["spread_cost", "slippage_cost", "commission", "financing"]].sum().sum()
    won, lost = trades.net[trades.net > 0].sum(), trades.net[trades.net < 0].sum()

    assert tile(text, "net") == f"{trades.net.sum():+,.2f}"
    assert tile(text, "costs") == f"{costs:,.2f}"
    assert tile(text, "final_equity") == f"{equity.iloc[-1]:,.2f}"
    assert tile(text, "return_percent") == f"{(equity.iloc[-1] / 5_000 - 1) * 100:+.2f} %"
    assert tile(text, "max_drawdown_percent") == f"{fall:.2f} %"
    assert tile(text, "trades") == str(len(trades))
    assert tile(text, "win_rate_percent") == f"{(trades.net > 0).mean() * 100:.2f} %"
    assert tile(text, "profit_factor") == f"{won / -lost:.2f}"
    assert tile(text, "average_r") == f"{trades.r.mean():.2f}"
    assert tile(text, "ambiguous_trades") == str(int(trades.ambiguous.sum()))


def test_sharpe_and_sortino_are_those_of_daily_returns(text: str, folder: Path) -> None:
    """Computed once more with pandas from the samples, a day of UTC each, 365 a year."""
    equity = pd.read_parquet(folder / "equity.parquet")
    ends = pd.to_datetime(START_NS, utc=True) + pd.to_timedelta(range(DAYS + 1), unit="D")
    at = np.searchsorted(equity.instant_ns, ends.as_unit("ns").asi8, side="right") - 1
    returns = equity.equity.iloc[np.maximum(at, 0)].pct_change().dropna()
    downside = np.sqrt((np.minimum(returns, 0) ** 2).mean())

    assert tile(text, "sharpe") == f"{returns.mean() / returns.std() * 365**0.5:.2f}"
    assert tile(text, "sortino") == f"{returns.mean() / downside * 365**0.5:.2f}"


@pytest.mark.parametrize(
    ("ident", "column"), [("symbol", "symbol"), ("book", "book"), ("side", "side"), ("exit", "exit_kind")]
)
def test_groups_are_sums_over_their_trades(text: str, trades: pd.DataFrame, ident: str, column: str) -> None:
    """Each row is what its trades say."""
    found = rows_of(text, f"by-{ident}").set_index("Name")
    groups = trades.groupby(column)

    assert found.index.tolist() == sorted(trades[column].unique())
    assert found["Trades"].tolist() == groups.size().tolist()
    assert found["Net"].tolist() == pytest.approx(groups.net.sum().tolist())
    assert found["Gross"].tolist() == pytest.approx(groups.gross.sum().tolist())
    assert found["Costs"].tolist() == pytest.approx((groups.gross.sum() - groups.net.sum()).tolist())
    assert found["Won"].tolist() == pytest.approx((groups.net.agg(lambda net: (net > 0).mean()) * 100).tolist())
    assert found["Expect."].tolist() == pytest.approx(groups.net.mean().tolist())
    assert found["R"].tolist() == pytest.approx(groups.r.mean().tolist())


def cells(text: str, ident: str) -> list[list[float | None]]:
    """The values of a heat table, row by row."""
    match = re.search(rf'<table id="{ident}".*?</table>', text, flags=re.DOTALL)
    assert match is not None
    lines = re.findall(r"<tr><th class=\"t\">.*?</tr>", match.group(0))
    found = []
    for line in lines:
        tags = re.findall(r"<td([^>]*)>", line)
        values = [re.search(r'data-value="([^"]*)"', tag) for tag in tags]
        found.append([None if one is None else float(one.group(1)) for one in values])
    return found


def test_the_hours_are_sums_over_their_trades(text: str, trades: pd.DataFrame) -> None:
    """Net profit by weekday and hour of the entry."""
    entered = pd.to_datetime(trades.entry_ns, utc=True)
    expected = trades.net.groupby([entered.dt.day_of_week, entered.dt.hour]).sum()

    found = {
        (day, hour): value for day, row in enumerate(cells(text, "hours")) for hour, value in enumerate(row)
        if value is not None
    }  # fmt: skip

    assert found == pytest.approx(expected.to_dict())


def test_the_months_multiply_to_the_whole(text: str, folder: Path) -> None:
    """Each month is the change of its last sample to the one before, computed with pandas."""
    equity = pd.read_parquet(folder / "equity.parquet")
    curve = equity.equity.set_axis(pd.to_datetime(equity.instant_ns, utc=True))
    last = curve.groupby(curve.index.strftime("%Y-%m")).last()
    expected = (last / last.shift(fill_value=5_000.0) - 1) * 100

    found = [value for row in cells(text, "months") for value in row[:12] if value is not None]

    assert found == pytest.approx(expected.tolist())


def test_excursions_are_those_of_the_bars_between(text: str, trades: pd.DataFrame) -> None:
    """The largest move against and for each trade, found by looking at each bar of each trade."""
    found = rows_of(text, "trades")
    for place, trade in enumerate(trades.itertuples()):
        bars = PRICES[trade.symbol]
        prices = [trade.entry_price, trade.exit_price]
        for i in range(len(bars.open_ns)):
            if trade.entry_ns <= bars.open_ns[i] and bars.open_ns[i] + bars.timeframe_ns <= trade.exit_ns:
                prices += [bars.high[i], bars.low[i]]
        moves = [(price - trade.entry_price) * (1 if trade.side == "buy" else -1) for price in prices]
        assert found["MFE"][place] == pytest.approx(max(moves) / trade.entry_price * 100, abs=1e-9)
        assert found["MAE"][place] == pytest.approx(-min(moves) / trade.entry_price * 100, abs=1e-9)


def test_the_list_of_trades_is_the_table(text: str, trades: pd.DataFrame) -> None:
    """Every value of every trade."""
    found = rows_of(text, "trades")

    for name, column in (("Net", "net"), ("Gross", "gross"), ("R", "r"), ("Volume", "volume"),
                         ("Entry price", "entry_price"), ("Exit price", "exit_price"),
                         ("First stop", "initial_stop")):  # fmt: skip
        np.testing.assert_allclose(found[name].astype(float), trades[column], rtol=1e-12)
    assert found["Entry"].tolist() == (trades.entry_ns / 1e6).tolist()
    assert found["Exit"].tolist() == (trades.exit_ns / 1e6).tolist()
    assert found["Reason"].tolist() == trades.entry_reason.tolist()
    np.testing.assert_allclose(found["Costs"], trades.gross - trades.net, atol=1e-9)


def test_exposure_is_that_of_the_open_trades(text: str, folder: Path, trades: pd.DataFrame) -> None:
    """The largest notional and margin, found by looking at all open trades after each fill."""
    fills = pd.read_parquet(folder / "fills.parquet")
    equity = pd.read_parquet(folder / "equity.parquet")
    signed = fills.volume.where(fills.side == "buy", -fills.volume)
    gross, margin, most = [], [], 0
    first = fills.groupby("position_id").first()
    for instant in fills.filled_ns.unique():
        so_far = fills.filled_ns <= instant
        held = signed[so_far].groupby(fills.position_id[so_far]).sum()
        held = held[held.abs() > 1e-9]
        notional = (held.abs() * first.price[held.index]).to_numpy()
        leverage = np.array([2.0 if first.symbol[one] == "BBB" else LEVERAGE for one in held.index])
        marked = equity.equity[equity.instant_ns <= instant].iloc[-1]
        gross.append(notional.sum() / marked * 100)
        margin.append((notional / leverage).sum() / marked * 100 if len(held) else 0.0)
        most = max(most, len(held))

    assert tile(text, "most_gross") == f"{max(gross):,.2f} %"
    assert tile(text, "most_margin") == f"{max(margin):,.2f} %"
    assert tile(text, "most_positions") == str(most)


def test_costs_lead_from_gross_to_net(text: str, trades: pd.DataFrame) -> None:
    """The steps of the chart and the rows by symbol."""
    (steps,) = data_of(text)["charts"]["costs"]["data"]
    by_symbol = rows_of(text, "costs-by-symbol").set_index("Symbol")

    named = dict(zip(steps["x"], steps["y"], strict=True))
    assert named["Gross"] == pytest.approx(trades.gross.sum())
    assert named["Commission"] == pytest.approx(-trades.commission.sum())
    assert named["Net"] == pytest.approx(trades.net.sum())
    assert sum(steps["y"][:-1]) == pytest.approx(named["Net"])
    assert by_symbol["Commission"].to_dict() == pytest.approx(trades.groupby("symbol").commission.sum().to_dict())


def test_the_bars_of_r_hold_each_trade_once(text: str, trades: pd.DataFrame) -> None:
    """The heights of the distribution sum to the trades that have an R."""
    (bars,) = data_of(text)["charts"]["r"]["data"]
    middles, counts, width = (numbers(bars[name]) for name in ("x", "y", "width"))

    edges = np.append(middles, middles[-1] + (middles[-1] - middles[-2])) - (middles[1] - middles[0]) / 2
    inside = trades.r.dropna().clip(edges[0], edges[-1])
    assert counts.sum() == trades.r.notna().sum()
    assert counts.tolist() == np.histogram(inside, edges)[0].tolist()
    assert (width > 0).all()


def test_the_packed_bars_are_the_bars(text: str, folder: Path) -> None:
    """Prices in steps of a cent survive packing exactly, and can be read out of the report again."""
    kept = kept_prices(folder / "report.html")

    assert [one.symbol for one in kept] == ["AAA", "BBB"]
    for one in kept:
        bars = PRICES[one.symbol]
        assert (one.decimals, one.exact, one.merged) == (2, True, 1)
        np.testing.assert_array_equal(one.open_ns, bars.open_ns)
        for name in ("open", "high", "low", "close"):
            np.testing.assert_array_equal(one.price(getattr(one, name)), getattr(bars, name))


def test_a_later_report_from_the_kept_bars_is_the_same(folder: Path, text: str) -> None:
    """Without a store of market data the same page comes out, byte for byte."""
    assert build_run_report(folder, prices=kept_prices(folder / "report.html")).html() == text


def test_many_bars_are_merged_without_losing_an_extreme() -> None:
    """Where there are more than fit, neighbours become one with their first, highest, lowest and last price."""
    bars = PRICES["AAA"]

    (few,) = shown_prices({"AAA": bars}, START_NS, START_NS + DAYS * 24 * HOUR_NS, most=1_000)

    assert few.merged == -(-bars.length // 1_000)
    assert len(few.open) <= 1_000
    assert few.price(few.high).max() == bars.high.max()
    assert few.price(few.low).min() == bars.low.min()
    assert (few.price(few.open)[0], few.price(few.close)[-1]) == (bars.open[0], bars.close[-1])


def test_prices_that_no_decimals_hold_are_rounded_and_said_so() -> None:
    """Nine digits are kept."""
    wild = np.array([1 / 3, 2 / 3]) * 1e3
    bars = BarSeries("W", MINUTE_NS, START_NS + np.arange(2) * MINUTE_NS, wild, wild, wild, wild, np.ones(2))

    (shown,) = shown_prices({"W": bars}, START_NS, START_NS + HOUR_NS)

    assert not shown.exact
    assert shown.price(shown.close) == pytest.approx(wild, rel=1e-8)
