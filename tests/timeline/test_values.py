"""No value of a statement is shown, whatever its dialect calls a literal; names stay."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_sessionguard.timeline import values
from pytest_sessionguard.timeline.values import remove_values

DIALECTS = ("", "sqlite", "postgresql", "cockroachdb", "mysql", "mariadb", "oracle", "mssql")
SECRET = "Zq7Zq7Zq7"


@pytest.mark.parametrize(
    ("dialect", "sql", "shown"),
    [
        ("", "SELECT 'Bob', 1, 1.5, .5, 1e5, 2.5E-3, 0xDEAD", "SELECT ?, ?, ?, ?, ?, ?, ?"),
        ("", "SELECT X'AB', b'101', N'Bob'", "SELECT ?, ?, ?"),
        ("", "SELECT 'it''s', ''", "SELECT ?, ?"),
        ("", "SELECT 'Bob", "SELECT ?"),
        ("", "SELECT $$Bob$$, $tag$it's $$ Bob$tag$", "SELECT ?, ?"),
        ("", "SELECT a -- Bob\nFROM t /* Bob */ WHERE b", "SELECT a FROM t WHERE b"),
        ("", "SELECT a /* Bob", "SELECT a"),
        ("", "SELECT\n\t a1,  users2.b3", "SELECT a1, users2.b3"),
        ("", "SELECT ?, :n, :1, %s, %(name_1)s, @p1", "SELECT ?, :n, :1, %s, %(name_1)s, @p1"),
        ("postgresql", "SELECT $1::VARCHAR, $2", "SELECT $1::VARCHAR, $2"),
        ("postgresql", r"SELECT 'a\', E'it\'s Bob', U&'d!0061'", "SELECT ?, ?, ?"),
        ("postgresql", "SELECT a[1:5]", "SELECT a[?:?]"),
        ("postgresql", "SELECT /* a /* b */ Bob */ c", "SELECT c"),
        ("postgresql", 'SELECT "Na""me" FROM "It\'s"', 'SELECT "Na""me" FROM "It\'s"'),
        ("mysql", r"SELECT 'it\'s Bob', \"Bob\"".replace(r"\"", '"'), "SELECT ?, ?"),
        ("mysql", "SELECT `it's` # Bob", "SELECT `it's`"),
        ("mysql", "SELECT 5--'a'", "SELECT ?--?"),
        ("mariadb", r"SELECT 'a\\', b", "SELECT ?, b"),
        ("mysql", "SELECT 'Bob\\", "SELECT ?"),
        ("mysql", 'SELECT "Bob\\', "SELECT ?"),
        ("postgresql", "SELECT E'Bob\\", "SELECT ?"),
        ("oracle", "SELECT q'[it's Bob]', Nq'!it's Bob!', a FROM dual", "SELECT ?, ?, a FROM dual"),
        ("mssql", "SELECT [it's] FROM [a]]'b], 'Bob'", "SELECT [it's] FROM [a]]'b], ?"),
        ("sqlite", 'SELECT "user"."id" FROM "user"', 'SELECT "user"."id" FROM "user"'),
        ("sqlite", 'SELECT a FROM t WHERE b = "Bob"', "SELECT a FROM t WHERE b = ?"),
        ("sqlite", "SELECT ?1, [it's], 'Bob'", "SELECT ?1, [it's], ?"),
    ],
)  # fmt: skip
def test_statement(dialect: str, sql: str, shown: str) -> None:
    """Each kind of literal goes, and what only looks like one stays."""
    assert shown == remove_values(sql, dialect)


# What may stand in a literal beside the secret; each kind below quotes it as its dialect asks.
text = st.text(st.sampled_from("ab'\"`\\$[](){}<>!/*-#;,. 0\n?:@%é\u2028"), max_size=8)
secrets = st.builds("{}{}{}".format, text, st.just(SECRET), text)


def quote(value: str, dialect: str) -> st.SearchStrategy[str]:
    """Every way to write a text in a dialect."""
    plain = "'" + value.replace("'", "''") + "'"
    escaped = "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if dialect in ("mysql", "mariadb"):
        double = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        doubled = "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
        return st.sampled_from([escaped, double, doubled])
    ways = [plain, "N" + plain]
    if dialect in ("postgresql", "cockroachdb"):
        ways += ["E" + escaped, "e" + escaped]
        ways += [f"${tag}${value}${tag}$" for tag in ("", "zz") if f"${tag}$" not in value + "$"]
    if dialect == "sqlite":
        ways.append('"' + value.replace('"', '""') + '"')
    if dialect == "oracle":
        ways += [f"q'{b}{value}{e}'" for b, e in ("[]", "{}", "()", "<>") if f"{e}'" not in value]
        ways += [f"Q'{d}{value}{d}'" for d in "!|" if f"{d}'" not in value]
    return st.sampled_from(ways)


def comment(value: str) -> st.SearchStrategy[str]:
    """A comment with a value in it."""
    inner = value.replace("*/", "").replace("/*", "")
    return st.sampled_from([f"/*{inner}*/", f"-- {inner}".replace("\n", " ") + "\n"])


@st.composite
def statements(draw: st.DrawFn) -> tuple[str, str]:
    """A statement of a dialect, with secrets in some of its literals and comments."""
    dialect = draw(st.sampled_from(DIALECTS))
    number = st.sampled_from(["7777777", "777777.7", "7.7777e7777777", "0x7777777"])
    parts = []
    for _ in range(draw(st.integers(1, 6))):
        secret = draw(secrets)
        literal = draw(st.one_of(quote(secret, dialect), number))
        name = "`it's`" if dialect in ("mysql", "mariadb") else '"x".c'
        noise = draw(st.sampled_from(["", f" {name} ", draw(comment(secret)), "\n"]))
        parts.append(f"{draw(st.sampled_from(['a = ', 'AND b IN (', ', ']))}{noise}{literal}")
    return dialect, "SELECT c FROM t WHERE " + " ".join(parts)


@given(statements())
def test_no_value(statement: tuple[str, str]) -> None:
    """Of no literal and no comment a part is shown."""
    dialect, sql = statement
    shown = remove_values(sql, dialect)
    assert SECRET not in shown
    assert "7777777" not in shown.replace(".", "")
    assert shown.startswith("SELECT c FROM t WHERE")


@given(statements(), st.integers(0, 200))
def test_no_value_where_it_is_cut(statement: tuple[str, str], cut: int) -> None:
    """What never ends is a literal to its end: a statement may break off anywhere."""
    dialect, sql = statement
    begin = sql.find(SECRET)
    cut = max(cut, begin + len(SECRET)) if begin >= 0 else cut
    assert SECRET not in remove_values(sql[:cut], dialect)


@given(st.text(), st.sampled_from(DIALECTS))
def test_any_text(sql: str, dialect: str) -> None:
    """Whatever is sent to the server, something of one line comes of it."""
    shown = remove_values(sql, dialect)
    assert "\n" not in shown
    assert "'" not in shown or dialect in ("mysql", "mariadb", "sqlite", "mssql") or '"' in shown


def test_long_statement() -> None:
    """A long statement is cut, and a very long one is not even read to its end."""
    rows = ", ".join(["(%(a)s, %(b)s)"] * 10_000)
    shown = remove_values(f"INSERT INTO t (a, b) VALUES {rows}")
    assert shown.startswith("INSERT INTO t (a, b) VALUES (%(a)s, %(b)s)")
    assert shown.endswith(" …")
    assert len(shown) < 2_100
    assert remove_values("SELECT a" + " " * 30_000 + ", 'Bob'") == "SELECT a …"


def test_examples() -> None:
    """The examples in the docstrings run."""
    result = doctest.testmod(values)
    assert result.attempted > 0
    assert result.failed == 0
