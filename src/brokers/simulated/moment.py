"""When something happened inside a bar, of which only the close is known. Pure."""

__all__ = ["AtOpen", "Moment"]


class Moment:
    """When an execution happened: known at `filled_ns`, possible from `from_ns` on."""

    __slots__ = ("filled_ns", "from_ns")

    def __init__(self, filled_ns: int, from_ns: int | None = None) -> None:
        self.filled_ns = filled_ns
        self.from_ns = filled_ns if from_ns is None else from_ns


class AtOpen(Moment):
    """An execution at the open of a bar that is known at its close: what is left of the bar comes after it."""

    __slots__ = ()
