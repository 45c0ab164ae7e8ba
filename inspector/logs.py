"""Structured logs: one JSON object a line on stderr, as journald keeps them."""

from __future__ import annotations

import logging
import sys

import structlog


def log_json() -> None:
    """For the daemon's own process only; libraries' loggers stay at WARNING."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
