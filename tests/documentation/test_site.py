"""The documentation as a site: every page has its place, it builds without a warning, and nothing is fetched."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.parsing import verbs
from tests.documentation.pages import page_names
from tests.end_to_end.command import ROOT

#: What a browser fetches by itself.
_FETCHED = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?((?:https?:)?//[^\"' >]+)|"
                      r"<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preload|preconnect|icon))[^>]*"
                      r"\bhref=[\"']?((?:https?:)?//[^\"' >]+)")  # fmt: skip


class _Loader(yaml.SafeLoader):
    """Words of mkdocs for Python objects are left alone."""


def in_nav(part: Any) -> Iterator[str]:
    """The pages of a navigation."""
    if isinstance(part, str):
        yield part
    else:
        for below in part.values() if isinstance(part, dict) else part:
            yield from in_nav(below)


def test_every_page_has_its_place_in_the_navigation() -> None:
    """Once; the failure says what to do."""
    nav = list(in_nav(yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader=_Loader)["nav"]))
    pages = [page.removeprefix("docs/") for page in page_names() if page.startswith("docs/")]

    assert sorted(set(pages) - set(nav)) == [], "put them into `nav` of mkdocs.yml, where somebody would look for them"
    assert sorted(set(nav) - set(pages)) == [], "`nav` of mkdocs.yml names pages that are not there"
    assert len(nav) == len(set(nav))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The built site, and what mkdocs said."""
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)  # ten seconds on a machine that has nothing else to do
def test_the_site_builds_without_a_warning_and_asks_nobody(site: tuple[Path, str]) -> None:
    """No script, picture, font or style comes from elsewhere, and every link of ours leads somewhere."""
    folder, said = site
    fetched = [
        f"{path.name}: {one or other}"
        for path in folder.rglob("*.html")
        for one, other in _FETCHED.findall(path.read_text(encoding="utf-8"))
    ]
    styles = [path for path in folder.rglob("*.css") if "url(http" in path.read_text(encoding="utf-8")]

    assert "WARNING" not in said
    assert fetched == []
    assert styles == []


@pytest.mark.slow
def test_the_reference_is_made_of_the_program(site: tuple[Path, str]) -> None:
    """Every verb, the keys of a configuration, and what a strategy may call."""
    folder, _ = site
    commands, keys, strategies = (
        (folder / "reference" / f"{name}.html").read_text(encoding="utf-8")
        for name in ("commands", "configuration", "strategies")
    )

    assert [verb for verb, _ in verbs() if f">{verb}" not in commands] == []
    assert [key for key in ("max_open_positions", "spread_by_hour", "protect_within", "repeat_after")
            if f"<code>{key}</code>" not in keys] == []  # fmt: skip
    assert [name for name in ("move_stop", "bars_of", "donchian") if name not in strategies] == []
    assert re.findall(r"<code>(\w+,)</code>", strategies) == []  # two names that were taken for a name and its type
