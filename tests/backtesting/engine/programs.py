"""One text that plays a generated program of waits in any world: under the engine, or in the reference model.

It is a generator: where a call really blocks it never yields, where a call is a generator itself it passes that on.
"""

import queue
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, Protocol

from src.core.errors import Stopping
from tests.generators import Op, Role, World

__all__ = ["Call", "Play", "Steps", "Wake"]

Steps = Generator[None, None, Any]
Call = Callable[..., Any]


class Over(Exception):
    """The program of a participant is at its end."""


class Wake:
    """At each step once, when somebody rings, and at an alarm of its own."""

    def __init__(self, now: Callable[[], int], count: Callable[[], int]) -> None:
        self._now, self._count = now, count
        self._seen = 0
        self.rung = False
        self.alarm: int | None = None

    def __call__(self) -> bool:
        return self._count() > self._seen or self.rung or (self.alarm is not None and self.alarm <= self._now())

    def next_due_ns(self) -> int | None:
        return self.alarm

    def hear(self) -> None:
        self._seen, self.rung = self._count(), False
        if self.alarm is not None and self.alarm <= self._now():
            self.alarm = None


class Scene(Protocol):
    """A world to play in; `calls` are the clock's by the names of their words."""

    calls: dict[str, Call]
    locks: Sequence[Any]
    semaphores: Sequence[Any]
    events: Sequence[Any]
    conditions: Sequence[Any]
    queues: Sequence[Any]

    def now(self) -> int: ...
    def me(self) -> str: ...
    def do(self, call: Call, *arguments: Any) -> Steps: ...
    def signal(self) -> None: ...


class Play:
    """A world's programs in a scene.

    Attributes:
        log: (instant, participant, what happened, result), in order.
        end: the error that ended the run, with the participants that it names; empty when it came to its end.
    """

    def __init__(self, world: World, scene: Scene, count: Callable[[], int]) -> None:
        self.world, self.scene = world, scene
        self.log: list[tuple[int, str, str, object]] = []
        self.end: tuple[str, tuple[str, ...]] = ("", ())
        self.wakes = {role.name: Wake(scene.now, count) for role in world.roles}
        self.threads: list[Any] = []
        self.timers: list[Any] = []

    def note(self, what: str, result: object = None) -> None:
        self.log.append((self.scene.now(), self.scene.me(), what, result))

    def ended_by(self, error: BaseException | None) -> None:
        if error is not None:
            named = getattr(error, "details", {}).get("participants", error.args)
            self.end = (type(error).__name__, tuple(sorted(named)))

    def answer(self, role: Role, error: BaseException) -> Steps:
        """What a participant does about the failure of its thread, in the thread's turn."""
        self.note("failed", type(error).__name__)
        yield from self.scene.do(self.scene.calls["retire"], role.name)

    def role(self, role: Role) -> Steps:
        """A participant's program, from its first turn to its end."""
        yield from self.act((*role.program, Op("serve")) if role.serves else role.program)

    def act(self, program: Sequence[Op], begins: str = "begins") -> Steps:
        self.note(begins)
        try:
            yield from self._all_of(program)
        except Stopping:
            self.note("stopped")
            raise
        except Over:
            pass
        self.note("ends")

    def _all_of(self, program: Sequence[Op]) -> Steps:
        for op in program:
            try:
                result = yield from self._one(op)
            except (RuntimeError, queue.Full, queue.Empty) as error:
                result = type(error).__name__
            self.note(op.what, result)
            if op.what == "leave" or (op.what == "step" and not result):
                raise Over

    def _one(self, op: Op) -> Steps:
        what, length, scene = op.what, op.length, self.scene
        if what in ("step", "serve"):
            return (yield from self._steps(only_one=what == "step"))
        if what == "with":
            yield from self._with(_pick(scene.locks, op), op.body)
        elif what in ("start", "timer"):
            program = partial(self.act, op.body, "begins" if what == "start" else "fires")
            if what == "start":
                self.threads.append((yield from scene.do(scene.calls[what], program)))
            else:
                self.timers.append((yield from scene.do(scene.calls[what], length or 0, program)))
        elif what == "alarm":
            self.wakes[_root_of(scene.me())].alarm = scene.now() + (length or 0)
        elif what == "ring":
            self.wakes[_pick(self.world.roles, op).name].rung = True
            scene.signal()
        elif what == "fail":
            raise ValueError(scene.me())
        elif what != "leave" and (self.threads or what != "join") and (self.timers or what != "cancel"):
            call, *arguments = self._call_of(op)
            return (yield from scene.do(call, *arguments))
        return None

    def _steps(self, *, only_one: bool) -> Steps:
        name = self.scene.me()
        while met := (yield from self.scene.do(self.scene.calls["step"], name)):
            self.wakes[name].hear()
            if only_one:
                break
            self.note("step", True)
        return met

    def _with(self, lock: Any, body: Sequence[Op]) -> Steps:
        yield from self.scene.do(lock.acquire)
        try:
            yield from self._all_of(body)
        finally:
            yield from self.scene.do(lock.release)

    def _call_of(self, op: Op) -> tuple[Any, ...]:
        """The call of a word that is a call and nothing more."""
        scene, length = self.scene, op.length
        lock, semaphore, event = (_pick(line, op) for line in (scene.locks, scene.semaphores, scene.events))
        condition, line = _pick(scene.conditions, op), _pick(scene.queues, op)
        if op.what == "join":
            return (_pick(self.threads, op).join, length)
        if op.what == "cancel":
            return (_pick(self.timers, op).cancel,)
        words: dict[str, tuple[Any, ...]] = {
            "sleep": (scene.calls["sleep"], length or 0),
            "until": (scene.calls["until"], event.is_set, length),
            "retire": (scene.calls["retire"], _pick(self.world.roles, op).name),
            "stop": (scene.calls["stop"],),
            "take": (lock.acquire, length),
            "give": (lock.release,),
            "hold on": (condition.wait, length),
            "notify": (condition.notify, 1 if length else 5),
            "acquire": (semaphore.acquire, length),
            "release": (semaphore.release, 1 if length else 2),
            "set": (event.set,),
            "clear": (event.clear,),
            "await": (event.wait, length),
            "put": (line.put, f"{scene.me()} at {scene.now()}", length),
            "get": (line.get, length),
        }
        return words[op.what]


def _pick(among: Sequence[Any], op: Op) -> Any:
    return among[op.which % len(among)]


def _root_of(name: str) -> str:
    return name.partition("/")[0]
