"""Structured logs: one JSON object a line on stderr, as journald keeps them."""

from __future__ import annotations

import logging
import sys
from collections import deque
from typing import Any

import structlog

MOST_LINES, MOST_CHARACTERS = 1000, 2000  # of the newest lines, kept in memory for who looks for a fault
_recent: deque[str] = deque(maxlen=MOST_LINES)


def recent() -> list[str]:
    """The newest lines of this process, oldest first; long ones are cut."""
    return list(_recent)


def _remember(_: Any, __: str, line: Any) -> Any:
    _recent.append(str(line)[:MOST_CHARACTERS])
    return line


def log_json() -> None:
    """For the daemon's own process only; libraries' loggers stay at WARNING."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
            _remember,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
