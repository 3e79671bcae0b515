"""The text of a recorded schedule: read back exactly, and refused when anything about it is wrong."""

import re
import shlex
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from src.backtesting.schedules import policy_named
from src.backtesting.schedules.deviations import Deviation, parse_deviations, replay_string
from src.core.errors import ConfigError
from tests.generators import deviations

MINUTE = 60 * 10**9


def at(instant_ns: int, number: int, index: int) -> Deviation:
    """A deviation."""
    return Deviation(instant_ns=instant_ns, number=number, index=index)


@given(st.booleans().flatmap(lambda preempts: st.tuples(st.just(preempts), deviations(0 if preempts else 1))))
def test_what_is_written_is_read_back(case: tuple[bool, list[Deviation]]) -> None:
    """Any schedule, long or short, survives as a text that neither shell nor YAML changes, and keeps its kind."""
    preempts, schedule = case

    text = replay_string(schedule, preempts=preempts)
    assert shlex.split(text) == [shlex.quote(text)] == [text] or "@" in text
    assert re.fullmatch(r"[A-Za-z0-9:@.+_-]+", text)
    assert yaml.safe_load(f"schedule: {text}") == {"schedule": text}
    policy = policy_named(text, 1)
    assert policy.describe() == text
    if schedule:
        version, kind, rest = text.split(":")
        assert (version, kind) == ("1", "yields" if preempts else "turns")
        assert parse_deviations(rest, preempts=preempts) == schedule
        assert policy.preempts == preempts
    else:
        assert text == "1:fifo"


def test_a_short_schedule_can_be_read_by_eye() -> None:
    """Time since the part before in its largest unit, then number and index of each decision."""
    schedule = [at(28401121 * MINUTE, 0, 2), at(28401121 * MINUTE, 1, 3), at(28401126 * MINUTE, 0, 1)]
    schedule.append(replace(schedule[-1], instant_ns=schedule[-1].instant_ns + 1_500_000_000))

    assert replay_string(schedule, preempts=False) == "1:turns:28401121m@0.2+1.3_5m@0.1_1500ms@0.1"


def test_a_long_schedule_is_compressed() -> None:
    """A day in which every minute deviates takes less than a tenth of its plain text."""
    schedule = [at((28401120 + i) * MINUTE, i % 3, 1 + i % 4) for i in range(1440)]

    text = replay_string(schedule, preempts=True)
    assert text.startswith("1:yields:z")
    assert len(text) < 1440
    assert parse_deviations(text.removeprefix("1:yields:"), preempts=True) == schedule


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "part 1 .* to look like 5m@0.1"),
        ("5m@0.1_", "part 2 .* found ''"),
        ("5m@0.1_3x@0.1", "part 2 .* found '3x@0.1'"),
        ("5m@0.1_1m@0", "part 2 .* found '1m@0'"),
        ("5m@0.1+", "part 1 .* found '5m@0.1"),
        ("-5m@0.1", "part 1 .* found '-5m@0.1'"),
        ("5m@0.1 ", "part 1 .* found '5m@0.1 '"),
        ("\u0665m@0.1", "part 1"),
        ("5m@1.1+0.1", "decisions of a replay string in order, found 1.1 before 0.1"),
        ("5m@0.1+0.2", "decisions of a replay string in order, found 0.1 before 0.2"),
        ("5m@0.1_0m@0.2", "decisions of a replay string in order"),
        ("5m@0.1_0m@1.2", "part 1 of the replay string as '5m@0.1"),
        ("5m@0.0", "only deviations from fifo in a replay string, found the decision 0.0"),
        ("05m@0.1", "part 1 of the replay string as '5m@0.1', found '05m@0.1'"),
        ("300s@0.1", "part 1 of the replay string as '5m@0.1', found '300s@0.1'"),
        ("5m@00.1", "part 1 of the replay string as '5m@0.1', found '5m@00.1'"),
        ("z", "compressed replay string.* found ''.* damaged or cut off"),
        ("zAAAA", "compressed replay string.* damaged or cut off"),
        ("z*", "compressed replay string after 'z', found '[*]'"),
    ],
)
def test_a_text_that_no_recording_prints_is_refused(text: str, sentence: str) -> None:
    """The sentence names the part."""
    with pytest.raises(ConfigError, match=sentence):
        policy_named(f"1:turns:{text}", 1)


@given(deviations(), st.data())
def test_a_cut_or_changed_compressed_text_is_never_misread(schedule: list[Deviation], data: st.DataObject) -> None:
    """Whatever is cut off or exchanged is noticed, or does not matter."""
    schedule += [at(10**18 + i * MINUTE, i % 2, 1 + i % 3) for i in range(40)]
    text = replay_string(schedule, preempts=False).removeprefix("1:turns:")
    place = data.draw(st.integers(1, len(text) - 1))
    broken = data.draw(st.sampled_from((text[:place], text[:place] + "A" + text[place + 1 :])))

    try:
        read = parse_deviations(broken, preempts=False)
    except ConfigError:
        return
    assert read == schedule
