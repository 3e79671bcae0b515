"""Our side of the comparison with other programs runs without them, and the comparison finds what differs."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import differential, variants, workloads
from benchmarks.compare import ComparisonFailed
from benchmarks.our_trades import Outcome, run_variant
from benchmarks.partings import Bars, lapses, value_of
from benchmarks.variants import VARIANTS, Deal, Leg, Market, Variant
from src.brokers.simulated import FillRules

#: Enough for some deals of each variant after its means have begun.
BARS = 600


def outcome(variant: Variant, *, limit_fill: str = "touch", bars: int = BARS) -> tuple[Outcome, Bars]:
    """Our deals of a shortened variant on a walk of its own, and the bars."""
    market = replace(variant.market, seed=variant.market.seed or 3)
    columns = variants.draw_market(market, variant.symbols, bars)
    rules = FillRules(limit_fill="through" if limit_fill == "through" else "touch", at_end="keep")
    return run_variant(variant, columns, rules, runtime="fibers"), Bars(columns)


def moved(deals: list[Deal], at: int, **changes: Any) -> list[Deal]:
    """The deals with one of them changed."""
    return [deal._replace(**changes) if i == at else deal for i, deal in enumerate(deals)]


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_our_engine_obeys_each_variant(name: str) -> None:
    """There are deals, entered and left in the ways that the variant names, and they add up to the final equity."""
    variant = VARIANTS[name]

    found, bars = outcome(variant)

    assert found.deals
    assert {deal.entry_kind for deal in found.deals} == {variant.entry}
    kinds = {leg.kind for deal in found.deals for leg in deal.legs}
    assert kinds <= {"market"} | ({"stop"} if variant.stop else set()) | ({"target"} if variant.target else set())
    earned = sum(value_of(deal, bars) for deal in found.deals)
    assert found.equity == pytest.approx(workloads.START_CASH + earned, abs=1e-6)


@pytest.mark.parametrize("name", [variant.name for variant in VARIANTS.values() if variant.parts and variant.stop])
def test_our_deals_follow_our_own_rule_where_a_peer_may_differ(name: str) -> None:
    """What a naive reading of the rule makes of the bars is what the engine did; another one is told."""
    found, bars = outcome(VARIANTS[name], bars=2_000)
    first = next(i for i, deal in enumerate(found.deals) if deal.legs and deal.legs[0].kind != "market")
    leg = found.deals[first].legs[0]
    late = leg._replace(open_ns=leg.open_ns + variants.MINUTE_NS)

    assert lapses(VARIANTS[name], found.deals, bars) == []
    assert lapses(VARIANTS[name], moved(found.deals, first, legs=(late,)), bars) != []


def test_equal_deals_agree_and_each_changed_field_is_told_in_a_sentence() -> None:
    """Side, volume, bar, price and kind of entry and exits, and the profit."""
    variant = VARIANTS["W2"]
    ours, bars = outcome(variant)
    deal = ours.deals[0]
    leg = deal.legs[0]
    changes: list[dict[str, Any]] = [
        {"side": -deal.side},
        {"volume": deal.volume + 1},
        {"entry_ns": deal.entry_ns + variants.MINUTE_NS},
        {"entry_price": deal.entry_price + 1e-5},
        {"entry_kind": "limit"},
        {"legs": ()},
        {"legs": (leg._replace(open_ns=leg.open_ns + variants.MINUTE_NS),)},
        {"legs": (leg._replace(price=leg.price + 1e-5),)},
        {"legs": (leg._replace(volume=leg.volume - 1),)},
        {"legs": (leg._replace(kind="target"),)},
        {"net": (deal.net or 0.0) + 1e-4},
        {"net": None},
    ]

    assert differential.judge(variant, "backtrader", ours, ours, bars).agrees
    for change in changes:
        other = Outcome(deals=moved(ours.deals, 0, **change), equity=ours.equity)
        verdict = differential.judge(variant, "backtrader", ours, other, bars)
        assert not verdict.agrees
        text = differential.sentence(verdict.unexplained[0], "backtrader")
        assert text.startswith("the ") and "backtrader" in text or "this engine alone" in text


def test_a_deal_that_one_side_lacks_and_another_equity_are_differences() -> None:
    """Nothing is equal because it is not there."""
    variant = VARIANTS["W1"]
    ours, bars = outcome(variant)

    fewer = differential.judge(variant, "backtrader", ours, Outcome(deals=ours.deals[1:], equity=ours.equity), bars)
    richer = differential.judge(variant, "backtrader", ours, Outcome(deals=ours.deals, equity=ours.equity + 0.01), bars)

    assert differential.sentence(fewer.unexplained[0], "backtrader").endswith("by this engine alone")
    assert not richer.agrees
    assert richer.money == pytest.approx(0.01)


def test_a_limit_that_must_be_traded_through_is_told_from_one_that_is_touched() -> None:
    """The rule under which the programs are compared matters on coarse prices."""
    variant = VARIANTS["limits-ticks"]
    touch, bars = outcome(variant, bars=2_000)
    through, _ = outcome(variant, limit_fill="through", bars=2_000)

    assert differential.judge(variant, "backtrader", touch, touch, bars).agrees
    assert not differential.judge(variant, "backtrader", touch, through, bars).agrees


class Tiny:
    """A handful of bars, open, high, low, close of each, and one long of 100 on them as two programs report it."""

    def __init__(self, variant: Variant, *rows: tuple[float, float, float, float]) -> None:
        self.variant = variant
        columns = variants.draw_market(Market(seed=1), 1, len(rows))[0]
        self.stamps = columns.open_ns.tolist()
        opens, highs, lows, closes = (np.array([float(row[i]) for row in rows]) for i in range(4))
        self.bars = Bars([replace(columns, open=opens, high=highs, low=lows, close=closes)])

    def deal(self, *, entry: float, bar: int | None = None, at: float = 0.0, kind: str = "stop") -> Deal:
        """The long that is entered on the second bar, and ends on the bar with this index or is still open."""
        legs = () if bar is None else (Leg(self.stamps[bar], at, 100.0, kind),)
        bare = Deal("S0", 1, 100.0, self.stamps[1], entry, self.variant.entry, legs, None)
        return bare if bar is None else bare._replace(net=value_of(bare, self.bars))

    def verdict(self, ours: Deal, theirs: Deal) -> differential.Verdict:
        """Compare; both accounts are worth what their deal makes them."""
        mine, other = (
            Outcome(deals=[deal], equity=1e6 + value_of(deal, self.bars)) for deal in (ours, theirs)
        )  # fmt: skip
        return differential.judge(self.variant, "backtrader", mine, other, self.bars)


def test_an_exit_on_the_entrys_bar_is_explained_only_as_the_peer_works_it_out() -> None:
    """From 100 with the stop at 99 inside the entry's own bar: the peer leaves at 99 on the next bar, or is wrong."""
    variant = Variant(name="tiny", says="", stop=0.01, target=0.02, parts=(("backtrader", ("entry-bar",)),))
    tiny = Tiny(variant, (100, 100, 100, 100), (100, 100.5, 98.9, 99.5), (99.5, 99.6, 98.5, 99), (99, 99, 99, 99))
    ours = tiny.deal(entry=100.0, bar=1, at=99.0)

    verdict = tiny.verdict(ours, tiny.deal(entry=100.0, bar=2, at=99.0))

    assert verdict.explained == {"entry-bar": 1}
    assert verdict.agrees
    assert not tiny.verdict(ours, tiny.deal(entry=100.0, bar=2, at=98.9)).agrees
    assert not tiny.verdict(ours, tiny.deal(entry=100.0, bar=3, at=99.0)).agrees
    assert not tiny.verdict(tiny.deal(entry=100.0, bar=1, at=98.9), tiny.deal(entry=100.0, bar=2, at=99.0)).agrees
    tiny.variant = replace(variant, parts=())
    assert not tiny.verdict(ours, tiny.deal(entry=100.0, bar=2, at=99.0)).agrees


