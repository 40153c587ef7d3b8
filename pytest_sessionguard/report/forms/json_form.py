"""JSON: the document as it is."""

from __future__ import annotations

import json

from pytest_sessionguard.report.document import Document


def write(document: Document) -> str:
    """Write the document as JSON.

    Args:
        document: The document of a run.

    Returns:
        The text of the file; its schema is `document.schema.json`.
    """
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
