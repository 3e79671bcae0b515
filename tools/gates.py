"""The rules of the house that no library checks: each gate is a function from a tree's root to its findings.

A finding is one line that names file and line. An empty list means that the rule holds. Gates are called from one
thread, change nothing in the tree, and read no clock.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tools.tree import docstring_nodes, functions, is_binary, parse, python_files, read_text, tracked_files

FILE_LINES_WANTED = 400
FILE_LINES_CEILING = 600
FUNCTION_LINES_CEILING = 70
FILE_BYTES_CEILING = 500_000
CORE_WORDS = ("backtest", "simulat", "replay", "paper")

# Which file may import which source of nondeterminism. Ruff's banned API reports the same imports in the editor, but
# can only lift the whole rule for a file; here each seam opens exactly one door.
SEAMS: dict[str, frozenset[str]] = {
    "_thread": frozenset({"src/core/sync.py"}),
    "concurrent": frozenset({"src/research/executors/process.py"}),
    "multiprocessing": frozenset({"src/research/executors/process.py"}),
    "random": frozenset({"src/core/rng.py"}),
    "threading": frozenset({"src/core/sync.py"}),
    "time": frozenset({"src/core/sync.py"}),
    "uuid": frozenset(),
}

# The one helper through which a test may delay a thread on purpose.
DELAY_HELPERS = frozenset({"tests/delays.py"})

_HOME_FOLDERS = "home|root|opt|work|mnt|srv|tmp|var|data|Users|Volumes"
_ABSOLUTE_PATH = re.compile(rf"(?<![\w.~/$}})*\\-])/(?:{_HOME_FOLDERS})/[\w.-]|(?<!\w)[A-Z]:\\(?:Users|[Tt]emp|home)\b")
_INDEX_HOST = re.compile(
    r"pypi\.org|pythonhosted\.org|pypi\.python\.org|--(?:extra-)?index-url|--(?:trusted-host|find-links)|://[^\s/]+/simple\b"
)
_IGNORE = re.compile(
    r"#\s*(?:type:\s*ignore|pyright:\s*ignore|pragma:\s*no\s+\w+|(?:ruff:\s*|flake8:\s*)?noqa)"
    r"(?:\s*\[[^\]]*\]|:\s*[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*)?"
)


def file_sizes(root: Path) -> list[str]:
    """Find Python files above the ceiling of 600 lines."""
    return [
        f"{path.as_posix()}: {count} lines; the ceiling is {FILE_LINES_CEILING}: split it"
        for path, count in _line_counts(root)
        if count > FILE_LINES_CEILING
    ]


def file_size_notes(root: Path) -> list[str]:
    """Name the Python files that are above the wanted 400 lines but below the ceiling; a note, not a failure."""
    return [
        f"{path.as_posix()}: {count} lines; {FILE_LINES_WANTED} are wanted"
        for path, count in _line_counts(root)
        if FILE_LINES_WANTED < count <= FILE_LINES_CEILING
    ]


def _line_counts(root: Path) -> Iterator[tuple[Path, int]]:
    for path in python_files(root):
        yield path, len(read_text(root, path).splitlines())


def function_lengths(root: Path) -> list[str]:
    """Find functions and methods of more than 70 lines, docstring included, decorators not."""
    findings = []
    for path in python_files(root):
        for node in functions(parse(root, path)):
            count = (node.end_lineno or node.lineno) - node.lineno + 1
            if count > FUNCTION_LINES_CEILING:
                findings.append(
                    f"{path.as_posix()}:{node.lineno}: {node.name} has {count} lines; "
                    f"the ceiling is {FUNCTION_LINES_CEILING}: name its parts"
                )
    return findings


def core_words(root: Path) -> list[str]:
    """Find identifiers and string literals of src/core that betray where the bot runs; docstrings may say it."""
    findings = []
    for path in python_files(root, "src/core"):
        lowered_path = path.as_posix().lower()
        findings += [f"{path.as_posix()}: the path says {word!r}" for word in CORE_WORDS if word in lowered_path]
        tree = parse(root, path)
        for line, text in sorted(_spoken(tree)):
            findings += [
                f"{path.as_posix()}:{line}: {text[:60]!r} says {word!r}: the bot does not know where it runs"
                for word in CORE_WORDS
                if word in text.lower()
            ]
    return findings


def _spoken(tree: ast.Module) -> set[tuple[int, str]]:
    """Return every identifier and string literal of a module with its line, docstrings left out."""
    docstrings = docstring_nodes(tree)
    spoken: set[tuple[int, str]] = set()
    for node in ast.walk(tree):
        if node in docstrings:
            continue
        line = getattr(node, "lineno", 0)
        for _, value in ast.iter_fields(node):
            values = value if isinstance(value, list) else [value]
            spoken.update((line, text) for text in values if isinstance(text, str))
            spoken.update((line, text.decode("latin-1")) for text in values if isinstance(text, bytes))
    return spoken


def seams(root: Path) -> list[str]:
    """Find imports of a source of nondeterminism outside its seam, and orders taken from `id` or `hash`."""
    findings = []
    for path in [*python_files(root, "src"), *(p for p in python_files(root) if p.as_posix() == "main.py")]:
        for node in ast.walk(parse(root, path)):
            for module in _imported(node):
                allowed = SEAMS.get(module.split(".")[0])
                if allowed is not None and path.as_posix() not in allowed:
                    where = " and ".join(sorted(allowed)) or "nobody"
                    findings.append(f"{path.as_posix()}:{_line(node)}: imports {module}, which {where} may import")
            if isinstance(node, ast.keyword) and node.arg == "key" and _named(node.value) in {"id", "hash"}:
                findings.append(
                    f"{path.as_posix()}:{_line(node)}: an order by {_named(node.value)} differs between runs"
                )
    return findings


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module]
    return []


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 0))


def _named(node: ast.AST) -> str | None:
    return node.id if isinstance(node, ast.Name) else None


def errors_pickle(root: Path) -> list[str]:
    """Find exception classes of the package `src` that do not survive pickling, in a process of their own."""
    if not (root / "src").is_dir():
        return []
    probe = Path(__file__).with_name("errors_probe.py")
    done = subprocess.run(
        [sys.executable, str(probe)], cwd=root, capture_output=True, text=True, encoding="utf-8", check=False
    )
    findings = [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode != 0 and not findings:
        findings = [f"the probe itself failed: {done.stderr.strip()[-2000:]}"]
    return findings


def test_docstrings(root: Path) -> list[str]:
    """Find test functions without a docstring of exactly one sentence."""
    findings = []
    for path in python_files(root, "tests"):
        if not path.name.startswith("test_"):
            continue
        for node in functions(parse(root, path)):
            if node.name.startswith("test_"):
                problem = _sentence_problem(ast.get_docstring(node))
                if problem:
                    findings.append(f"{path.as_posix()}:{node.lineno}: {node.name} {problem}")
    return findings


def _sentence_problem(docstring: str | None) -> str | None:
    if not docstring or not docstring.strip():
        return "has no docstring; one sentence states the rule"
    text = " ".join(docstring.split())
    if "\n\n" in docstring or re.search(r"[.!?]\s+[A-Z]", re.sub(r"\b(?:e\.g|i\.e|vs|cf)\.", "", text)):
        return "has a docstring of more than one sentence"
    if text[-1] not in ".!?":
        return "has a docstring that does not end like a sentence"
    return None


def test_sleeps(root: Path) -> list[str]:
    """Find tests that sleep in real time; the clock's own `sleep` is virtual and welcome."""
    findings = []
    for path in python_files(root, "tests"):
        if path.as_posix() in DELAY_HELPERS:
            continue
        tree = parse(root, path)
        modules: set[str] = set()
        names: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules |= {alias.asname or alias.name for alias in node.names if alias.name == "time"}
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                names |= {alias.asname or alias.name for alias in node.names if alias.name == "sleep"}
        for node in ast.walk(tree):
            by_module = isinstance(node, ast.Attribute) and node.attr == "sleep" and _named(node.value) in modules
            if by_module or _named(node) in names:
                findings.append(f"{path.as_posix()}:{_line(node)}: sleeps; wait for an event or use a virtual clock")
    return findings


