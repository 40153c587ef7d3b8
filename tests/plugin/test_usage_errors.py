"""Settings that cannot be meant: pytest stops with exit code 4 and a line that helps."""

from __future__ import annotations

import pytest
from harness import APP

from pytest_sessionguard import rules

RULES = (
    "The rules are "
    + ", ".join(sorted(f"{rule.code} ({rule.name})" for rule in rules.RULES))
    + "; a group such as SG1, or all"
)


def suite(marker: str = "", **files: str) -> dict[str, str]:
    return {
        "app.py": APP,
        "test_x.py": f"""
            import pytest
            from app import fine

            {marker}
            def test_fine():
                fine()
        """,
        **{name.replace("_", "."): text for name, text in files.items()},
    }


def refuse(run, line: str) -> None:
    assert run.exit == 4, run.text
    assert line in run.text
    assert "INTERNALERROR" not in run.text
    assert "passed" not in run.text


def test_mode(project):
    """An unknown mode names the nearest and the valid ones."""
    line = "sessionguard: no mode is named 'wran' (from command line). Did you mean 'warn'? "
    line += "The modes are fail, strict, warn, off."
    refuse(project(suite()).run("--sessionguard=wran"), f"ERROR: {line}")


def test_mode_of_ini(project):
    """The same in the ini file."""
    run = project(suite(pytest_ini="[pytest]\nsessionguard = severe\n")).run()
    line = "sessionguard: no mode is named 'severe' (from ini). "
    refuse(run, f"ERROR: {line}The modes are fail, strict, warn, off.")


def test_rule_of_command_line(project):
    """An unknown rule names the nearest, the source and the valid ones."""
    line = "ERROR: sessionguard: no rule is named 'leaked-conection'. "
    line += f"Did you mean 'leaked-connection'? {RULES} (from command line)"
    run = project(suite()).run("--sessionguard-ignore=leaked-conection")
    refuse(run, line)


def test_rule_of_ini(project):
    """The same in the ini file."""
    run = project(suite(pytest_ini="[pytest]\nsessionguard_error = SG999\n")).run()
    refuse(run, f"ERROR: sessionguard: no rule is named 'SG999'. {RULES} (from ini)")


def test_rule_of_marker(project):
    """The same in a marker, with the test that has it."""
    run = project(suite('@pytest.mark.sessionguard(ignore="leak", reason="so")')).run()
    line = f"sessionguard: no rule is named 'leak'. {RULES} (from marker)"
    refuse(run, f"ERROR: test_x.py::test_fine: {line}")


def test_marker_without_reason(project):
    """A marker that ignores a rule needs a reason."""
    run = project(suite('@pytest.mark.sessionguard(ignore="SG101")')).run()
    refuse(run, "test_x.py::test_fine: sessionguard: a marker that ignores a rule needs a reason: ")


def test_marker_with_blank_reason(project):
    """A blank is no reason."""
    run = project(suite('@pytest.mark.sessionguard(off=True, reason=" ")')).run()
    refuse(run, "a marker that ignores a rule needs a reason: ")


def test_marker_with_typo(project):
    """A keyword that the marker does not take is refused, with those that it takes."""
    run = project(suite('@pytest.mark.sessionguard(ignored="SG101", reason="so")')).run()
    refuse(
        run, "test_x.py::test_fine: @pytest.mark.sessionguard got an unexpected keyword argument"
    )
    assert 'It takes sessionguard(*, ignore="", warn="", error="", reason=""' in run.text


def test_marker_with_positional(project):
    """So is a positional argument."""
    run = project(suite('@pytest.mark.sessionguard("SG101")')).run()
    refuse(run, "test_x.py::test_fine: @pytest.mark.sessionguard takes 0 positional arguments")


def test_marker_with_wrong_number(project):
    """A pool size is a number."""
    run = project(suite('@pytest.mark.sessionguard(pool_size="two")')).run()
    refuse(
        run, "ERROR: test_x.py::test_fine: pool_size is a whole number, not 'two' (from marker)."
    )


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("many", "sessionguard_pool_size is a whole number, not 'many' (from command line)."),
        ("0", "sessionguard_pool_size is 1 or more, not '0' (from command line)."),
    ],
)
def test_number(project, value, line):
    """So is that of the command line, and it has a least value."""
    refuse(project(suite()).run(f"--sessionguard-pool-size={value}"), line)


def test_number_of_ini(project):
    """The same in the ini file, whose type pytest checks itself."""
    run = project(suite(pytest_ini="[pytest]\nsessionguard_pool_size = many\n")).run()
    assert run.exit == 4
    assert "sessionguard_pool_size" in run.text
    assert "INTERNALERROR" not in run.text


def test_empty_rule(project):
    """An empty value names no rule and is none."""
    assert project(suite()).run("--sessionguard-ignore=").exit == 0


def test_rules_with_commas(project):
    """One value may name several rules, each of which is checked."""
    run = project(suite()).run("--sessionguard-ignore=SG101, unclosed-session,SG9")
    refuse(run, "no rule is named 'SG9'")


def test_door(project):
    """A door that is none is refused."""
    run = project(suite()).run("--sessionguard-postgres=docker")
    refuse(run, "'docker' is no door to a Postgres; valid are: auto, container, embedded, path")


def test_mode_under_xdist(project):
    """Under xdist the controller refuses before a worker starts."""
    run = project(suite()).run("-n2", "--sessionguard=wran")
    refuse(run, "ERROR: sessionguard: no mode is named 'wran'")


def test_marker_under_xdist(project):
    """Under xdist a marker that cannot be meant ends the run with its text, too."""
    run = project(suite('@pytest.mark.sessionguard(ignore="SG101")')).run("-n2")
    assert "a marker that ignores a rule needs a reason" in run.text
    assert run.exit == 4, run.text
    assert "INTERNALERROR" not in run.text


def test_marker_is_known(project):
    """`--markers` tells ours, and `--strict-markers` knows it."""
    run = project(suite('@pytest.mark.sessionguard(warn="SG101")')).run("--strict-markers")
    assert run.exit == 0
    assert (
        '@pytest.mark.sessionguard(*, ignore="", warn=""' in project(suite()).run("--markers").text
    )
