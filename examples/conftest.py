"""Each form has a pytest.ini and a package of its own: run one form at a time."""

collect_ignore_glob = ["*/faulty/*", "*/mended/*"]


def pytest_report_header() -> str:
    """Say how to run the examples, where someone tried all at once."""
    return "examples: run one form at a time, as in `pytest examples/chat/faulty`"
