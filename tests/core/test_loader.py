"""Finding strategy classes by name and by file."""

import sys
from pathlib import Path

import pytest

from src.core.errors import ConfigError
from src.core.strategy import BarStrategy
from src.strategies.loader import STRATEGIES, load_strategy

HEAD = "from src.core.strategy import BarStrategy\n\n"


def write(folder: Path, text: str, name: str = "mine.py") -> None:
    """A file of the user's."""
    (folder / name).write_text(HEAD + text, encoding="utf-8")


def test_every_name_of_the_table_is_a_strategy(tmp_path: Path) -> None:
    """A line of the table that cannot be loaded would be found by a user."""
    for name in STRATEGIES:
        loaded = load_strategy(name, tmp_path)
        assert issubclass(loaded.cls, BarStrategy)
        assert loaded.path is None


def test_an_unknown_name_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    """The known names are listed; a near miss is named."""
    with pytest.raises(ConfigError, match="found 'sma_cros'; did you mean 'sma_cross'"):
        load_strategy("sma_cros", tmp_path)
    with pytest.raises(ConfigError, match="expected a strategy among .*breakout.* found 'zzz'$"):
        load_strategy("zzz", tmp_path)


def test_a_class_is_found_by_file_and_name_or_alone_in_its_file(tmp_path: Path) -> None:
    """The path is relative to the given folder, and imported classes do not count as the file's own."""
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub", "class One(BarStrategy):\n    pass\n")
    named, alone = load_strategy("./sub/mine.py:One", tmp_path), load_strategy("sub/mine.py", tmp_path)

    assert [named.cls.__name__, alone.cls.__name__] == ["One", "One"]
    assert named.path == (tmp_path / "sub" / "mine.py").resolve()


def test_a_missing_file_is_refused_with_where_it_was_looked_for(tmp_path: Path) -> None:
    """The message names the whole path and what it is relative to."""
    with pytest.raises(ConfigError, match="expected a strategy file at .*none.py, found none; the path is relative to"):
        load_strategy("none.py:One", tmp_path)


