"""The family: what belongs to it, and that it stays what it was when a validation began."""

import json
from pathlib import Path

import pytest

from src.backtesting.artifacts.trial_ledger import Trial
from src.core.errors import DataError
from src.research.validation.family import DataSet, Family, family_of, keep_family, stored_family, trials_on

BTC, ETH = ("BTCUSDT", "csv"), ("ETHUSDT", "csv")


def trial(name: str, *series: tuple[str, str], start_ns: int = 0, end_ns: int = 10) -> Trial:
    return Trial(
        run_id=f"run of {name}", configuration_hash=name, series=series, start_ns=start_ns, end_ns=end_ns,
        sharpe=None, days=0, skew=None, kurtosis=None,
    )  # fmt: skip


def test_a_trial_counts_that_read_one_series_in_an_overlapping_window() -> None:
    """Another symbol, another source, and a window that only touches are other data."""
    data = [DataSet(series=(BTC,), start_ns=5, end_ns=15)]
    ledger = [
        trial("both", BTC, ETH), trial("again", BTC), trial("again", BTC, end_ns=7), trial("other", ETH),
        trial("other source", ("BTCUSDT", "ccxt")), trial("before", BTC, end_ns=5),
        trial("after", BTC, start_ns=15, end_ns=20),
    ]  # fmt: skip

    assert trials_on(data, ledger) == {"both", "again"}


def test_each_trial_counts_once_and_the_untold_ones_besides() -> None:
    """A candidate that the ledger knows is no second hypothesis; the order does not matter."""
    family = family_of(["b", "a"], ["c", "a"], untold=4)

    assert family.members == ("a", "b", "c")
    assert family.size == 7
    assert family.hash == family_of(["a", "c"], ["b", "b"], untold=4).hash
    assert family.hash != family_of(["a", "b", "c"]).hash


def test_a_family_is_stored_with_its_hash_and_read_again(tmp_path: Path) -> None:
    """What is read says that it was stored, and is otherwise the same."""
    path, family = tmp_path / "new" / "family.json", family_of(["ü", "a"], untold=2)
    assert stored_family(path) is None
    keep_family(path, family)

    found = stored_family(path)
    assert found == Family(members=("a", "ü"), untold=2, stored=True)
    assert found is not None
    assert found.hash == family.hash
    assert [each.name for each in path.parent.iterdir()] == ["family.json"]


@pytest.mark.parametrize("change", ["member", "untold", "text", "cut"])
def test_a_family_that_somebody_changed_is_refused(tmp_path: Path, change: str) -> None:
    """A smaller family would let more candidates pass."""
    path = tmp_path / "family.json"
    keep_family(path, family_of(["a", "b"], untold=2))
    entry = json.loads(path.read_text())
    if change == "member":
        entry["members"].remove("b")
    if change == "untold":
        entry["untold"] = 0
    text = json.dumps(entry)
    path.write_text({"text": "nothing", "cut": text[:-4]}.get(change, text))

    with pytest.raises(DataError, match="expected the family that this validation was started with"):
        stored_family(path)


def test_a_family_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "taken").write_text("")

    with pytest.raises(DataError, match="name a folder you may write to"):
        keep_family(tmp_path / "taken" / "family.json", family_of(["a"]))