def test_an_open_beyond_the_target_is_explained_only_with_the_stop_in_the_same_bar() -> None:
    """From 100, the next bar opens at 103 and falls to 98: ours leaves at the open, the peer at its stop."""
    variant = Variant(name="tiny", says="", stop=0.01, target=0.02, parts=(("backtrader", ("open-first",)),))
    tiny = Tiny(variant, (100, 100, 100, 100), (100, 100.5, 99.5, 100), (103, 103, 98, 99), (99, 99, 99, 99))
    ours = tiny.deal(entry=100.0, bar=2, at=103.0, kind="target")

    assert tiny.verdict(ours, tiny.deal(entry=100.0, bar=2, at=99.0)).explained == {"open-first": 1}
    assert not tiny.verdict(ours, tiny.deal(entry=100.0, bar=2, at=98.0)).agrees
    assert not tiny.verdict(
        tiny.deal(entry=100.0, bar=2, at=102.0, kind="target"), tiny.deal(entry=100.0, bar=2, at=99.0)
    ).agrees


def test_a_gap_over_a_stop_limits_trigger_is_explained_only_at_open_and_trigger() -> None:
    """Trigger 101, limit 102, the bar opens at 101.5: ours enters there, the peer at the trigger."""
    variant = Variant(
        name="tiny", says="", entry="stop_limit", offset=0.01, room=0.01,
        parts=(("backtrader", ("stop-limit-gap",)),),
    )  # fmt: skip
    tiny = Tiny(variant, (100, 100, 100, 100), (101.5, 103, 101.2, 102), (102, 102, 102, 102))

    verdict = tiny.verdict(tiny.deal(entry=101.5), tiny.deal(entry=101.0))

    assert verdict.explained == {"stop-limit-gap": 1}
    assert verdict.agrees
    assert not tiny.verdict(tiny.deal(entry=101.4), tiny.deal(entry=101.0)).agrees
    assert not tiny.verdict(tiny.deal(entry=101.5), tiny.deal(entry=101.1)).agrees


