"""What the gates read: the files of a tree, and their parsed Python sources.

Called from one thread; every function is pure in the tree it is given and knows nothing of time.
"""

import ast
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

_SKIPPED_FOLDERS = frozenset({"__pycache__", "build", "dist", "node_modules", "runs", "venv"})


def tracked_files(root: Path) -> list[Path]:
    """Return the files that belong to the tree, sorted, relative to it.

    In a git working tree these are the tracked files and the new ones that are not ignored. Elsewhere (an unpacked
    archive, a test's own folder) they are all files outside hidden and generated folders.
    """
    if (root / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root,
            capture_output=True,
            check=True,
        )
        names = {name.decode("utf-8") for name in listed.stdout.split(b"\0") if name}
        return sorted(Path(name) for name in names if (root / name).is_file())
    found: list[Path] = []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in _SKIPPED_FOLDERS and not _is_hidden(name)]
        found.extend((Path(folder) / name).relative_to(root) for name in files)
    return sorted(found)


def _is_hidden(folder: str) -> bool:
    return (folder.startswith(".") and folder != ".ci") or folder.endswith(".egg-info")


def python_files(root: Path, *under: str) -> list[Path]:
    """Return the tracked Python files, relative to the root; only those inside one of the folders `under`, if given."""
    found = [path for path in tracked_files(root) if path.suffix == ".py"]
    if not under:
        return found
    return [path for path in found if any(path.is_relative_to(folder) for folder in under)]


def read_text(root: Path, path: Path) -> str:
    """Return the text of one file of the tree; bytes that are not UTF-8 are replaced."""
    return (root / path).read_text(encoding="utf-8", errors="replace")


def parse(root: Path, path: Path) -> ast.Module:
    """Return the syntax tree of one Python file.

    Raises:
        SyntaxError: The file is not Python; the error names it.
    """
    return ast.parse(read_text(root, path), filename=path.as_posix())


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method of a syntax tree, nested ones included."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def docstring_nodes(tree: ast.AST) -> set[ast.AST]:
    """Return the constants that are docstrings, and every other string that stands alone as a statement."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }


def is_binary(root: Path, path: Path) -> bool:
    """Say whether a file looks binary: a zero byte among its first 8,192 bytes."""
    with (root / path).open("rb") as stream:
        return b"\0" in stream.read(8192)
