"""The page that one looks at: one file with everything in it, and nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib.resources import files
from typing import Any

# In the order in which they need each other.
_SCRIPTS = (
    "model.js",
    "draw.js",
    "engines.js",
    "places.js",
    "tests.js",
    "bars.js",
    "story.js",
    "start.js",
)


def render(document: dict[str, Any]) -> str:
    """Write the document of a run as a page.

    What is in the document comes from a stranger's code: it stands in the page as JSON, and the
    script writes all of it as text. The policy lets nothing run or load but what stands here.

    Args:
        document: What `pytest_sessionguard.report.document.make_document` returned.

    Returns:
        HTML, of ASCII characters only.
    """
    script = "\n".join(_read(name) for name in _SCRIPTS)
    style = _read("style.css")
    parts = {
        "policy": _make_policy(script, style),
        "title": html.escape(_title_of(document)),
        "style": style,
        "script": script,
        "document": _embed(document),
    }
    page = _read("page.html")
    before, *rest = page.split("{{")
    texts = [before]
    for piece in rest:
        name, after = piece.split("}}", 1)
        texts += [parts[name], after]
    return "".join(texts).encode("ascii", "xmlcharrefreplace").decode("ascii")


def _read(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def _embed(document: dict[str, Any]) -> str:
    """Write JSON that ends no script and begins no tag, whatever is in it."""
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _make_policy(script: str, style: str) -> str:
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (script, style)
    ]
    return (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _title_of(document: dict[str, Any]) -> str:
    count = len(document["findings"])
    found = f"{count} finding{'' if count == 1 else 's'}" if count else "no findings"
    return f"sessionguard: {found} in {document['tally']['tests']} tests"
