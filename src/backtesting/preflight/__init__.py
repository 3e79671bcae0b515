"""Whether the data are what a run needs: judged before it begins, on the very arrays that it will use."""

from src.backtesting.preflight.examine import Examined, Examiner
from src.backtesting.preflight.mending import hours_text, instant_text
from src.backtesting.preflight.repair import sync_first
from src.backtesting.preflight.report import Finding, PreflightReport, SeriesReport

__all__ = [
    "Examined",
    "Examiner",
    "Finding",
    "PreflightReport",
    "SeriesReport",
    "hours_text",
    "instant_text",
    "sync_first",
]
