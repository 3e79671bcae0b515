"""A run as it lies in its folder, for Python: its tables as pandas frames, its figures, a picture.

Whether it has just ended or is a year old, it is read from the files that it left, so both are the same object. Each
table is read when it is asked for, once. Any thread; used from notebooks and scripts.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np
import pandas as pd

from src.backtesting import equity as curve
from src.backtesting.find_run import find_run
from src.backtesting.frames import equity_series, read_frame, read_table, timestamps
from src.backtesting.metrics import GroupMetrics, Metrics, lived_until
from src.backtesting.summary import result_rows
from src.core.bars import FloatArray, IntArray
from src.core.day import AccountDay
from src.core.errors import DataError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["Run", "open_run"]

_MANIFEST = "manifest.json"
_METRICS = "metrics.json"
_RECORDING = "recording.sqlite"
_IN_MANIFEST = ("run_id", "digest", "outcome", "window", "symbols")


class Run:
    """One stored run.

    Money is in the account's currency, volumes in base units, prices in the instrument's quote currency, shares in
    percent; instants are UTC timestamps in columns that end in `_at`. docs/python.md lists every column.

    Attributes:
        folder: where it lies.
        manifest: what went in and what came of it, as stored.
    """

    def __init__(self, folder: str | Path) -> None:
        """Read the manifest in `folder`.

        Raises:
            DataError: there is none of a run that has ended.
        """
        self.folder = Path(folder)
        self.manifest: dict[str, Any] = _read_manifest(self.folder)

    @property
    def run_id(self) -> str:
        """What it is called: a hash of all that went in, or `free-<n>`."""
        return str(self.manifest["run_id"])

    @property
    def digest(self) -> str:
        """64 hexadecimal characters over all that came out."""
        return str(self.manifest["digest"])

    @property
    def outcome(self) -> str:
        """`COMPLETED`, `DEGRADED` (a symbol was stopped on the way), `FAILED` or `INTERRUPTED`."""
        return str(self.manifest["outcome"])

    @property
    def synthetic(self) -> bool:
        """Whether the market was generated, so that a result says nothing about a strategy."""
        return bool(self.manifest.get("synthetic", False))

    @cached_property
    def trades(self) -> pd.DataFrame:
        """One row per closed trade, in the order in which they closed."""
        return read_frame(self.folder, "trades")

    @cached_property
    def orders(self) -> pd.DataFrame:
        """One row per order, as it was at the end."""
        return read_frame(self.folder, "orders")

    @cached_property
    def fills(self) -> pd.DataFrame:
        """One row per fill, in their order."""
        return read_frame(self.folder, "fills")

    @cached_property
    def journal(self) -> pd.DataFrame:
        """One row per record that the digest is made of, in its order; `fields` is a JSON text."""
        return read_frame(self.folder, "journal")

    @cached_property
    def equity(self) -> pd.Series:
        """The account's equity, marked at each step, by the instant."""
        return equity_series(*self._samples)

    @cached_property
    def returns(self) -> pd.Series:
        """The daily returns that the figures are made of, as fractions, by the day; for quantstats and its like.

        A day is the account's (`risk.day`), and goes by its date; where all symbols share a calendar on which the
        market closes, a day without a session is a part of the next one. Empty where equity was not positive at the
        end of each day.
        """
        instants_ns, equity = self._samples
        window = self.manifest["window"]
        start_ns = int(window["start_ns"])
        end_ns = lived_until(self.outcome, int(window["end_ns"]), instants_ns)
        symbols = [str(each["calendar"]) for each in self.manifest["symbols"]]
        calendar = curve.shared_calendar(symbols, start_ns, int(window["end_ns"]))
        section = self.manifest.get("configuration", {}).get("risk", {}).get("day", {})
        zone = str(section.get("zone", "UTC"))
        day = AccountDay(zone, str(section.get("at", "00:00")))
        daily = curve.daily_equity(instants_ns, equity, start_ns, end_ns, day, calendar)
        found = curve.daily_returns(daily)
        none = found is None or not len(found)
        ends = np.zeros(0, np.int64) if none else curve.day_ends(start_ns, end_ns, day, calendar)
        # A day that ends at midnight is the one before it.
        dates = timestamps(ends - 1).tz_convert(zone).tz_localize(None).normalize().tz_localize("UTC")
        return pd.Series(() if none else found, index=dates.rename("day"), name=self.run_id, dtype="float64")

    @cached_property
    def metrics(self) -> Metrics:
        """The figures, see docs/metrics.md; `.to_dict()` gives them as plain values.

        Raises:
            DataError: there are none, or they are those of another version.
        """
        path = self.folder / _METRICS
        values = _known(Metrics, _read_json(path), path)
        groups = {
            name: tuple(GroupMetrics(**_known(GroupMetrics, each, path)) for each in values[name])
            for name in ("per_symbol", "per_book")
        }
        return Metrics(**{**values, **groups})

    def plot(self, *, points: int = 5_000) -> "Figure":
        """Equity and drawdown over time, as a figure of plotly.

        Args:
            points: about so many are drawn, lows and highs kept; the figures are made of all.
        """
        return plot_run(self, *self._samples, points=points)

    @cached_property
    def _samples(self) -> tuple[IntArray, FloatArray]:
        table = read_table(self.folder, "equity")
        return table.column("instant_ns").to_numpy(), table.column("equity").to_numpy()

    def _rows(self) -> list[tuple[str, str]]:
        try:
            rows = result_rows(
                self.metrics, synthetic=self.synthetic, deterministic=bool(self.manifest.get("deterministic", True)),
                fidelity=self.manifest.get("fidelity"),
            )  # fmt: skip
        except DataError as error:  # a cell that only names the run has an answer all the same
            rows = [("Outcome", self.outcome), ("Figures", error.message)]
        return [*rows, ("Run id", self.run_id), ("Digest", self.digest[:16]), ("Folder", str(self.folder))]

    def __repr__(self) -> str:
        return f"<Run {self.run_id} {self.outcome}{' SYNTHETIC' if self.synthetic else ''}>"

    def _repr_html_(self) -> str:
        """What a notebook shows of it: the table that a run shows in a terminal."""
        cells = [
            f"<tr><th style='text-align:left'>{escape(label)}</th><td style='text-align:left'>{escape(text)}</td></tr>"
            for label, text in self._rows()
        ]
        return f"<table>{''.join(cells)}</table>"


