"""Which reports are asked for: forms, each with a path or without."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from pytest_sessionguard.report.forms import FORMS, Form

STDOUT = "-"


class RequestError(ValueError):
    """A request that cannot be meant; its text names the valid forms."""


@dataclass(frozen=True)
class Request:
    """One report that is asked for.

    Attributes:
        form: Its form.
        path: The file, as it was named or by default; ``-`` for standard output, nothing where the
            form goes elsewhere.
    """

    form: Form
    path: str


def find_form(name: str) -> Form:
    """Find a form by its name.

    Args:
        name: What a person wrote.

    Returns:
        The form.

    Raises:
        RequestError: There is none of that name.

    Example:
        >>> find_form("sarif").path
        'sessionguard.sarif'
    """
    for form in FORMS:
        if form.name == name.strip().lower():
            return form
    names = [form.name for form in FORMS]
    near = get_close_matches(name.lower(), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise RequestError(f"no form is named {name!r}.{hint} The forms are {', '.join(names)}.")


def read_requests(values: Iterable[str]) -> tuple[Request, ...]:
    """Read requests.

    Args:
        values: Each a form, or a form and a path with a colon between.

    Returns:
        The requests.

    Raises:
        RequestError: A form is none or takes no path, or two are to go to one file.

    Example:
        >>> [request.path for request in read_requests(["json", "sarif:build/scan.sarif"])]
        ['sessionguard.json', 'build/scan.sarif']
    """
    requests = []
    for value in values:
        name, colon, path = value.partition(":")
        form = find_form(name)
        if colon and not path.strip():
            raise RequestError(f"{value!r} names no file after the colon.")
        if path and form.name == "github":
            raise RequestError("github goes to the log of the step and takes no path.")
        requests.append(Request(form, path.strip() or form.path))
    paths = [request.path for request in requests if request.path not in ("", STDOUT)]
    for path in paths:
        if paths.count(path) > 1:
            raise RequestError(f"two reports cannot go to one file, {path!r}.")
    return tuple(dict.fromkeys(requests))
