"""The seeded data and the rules of the workloads W1 and W2, the same for this engine and for its peers.

The rules. At the close of each bar from the one with index 50 on, a symbol's target is +1 where the mean of the last 20
closes is above that of the last 50, -1 where it is below, and unchanged where they are equal. A change of target is a
market order that fills at the open of the next bar and reverses: it closes what is open and opens 100 units on the
other side. Each side of a trade costs 0.00007 of its notional; there is no other spread. An account starts with
1,000,000. Prices are not rounded to ticks. What is open at the end is valued at the last close and stays open. A
decision at the last bar has no bar to fill on. Entries are positions opened.

W1 is one symbol, always long or short after its first decision.

W2 is ten symbols on one account. Each entry carries a stop 0.5 % against it and a target 1 % in its favour, both
measured from the close at which it was decided and given as prices. A stop or target fills at its level, or at the open
of a bar that opens beyond it; touching the level is enough; the stop comes first where one bar holds both. After such
an exit the symbol stays flat until its target changes. The market order of a reversal, which fills at an open, comes
before a stop inside the same bar.

W3 is W1 over its first bars for each of 64 pairs of averages, each on an account of its own; a pair decides from the
bar with the index of its longer average on.

The data. Ten symbols of 500,000 one-minute bars each, a random walk drawn once and kept in the ignored folder `.bench/`
as one `.npy` file a column, so that a measured program reads the columns and rows that it needs and nothing else. They
are drawn and written in a process of their own: the memory which that takes is not the measured program's.

Needs numpy and the standard library only, because the peers read it from environments without this product. Called from
one thread; several processes may ask for the data at once.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = [
    "W3_BARS",
    "W3_ENTRIES",
    "W3_EQUITY",
    "W3_FAST",
    "W3_SLOW",
    "WORKLOADS",
    "Columns",
    "DigestMismatch",
    "Workload",
    "bars",
    "draw",
    "make_bench_folder",
    "prepare",
    "read",
    "store",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# The rules.
FAST_BARS, SLOW_BARS = 20, 50
SIZE_UNITS = 100
COST_PER_SIDE = 0.00007  # of notional: a commission of 0.002 % and half of a spread of one basis point
START_CASH = 1_000_000.0
STOP_DISTANCE, TARGET_DISTANCE = 0.005, 0.01  # of the close at which the entry was decided

# The pairs of averages of W3, its bars, and what all of its accounts come to.
W3_FAST = (5, 8, 10, 12, 15, 20, 25, 30)
W3_SLOW = (40, 50, 60, 80, 100, 120, 150, 200)
W3_BARS = 50_000
W3_ENTRIES, W3_EQUITY = 63_426, 63_920_590.651694

# The data.
SEED = 7
SYMBOL_COUNT, BAR_COUNT = 10, 500_000
FIRST_OPEN_NS = 1_577_836_800_000_000_000  # 2020-01-01T00:00Z
MINUTE_NS = 60_000_000_000
RETURN_SIGMA, GAP_SIGMA, WICK_SIGMA = 4e-4, 4e-5, 2e-4  # of one bar, relative
DECIMALS = 5
CLOSES_DIGEST = "958d76071d9b2e68"  # first 16 digits of the sha256 of all closes, symbol after symbol

BENCH_FOLDER = Path(__file__).resolve().parent.parent / ".bench"
_FILES = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """How much data a workload takes and the result on which independent programs agree.

    Attributes:
        name: W1 or W2.
        symbols: it takes the first so many symbols.
        bars: and the first so many bars of each.
        entries: positions opened.
        final_equity: account value at the last close, exact to the sixth decimal.
        stops: how many positions ended at their stop.
        targets: how many ended at their target.
    """

    name: str
    symbols: int
    bars: int
    entries: int
    final_equity: float
    stops: int = 0
    targets: int = 0


WORKLOADS = {
    "W1": Workload(name="W1", symbols=1, bars=500_000, entries=11_099, final_equity=990_044.149680),
    "W2": Workload(
        name="W2", symbols=10, bars=100_000, entries=22_529, final_equity=956_667.103808, stops=50, targets=553
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The bars of one symbol in time order; every array has the shape (n,).

    Attributes:
        symbol: S0, S1, ... in the order in which they were drawn.
        open_ns: start of each bar, nanoseconds UTC; read-only, one array shared by all symbols of a call.
        open, high, low, close: prices with at most five decimals.
        volume: whole numbers from 1,000 to 9,999, as floats.
    """

    symbol: str
    open_ns: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray


class DigestMismatch(ValueError):
    """The drawn closes are not the documented ones, so no result on them can be compared."""


