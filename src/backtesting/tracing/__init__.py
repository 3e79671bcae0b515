"""Seeing the threads: spans, sums and a trace file, by decorators around the ports that exist only when asked for."""

from src.backtesting.tracing.broker import TracedBroker
from src.backtesting.tracing.chrome import ensure_trace_file, write_trace
from src.backtesting.tracing.clock import TracedClock, TracedMarket
from src.backtesting.tracing.compose import TracedPorts, measure_lock, traced_ports
from src.backtesting.tracing.extract import trace_extract
from src.backtesting.tracing.probe import DEFAULT_SPANS, Probe
from src.backtesting.tracing.statistics import ParticipantTimes, ThreadStatistics

__all__ = [
    "DEFAULT_SPANS",
    "ParticipantTimes",
    "Probe",
    "ThreadStatistics",
    "TracedBroker",
    "TracedClock",
    "TracedMarket",
    "TracedPorts",
    "ensure_trace_file",
    "measure_lock",
    "trace_extract",
    "traced_ports",
    "write_trace",
]
