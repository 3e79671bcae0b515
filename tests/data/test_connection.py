"""What holds for every store that a process opens."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from src.data.connection import StoreFile, limit_engine


@pytest.fixture
def _unlimited_afterwards() -> Iterator[None]:
    yield
    limit_engine()


def settings(path: Path) -> tuple[object, ...]:
    with StoreFile(path) as store:
        rows = store._execute("SELECT current_setting('threads'), current_setting('memory_limit')").fetchall()
    return tuple(rows[0])


@pytest.mark.usefixtures("_unlimited_afterwards")
def test_the_engine_keeps_to_the_limits_of_its_process(tmp_path: Path) -> None:
    """From the next store on, until they are lifted."""
    free = settings(tmp_path / "a.duckdb")
    limit_engine(threads=1, memory_bytes=256 << 20)
    assert settings(tmp_path / "a.duckdb") == (1, "256.0 MiB")

    limit_engine(threads=3)
    assert settings(tmp_path / "b.duckdb") == (3, free[1])
    limit_engine()
    assert settings(tmp_path / "b.duckdb") == free
