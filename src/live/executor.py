"""What executes the operator's commands: each in one turn of the operator, in a live run and in its replay alike.

A command is answered in the durable state of the account; in a replay nobody is.
"""

from collections.abc import Callable, Mapping
from typing import Any

from src.core.errors import LockstepError
from src.core.journal import Journal
from src.core.trading_controller import TradingController
from src.live.assembly import ExecutorMaker
from src.live.broker import LiveBroker
from src.live.clock import LiveClock
from src.live.config import LiveConfig
from src.live.control import Executor
from src.live.operator import OPERATOR, Operator

__all__ = ["Answerer", "executor_maker"]

#: Told what has become of a command: its number, whether it was done, and a sentence.
Answerer = Callable[[int, bool, str], None]


def executor_maker(answer: Answerer, config: LiveConfig) -> ExecutorMaker:
    """Makes what executes the commands to a bot of this configuration, and answers them."""
    on_stop = "keep" if config.live is None else config.live.on_stop

    def make(controller: TradingController, _: LiveBroker, clock: LiveClock, journal: Journal) -> Executor:
        desk = controller.desk_for(OPERATOR)
        operator = Operator(
            controller.broker, desk, clock, journal, symbols=config.symbols, stop=controller.stop,
            block=controller.risk.block, on_stop=on_stop,
        )  # fmt: skip

        def execute(body: Mapping[str, Any]) -> None:
            number = int(body["id"])
            try:
                done = operator.execute(body)
            except LockstepError as error:
                if body["verb"] == "stop":  # what else it was to do may fail, but a bot that is to end ends
                    controller.stop(str(body.get("args", {}).get("reason") or "asked to stop"))
                answer(number, False, error.message)
                return
            answer(number, done.ok, done.text)

        return execute

    return make
