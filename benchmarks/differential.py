"""Trade by trade against other programs: `python benchmarks/differential.py`.

Runs every variant of `benchmarks/variants.py` through this engine with `limit_fill: touch`, and through backtesting.py
and backtrader as separate programs (`benchmarks/peers/`, environments of their own in the ignored folder `.bench/`),
and compares each deal: symbol, side, volume, bar and price and kind of the entry, bar, price, volume and kind of each
exit, net profit; and the account's value at the last close.

The exit code is 0 when all are equal, 1 when one is not (the first difference of each variant is printed in a
sentence), 2 when there is nothing to compare with, because a peer could not be installed or did not run.

A peer may differ by a rule that `docs/differences.md` explains, where the variant says so, and each deal that differs
is then tested against the bars: it counts as explained only if the peer's answer is what that rule makes of them.

One process at a time, one thread.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import variants, workloads  # noqa: E402 - started as a program
from benchmarks.compare import PAIRS, ComparisonFailed, interpreter, say  # noqa: E402 - as above
from benchmarks.our_trades import Outcome, run_variant  # noqa: E402 - as above
from benchmarks.partings import (  # noqa: E402 - as above
    MONEY_TOLERANCE,
    PARTINGS,
    Bars,
    Difference,
    equal_entries,
    equal_legs,
    equal_money,
    lapses,
    value_of,
)
from benchmarks.variants import VARIANTS, Deal, Variant  # noqa: E402 - as above
from src.core.errors import LockstepError  # noqa: E402 - as above
from src.core.timeframe import format_instant  # noqa: E402 - as above

SCRIPTS = {"backtesting": "backtesting_trades.py", "backtrader": "backtrader_trades.py"}
NAMES = {"backtesting": "backtesting.py", "backtrader": "backtrader"}


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What the comparison of one variant with one peer found.

    Attributes:
        equal: deals that both report alike.
        explained: how many differ, by the rule that explains them.
        unexplained: the differences that no rule explains.
        lapses: our deals that are not what our own rule says, whatever the peer reports; judged where it may differ.
        money: by how much the peer's final equity is above ours, beyond what the explained deals and the open ones
            make of it.
    """

    equal: int = 0
    explained: dict[str, int] = field(default_factory=dict)
    unexplained: list[Difference] = field(default_factory=list)
    lapses: list[Deal] = field(default_factory=list)
    money: float = 0.0

    @property
    def agrees(self) -> bool:
        """Whether nothing is left without an explanation."""
        return not (self.unexplained or self.lapses) and abs(self.money) <= MONEY_TOLERANCE


def equal_deals(ours: Deal, theirs: Deal) -> bool:
    """Whether two deals are the same: entry, every exit, and profit."""
    return equal_entries(ours, theirs) and equal_legs(ours, theirs) and equal_money(ours, theirs)


def differences(ours: Sequence[Deal], theirs: Sequence[Deal]) -> Iterator[Difference]:
    """The deals that are not the same, by time; deals belong together by symbol and bar of entry."""
    mine = {(deal.entry_ns, deal.symbol): deal for deal in ours}
    other = {(deal.entry_ns, deal.symbol): deal for deal in theirs}
    if len(mine) != len(ours) or len(other) != len(theirs):
        raise ValueError("expected at most one deal of a symbol on a bar: the variant enters more often than that")
    for key in sorted(mine.keys() | other.keys()):
        pair = mine.get(key), other.get(key)
        if pair[0] is None or pair[1] is None or not equal_deals(pair[0], pair[1]):
            yield Difference(ours=pair[0], theirs=pair[1])


def judge(variant: Variant, peer: str, ours: Outcome, theirs: Outcome, bars: Bars) -> Verdict:
    """Compare what two programs made of one variant."""
    verdict = Verdict()
    allowed = variant.partings(peer)
    worth = 0.0
    count = 0
    for difference in differences(ours.deals, theirs.deals):
        count += difference.ours is not None
        rule = next((name for name in allowed if PARTINGS[name](difference, variant, bars)), None)
        if rule is None:
            verdict.unexplained.append(difference)
        else:
            verdict.explained[rule] = verdict.explained.get(rule, 0) + 1
            worth += value_of(difference.theirs, bars) - value_of(difference.ours, bars)
    verdict.equal = len(ours.deals) - count
    if allowed:
        verdict.lapses = lapses(variant, ours.deals, bars)
    if not verdict.unexplained:
        verdict.money = theirs.equity - ours.equity - worth
    return verdict


def sentence(difference: Difference, peer: str) -> str:
    """The difference in words."""
    ours, theirs = difference.ours, difference.theirs
    deal = ours or theirs
    if deal is None:
        raise ValueError("a difference has at least one deal")
    head = about(deal)
    if ours is None or theirs is None:
        return f"{head} is entered at {deal.entry_price!r} by {NAMES[peer] if ours is None else 'this engine'} alone"
    if not equal_entries(ours, theirs):
        return f"{head}: this engine {entered(ours)}, {NAMES[peer]} {entered(theirs)}"
    return f"{head}: this engine {ended(ours)}, {NAMES[peer]} {ended(theirs)}"


def about(deal: Deal) -> str:
    """Which deal it is."""
    return f"the {'long' if deal.side > 0 else 'short'} {deal.symbol} of {format_instant(deal.entry_ns)}"


def entered(deal: Deal) -> str:
    """How a deal began."""
    side = "bought" if deal.side > 0 else "sold"
    return f"{side} {deal.volume:g} at {deal.entry_price!r} ({deal.entry_kind})"


