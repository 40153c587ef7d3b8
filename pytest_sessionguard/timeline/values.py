"""SQL without its values: what stands in a report names tables and columns, and nobody's data.

A library's tokenizer would be less to read. sqlparse knows no dialect, so that a backslash before a
quote (the string's end in PostgreSQL, not in MySQL) shows what follows; it takes an unterminated
string and a nested comment for words, and 1.7 ms for a query. A scanner that only asks where
literals begin and end, and takes what never ends for one to its end, is safe where it is wrong.
"""

from __future__ import annotations

import re
from functools import lru_cache

_LONGEST = 2_000
_READ = 20_000

# Each reads to the end of the text where its closing quote is missing, a last backslash included.
_QUOTED = r"'(?:[^']|'')*(?:'|\Z)"
_ESCAPED = r"'(?:[^'\\]|\\.|'')*(?:'|\\?\Z)"
_STRING = {
    "mysql": rf"(?:(?<!\w)[bBxXnN])?{_ESCAPED}|\"(?:[^\"\\]|\\.|\"\")*(?:\"|\\?\Z)",
    "postgresql": rf"(?<!\w)[eE]{_ESCAPED}|(?:(?<!\w)(?:[bBxXnN]|[uU]&))?{_QUOTED}",
    # q'[it's]' of Oracle: the delimiter is free.
    "oracle": (
        r"(?<!\w)[nN]?[qQ]'(?:\[.*?(?:\]'|\Z)|\{.*?(?:\}'|\Z)|\(.*?(?:\)'|\Z)|<.*?(?:>'|\Z)"
        rf"|(?P<delimiter>.).*?(?:(?P=delimiter)'|\Z))|(?:(?<!\w)[nN])?{_QUOTED}"
    ),
}
_ANY_STRING = rf"(?:(?<!\w)[bBxXnN])?{_QUOTED}"
_DOLLAR = r"\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)"
_NAME = {
    "mysql": r"`(?:[^`]|``)*`",
    "postgresql": r'"(?:[^"]|"")*"',
    "oracle": r'"(?:[^"]|"")*"',
    "mssql": r'"(?:[^"]|"")*"|\[(?:[^\]]|\]\])*\]',
    "sqlite": r'"(?:[^"]|"")*"|\[[^\]]*\]|`(?:[^`]|``)*`',
}
_ANY_NAME = r'"(?:[^"]|"")*"|`(?:[^`]|``)*`'
# A name that never ends may as well be a value.
_UNENDED_NAME = r'["`].*'
# Behind these a number belongs to a name or to a placeholder. A colon is one of them but in
# PostgreSQL, where it stands in slices.
_BEFORE_NUMBER = {"postgresql": r"\w$@?"}
_BEFORE_ANY_NUMBER = r"\w$@?:"
_NUMBER = r"(?<![{before}])\.?\d[\w.]*(?:(?<=[eE])[+-]\d+)?"
_ANY_LINE_COMMENT = r"--[^\n]*"
_LINE_COMMENT = {"mysql": r"--(?=\s|\Z)[^\n]*|\#[^\n]*"}
_NESTED_COMMENTS = frozenset({"postgresql", "mssql"})
_FAMILY = {"mariadb": "mysql", "cockroachdb": "postgresql", "redshift": "postgresql"}
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_BEFORE_NAME = re.compile(r"(?:\.|\b(?:FROM|JOIN|INTO|UPDATE|TABLE|AS))\s*\Z", re.IGNORECASE)


@lru_cache(maxsize=512)
def _strip(sql: str, dialect: str) -> str:
    family = _FAMILY.get(dialect, dialect)
    pattern = _pattern_of(family)
    parts, begin = [], 0
    while match := pattern.search(sql, begin):
        parts.append(sql[begin : match.start()])
        begin = match.end()
        if match.lastgroup == "block":
            begin = _find_end_of_comment(sql, begin, nested=family in _NESTED_COMMENTS)
            parts.append(" ")
        elif match.lastgroup == "line":
            parts.append(" ")
        elif match.lastgroup == "name" and _is_name(sql, match, family):
            parts.append(match[0])
        else:
            parts.append("?")
    text = " ".join("".join([*parts, sql[begin:]]).split())
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"


def remove_values(sql: str, dialect: str = "") -> str:
    r"""Write a statement with ``?`` in place of every literal value, and without its comments.

    Args:
        sql: A statement as the driver gets it; its parameters are not in it.
        dialect: The name of SQLAlchemy's dialect, which decides what a quote means.

    Returns:
        One line; a long one is cut.

    Examples:
        >>> remove_values("SELECT name FROM users WHERE name = 'Bob' AND age > 30 -- of Bob")
        'SELECT name FROM users WHERE name = ? AND age > ?'
        >>> remove_values("SELECT E'it\\'s Bob', $1 FROM \"Users\"", "postgresql")
        'SELECT ?, $1 FROM "Users"'
    """
    text = _strip(sql[:_READ], dialect)
    return text if len(sql) <= _READ or text.endswith("…") else f"{text} …"


@lru_cache(maxsize=32)
def _pattern_of(family: str) -> re.Pattern[str]:
    number = _NUMBER.format(before=_BEFORE_NUMBER.get(family, _BEFORE_ANY_NUMBER))
    comment = _LINE_COMMENT.get(family, _ANY_LINE_COMMENT)
    return re.compile(
        rf"(?P<line>{comment})"
        r"|(?P<block>/\*)"
        rf"|(?P<name>{_NAME.get(family, _ANY_NAME)})"
        rf"|(?P<value>{_STRING.get(family, _ANY_STRING)}|{_DOLLAR}|{number}|{_UNENDED_NAME})",
        re.DOTALL,
    )


def _find_end_of_comment(sql: str, begin: int, *, nested: bool) -> int:
    """Find where a comment ends; one within another ends only itself in some dialects."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(sql, begin):
        if edge[0] == "*/":
            depth -= 1
            if not depth:
                return edge.end()
        elif nested:
            depth += 1
    return len(sql)


def _is_name(sql: str, match: re.Match[str], family: str) -> bool:
    """Tell whether a quoted word is a name.

    SQLite takes one in double quotes for a string where it knows no such column
    (https://www.sqlite.org/quirks.html), so there it has to stand where only names do.
    """
    if family != "sqlite" or not match[0].startswith('"'):
        return True
    return sql[match.end() : match.end() + 1] == "." or bool(
        _BEFORE_NAME.search(sql[max(0, match.start() - 12) : match.start()])
    )
