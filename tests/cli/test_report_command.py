"""`report`: the page of a stored run is made again, from wherever its bars are found, and two runs are compared."""

import json
from pathlib import Path
from typing import Any

import pytest

from src.backtesting.report.compare import first_difference
from src.backtesting.report.prices import kept_prices
from src.cli.app import main
from src.core.errors import DataError
from tests.cli.small import CONFIG


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration, its store, and two runs of it with other windows of the fast average."""
    place = tmp_path_factory.mktemp("place")
    config = place / "config.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    for fast in ("5", "6"):
        words = ["--set", f"strategies.0.params.fast={fast}", "--set", "backtest.runtime=fibers", "--quiet"]
        assert main(["--mode", "backtest", "--config", str(config), *words]) == 0
    return place


def runs_of(place: Path) -> list[Path]:
    """The folders of the runs."""
    return sorted(path.parent for path in (place / "runs").glob("*/manifest.json"))


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code of `report` and what it says to programs."""
    capsys.readouterr()
    code = main(["report", *words, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, found


def test_the_report_of_a_run_is_made_again_with_its_timing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By folder or by name; the bars are those of the report that was made with the run."""
    folder, _ = runs_of(place)
    before = (folder / "report.html").read_text(encoding="utf-8")
    kept = kept_prices(folder / "report.html")

    code, found = asked(capsys, folder.name, "--config", str(place / "config.yaml"))

    after = (folder / "report.html").read_text(encoding="utf-8")
    assert (code, found["kind"], found["bytes"]) == (0, "run", len(after.encode()))
    assert "Thread timing" in after
    assert "Thread timing" not in before
    again = kept_prices(folder / "report.html")
    assert (again[0].close == kept[0].close).all()
    assert len(again[0].close) > 1400


def test_bars_are_found_again_where_no_report_has_them(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of a synthetic market are generated once more, and are the same."""
    folder, _ = runs_of(place)
    kept = kept_prices(folder / "report.html")
    (folder / "report.html").unlink()

    asked(capsys, str(folder))

    found = kept_prices(folder / "report.html")
    assert (found[0].close == kept[0].close).all()
    assert (found[0].open_ns == kept[0].open_ns).all()


@pytest.mark.parametrize(
    ("store", "sentence"),
    [
        ("data/synthetic.duckdb", ""),
        ("data/absent.duckdb", "There are no prices: the store absent.duckdb was not found; give the run"),
    ],
)
def test_bars_are_read_from_the_store_beside_the_configuration(
    place: Path, capsys: pytest.CaptureFixture[str], store: str, sentence: str
) -> None:
    """The store lies where the configuration says; without it the report says what is missing."""
    _, folder = runs_of(place)
    told = (folder / "manifest.json").read_text(encoding="utf-8")
    manifest = json.loads(told)
    manifest["configuration"]["backtest"]["data"].update(source="store", seed=0, store=store)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (folder / "report.html").unlink(missing_ok=True)

    asked(capsys, str(folder), "--config", str(place / "config.yaml"))

    (folder / "manifest.json").write_text(told, encoding="utf-8")
    assert sentence in (folder / "report.html").read_text(encoding="utf-8")
    assert len(kept_prices(folder / "report.html")) == (0 if sentence else 1)


def test_bars_that_were_changed_are_not_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A store whose bars are other ones than the run saw is said so."""
    folder, _ = runs_of(place)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "report.html").unlink(missing_ok=True)
    (folder / "manifest.json").write_text(
        json.dumps({**manifest, "inputs": {**manifest["inputs"], "data_fingerprint": "other"}}), encoding="utf-8"
    )

    asked(capsys, str(folder), "--config", str(place / "config.yaml"))

    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert "the bars in the store are no longer those" in (folder / "report.html").read_text(encoding="utf-8")


def test_two_runs_are_compared(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page lies in the folder of the first run and names the first decision and the input that differ."""
    first, second = runs_of(place)

    code, found = asked(capsys, str(first), "--compare", str(second))

    text = Path(found["report"]).read_text(encoding="utf-8")
    assert (code, found["kind"]) == (0, "comparison")
    assert found["report"] == str(first / f"compare-{second.name}.html")
    assert "The first decision that differs" in text
    assert "strategies.0.params.fast" in text


def test_a_run_compared_with_itself_is_equal(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No record differs, and no input."""
    first, _ = runs_of(place)

    _, found = asked(capsys, str(first), "--compare", str(first))

    text = Path(found["report"]).read_text(encoding="utf-8")
    assert "<strong>EQUAL</strong>" in text
    assert "Configuration, data and versions are the same." in text


def test_a_folder_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence names what was looked for."""
    code = main(["report", str(tmp_path)])

    assert code != 0
    assert "expected the folder of a run, a suite or a validation" in capsys.readouterr().err


def test_what_cannot_be_read_is_said_in_a_sentence(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures of another version, and a manifest that is none, are wrong data and no defect."""
    _, folder = runs_of(place)
    told = {name: (folder / name).read_text(encoding="utf-8") for name in ("metrics.json", "manifest.json")}
    codes = []
    for name, text in (("metrics.json", '{"currency": "USDT"}'), ("manifest.json", "{")):
        (folder / name).write_text(text, encoding="utf-8")
        codes.append(main(["report", str(folder)]))
        (folder / name).write_text(told[name], encoding="utf-8")

    err = capsys.readouterr().err
    assert codes == [DataError.exit_code] * 2
    assert "expected the files of a run as this version writes them" in err
    assert "expected manifest.json of a run" in err
    assert "defect" not in err


def test_a_run_without_its_table_of_trades_is_told_apart(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder is that of a run, and what it lacks is named."""
    _, folder = runs_of(place)
    kept = (folder / "trades.parquet").rename(folder / "kept")

    code = main(["report", str(folder)])

    kept.rename(folder / "trades.parquet")
    assert code == DataError.exit_code
    assert "found no trades.parquet" in capsys.readouterr().err


@pytest.mark.parametrize("damaged", ["nothing", "[]", '{"seconds": "x"}', '{"threads": 3}'])
def test_damaged_timing_costs_a_sentence_at_most(place: Path, capsys: pytest.CaptureFixture[str], damaged: str) -> None:
    """What is no object is left out; an object with other values is refused as wrong data, which is no defect."""
    _, folder = runs_of(place)
    timing = (folder / "timing.json").read_text(encoding="utf-8")
    (folder / "timing.json").write_text(damaged, encoding="utf-8")

    code = main(["report", str(folder)])

    (folder / "timing.json").write_text(timing, encoding="utf-8")
    err = capsys.readouterr().err
    assert "defect" not in err
    assert code == (DataError.exit_code if damaged.startswith("{") else 0)


def record(kind: str, **fields: Any) -> dict[str, Any]:
    """A record of a journal as plain values."""
    return {"instant_ns": 1, "stream": "A", "kind": kind, "participant": "w", "fields": json.dumps(fields)}


def test_the_first_difference_is_of_the_kind_asked_for() -> None:
    """Other kinds are passed over; where one journal is longer, its first record more is the difference."""
    same, other = record("decision", id=1), record("decision", id=2)
    first = [record("fill", price=1.0), same]
    second = [record("fill", price=2.0), same, other]

    anything, decision = first_difference(first, second), first_difference(first, second, "decision")

    assert anything is not None
    assert (anything.first_number, anything.first) == (0, first[0])
    assert decision is not None
    assert (decision.first, decision.second, decision.first_number, decision.second_number) == (None, other, 2, 2)
    assert first_difference(first, first) is None
