"""The same run in many ways that must not matter: one digest, or the first event in which two of them differ.

In new processes with other hash seeds, locales and zones, twice in one process, in threads and in fibers, paced, with
turns in which there is nothing to do, and without the processor's vector units. The runs go on in processes of their
own, side by side; which way is compared with which does not depend on which ends first. Called by one thread.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from itertools import groupby

from src.backtesting.run import PreparedRun
from src.backtesting.strict import refuse_real_locks
from src.core.errors import ConfigError, InternalError
from src.core.program import program_words
from src.core.record import record
from src.core.words import meant
from src.research.explore.differences import Difference, first_difference
from src.research.processes import Lost, in_processes
from src.research.trial import Trial, TrialResult, answered, run_trials_here

__all__ = ["REFERENCE", "Checked", "Skipped", "Verification", "Way", "verify", "ways_of"]

#: The name of the way with which all others are compared.
REFERENCE = "reference"

#: Of hash seeds the first is the reference's, so that every run can be repeated.
_HASH_SEED = "0"
_ELSEWHERE = (
    ("1", "C", "Asia/Kolkata"),
    ("2", "tr_TR.UTF-8", "America/New_York"),
    ("4711", "C.UTF-8", "Pacific/Kiritimati"),
)

#: How much real time the pace adds, and in how many delays at most: each takes a little longer than it should.
_PACED_S = 2.0
_DELAYS = 1000


@record
class Way:
    """One way to run the same bot.

    Attributes:
        name: a word for `--only`.
        text: what is different in it.
        process: runs with the same number share a process, in order.
        environment: the process's own variables, names and values.
        command: the line that repeats it.
    """

    name: str
    text: str
    process: int
    trial: Trial
    environment: tuple[tuple[str, str], ...]
    command: str


@record
class Skipped:
    """A way that says nothing about this bot or machine, and why."""

    name: str
    reason: str


@record
class Checked:
    """A way and what it came to; `agrees` with the reference."""

    way: Way
    result: TrialResult
    agrees: bool


@record
class Verification:
    """What came out.

    Attributes:
        checked: every way that has a result, the reference first.
        skipped: what was left out, and what was lost.
        lost: whether a way was to be run and came to no result.
        differing: the first that does not agree, None when all do.
        difference: the first event in which it differs; None when all agree, and when only the way in which the two
            runs ended differs.
    """

    checked: tuple[Checked, ...]
    skipped: tuple[Skipped, ...]
    lost: bool
    differing: Checked | None
    difference: Difference | None

    @property
    def reference(self) -> Checked:
        """What the others are compared with."""
        return self.checked[0]


def ways_of(
    prepared: PreparedRun, config: str, overrides: Sequence[str], only: Sequence[str] = ()
) -> tuple[list[Way], list[Skipped]]:
    """The ways in which a configuration can be run, the reference first, and those that are left out.

    Args:
        config: the configuration file as it was given.
        only: names of ways; the reference is always there. All of them by default.

    Raises:
        ConfigError: no way has such a name, or the schedule is free.
    """
    if not prepared.deterministic:
        raise ConfigError(
            "expected a schedule that gives one digest, found free, under which each run has another; verify another "
            "schedule: --set backtest.schedule=fifo"
        )
    plan = _Plan(config, overrides)
    section = prepared.config.backtest
    other = "fibers" if section.runtime == "threads" else "threads"
    plan.add(REFERENCE, f"in {section.runtime}, as fast as it goes", 0)
    plan.add("again", "a second time in the same process", 0)
    lock = _real_lock(prepared) if other == "fibers" else ""
    if lock:
        plan.skip(other, lock)
    else:
        plan.add(other, f"in {other}", 1, runtime=other)
    if section.latency:
        plan.skip("every-step", "backtest.latency is set: a turn out of turn would be one without its latency")
    elif ":turns" in section.schedule or ":order" in section.schedule:
        plan.skip("every-step", "the schedule counts turns, and more of them would make it another one")
    else:
        plan.add("every-step", "every participant woken at every step", 2, every_step=True)
    pace, pace_every = _pace(prepared)
    plan.add("paced", f"with {_PACED_S:g} s of real delays between the steps", 1, pace=pace, pace_every=pace_every)
    for i, (seed, locale, zone) in enumerate(_ELSEWHERE):
        environment = {"PYTHONHASHSEED": seed, "LC_ALL": locale, "TZ": zone}
        plan.add(f"process-{i + 1}", f"hash seed {seed}, locale {locale}, zone {zone}", 3 + i, environment)
    features = _vector_units()
    if features:
        disabled = {"NPY_DISABLE_CPU_FEATURES": " ".join(features)}
        plan.add("no-vector-units", "without the processor's vector units", 3 + len(_ELSEWHERE), disabled)
    else:
        plan.skip("no-vector-units", "numpy uses no optional feature of this processor")
    return plan.chosen(only)


def verify(
    ways: Sequence[Way],
    skipped: Sequence[Skipped],
    workers: int,
    on_checked: Callable[[Checked], None] | None = None,
    *,
    deadline_s: float | None = None,
) -> Verification:
    """Run every way and compare it with the first.

    Args:
        workers: how many processes at a time.
        on_checked: told of each way as soon as it is known whether it agrees.
        deadline_s: real seconds for all the runs of one process.

    Raises:
        LockstepError: a run could not even begin.
    """
    jobs = [list(group) for _, group in groupby(sorted(ways, key=lambda way: way.process), lambda way: way.process)]
    seen: dict[str, Checked] = {}
    early: list[tuple[Way, TrialResult]] = []
    lost: list[Skipped] = []

    def compare(way: Way, result: TrialResult) -> None:
        reference = seen.get(REFERENCE)
        if not result.digest:
            if way.name == REFERENCE:
                raise InternalError(f"the reference has no result: {result.error}; repeat it with {way.command}")
            lost.append(Skipped(name=way.name, reason=result.error))
            return
        if reference is None and way.name != REFERENCE:
            early.append((way, result))
            return
        agrees = reference is None or result.key == reference.result.key
        if reference is not None and agrees:
            result = replace(result, records=())
        seen[way.name] = Checked(way=way, result=result, agrees=agrees)
        if on_checked is not None:
            on_checked(seen[way.name])

    def ended(i: int, answer: tuple[TrialResult, ...] | Lost) -> None:
        results = [answered(answer)] * len(jobs[i]) if isinstance(answer, Lost) else answer
        for way, result in zip(jobs[i], results, strict=True):
            compare(way, result)
        if REFERENCE in seen:
            while early:
                compare(*early.pop(0))

    in_processes(
        run_trials_here,
        [tuple(way.trial for way in job) for job in jobs],
        workers=workers,
        deadline_s=deadline_s,
        environments=[dict(job[0].environment) for job in jobs],
        on_done=ended,
    )
    checked = tuple(seen[way.name] for way in ways if way.name in seen)
    differing = next((each for each in checked if not each.agrees), None)
    difference = None if differing is None else first_difference(checked[0].result.records, differing.result.records)
    return Verification(
        checked=checked, skipped=(*skipped, *lost), lost=bool(lost), differing=differing, difference=difference
    )


class _Plan:
    """Collects ways."""

    def __init__(self, config: str, overrides: Sequence[str]) -> None:
        self._config = config
        self._overrides = tuple(overrides)
        self._ways: list[Way] = []
        self._skipped: list[Skipped] = []

    def add(
        self, name: str, text: str, process: int, environment: Mapping[str, str] | None = None, *, runtime: str = "",
        pace: str = "", pace_every: int = 1, every_step: bool = False,
    ) -> None:  # fmt: skip
        variables = {"PYTHONHASHSEED": _HASH_SEED, **(environment or {})}
        trial = Trial(
            path=self._config, overrides=self._overrides, runtime=runtime, pace=pace, pace_every=pace_every,
            every_step=every_step, keep_records=True,
        )  # fmt: skip
        alone = name == REFERENCE or bool(runtime) or environment is not None
        self._ways.append(
            Way(
                name=name,
                text=text,
                process=process,
                trial=trial,
                environment=tuple(variables.items()),
                command=self._run_line(variables, runtime) if alone else self._verify_line(name),
            )
        )

    def skip(self, name: str, reason: str) -> None:
        self._skipped.append(Skipped(name=name, reason=reason))

    def chosen(self, only: Sequence[str]) -> tuple[list[Way], list[Skipped]]:
        names = [way.name for way in self._ways] + [each.name for each in self._skipped]
        unknown = [name for name in only if name not in names]
        if unknown:
            hint = meant(unknown[0], names)
            raise ConfigError(f"--only: expected one of {', '.join(names)}, found {unknown[0]!r}{hint}")
        if not only:
            return self._ways, self._skipped
        wanted = {REFERENCE, *only}
        ways = [way for way in self._ways if way.name in wanted]
        return ways, [each for each in self._skipped if each.name in wanted]

    def _run_line(self, variables: Mapping[str, str], runtime: str) -> str:
        """The run by itself, as a shell takes it."""
        before = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
        words = [*program_words(), "--mode", "backtest", "--config", self._config]
        for override in (*self._overrides, *([f"backtest.runtime={runtime}"] if runtime else [])):
            words += ["--set", override]
        return f"{before} {shlex.join(words)}"

    def _verify_line(self, name: str) -> str:
        """The comparison by itself, for what no option of a run sets."""
        words = [*program_words(), "verify", "--config", self._config]
        for override in self._overrides:
            words += ["--set", override]
        return shlex.join([*words, "--only", name])


def _vector_units() -> list[str]:
    """The features of this processor that numpy chooses its code by; empty where it does not say."""
    try:
        numpy = import_module("numpy._core._multiarray_umath")
    except ImportError:
        return []
    return [name for name in numpy.__cpu_dispatch__ if numpy.__cpu_features__[name]]


def _real_lock(prepared: PreparedRun) -> str:
    """Why the strategies cannot run in fibers; empty when they can."""
    try:
        refuse_real_locks(prepared.user_files)
    except ConfigError as error:
        return error.message
    return ""


def _pace(prepared: PreparedRun) -> tuple[str, int]:
    """A pace that adds `_PACED_S`, and at how many steps it is kept."""
    window_s = (prepared.end_ns - prepared.start_ns) / 1e9
    steps = max((series.count_closed(prepared.end_ns) for series in prepared.market.base.values()), default=0)
    return f"{max(1, round(window_s / _PACED_S))}x", max(1, steps // _DELAYS)
