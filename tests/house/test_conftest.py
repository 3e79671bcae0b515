"""What the common fixtures promise: a thread left behind fails the test, recorded data may be absent."""

import importlib.util
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


class Project:
    """A repository of its own with the conftest and the settings of this one."""

    def __init__(self, pytester: pytest.Pytester, origin: Path) -> None:
        self._pytester = pytester
        self.root = pytester.mkdir("repository")
        for name in ("pyproject.toml", "tests/conftest.py"):
            copy = self.root / name
            copy.parent.mkdir(exist_ok=True)
            copy.write_text((origin / name).read_text(encoding="utf-8"), encoding="utf-8")

    def run(self, source: str) -> pytest.RunResult:
        """Run one file of tests with pytest in this process."""
        (self.root / "tests" / "test_world.py").write_text(textwrap.dedent(source), encoding="utf-8")
        return self._pytester.runpytest_inprocess("-p", "no:cacheprovider", "-n", "0")


@pytest.fixture
def project(pytester: pytest.Pytester, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project; it is the working folder of the test."""
    made = Project(pytester, pytestconfig.rootpath)
    monkeypatch.chdir(made.root)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("daemon", [True, False])
def test_a_thread_left_behind_fails_the_test(project: Project, daemon: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test after which a thread still lives fails with the name of the thread."""
    monkeypatch.setattr("tests.conftest._ENDING_SECONDS", 0.2)  # this one does not end, however long it is waited for
    result = project.run(
        f"""
        import threading

        release = threading.Event()

        def test_leaves_a_thread():
            threading.Thread(target=release.wait, name="worker:LEFT", daemon={daemon}).start()

        def test_ends_it():
            release.set()
            for thread in threading.enumerate():
                if thread.name == "worker:LEFT":
                    thread.join()
        """
    )

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*left 1 thread(s) behind: worker:LEFT*"])


def test_a_thread_that_has_ended_is_no_offence(project: Project) -> None:
    """A test that joins its threads passes."""
    result = project.run(
        """
        import threading

        def test_joins():
            thread = threading.Thread(target=print)
            thread.start()
            thread.join()
        """
    )

    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("present", [True, False])
def test_recorded_data_are_used_where_they_are_and_skipped_where_not(project: Project, present: bool) -> None:
    """Tests marked `real_data` run exactly when the folder with recorded data stands beside the repository."""
    if present:
        (project.root.parent / "shared" / "data").mkdir(parents=True)
    result = project.run(
        """
        import pytest

        @pytest.mark.real_data
        def test_reads(real_data_dir):
            assert real_data_dir.is_dir()
        """
    )

    result.assert_outcomes(passed=int(present), skipped=int(not present))


def test_a_warning_is_an_error_and_soak_tests_wait_to_be_asked(project: Project) -> None:
    """A warning fails its test, and a test marked `soak` is left out by default."""
    result = project.run(
        """
        import warnings
        import pytest

        def test_warns():
            warnings.warn("careful", stacklevel=1)

        @pytest.mark.soak
        def test_soaks():
            assert True
        """
    )

    result.assert_outcomes(failed=1, deselected=1)


def examples() -> list[tuple[int, str]]:
    """What a property without luck is tried on."""
    found: list[tuple[int, str]] = []

    @settings(max_examples=200, derandomize=True, database=None)
    @given(st.integers(), st.text())
    def try_out(number: int, text: str) -> None:
        found.append((number, text))

    try_out()
    return found


def test_the_examples_of_a_property_do_not_depend_on_what_else_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers and texts of a module that another test has imported are not mixed in."""
    before = examples()
    path = tmp_path / "another_module.py"
    path.write_text("".join(f"print({10**9 + i}, 'text {i}')\n" for i in range(400)), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("another_module", path)
    assert spec is not None
    monkeypatch.setitem(sys.modules, "another_module", importlib.util.module_from_spec(spec))

    assert examples() == before
