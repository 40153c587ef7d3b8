"""`sessionguard report FILE`: a JSON report as any other form."""

from __future__ import annotations

import argparse
import json
import sys

from pytest_sessionguard.cli.errors import CommandError
from pytest_sessionguard.report.document import Document, DocumentError, check_document
from pytest_sessionguard.report.files import write_file
from pytest_sessionguard.report.forms import FORMS
from pytest_sessionguard.report.requests import STDOUT, RequestError, find_form


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Say what the command takes.

    Args:
        subparsers: Those of `sessionguard`.
    """
    names = ", ".join(form.name for form in FORMS)
    parser = subparsers.add_parser("report", help="turn a JSON report into another form")
    parser.add_argument("file", metavar="FILE", help="what --sessionguard-report=json wrote, or -")
    parser.add_argument("--form", default="markdown", metavar="FORM", help=f"one of {names}")
    parser.add_argument("--output", default=STDOUT, metavar="PATH", help="the file to write")


def run(arguments: argparse.Namespace) -> int:
    """Write the report in its other form.

    Args:
        arguments: What `add` asked for.

    Returns:
        0.

    Raises:
        CommandError: There is no such form, the file is no report, or it cannot be written.
    """
    try:
        form = find_form(arguments.form)
    except RequestError as error:
        raise CommandError(str(error)) from None
    document = _read(arguments.file)
    try:
        text = form.write(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CommandError(f"{arguments.file} is no whole report: {error!r}") from None
    if arguments.output == STDOUT:
        sys.stdout.write(text)
        return 0
    try:
        write_file(arguments.output, text)
    except OSError as error:
        raise CommandError(f"{arguments.output} cannot be written: {error.strerror}") from None
    return 0


def _read(path: str) -> Document:
    try:
        if path == STDOUT:
            return check_document(json.load(sys.stdin))
        with open(path, encoding="utf-8") as file:
            return check_document(json.load(file))
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    except (DocumentError, ValueError) as error:  # also what is no JSON, or no UTF-8
        raise CommandError(f"{path} cannot be used: {error}") from None
