"""`data import --from-recording`: the bars that a live or paper run saw, brought into the store.

Runs in the main thread; the store is open only while it is needed.
"""

import dataclasses
from pathlib import Path

from src.cli.output import Output
from src.cli.run_folder import found_run
from src.core.timeframe import format_duration, format_instant
from src.data.store import HistoricalDataStore
from src.research.parity.recorded import read_recorded
from src.research.parity.store_bars import SOURCE, import_recorded

__all__ = ["import_recording"]


def import_recording(run: str, store: Path, source: str | None, out: Output) -> int:
    """Store the bars of a recording, all or none; the exit code.

    Args:
        run: a folder, or a name in the usual folder of runs.
        source: what their origin is called; None for the usual name.

    Raises:
        ConfigError: there is no such run.
        DataError: a bar is stored with other numbers, or the stored series is of another source.
    """
    recorded = read_recorded(found_run(run, None))
    origin = source or SOURCE
    with HistoricalDataStore(store) as opened:
        imported = import_recorded(recorded, opened, origin)
    for each in imported:
        out.say(
            f"stored {each.written:,} new of {each.bars:,} {format_duration(each.timeframe_ns)} {each.price_side} bars "
            f"of {each.symbol}, {format_instant(each.first_ns)} to {format_instant(each.last_ns)}, in {store}"
        )
    out.result(
        {"run": str(recorded.folder), "store": str(store), "source": origin,
         "series": [dataclasses.asdict(each) for each in imported]}
    )  # fmt: skip
    return 0
