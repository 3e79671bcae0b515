"""The section of a report with the real time that a run took; it differs between equal runs. Pure; any thread."""

from src.backtesting.report.stored import StoredRun
from src.pages import Column, Page, Tile, note, section, tiles

__all__ = ["timing_section"]


def timing_section(page: Page, run: StoredRun) -> str:
    """How long the run took, and its threads where they were measured; empty without `timing.json`."""
    timing = run.timing
    if not timing:
        return ""
    shown = [
        Tile(name="Real time", text=f"{timing['seconds']:.2f} s" if timing.get("seconds") else "n/a", key="seconds"),
        Tile(name="Bars a second", text=f"{timing['bars_per_s']:,.0f}" if timing.get("bars_per_s") else "n/a"),
        Tile(name="Runtime", text=str(timing.get("runtime", "n/a")), note=str(timing.get("machine", ""))),
    ]
    threads = timing.get("threads")
    if not threads:
        turns = timing.get("turns") or {}
        rows = [[name, count] for name, count in sorted(turns.items())]
        columns = [Column(name="Thread"), Column(name="Turns", kind="number", digits=0)]
        table = page.table("threads", columns, rows, filters=False) if rows else ""
        words = "The threads were not measured; --stats or --trace of the run measures them."
        return section("Thread timing", tiles(shown) + table + note(words), "timing-section", short="Timing")
    handed = threads["hand_over"]
    shown += [
        Tile(name=name.replace("_", " ").capitalize(), text=f"{share * 100:.1f} %", note="of the run")
        for name, share in threads["shares"].items()
    ]
    shown.append(
        Tile(name="Hand-over", text=f"{handed['median_us'] or 0:,.1f} us", note=f"p99 {handed['p99_us'] or 0:,.0f} us",
             meaning="From the end of one participant's turn to the begin of the next one's: the median.")
    )  # fmt: skip
    rows = [
        [name, one["turns"], one["busy_s"], one["waiting_s"], one["lock_wait_s"], one["longest_turn_s"] * 1e3,
         one["longest_turn_at"], *(one["shares"][key] * 100 for key in ("strategy", "broker", "bot", "hand_over"))]
        for name, one in sorted(threads["participants"].items())
    ]  # fmt: skip
    columns = [
        Column(name="Thread"), Column(name="Turns", kind="number", digits=0),
        Column(name="Busy s", kind="number", digits=3), Column(name="Waiting s", kind="number", digits=3),
        Column(name="Lock wait s", kind="number", digits=3), Column(name="Longest turn ms", kind="number", digits=3),
        Column(name="at"),
        *(Column(name=name, kind="percent", digits=1) for name in ("Strategy", "Broker", "Bot", "Hand-over")),
    ]  # fmt: skip
    table = page.table("threads", columns, rows, filters=False)
    words = "Real time of this machine; it differs from run to run and is no part of the digest. Measuring takes time."
    return section("Thread timing", tiles(shown) + table + note(words), "timing-section", short="Timing")
