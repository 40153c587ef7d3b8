"""GitHub: annotations within the caps, escaped as the toolkit does, and the step's summary."""

from __future__ import annotations

from report.documents import make, make_finding

from pytest_sessionguard.model import Owner, Severity
from pytest_sessionguard.report.forms import github


def test_annotation() -> None:
    """An error is an annotation at its line."""
    assert (
        "::error file=app/db.py,line=41,title=SG101 leaked-connection::"
        "1 connection was still checked out after test_user.%0A"
        "After 15 such calls the next one waits 30 s and fails with TimeoutError.%0A"
        "Fix: open the session in `with Session(engine) as session:`, or close it in `finally`.\n"
    ) == github.write(make(make_finding()))


def test_warning() -> None:
    """A warning is one, too, and stands behind the errors."""
    text = github.write(make(make_finding("SG402", Severity.WARN), make_finding("SG301")))
    assert ["::error", "::warning"] == [line.split()[0] for line in text.splitlines()]


def test_escaping() -> None:
    """Properties escape what separates them, texts only what ends them."""
    finding = make_finding(path="a,b:c%\n.py", owner=Owner("test", "test[50%:\r\n,]"))
    text = github.write(make(finding))
    assert text.startswith("::error file=a%2Cb%3Ac%25%0A.py,line=41,")
    assert "after test[50%25:%0D%0A,].%0A" in text
    assert 1 == text.count("\n")


def test_one_place_is_one_annotation() -> None:
    """Tests that meet one line share an annotation, which names them."""
    text = github.write(make(*(make_finding(test=f"test_{n}") for n in range(3))))
    assert 1 == text.count("\n")
    assert text.endswith("%0AAlso in tests/test_app.py::test_1, tests/test_app.py::test_2.\n")


def test_cap() -> None:
    """Of each kind there are ten at most, and the last says how many more there are."""
    errors = [make_finding(line=line) for line in range(1, 26)]
    warnings = [make_finding("SG201", Severity.WARN, line=line) for line in range(1, 11)]
    lines = github.write(make(*errors, *warnings)).splitlines()
    assert 10 == sum(line.startswith("::error ") for line in lines)
    assert 10 == sum(line.startswith("::warning ") for line in lines)
    last = "::error title=sessionguard::16 more of these are in the summary of the step."
    assert last == lines[9]
    assert "line=10," in lines[-1]


def test_accepted() -> None:
    """What the baseline lists is not annotated."""
    assert "" == github.write(make(accepted=(make_finding(),)))


def test_folder_of_the_repository() -> None:
    """Annotations name files as the repository does."""
    text = github.write(make(make_finding(), folder="services/api"))
    assert text.startswith("::error file=services/api/app/db.py,line=41,")


def test_summary_fits() -> None:
    """A summary is no larger than what is left of a megabyte, and says what it leaves out."""
    document = make(*(make_finding(line=line, test=f"t{line}" * 90) for line in range(1, 1500)))
    whole = github.summarize(document)
    assert 900_000 < len(whole.encode()) <= github.SUMMARY_CAP
    assert "more did not fit" in whole
    assert len(github.summarize(document, github.SUMMARY_CAP - 5000).encode()) <= 5000
    assert "" == github.summarize(document, github.SUMMARY_CAP)
