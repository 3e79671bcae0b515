"""`verify` from the command line: what it prints, and how it ends."""

from pathlib import Path

import pytest

from tests.end_to_end.command import MAIN, Told, run
from tests.research.projects import write_project

pytestmark = pytest.mark.slow


def test_a_healthy_bot_ends_with_0_and_one_digest(tmp_path: Path) -> None:
    """Every way has a row; nothing is stored."""
    write_project(tmp_path, "Healthy")
    ended = run("verify", "--config", "config.yaml", cwd=tmp_path)

    assert ended.code == 0, ended.err
    assert "one digest in " in ended.out
    for name in ("reference", "again", "fibers", "every-step", "paced", "process-1", "process-2", "process-3"):
        assert f"\n{name} " in ended.out
        assert f"{name}: " in ended.err
    assert not (tmp_path / "runs").exists()


def test_one_object_for_programs_whatever_the_bot_prints(tmp_path: Path, told: Told) -> None:
    """The digest is that of the run itself."""
    write_project(tmp_path, "Printing")
    value = run("verify", "--config", "config.yaml", "--only", "again", "--json", cwd=tmp_path).value
    stored = told("--mode", "backtest", "--config", "config.yaml", "--json", cwd=tmp_path).value

    assert (value["agrees"], value["exit_code"], value["digest"]) == (True, 0, stored["digest"])
    assert [way["name"] for way in value["ways"]] == ["reference", "again"]


@pytest.mark.parametrize("bot", ["Hashing", "Addressing", "Hurrying"])
def test_a_bot_with_another_input_ends_with_4_and_names_the_first_differing_event(
    tmp_path: Path, bot: str, told: Told
) -> None:
    """When, in which stream, by whom, both records, and a line that repeats each."""
    write_project(tmp_path, bot)
    ended = told("verify", "--config", "config.yaml", "--only", "process-1", cwd=tmp_path)

    assert ended.code == 4
    assert "process-1 (hash seed 1" in ended.err
    # The sixth bar of 15 minutes is the first at which anybody enters.
    assert "first differing event: 2024-01-01 01:30:00Z, stream BTCUSDT, decision by worker:BTCUSDT" in ended.out
    assert "  reference: 2024-01-01 01:30:00Z BTCUSDT decision by worker:BTCUSDT: " in ended.out
    assert "  process-1: 2024-01-01 01:30:00Z BTCUSDT decision by worker:BTCUSDT: " in ended.out
    assert f"\n  PYTHONHASHSEED=0 python {MAIN} --mode backtest --config config.yaml\n" in ended.out
    assert f"\n  PYTHONHASHSEED=1 LC_ALL=C TZ=Asia/Kolkata python {MAIN} --mode backtest " in ended.out


def test_programs_read_both_records(tmp_path: Path, told: Told) -> None:
    """And the two printed lines really give two digests: those of the comparison."""
    write_project(tmp_path, "Hashing")
    ended = told("verify", "--config", "config.yaml", "--only", "process-1", "--json", cwd=tmp_path)
    value, words = ended.value, ("--mode", "backtest", "--config", "config.yaml", "--json")
    first = value["first_difference"]
    alone = [run(*words, "--set", f"backtest.runs=runs-{way['name']}", cwd=tmp_path, env=way["environment"]).value
             for way in value["ways"]]  # fmt: skip

    assert (ended.code, value["agrees"], value["differing"]) == (4, False, "process-1")
    assert first["reference"]["volume"] != first["other"]["volume"]
    assert [each["digest"] for each in alone] == [way["digest"] for way in value["ways"]]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--config", "absent.yaml"), 2, "expected a configuration file"),
        (("--config", "config.yaml", "--set", "symbols=3"), 2, "symbols"),
        (("--config", "config.yaml", "--only", "twice"), 2, "expected one of reference"),
        (("--config", "config.yaml", "--set", "backtest.schedule=free", "--set", "backtest.time_mode=FAST"), 2, "free"),
        (("--config", "config.yaml", "--set", "backtest.costs={latency: 0s}"), 3, "backtest.costs has no spread"),
    ],
)
def test_what_cannot_be_run_ends_as_elsewhere(
    tmp_path: Path, words: tuple[str, ...], code: int, sentence: str, told: Told
) -> None:
    """2 for a wrong configuration or option, 3 for a run that preflight refuses."""
    write_project(tmp_path, "Healthy")
    ended = told("verify", *words, "--json", cwd=tmp_path)

    assert (ended.code, ended.value["exit_code"]) == (code, code)
    assert sentence in ended.err


def test_a_run_that_always_fails_in_the_same_way_ends_with_1(tmp_path: Path, told: Told) -> None:
    """One digest, and yet no result that anybody wanted."""
    write_project(tmp_path, "Failing")
    ended = told("verify", "--config", "config.yaml", "--only", "again", cwd=tmp_path)

    assert ended.code == 1
    assert "the run failed in the same way each time: StrategyError: " in ended.err
