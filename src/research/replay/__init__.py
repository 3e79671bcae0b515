"""Replay: the real bot again, fed with what a live run of it has recorded."""

from src.research.replay.recorded import ReplayedRun, replay_recorded

__all__ = ["ReplayedRun", "replay_recorded"]
