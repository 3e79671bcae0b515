"""What comes of `Clock.leave`, the same for every clock; called by the participant that leaves, in its turn."""

from src.core.errors import LeftError
from src.core.places import calling_trace
from src.core.sync import current_name, current_participant

__all__ = ["departure_of"]


def departure_of(participant: str) -> LeftError:
    """What every later wait of a participant raises that leaves now; its traceback says where it left.

    Raises:
        RuntimeError: somebody else wants it to leave.
    """
    if current_participant.get() != participant:
        raise RuntimeError(
            f"expected {participant} to leave by itself, in its turn, found {current_name()} that lets it leave; "
            "clock.retire() lets another participant end"
        )
    return LeftError(
        f"{participant} has given up its place with leave(), the last call of a participant's own loop, and cannot "
        "wait any more",
        participant=participant,
    ).with_traceback(calling_trace())