@pytest.mark.parametrize(
    ("text", "use", "sentence"),
    [
        (
            "class A(BarStrategy): ...\nclass B(BarStrategy): ...\n",
            "mine.py",
            "write mine.py:CLASS .* the file holds A, B",
        ),
        ("x = 1\n", "mine.py", "write mine.py:CLASS .* the file holds none"),
        ("class A(BarStrategy): ...\n", "mine.py:B", "expected a class B, found A"),
        ("class A: ...\n", "mine.py:A", "mine.py:A is no strategy; derive it from"),
        ("def A(): ...\n", "mine.py:A", "mine.py:A is no strategy"),
    ],
)
def test_a_class_that_is_not_the_one_is_refused(tmp_path: Path, text: str, use: str, sentence: str) -> None:
    """Several classes, none, another one, and something that is no strategy."""
    write(tmp_path, text)

    with pytest.raises(ConfigError, match=sentence):
        load_strategy(use, tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1\nimport not_there_at_all\n", r"mine.py:4: cannot be imported: ModuleNotFoundError"),
        ("def f():\n    raise ValueError('no')\n\nf()\n", r"mine.py:4: cannot be imported: ValueError: no"),
        ("x = (\n", r"mine.py:3: cannot be imported: SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused_with_the_line(tmp_path: Path, text: str, sentence: str) -> None:
    """The user's own line, not the loader's; a second attempt says the same."""
    write(tmp_path, text)

    for _ in range(2):
        with pytest.raises(ConfigError, match=sentence):
            load_strategy("mine.py", tmp_path)


def test_two_files_each_have_the_modules_beside_them_also_later(tmp_path: Path) -> None:
    """Two helpers of one name never meet, at import or inside a method, and the front of the path stays."""
    classes = []
    before = list(sys.path)
    for folder, word in (("a", "one"), ("b", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "helper_of_mine.py").write_text(f"WORD = '{word}'\n", encoding="utf-8")
        (tmp_path / folder / f"late_{folder}.py").write_text(f"WORD = '{word}'\n", encoding="utf-8")
        late = f"    def late(self):\n        import late_{folder}\n        return late_{folder}.WORD\n"
        text = f"from helper_of_mine import WORD\n\nclass A(BarStrategy):\n    word = WORD\n{late}"
        write(tmp_path / folder, text)
        classes.append(load_strategy(f"{folder}/mine.py", tmp_path).cls)

    assert [cls.word for cls in classes] == ["one", "two"]  # type: ignore[attr-defined]  # the user's own attribute
    assert [cls().late() for cls in classes] == ["one", "two"]  # type: ignore[attr-defined]  # as above
    assert sys.path[0] == before[0]


def test_an_edited_file_and_an_edited_helper_are_loaded_anew(tmp_path: Path) -> None:
    """What runs is what stands in the files now, because that is what the run id hashes."""
    helper = tmp_path / "helper_of_mine.py"
    helper.write_text("WORD = 'old'\n", encoding="utf-8")
    write(tmp_path, "from helper_of_mine import WORD\nclass A(BarStrategy):\n    version = 1, WORD\n")
    first = load_strategy("mine.py", tmp_path).cls
    helper.write_text("WORD = 'newer'\n", encoding="utf-8")
    again = load_strategy("mine.py", tmp_path).cls
    write(tmp_path, "from helper_of_mine import WORD\nclass A(BarStrategy):\n    version = 2, WORD\n")
    second = load_strategy("mine.py", tmp_path).cls

    versions = [cls.version for cls in (first, again, second)]  # type: ignore[attr-defined]  # the user's own attribute
    assert versions == [(1, "old"), (1, "newer"), (2, "newer")]
    assert first.__module__ != second.__module__


@pytest.mark.parametrize("packaged", [True, False])
@pytest.mark.parametrize("inside", ["part", "part.deeper"])
def test_what_is_in_a_package_beside_a_file_is_loaded_anew_too(tmp_path: Path, packaged: bool, inside: str) -> None:
    """With or without an `__init__.py`: neither its state nor an earlier version of it reaches the next load."""
    place = tmp_path.joinpath("kit_of_mine", *inside.split("."))
    place.mkdir(parents=True)
    for folder in [each for each in (place, *place.parents) if tmp_path in each.parents]:
        if packaged:
            (folder / "__init__.py").touch()
    (place / "state.py").write_text("SEEN = []\n", encoding="utf-8")
    module = f"kit_of_mine.{inside}.state"
    late = f"    def late(self):\n        from {module} import SEEN\n        SEEN.append(1)\n        return len(SEEN)\n"
    write(tmp_path, f"from {module} import SEEN\nSEEN.append(1)\nclass A(BarStrategy):\n    seen = len(SEEN)\n{late}")

    classes = [load_strategy("mine.py", tmp_path).cls for _ in range(3)]

    assert [cls.seen for cls in classes] == [1, 1, 1]  # type: ignore[attr-defined]  # the user's own attribute
    assert classes[0]().late() == 1  # type: ignore[attr-defined]  # as above
    assert load_strategy("mine.py", tmp_path).cls.seen == 1  # type: ignore[attr-defined]  # as above


def test_other_modules_stay_where_they_are(tmp_path: Path) -> None:
    """Also those of a package that has the name of a folder beside the file."""
    (tmp_path / "yaml").mkdir()
    write(tmp_path, "import yaml\nclass A(BarStrategy):\n    where = yaml.__file__\n")
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in ("yaml", "src")}

    found = load_strategy("mine.py", tmp_path).cls

    assert str(tmp_path) not in found.where  # type: ignore[attr-defined]  # the user's own attribute
    assert {name: sys.modules.get(name) for name in before} == before
