"""What mkdocs does besides for our site: pages made from the program, and links to files beside docs/.

Called by mkdocs while it builds, in one thread. Needs the product to be installed, not the network.
"""

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from mkdocs.structure.files import File, Files, InclusionLevel  # noqa: E402 - the path is needed first

from tools.site_reference import commands, configuration  # noqa: E402 - the path is needed first

_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(?=[)#])")
_MADE = {"<!-- made: commands -->": commands, "<!-- made: configuration -->": configuration}
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".md": "markdown", ".toml": "toml"}


def on_files(files: Files, *, config: Any) -> Files:
    """Add a page for each file outside docs/ that a page links to, so that no link leads out of the site."""
    folder = Path(config.docs_dir)
    for page in list(files.documentation_pages()):
        for target in _outside(page.src_uri, (folder / page.src_uri).read_text(encoding="utf-8")):
            uri = _uri(target)
            if files.get_file_from_path(uri) is None:
                made = File.generated(config, uri, content=_shown(target), inclusion=InclusionLevel.NOT_IN_NAV)
                files.append(made)
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Fill in what is made from the program, and lead links to files beside docs/ to their pages."""
    for mark, make in _MADE.items():
        if mark in markdown:
            markdown = markdown.replace(mark, make())
    where = page.file.src_uri
    for target in _outside(where, markdown):
        path = posixpath.relpath(_uri(target), posixpath.dirname(where) or ".")
        written = posixpath.relpath(f"../{target}", posixpath.dirname(where) or ".")
        markdown = re.sub(rf"(?<=\]\(){re.escape(written)}(?=[)#])", path, markdown)
    return markdown


def _outside(page_uri: str, text: str) -> list[str]:
    """Files of the repository that are not below docs/ and that a page links to, relative to the root."""
    found: dict[str, None] = {}
    for link in _LINK.findall(text):
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page_uri), link))
        if not path.startswith(("docs/", "../")) and (ROOT / path).is_file():
            found[path] = None
    return list(found)


def _uri(target: str) -> str:
    return f"source/{target}.md"


def _shown(target: str) -> str:
    text = (ROOT / target).read_text(encoding="utf-8")
    return f"# {target}\n\n````{_LANGUAGES.get(Path(target).suffix, 'text')}\n{text}````\n"
