"""What a run reports: its summary, and the data issues of its recording."""

from typing import Any

from db_interpreter import DBInterpreter
from ohlc_processor import OHLCProcessor
from orderflow.issues import IssueLog

SCHEMA = 1
"""Version of the summary, `status_data.json` and `data_issues.json`; fields are only ever added."""


def collect_issues(processor: OHLCProcessor, reader: DBInterpreter) -> IssueLog:
    """Return all data issues that reading and processing have found so far."""
    issues = processor.issues
    issues.add(reader.issues)
    return issues


def note_empty_tables(issues: IssueLog, processor: OHLCProcessor) -> None:
    """Note when a run that has come to its end had no book row, or no trade, in its range."""
    if not processor.rows:
        issues.note("no_book", None)
    if not processor.trades:
        issues.note("no_trades", None)


def issues_document(issues: IssueLog) -> dict[str, Any]:
    """Return what `data_issues.json` holds: every span of every kind, by time."""
    spans = [
        {"kind": span.kind, "start": span.start, "end": span.end, "count": span.count}
        for span in issues.spans()
    ]
    return {"schema": SCHEMA, "issues": spans}
