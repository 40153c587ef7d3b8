"""Comments that suppress: `# sessionguard: ignore[SG101] reason` on a line that a finding names."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_sessionguard.rules.names import UnknownRuleError, find_rules

_MARK = re.compile(r"#\s*sessionguard\s*:\s*(.*)", re.IGNORECASE)
_IGNORE = re.compile(r"ignore\s*\[([^\]]*)\]\s*(.*)", re.DOTALL)
_FORM = "`# sessionguard: ignore[SG101] reason`"


@dataclass(frozen=True)
class Comment:
    """One comment of ours.

    Attributes:
        line: Its line.
        what: What stands in it.
        rules: The codes of the rules that it names.
        problem: Why it cannot be meant; it suppresses nothing then.
    """

    line: int
    what: str
    rules: frozenset[str] = frozenset()
    problem: str = ""


@dataclass(frozen=True)
class Source:
    """The comments of one file, and its statements.

    Attributes:
        comments: The comments.
        spans: First and last line of each statement; of one with a body, those of its head.
    """

    comments: tuple[Comment, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()

    def find(self, line: int, rule: str) -> list[Comment]:
        """Find the comments that suppress a rule at a line.

        Args:
            line: The line, whose whole statement may carry the comment.
            rule: The rule's code.

        Returns:
            The comments.
        """
        spans = (span for span in self.spans if span[0] <= line <= span[1])
        first, last = min(spans, key=lambda span: span[1] - span[0], default=(line, line))
        return [one for one in self.comments if first <= one.line <= last and rule in one.rules]


def read_source(path: str) -> Source:
    """Read the comments of a file.

    Args:
        path: Where it lies.

    Returns:
        The comments; none where the file cannot be read.
    """
    try:
        with tokenize.open(path) as file:
            text = file.read()
        if "sessionguard" not in text.lower():
            return Source()
        comments = tuple(_read_comments(text))
        return Source(comments, tuple(_find_spans(text)) if comments else ())
    # What is no Python has no comment; SystemError: python/cpython#106905.
    except (OSError, SyntaxError, ValueError, RecursionError, SystemError, tokenize.TokenError):
        return Source()


def _read_comments(text: str) -> Iterator[Comment]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and (match := _MARK.search(token.string)):
            yield _read_comment(token.start[0], match[1].strip())


def _read_comment(line: int, text: str) -> Comment:
    match = _IGNORE.match(text)
    if match is None:
        return Comment(line, text, problem=f"{text!r} is not of the form {_FORM}")
    what = f"ignore[{match[1].strip()}]"
    try:
        rules = frozenset(find_rules(match[1]))
    except UnknownRuleError as error:
        return Comment(line, what, problem=str(error))
    if not rules:
        return Comment(line, what, problem=f"names no rule: {_FORM}")
    if not match[2].split("#", maxsplit=1)[0].strip():  # behind it, another tool's comment
        return Comment(line, what, problem=f"needs a reason: {_FORM}")
    return Comment(line, what, rules)


def _find_spans(text: str) -> Iterator[tuple[int, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None) or getattr(node, "cases", None)
            last = node.end_lineno or node.lineno
            if body:
                first = body[0]
                begin = first.pattern if isinstance(first, ast.match_case) else first
                last = max(node.lineno, begin.lineno - 1)
            yield node.lineno, last
