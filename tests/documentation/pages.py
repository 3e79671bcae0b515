"""The blocks of README and docs: fenced ones and indented ones, each with its place."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.end_to_end.command import ROOT

__all__ = ["Block", "block_of", "blocks", "commands", "page_names", "text_of"]

_FENCE = re.compile(r"^(`{3,})(\w*)\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A piece of a page that is set as code.

    Attributes:
        page: the file, relative to the root.
        line: of its first line of code, from 1.
        language: what its fence says; empty for commands, and for an indented block.
    """

    page: str
    line: int
    language: str
    text: str

    @property
    def begins(self) -> str:
        """Its first line."""
        return self.text.splitlines()[0].strip() if self.text.strip() else ""


def page_names() -> list[str]:
    """README and every page of docs."""
    return ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]


def text_of(page: str) -> str:
    """A page."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page in their order."""
    lines = text_of(page).splitlines()
    i, before = 0, ""
    while i < len(lines):
        fence = _FENCE.match(lines[i])
        begin, language, inside = i + 1, "", []
        if fence is not None:
            language = fence[2]
            i += 1
            while i < len(lines) and lines[i].rstrip() != fence[1]:
                inside.append(lines[i])
                i += 1
        elif lines[i].startswith("    ") and not before.strip():
            begin = i
            while i < len(lines) and (lines[i].startswith("    ") or not lines[i].strip()):
                inside.append(lines[i][4:])
                i += 1
            i -= 1
        if inside or fence is not None:
            text = "\n".join(inside).rstrip() + "\n"
            yield Block(page=page, line=begin + 1, language=language, text=text)
        before = "" if inside or fence is not None else lines[i]
        i += 1


def block_of(page: str, begins: str) -> Block:
    """The only block of a page that begins so; whoever runs it takes it from there, word for word."""
    (found,) = [block for block in blocks(page) if block.begins.startswith(begins)]
    return found


def commands(block: Block) -> list[str]:
    """The command lines of a block, without what is said behind them; a line that ends with a backslash goes on."""
    joined = block.text.replace("\\\n", " ")
    lines = [re.sub(r"\s{2,}#.*|\s+#\s.*", "", line).strip() for line in joined.splitlines()]
    return [line for line in lines if line]