def ended(deal: Deal) -> str:
    """How a deal ended."""
    if not deal.legs:
        return "never left it"
    legs = " and ".join(
        f"left {leg.volume:g} by its {leg.kind} at {leg.price!r} on the bar of {format_instant(leg.open_ns)}"
        if leg.kind != "market"
        else f"closed {leg.volume:g} at the market at {leg.price!r} on the bar of {format_instant(leg.open_ns)}"
        for leg in deal.legs
    )
    return f"{legs}, net {'open' if deal.net is None else format(deal.net, '.6f')}"


def run_peer(peer: str, python: str, folder: Path, names: Sequence[str]) -> dict[str, Outcome]:
    """Run the variants in a peer's own program.

    Raises:
        ComparisonFailed: It could not be started, failed, or left out a variant.
    """
    script = ROOT / "benchmarks" / "peers" / SCRIPTS[peer]
    try:
        done = subprocess.run(
            [python, str(script), str(folder), *names], cwd=ROOT, capture_output=True, text=True, encoding="utf-8",
            check=False,
        )  # fmt: skip
    except OSError as error:
        raise ComparisonFailed(f"Expected to start {script.name}, found: {error}.") from error
    rows: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or [row["variant"] for row in rows] != list(names):
        raise ComparisonFailed(
            f"Expected one line for each of {len(names)} variants from {script.name}, found {len(rows)} and exit code "
            f"{done.returncode}:\n{done.stderr.strip()[-2000:]}"
        )
    return {row["variant"]: Outcome(deals=variants.deals_from(row["deals"]), equity=row["equity"]) for row in rows}


def compare_all(chosen: Sequence[Variant], pythons: dict[str, str], bars: int | None, runtime: str) -> bool:
    """Run and judge; a line for each variant and peer. Whether all agree."""
    ours: dict[str, Outcome] = {}
    shown: dict[str, Bars] = {}
    agreed = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for variant in chosen:
            columns = variants.draw_market(variant.market, variant.symbols, bars or variant.bars)
            variants.save_columns(folder / variant.name, columns)
            ours[variant.name] = run_variant(variant, columns, runtime=runtime)
            shown[variant.name] = Bars(columns)
        say(f"this engine ran {len(chosen)} variants")
        for peer, python in pythons.items():
            names = [variant.name for variant in chosen if peer in variant.peers]
            theirs = run_peer(peer, python, folder, names)
            for name in names:
                variant = VARIANTS[name]
                verdict = judge(variant, peer, ours[name], theirs[name], shown[name])
                print(line(variant, peer, verdict, len(ours[name].deals)))
                agreed &= verdict.agrees
    return agreed


def line(variant: Variant, peer: str, verdict: Verdict, count: int) -> str:
    """What there is to say of one variant and peer."""
    text = f"{variant.name:<22} {NAMES[peer]:<15} {verdict.equal:>6,} of {count:,} deals equal"
    for rule, number in sorted(verdict.explained.items()):
        text += f", {number:,} explained by {rule} (docs/differences.md)"
    if verdict.unexplained:
        text += f", {len(verdict.unexplained):,} DIFFER; the first: {sentence(verdict.unexplained[0], peer)}."
    if verdict.lapses:
        deal = verdict.lapses[0]
        text += f", {len(verdict.lapses):,} BREAK our own rule; the first: {about(deal)}: this engine {ended(deal)}."
    if not (verdict.unexplained or verdict.lapses or verdict.agrees):
        text += f", but the final equity of {NAMES[peer]} is {verdict.money:+.6f} off"
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print a line for each variant and peer; return the exit code."""
    options = parse_arguments(arguments)
    chosen = [VARIANTS[name] for name in options.variants or VARIANTS]
    peers = [peer for peer in SCRIPTS if any(peer in variant.peers for variant in chosen)]
    pairs = {pair.peer: pair for pair in PAIRS}
    pythons = {}
    for peer in peers:
        try:
            pythons[peer] = interpreter(pairs[peer], getattr(options, f"{peer}_python"))
        except ComparisonFailed as failure:
            say(str(failure))
            return 2
        except (subprocess.CalledProcessError, OSError) as failure:
            why = f"code {failure.returncode}" if isinstance(failure, subprocess.CalledProcessError) else str(failure)
            wanted = pairs[peer].requirements[0]
            say(f"Expected to install {wanted}, found that it fails with {why}: give a Python with --{peer}-python.")
            return 2
    try:
        agreed = compare_all(chosen, pythons, options.bars, options.runtime)
    except ComparisonFailed as failure:
        say(str(failure))
        return 2
    except (LockstepError, ValueError) as failure:
        say(f"This engine did not run to its end: {failure}")
        return 1
    print("every deal is equal or explained" if agreed else "the deals are not equal")
    return 0 if agreed else 1


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Hold the trades of this engine against those of other programs.",
        epilog="\n".join(f"{variant.name:<22} {variant.says}" for variant in VARIANTS.values()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help="which to run (below); all by default")
    parser.add_argument("--bars", type=int, help="bars of each symbol instead of each variant's own number")
    parser.add_argument("--runtime", choices=("threads", "fibers"), default="threads", help="of our runs")
    for pair in PAIRS:
        parser.add_argument(
            f"--{pair.peer}-python",
            metavar="PYTHON",
            help=f"interpreter with {pair.requirements[0]}; by default an environment made in "
            f"{workloads.BENCH_FOLDER.name}/",
        )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.variants) - set(VARIANTS))
    if unknown:
        parser.error(f"expected variants among {', '.join(VARIANTS)}, found {', '.join(unknown)}")
    if options.bars is not None and options.bars < 200:
        parser.error(f"expected at least 200 bars, found {options.bars}")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
