"""What holds for every test: no thread is left behind, recorded data are optional, generated cases are reproducible.

The fixtures run in the test's own thread. Nothing here sleeps; the only real wait is for a thread that is ending.
"""

import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis.internal.conjecture import providers
from xdist.scheduler import LoadScopeScheduling

# How long a thread that was told to end may take to do so before it counts as left behind: machines stand still, too.
_ENDING_SECONDS = 30.0

# Threads that belong to a library's pool and live as long as the process, each with its reason.
_POOL_THREADS = (
    "pytest_timeout",  # the timer that guards the test which is running
    "Dask-Callback-Thread",  # where the cluster's client tells of what has ended
)

# Tests start hundreds of processes; without compiled modules each of them compiles the whole package for itself.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell has what it starts in the background ignore Ctrl-C, and every process that a test starts would do so, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Files whose tests look at one thing that takes long to build, and what they are called together.
_TOGETHER = {f"tests/end_to_end/{name}.py": "three modes" for name in ("test_parity", "test_three_modes")}

# No example is judged by the time that it took: a machine may stand still at any moment.
_UNTIMED: Any = {
    "deadline": None, "print_blob": True, "suppress_health_check": [hypothesis.HealthCheck.too_slow],
}  # fmt: skip
hypothesis.settings.register_profile("local", **_UNTIMED)
hypothesis.settings.register_profile("ci", **_UNTIMED, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


# The library mixes the numbers and texts of all modules that happen to be imported into its examples, so that those of
# a test without luck would depend on the tests that ran before it in the same process.
if hasattr(providers, "_get_local_constants"):
    providers._get_local_constants = lambda: providers._local_constants


@pytest.hookimpl(wrapper=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """One process more than there are cores: a bot in real time waits for most of its test, and leaves a core idle."""
    count = yield
    return count if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else count + 1


def _real_data_folder(config: pytest.Config) -> Path:
    return config.rootpath.parent / "shared" / "data"


class _ByFile(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Sends a file as a whole to one process, so that what its tests share is built once, in the order of the files."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return _TOGETHER.get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Whole files, unless another distribution was asked for."""
    if config.getoption("dist") != "load":
        return None
    config.option.loadscopereorder = False  # the long ones are in the middle, and short ones fill the end
    return _ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests that read recorded market data where these are absent."""
    if _real_data_folder(config).is_dir():
        return
    absent = pytest.mark.skip(reason="no recorded market data: there is no folder ../shared/data beside the repository")
    for item in items:
        if item.get_closest_marker("real_data"):
            item.add_marker(absent)


@pytest.fixture(scope="session")
def real_data_dir(pytestconfig: pytest.Config) -> Path:
    """The folder with recorded market data; the test that asks for it carries the marker `real_data`."""
    folder = _real_data_folder(pytestconfig)
    if not folder.is_dir():
        pytest.skip("no recorded market data: there is no folder ../shared/data beside the repository")
    return folder


@pytest.fixture(autouse=True)
def _no_thread_left_behind() -> Iterator[None]:
    """Fail a test after which a thread lives that was not there before, daemon or not."""
    before = set(threading.enumerate())
    yield
    left = []
    for thread in threading.enumerate():
        if thread in before or thread is threading.current_thread() or thread.name.startswith(_POOL_THREADS):
            continue
        thread.join(_ENDING_SECONDS)
        if thread.is_alive():
            left.append(thread.name)
    if left:
        pytest.fail(f"the test left {len(left)} thread(s) behind: {', '.join(sorted(left))}", pytrace=False)
