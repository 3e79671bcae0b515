"""What an entry may say besides side, size, price and protection, as one record: most orders say nothing of it.

Pure; any thread.
"""

from src.core.arguments import checked_text
from src.core.record import maker, record
from src.core.records import TimeInForce, TriggerBy

__all__ = ["PLAIN", "OrderTerms", "make_order_terms", "no_number", "read_terms"]


@record
class OrderTerms:
    """The rarer words of an order; see `OrderRequest` for what each means.

    Attributes:
        trigger_limit: the limit of a stop-limit order; `trigger` is its trigger.
        trail_distance, trail_percent: make the entry a trailing stop order.
        stop_trail_distance, stop_trail_percent: how far the position's stop follows the price.
        reduce_only: closes what is held on the other side, up to the volume, and opens nothing.
        code, message: why the order is refused whatever it asks for: a word that nobody knows, a number that is none.
    """

    trigger_limit: float | None = None
    trail_distance: float | None = None
    trail_percent: float | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reduce_only: bool = False
    trigger_by: TriggerBy = TriggerBy.QUOTE
    group: str = ""
    parent: str = ""
    stop_trail_distance: float | None = None
    stop_trail_percent: float | None = None
    code: str = ""
    message: str = ""


make_order_terms = maker(OrderTerms)

#: The terms of an order that says nothing of them.
PLAIN = OrderTerms()


def read_terms(
    *, trigger_limit: float | None, trail_distance: float | None, trail_percent: float | None, time_in_force: str,
    post_only: bool, reduce_only: bool, trigger_by: str, group: object, parent: object,
    stop_trail_distance: float | None, stop_trail_percent: float | None,
) -> OrderTerms:  # fmt: skip
    """The terms of what a strategy wrote: words become values, numbers become floats.

    What cannot be read so, a word that nobody knows or a number that is none, is told in `code` and `message`.
    """
    force = _FORCES.get(time_in_force) if isinstance(time_in_force, str) else None
    by = _TRIGGERS.get(trigger_by) if isinstance(trigger_by, str) else None
    if force is None:
        return _unknown("time_in_force", time_in_force, list(_FORCES))
    if by is None:
        return _unknown("trigger_by", trigger_by, list(_TRIGGERS))
    for code, text in (("group", group), ("parent", parent)):
        if not isinstance(text, str):
            return OrderTerms(code=code, message=f"expected a {code} as a text, found {text!r}")
    try:
        return make_order_terms(
            trigger_limit=_number(trigger_limit), trail_distance=_number(trail_distance),
            trail_percent=_number(trail_percent), time_in_force=force, post_only=bool(post_only),
            reduce_only=bool(reduce_only), trigger_by=by, group=checked_text(group, "a group"),
            parent=checked_text(parent, "a parent"), stop_trail_distance=_number(stop_trail_distance),
            stop_trail_percent=_number(stop_trail_percent),
        )  # fmt: skip
    except (TypeError, ValueError, OverflowError) as error:
        return no_number(error)


_FORCES: dict[str, TimeInForce] = {each.value: each for each in TimeInForce}
_TRIGGERS: dict[str, TriggerBy] = {each.value: each for each in TriggerBy}


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def no_number(error: Exception) -> OrderTerms:
    """The terms of an order that says a number with something else."""
    return OrderTerms(code="not_a_number", message=f"expected numbers: {error}")


def _unknown(code: str, found: str, known: list[str]) -> OrderTerms:
    return OrderTerms(code=code, message=f"expected {code} as one of {', '.join(known)}, found {found!r}")
