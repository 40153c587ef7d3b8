"""A rule's page, as a terminal shows it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator

from pytest_sessionguard.rules import RULES, Rule
from pytest_sessionguard.rules.names import find_rules

# Longer lines are hard to read, however wide the terminal is.
_WIDEST = 88
_NARROWEST = 40


def explain_all(names: str | Iterable[str], width: int = _WIDEST) -> str:
    """Write the explanations of rules.

    Args:
        names: Codes, names or groups.
        width: How many columns there are.

    Returns:
        Their explanations, each once.

    Raises:
        UnknownRuleError: No rule has such a name.
    """
    by_code = {rule.code: rule for rule in RULES}
    codes = dict.fromkeys(find_rules(names))
    return "\n\n\n".join(explain(by_code[code], width) for code in codes)


def explain(rule: Rule, width: int = _WIDEST) -> str:
    """Write a rule's explanation as plain text.

    Args:
        rule: The rule.
        width: How many columns there are.

    Returns:
        Its head line, and its text under the same headings as its page.
    """
    width = max(_NARROWEST, min(width, _WIDEST))
    lines = [f"{rule.code} {rule.name} ({rule.severity.value} by default)"]
    for kind, block in _read_blocks(rule.text):
        if kind == "heading":
            lines += ["", block, ""]
        elif kind == "code":
            lines += [*textwrap.indent(block, "    ").splitlines(), ""]
        elif kind == "item":
            lines += _wrap(block, width, indent="  ")
        else:
            lines += [*_wrap(block, width), ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def list_rules(rules: Iterable[Rule]) -> str:
    """Write rules as a table: code, name, default, and what each finds.

    Args:
        rules: The rules.

    Returns:
        A line each, in the order of their codes.
    """
    ordered = sorted(rules, key=lambda rule: rule.code)
    widest = max((len(rule.name) for rule in ordered), default=0)
    return "\n".join(
        f"{rule.code}  {rule.name:<{widest}}  {rule.severity.value:<5}  {summarize(rule)}"
        for rule in ordered
    )


def summarize(rule: Rule) -> str:
    """Return what a rule does, in one sentence.

    Args:
        rule: The rule.

    Returns:
        The first sentence of its page, or the part of it before a colon.
    """
    text = next(block for kind, block in _read_blocks(rule.text) if kind == "text")
    return re.split(r"(?<=\.)\s|:\s", text, maxsplit=1)[0].rstrip(".") + "."


def _wrap(text: str, width: int, indent: str = "") -> list[str]:
    # Neither a name nor a flag is cut in two.
    return textwrap.wrap(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _read_blocks(text: str) -> Iterator[tuple[str, str]]:
    """Split a page into headings, code, items of a list and texts."""
    lines: list[str] = []
    code: list[str] | None = None
    for line in [*text.splitlines(), ""]:
        if line.startswith("```"):
            if code is None:
                yield from _join(lines)
                code = []
            else:
                yield "code", "\n".join(code)
                code = None
        elif code is not None:
            code.append(line)
        elif line.startswith("## "):
            yield from _join(lines)
            yield "heading", line.removeprefix("## ")
        elif line.startswith("- "):
            yield from _join(lines)
            lines.append(line)
        elif line:
            lines.append(line)
        else:
            yield from _join(lines)


def _join(lines: list[str]) -> Iterator[tuple[str, str]]:
    if lines:
        kind = "item" if lines[0].startswith("- ") else "text"
        yield kind, " ".join(line.strip() for line in lines)
        lines.clear()
