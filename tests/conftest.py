"""What holds for every test: no thread is left behind, recorded data are optional, generated cases are reproducible.

The fixtures run in the test's own thread. Nothing here sleeps; the only real wait is for a thread that is ending.
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# How long a thread that was told to end may take to do so before it counts as left behind.
_ENDING_SECONDS = 2.0

# Threads that belong to a library's pool and live as long as the process, each with its reason.
_POOL_THREADS = (
    "pytest_timeout",  # the timer that guards the test which is running
    "Dask-Callback-Thread",  # where the cluster's client tells of what has ended
)

hypothesis.settings.register_profile("local", deadline=None, print_blob=True)
hypothesis.settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


def _real_data_folder(config: pytest.Config) -> Path:
    return config.rootpath.parent / "shared" / "data"


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
