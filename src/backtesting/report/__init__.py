"""The report of a stored run, and of two runs side by side: one HTML file each."""

from src.backtesting.report.building import build_run_report, write_report
from src.backtesting.report.compare import build_comparison
from src.backtesting.report.live_threads import RecordedThread

__all__ = ["RecordedThread", "build_comparison", "build_run_report", "write_report"]