def open_run(run: str | Path, runs: str | Path = "runs") -> Run:
    """A run that is stored.

    Args:
        run: its folder, or its name in the folder of runs.
        runs: the folder of runs.

    Raises:
        ConfigError: there is no such folder.
        DataError: it holds no run that has ended.
    """
    otherwise = "give another one, or say where the runs lie: open_run(name, runs=FOLDER)"
    return Run(find_run(str(run), Path(runs), otherwise=otherwise).resolve())


def plot_run(run: Run, instants_ns: IntArray, equity: FloatArray, *, points: int) -> "Figure":
    """See `Run.plot`."""
    from plotly.graph_objects import Figure, Scattergl
    from plotly.subplots import make_subplots

    peak = np.maximum.accumulate(equity) if len(equity) else equity
    fall = np.where(peak > 0, (equity - peak) / np.where(peak > 0, peak, 1.0) * 100, 0.0)
    at = np.union1d(_drawn(equity, points // 2), _drawn(fall, points // 2))
    dates = instants_ns[at].view("M8[ns]")
    figure: Figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.7, 0.3], vertical_spacing=0.05)
    figure.add_trace(Scattergl(x=dates, y=equity[at], name="equity"), row=1, col=1)
    figure.add_trace(Scattergl(x=dates, y=fall[at], name="drawdown", fill="tozeroy"), row=2, col=1)
    currency = run.manifest.get("currency", "")
    name = run.manifest.get("configuration", {}).get("name", "")
    words = [str(name), run.run_id, *(["SYNTHETIC market"] if run.synthetic else [])]
    if run.outcome != "COMPLETED":
        words.append(run.outcome)
    figure.update_layout(title=", ".join(word for word in words if word), showlegend=False, hovermode="x unified")
    figure.update_yaxes(title_text=f"equity ({currency})", row=1, col=1)
    figure.update_yaxes(title_text="drawdown (%)", row=2, col=1)
    figure.update_xaxes(title_text="UTC", row=2, col=1)
    return figure


def _drawn(values: FloatArray, limit: int) -> IntArray:
    """Indices of about `limit` values: first, last, and the low and the high of each stretch; increasing."""
    count, limit = len(values), max(limit, 4)
    if count <= limit:
        return np.arange(count)
    edges = np.linspace(0, count, limit // 2 + 1).astype(np.int64)
    spans = [(first, last) for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True) if last > first]
    lows = [first + int(values[first:last].argmin()) for first, last in spans]
    highs = [first + int(values[first:last].argmax()) for first, last in spans]
    return np.unique(np.array([0, count - 1, *lows, *highs], dtype=np.int64))


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    if not path.is_file() and (folder / _RECORDING).is_file():
        raise DataError(
            f"expected a run that has ended in {folder}, found the recording of one on paper or live that has not; "
            "`report` shows it as far as it is, and its tables are written when it ends in order",
            path=str(path),
        )
    values = _read_json(path)
    missing = ", ".join(name for name in _IN_MANIFEST if name not in values)
    if missing:
        raise DataError(f"expected the manifest of a run at {path}, found one without {missing}", path=str(path))
    return values


def _known(kind: type, values: Any, path: Path) -> dict[str, Any]:
    """The figures of this version; those that another one had besides are left out."""
    names = get_type_hints(kind)
    missing = ", ".join(name for name in names if not isinstance(values, Mapping) or name not in values)
    if missing:
        raise DataError(
            f"expected the figures of this version in {path}, found none called {missing}; run it again", path=str(path)
        )
    return {name: values[name] for name in names}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"expected {path.name} of a run in {path.parent}, found none that can be read ({error}); is it the folder "
            "of a run?",
            path=str(path),
        ) from None
    if found is None and path.name == _METRICS:
        raise DataError(
            f"expected figures in {path}, found none: the money of this run did not add up, so that none can be "
            "trusted",
            path=str(path),
        )
    if not isinstance(found, Mapping):
        raise DataError(
            f"expected an object in {path}, found {type(found).__name__}; run it again to store it", path=str(path)
        )
    return dict(found)
