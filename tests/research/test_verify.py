"""Which ways there are to run one bot, and how they are compared."""

from pathlib import Path

import pytest

from src.backtesting.run import PreparedRun, prepare
from src.core.config_file import read_config
from src.core.errors import ConfigError, InternalError
from src.research.verify import REFERENCE, Checked, Verification, verify, ways_of
from tests.research.projects import write_project

ALL = [
    "reference", "again", "fibers", "every-step", "paced", "process-1", "process-2", "process-3", "no-vector-units",
]  # fmt: skip


def prepared(folder: Path, bot: str = "Healthy", *overrides: str) -> tuple[PreparedRun, str]:
    """A run of a project that is written for it, and its configuration."""
    config = write_project(folder, bot)
    return prepare(read_config(config, list(overrides)), stored=False), str(config)


def verified(folder: Path, bot: str, *only: str) -> Verification:
    """A project's verification in some of the ways."""
    run, config = prepared(folder, bot)
    ways, skipped = ways_of(run, config, (), only)
    return verify(ways, skipped, workers=2)


def test_every_way_is_there_and_can_be_repeated_by_one_line(tmp_path: Path) -> None:
    """Variables of a process stand before the run; what no option of a run sets is another verification."""
    run, config = prepared(tmp_path)
    ways, skipped = ways_of(run, config, ["risk.max_open_positions=2"])
    lines = {way.name: way.command for way in ways}
    options = f"--config {config} --set risk.max_open_positions=2"

    assert [*lines, *(each.name for each in skipped)] == ALL
    assert lines["reference"] == f"PYTHONHASHSEED=0 lockstep --mode backtest {options}"
    assert lines["fibers"] == f"PYTHONHASHSEED=0 lockstep --mode backtest {options} --set backtest.runtime=fibers"
    assert lines["paced"] == f"lockstep verify {options} --only paced"
    assert lines["process-1"].startswith("PYTHONHASHSEED=1 LC_ALL=C TZ=Asia/Kolkata lockstep --mode backtest ")


def test_the_other_runtime_is_the_one_that_is_not_configured(tmp_path: Path) -> None:
    """Fibers are compared with threads as well as threads with fibers."""
    run, config = prepared(tmp_path, "Healthy", "backtest.runtime=fibers")
    ways, _ = ways_of(run, config, ["backtest.runtime=fibers"], ["threads"])

    assert [(way.name, way.trial.runtime) for way in ways] == [("reference", ""), ("threads", "threads")]


@pytest.mark.parametrize(
    ("override", "bot", "way", "reason"),
    [
        ("backtest.latency={'worker:*': {delay: 1m}}", "Healthy", "every-step", "latency"),
        ("backtest.schedule=1:turns:9m@0.1", "Healthy", "every-step", "counts turns"),
        ("backtest.seed=7", "Locking", "fibers", "threading.Lock"),
    ],
)
def test_a_way_that_would_say_nothing_is_left_out_with_a_reason(
    tmp_path: Path, override: str, bot: str, way: str, reason: str
) -> None:
    """It is named, so that nobody believes it was tried."""
    run, config = prepared(tmp_path, bot, override)
    ways, skipped = ways_of(run, config, [override])
    reasons = {each.name: each.reason for each in skipped}

    assert way not in [each.name for each in ways]
    assert reason in reasons[way]


def test_an_unknown_way_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """A misspelt name must not look like a comparison."""
    run, config = prepared(tmp_path)
    with pytest.raises(ConfigError, match="expected one of reference, again, .*, found 'agian'"):
        ways_of(run, config, (), ["agian"])


@pytest.fixture(scope="module")
def every_way(tmp_path_factory: pytest.TempPathFactory) -> tuple[Verification, list[Checked]]:
    """A healthy bot in every way, and what was told on the way; nobody changes anything of it."""
    run, config = prepared(tmp_path_factory.mktemp("every_way"))
    told: list[Checked] = []
    return verify(*ways_of(run, config, ()), 2, told.append), told


@pytest.mark.slow
def test_a_healthy_bot_gives_one_result_in_every_way(every_way: tuple[Verification, list[Checked]]) -> None:
    """The ways are told of as they end and come back in their order; only the reference's records are kept."""
    found, told = every_way

    assert (found.differing, found.difference, found.lost) == (None, None, False)
    assert [each.way.name for each in found.checked] + [each.name for each in found.skipped] == ALL
    assert {each.result.key for each in found.checked} == {found.reference.result.key}
    assert sorted(each.way.name for each in told) == sorted(each.way.name for each in found.checked)
    assert [each.way.name for each in found.checked if each.result.records] == [REFERENCE]


@pytest.mark.slow
def test_the_ways_are_really_run_differently(every_way: tuple[Verification, list[Checked]]) -> None:
    """More turns where everybody is woken at each step, more real time where there is a pace."""
    results = {each.way.name: each.result for each in every_way[0].checked}
    reference, every_step, paced = (results[name] for name in (REFERENCE, "every-step", "paced"))

    assert every_step.turns > 2 * reference.turns
    assert paced.turns == reference.turns
    assert paced.seconds > 1.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bot", "ways", "differing"),
    [
        # A second run with one hash seed cannot find what another one does.
        ("Hashing", ("again", "fibers", "process-1"), "process-1"),
        ("Addressing", ("process-1",), "process-1"),
        ("Hurrying", ("again",), "again"),
    ],
)
def test_a_bot_with_another_input_is_found_with_the_first_differing_event(
    tmp_path: Path, bot: str, ways: tuple[str, ...], differing: str
) -> None:
    """The order of a set, an address, the time of day: the first entry has another volume."""
    found = verified(tmp_path, bot, *ways)
    difference = found.difference

    assert found.differing is not None
    assert difference is not None
    assert {each.way.name: each.agrees for each in found.checked} == {
        each: each != differing for each in (REFERENCE, *ways)
    }
    assert found.differing.way.name == differing
    assert difference.event.kind == "decision"
    assert difference.participant.startswith("worker:")
    assert (
        difference.event == found.differing.result.records[found.reference.result.records.index(difference.reference)]
    )


@pytest.mark.slow
def test_a_bot_that_ends_its_process_is_no_result(tmp_path: Path) -> None:
    """The error says how to see it happen."""
    with pytest.raises(InternalError, match=r"exit code 7.*repeat it with PYTHONHASHSEED=0 lockstep"):
        verified(tmp_path, "Deadly", "again")


@pytest.mark.slow
def test_what_could_not_be_run_is_named(tmp_path: Path) -> None:
    """After a run that left a thread stuck its process is used for nothing else."""
    run, config = prepared(tmp_path, "Stuck", "backtest.stall_timeout=1s")
    found = verify(*ways_of(run, config, ["backtest.stall_timeout=1s"], ["again"]), 1)

    assert found.reference.result.error.startswith("StalledThreadError")
    assert (found.lost, [each.name for each in found.skipped]) == (True, ["again"])
