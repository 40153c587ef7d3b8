"""HTML: one file with everything in it, to look at."""

from __future__ import annotations

from pytest_sessionguard.report.document import Document
from pytest_sessionguard.report.html import render


def write(document: Document) -> str:
    """Write the document as a page that needs nothing from outside.

    Args:
        document: The document of a run.

    Returns:
        The text of the file.
    """
    return render(document)