def draw(symbols: int = SYMBOL_COUNT, count: int = BAR_COUNT) -> Iterator[Columns]:
    """Draw the random walk anew, one symbol at a time.

    A symbol depends on those before it and on `count`, not on how many follow: fewer bars are another walk, so a
    workload takes the head of the long one (`read`).

    Args:
        symbols: how many.
        count: bars of each.
    """
    stream = np.random.default_rng(SEED)
    open_ns = _stamps(count)
    for index in range(symbols):
        # The order of these five draws is part of the definition of the data.
        body = stream.normal(0.0, RETURN_SIGMA, count)
        gap = stream.normal(0.0, GAP_SIGMA, count)
        above = np.abs(stream.normal(0.0, WICK_SIGMA, count))
        below = np.abs(stream.normal(0.0, WICK_SIGMA, count))
        volume = stream.integers(1_000, 10_000, count).astype(np.float64)
        gap[:1] = 0.0
        level = np.cumsum(body + gap)
        base = 100.0 + 10.0 * index
        last, first = base * np.exp(level), base * np.exp(level - body)
        top, bottom = np.maximum(first, last) * (1.0 + above), np.minimum(first, last) * (1.0 - below)
        first, top, bottom, last = (np.round(prices, DECIMALS) for prices in (first, top, bottom, last))
        yield Columns(
            symbol=f"S{index}",
            open_ns=open_ns,
            open=first,
            # Rounding can put an extreme inside the body by half a unit of the last decimal.
            high=np.maximum(top, np.maximum(first, last)),
            low=np.minimum(bottom, np.minimum(first, last)),
            close=last,
            volume=volume,
        )


def _stamps(count: int) -> IntArray:
    stamps = FIRST_OPEN_NS + MINUTE_NS * np.arange(count, dtype=np.int64)
    stamps.flags.writeable = False
    return stamps


def store(folder: Path, drawn: Iterable[Columns], digest: str) -> None:
    """Write drawn symbols into a new folder, one `.npy` file a column; all of it or nothing.

    The folder appears only when it is complete and its closes have the digest, so a reader never meets half of it.
    Where another process was quicker, its folder stays and this one's work is dropped.

    Args:
        folder: does not exist yet; its parent is made where needed.
        drawn: from `draw`.
        digest: first 16 hexadecimal digits of the sha256 of all closes, symbol after symbol.

    Raises:
        DigestMismatch: The closes are others; nothing was written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=folder.parent))
    try:
        closes = hashlib.sha256()
        for columns in drawn:
            closes.update(columns.close.tobytes())
            for name in _FILES:
                np.save(unfinished / f"{columns.symbol}.{name}.npy", getattr(columns, name))
        found = closes.hexdigest()[: len(digest)]
        if found != digest:
            raise DigestMismatch(
                f"Expected closes with the digest {digest}, drew some with {found} (numpy {np.__version__}): "
                "this build of numpy draws or rounds differently; use another one for measuring."
            )
        try:
            unfinished.rename(folder)
        except OSError:
            # A rename onto a folder that holds files fails: then somebody else has finished first, which is as good.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def read(folder: Path, symbols: int, count: int) -> Iterator[Columns]:
    """Read the first bars of the first symbols from a folder written by `store`, one symbol at a time.

    Only the rows asked for are read, into arrays of their own: 40 bytes a bar and symbol, and 8 a bar for the stamps.

    Args:
        folder: where `store` put them.
        symbols: how many.
        count: bars of each.

    Raises:
        ValueError: The folder holds fewer symbols or bars.
    """
    open_ns = _stamps(count)
    for index in range(symbols):
        symbol = f"S{index}"
        columns = {name: _head(folder / f"{symbol}.{name}.npy", count) for name in _FILES}
        yield Columns(symbol=symbol, open_ns=open_ns, **columns)


def _head(path: Path, count: int) -> FloatArray:
    if not path.is_file():
        raise ValueError(f"Expected the column {path.name} in {path.parent}, found none: ask for fewer symbols.")
    mapped = np.load(path, mmap_mode="r")  # reads the header alone
    if len(mapped) < count:
        raise ValueError(f"Expected {count:,} bars in {path.name}, found {len(mapped):,}: ask for fewer bars.")
    return np.fromfile(path, dtype=mapped.dtype, count=count, offset=mapped.offset)


def make_bench_folder(bench: Path = BENCH_FOLDER) -> Path:
    """Return the folder in which the benchmarks keep what they make; where it is new, tell git to ignore it."""
    if not bench.is_dir():
        bench.mkdir(parents=True, exist_ok=True)
        (bench / ".gitignore").write_text("*\n", encoding="utf-8")
    return bench


def prepare(bench: Path = BENCH_FOLDER) -> Path:
    """Return the folder with the data of all workloads; draw and check them in another process if it is not there yet.

    Takes about a second and 200 MB of disk the first time, and no time afterwards.

    Args:
        bench: the ignored folder in which the benchmarks keep what they make.

    Raises:
        subprocess.CalledProcessError: The other process failed; it has said why on the standard error.
    """
    folder = make_bench_folder(bench) / f"bars-{CLOSES_DIGEST}"
    if not folder.is_dir():
        subprocess.run([sys.executable, __file__, "--store-in", str(folder)], check=True)
    return folder


def bars(symbols: int, count: int) -> Iterator[Columns]:
    """Give the first bars of the first symbols, one symbol at a time; see `read` and `prepare`."""
    yield from read(prepare(), symbols, count)


def main() -> int:
    """Write the data and check their digest; the process that `prepare` starts."""
    parser = argparse.ArgumentParser(description="Draw the data of the workloads, check and store them.")
    parser.add_argument("--store-in", type=Path, required=True, metavar="FOLDER", help="a folder that is made for them")
    try:
        store(parser.parse_args().store_in, draw(), CLOSES_DIGEST)
    except DigestMismatch as mismatch:
        print(mismatch, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
