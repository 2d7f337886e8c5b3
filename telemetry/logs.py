"""Log lines: readable, or one JSON object each; all lines of a request name it."""

import json
import logging
from datetime import UTC, datetime

from opentelemetry.trace import get_current_span

from settings import Settings
from telemetry.correlation import current_correlation_id

AUDIT = "latchgate.audit"

# A path or a name that a stranger chose must not begin a line of its own.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


class Readable(logging.Formatter):
    """As uvicorn writes, with the request's name at the end; the audit log as it is: JSON."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s:     %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """The line, without what `format` adds of an exception."""
        if record.name == AUDIT:
            return record.message
        line = super().formatMessage(record).translate(_CONTROLS)
        name = current_correlation_id()
        return line if name is None else f"{line} [{name}]"


class JsonLines(logging.Formatter):
    """One JSON object a line; an event of the audit log brings its own members."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC)
        span = get_current_span().get_span_context()
        members = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage() if record.name != AUDIT else None,
            "correlation_id": current_correlation_id(),
            "trace_id": f"{span.trace_id:032x}" if span.is_valid else None,
            "exception": self.formatException(record.exc_info) if record.exc_info else None,
            **(json.loads(record.getMessage()) if record.name == AUDIT else {}),
        }
        return json.dumps({name: value for name, value in members.items() if value is not None})


def without_query(record: logging.LogRecord) -> bool:
    """A filter for access logs: what is in a query (`state`, say) is nobody else's to read."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            value.partition("?")[0] if isinstance(value, str) else value for value in record.args
        )
    return True


def configure_logging(settings: Settings) -> None:
    """Log to standard error as the settings say.

    LATCHGATE_LOG_LEVEL is for our own lines; of libraries only warnings show. The audit log is
    always written. As JSON uvicorn's lines are ours to write too; its access log is without
    queries in any case.
    """
    # What no line of ours names need not be found out for each (Logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = False
    logging.logMultiprocessing = False
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if settings.log_format == "json" else Readable())
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.getLogger("latchgate").setLevel(level)
    logging.getLogger(AUDIT).setLevel(logging.INFO)
    logging.getLogger("uvicorn.access").addFilter(without_query)
    if settings.log_format == "json":
        for name in ("uvicorn", "uvicorn.access"):
            logger = logging.getLogger(name)
            if logger.handlers:  # else it was told to be silent: --no-access-log
                logger.handlers.clear()
                logger.propagate = True


def as_logged(text: str) -> str:
    """What is told past the log, a secret for instance, in the form that the log's lines have."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonLines):
            record = {"name": "latchgate", "levelname": "INFO", "msg": text}
            return handler.formatter.format(logging.makeLogRecord(record))
    return text