def ignore_reasons(root: Path) -> list[str]:
    """Find comments that silence a check without saying why on the same line."""
    findings = []
    for path in python_files(root):
        source = read_text(root, path)
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type != tokenize.COMMENT or not _IGNORE.search(token.string):
                continue
            reason = _IGNORE.sub("", token.string)
            if not re.search(r"[A-Za-z]{3}", reason):
                findings.append(f"{path.as_posix()}:{token.start[0]}: {token.string!r} gives no reason on its line")
    return findings


def paths_and_hosts(root: Path) -> list[str]:
    """Find absolute paths of somebody's machine and addresses of package indexes."""
    findings = []
    for path in tracked_files(root):
        if is_binary(root, path):
            continue
        for number, line in enumerate(read_text(root, path).splitlines(), start=1):
            for rule, text in ((_ABSOLUTE_PATH, "an absolute path"), (_INDEX_HOST, "a package index")):
                hit = rule.search(line)
                if hit:
                    findings.append(f"{path.as_posix()}:{number}: {text}: {line[hit.start() : hit.end() + 30].strip()}")
    return findings


def big_files(root: Path) -> list[str]:
    """Find tracked files of more than 500 kB."""
    sizes = ((path, (root / path).stat().st_size) for path in tracked_files(root))
    return [
        f"{path.as_posix()}: {size:,} bytes; the ceiling is {FILE_BYTES_CEILING:,}"
        for path, size in sizes
        if size > FILE_BYTES_CEILING
    ]