def test_fewer_bars_are_the_head_of_more() -> None:
    """So a shortened comparison looks at the beginning of the whole one; absent bars are absent in both."""
    market = Market(seed=4, absent=0.1)

    short, long = (variants.draw_market(market, 2, count)[1] for count in (300, 900))

    assert len(short.open) < 300
    assert long.close[: len(short.close)].tolist() == short.close.tolist()
    assert long.open_ns[: len(short.close)].tolist() == short.open_ns.tolist()


def test_columns_come_back_as_they_were_written(tmp_path: Path) -> None:
    """What this engine ran on is what the peers read."""
    drawn = variants.draw_market(Market(seed=4), 2, 50)

    variants.save_columns(tmp_path / "one", drawn)

    for mine, other in zip(drawn, variants.load_columns(tmp_path / "one", 2), strict=True):
        assert mine.symbol == other.symbol
        assert all(
            getattr(mine, name).tolist() == getattr(other, name).tolist()
            for name in ("open_ns", "open", "high", "low", "close", "volume")
        )


def test_a_peer_that_cannot_be_had_is_code_two_with_a_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No such program, and one that cannot be installed, are told apart from a difference."""
    nowhere = ["--backtesting-python", str(tmp_path / "python"), "--bars", "200", "seed"]

    def fails(*given: object) -> str:
        raise subprocess.CalledProcessError(1, "pip")

    assert differential.main(nowhere) == 2
    assert "found no program" in capfd.readouterr().err
    monkeypatch.setattr(differential, "interpreter", fails)
    assert differential.main(["seed"]) == 2
    assert "Expected to install backtesting==" in capfd.readouterr().err


def test_a_python_without_the_peer_is_code_two_with_what_it_said(capfd: pytest.CaptureFixture[str]) -> None:
    """The end of its standard error tells what is missing."""
    given = ["--backtrader-python", sys.executable, "--backtesting-python", sys.executable]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "seed", replace(VARIANTS["seed"], peers=("backtrader",), symbols=1))
        code = differential.main([*given, "--bars", "200", "--runtime", "fibers", "seed"])

    assert code == 2
    assert "No module named 'backtrader'" in capfd.readouterr().err


def test_the_exit_code_follows_the_deals(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """0 where a peer reports what we do, 1 where it does not, and what it reports is asked of its own program."""
    ours, _ = outcome(VARIANTS["seed"])
    answers = {"seed": ours}
    monkeypatch.setattr(differential, "run_peer", lambda peer, python, folder, names: answers)
    arguments = ["seed", "--bars", str(BARS), "--runtime", "fibers"]
    arguments += ["--backtesting-python", sys.executable, "--backtrader-python", sys.executable]

    assert differential.main(arguments) == 0
    answers["seed"] = Outcome(deals=ours.deals[:-1], equity=ours.equity)
    assert differential.main(arguments) == 1
    assert "DIFFER; the first: the " in capsys.readouterr().out


def test_a_peer_that_leaves_out_a_variant_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is missing is no agreement."""
    monkeypatch.setattr(differential, "ROOT", tmp_path)
    scripts = tmp_path / "benchmarks" / "peers"
    scripts.mkdir(parents=True)
    line = '{"variant": "W1", "deals": [], "equity": 1.0}'
    (scripts / "backtrader_trades.py").write_text(f"print('{line}')", encoding="utf-8")

    assert differential.run_peer("backtrader", sys.executable, tmp_path, ["W1"])["W1"].equity == 1.0
    with pytest.raises(ComparisonFailed, match="Expected one line for each of 2 variants"):
        differential.run_peer("backtrader", sys.executable, tmp_path, ["W1", "W2"])
