"""A recorded run as a result, and as the tables and the report that a backtest has.

Everything is taken from the recording, so the same can be made again at any time. Called by one thread.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from src.backtesting.artifacts import write_beside
from src.backtesting.result import BacktestResult, Outcome, SymbolSummary
from src.core.bars import BarSeries
from src.core.errors import DataError
from src.core.journal import Journal, JournalRecord
from src.core.records import Account, Fill, Order, Trade
from src.live.recording import FILE, Entry, read_meta, read_story
from src.live.world import Change, World
from src.research.replay.recorded import config_of, record_of

__all__ = ["result_of", "store_tables"]

_OUTCOMES = {"STOPPED": Outcome.COMPLETED, "DEGRADED": Outcome.DEGRADED, "FAILED": Outcome.FAILED}


class _Reading:
    """What a recording tells, collected entry by entry."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.orders: dict[str, Order] = {}
        self.fills: list[Fill] = []
        self.trades: list[Trade] = []
        self.records: list[JournalRecord] = []
        self.equity: list[tuple[int, float]] = []
        self.accounts: list[Account] = []
        self.turns = 0
        self.worlds = 0
        self.warm: dict[str, int] = {}
        self.first_ns = 0
        self.last_ns = 0

    def take(self, entry: Entry) -> None:
        """Count an entry."""
        self.last_ns = max(self.last_ns, entry.instant_ns)
        if entry.kind == "outcome":
            self.records.append(record_of(entry))
        elif entry.kind in ("turn", "reply"):
            self.turns += 1
        if entry.kind == "world":
            self._see(entry.body, entry.instant_ns)
        elif entry.kind == "reply" and "world" in entry.body:
            self._see(entry.body["world"], entry.instant_ns)

    def _see(self, change: Change, instant_ns: int) -> None:
        for event in self.world.apply(change):
            self.orders[event.order.order_id] = event.order
            if event.fill is not None:
                self.fills.append(event.fill)
            if event.trade is not None:
                self.trades.append(event.trade)
        if not self.worlds:
            self.first_ns = instant_ns
            self.warm = {series.symbol: series.length for series in self.base()}
        self.worlds += 1
        if "account" in change:
            account = self.world.snapshot().account
            self.accounts.append(account)
            self.equity.append((instant_ns, account.equity))

    def base(self) -> list[BarSeries]:
        """The base bars of each symbol."""
        symbols = dict.fromkeys(series.symbol for series in self.world.all_series())
        return [self.world.base_series(symbol) for symbol in symbols]


def result_of(folder: Path) -> tuple[BacktestResult, Mapping[str, BarSeries], dict[str, Any]]:
    """The result of the recorded run in `folder`, its base bars by symbol, and what its manifest says besides.

    Raises:
        DataError: there is no recording, or nothing in it.
    """
    path = folder / FILE
    meta = read_meta(path)
    config, _ = config_of(meta, path)
    series = [(str(symbol), int(length), str(side)) for symbol, length, side in json.loads(meta["series"])]
    reading = _Reading(World(series, config.account.currency))
    for entry in read_story(path):
        reading.take(entry)
    if not reading.accounts:
        raise DataError(f"expected a recording of a run in {path}, found one that had not begun to trade")
    journal = Journal()
    for each in reading.records:
        journal.record(each.instant_ns, each.stream, each.kind, each.participant, *each.values)
    snapshot = reading.world.snapshot()
    base = {series.symbol: series for series in reading.base()}
    outcome = _OUTCOMES.get(meta.get("outcome", "STOPPED"), Outcome.FAILED)
    refused: dict[str, int] = {}
    for each in reading.records:
        if each.kind == "decision" and each.values[2] != "accepted":
            refused[str(each.values[2])] = refused.get(str(each.values[2]), 0) + 1
    result = BacktestResult(
        outcome=outcome, digest=journal.close(), start_ns=reading.first_ns,
        end_ns=max(reading.last_ns, reading.first_ns + 1), currency=config.account.currency,
        initial_balance=reading.accounts[0].balance, account=snapshot.account,
        symbols=tuple(_summary(each, reading.warm.get(symbol, 0)) for symbol, each in base.items()),
        orders=list(reading.orders.values()), fills=reading.fills, trades=reading.trades,
        open_positions=snapshot.positions, equity_ns=np.array([at for at, _ in reading.equity], np.int64),
        equity=np.array([value for _, value in reading.equity]), records=reading.records,
        bars=sum(each.length - reading.warm.get(symbol, 0) for symbol, each in base.items()), steps=reading.worlds,
        turns=reading.turns, seconds=(reading.last_ns - reading.first_ns) / 1e9 / float(meta.get("speed", "1")),
        refusals=dict(sorted(refused.items())),
    )  # fmt: skip
    manifest = {
        "configuration": json.loads(meta["configuration"]), "mode": meta["mode"], "label": meta["label"],
        "deterministic": True, "seed": None, "policy": "recorded", "schedule": "recorded",
        "data_sources": {"recording": FILE}, "synthetic": False, "inputs": json.loads(meta["made_of"]),
        "versions": json.loads(meta["made_of"]).get("versions", {}),
    }  # fmt: skip
    return result, base, manifest


def store_tables(folder: Path) -> BacktestResult:
    """Write the tables, figures and report of a recorded run into its folder, and return its result.

    Raises:
        DataError: see `result_of`.
    """
    result, base, manifest = result_of(folder)
    write_beside(result, run_id=folder.name, manifest=manifest, folder=folder, price_series=base)
    return result


def _summary(series: BarSeries, warm: int) -> SymbolSummary:
    there = series.length > warm
    return SymbolSummary(
        symbol=series.symbol, bars=series.length - warm, first_open=series.open_at[warm] if there else None,
        last_close=series.close_at[series.length - 1] if there else None,
        first_ns=series.open_ns_at[warm] if there else None,
        last_ns=series.close_of(series.length - 1) if there else None,
    )  # fmt: skip
