"""Half-open windows of time `[start_ns, end_ns)` as sorted lists: what is covered, what is missing, in which pages.

Pure; any thread. Nanoseconds UTC.
"""

from collections.abc import Iterable, Iterator

from src.data.stored import merge_windows

__all__ = ["Window", "paged", "without"]

Window = tuple[int, int]


def without(windows: Iterable[Window], covered: Iterable[Window]) -> list[Window]:
    """What of `windows` lies in none of `covered`, merged."""
    left = merge_windows(windows)
    for start_ns, end_ns in merge_windows(covered):
        cut: list[Window] = []
        for begin_ns, stop_ns in left:
            if stop_ns <= start_ns or end_ns <= begin_ns:
                cut.append((begin_ns, stop_ns))
                continue
            if begin_ns < start_ns:
                cut.append((begin_ns, start_ns))
            if end_ns < stop_ns:
                cut.append((end_ns, stop_ns))
        left = cut
    return left


def paged(windows: Iterable[Window], length_ns: int) -> Iterator[Window]:
    """`windows` cut into pieces of `length_ns`, counted from the start of each; the last piece may be shorter."""
    for start_ns, end_ns in windows:
        for begin_ns in range(start_ns, end_ns, length_ns):
            yield begin_ns, min(begin_ns + length_ns, end_ns)
