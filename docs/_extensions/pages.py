"""Pages that are made of the code itself: one a rule, their table, and the options.

They are written beside the others before Sphinx looks for pages, and are in nobody's repository.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_sessionguard.options import MARKER, OPTIONS, Option
from pytest_sessionguard.report.explanation import summarize
from pytest_sessionguard.report.forms import FORMS
from pytest_sessionguard.rules import RULES, Rule

_SEVERITIES = {
    "error": "An error by default: it fails the test.",
    "warn": "A warning by default: it is reported and fails nothing.",
    "off": "Off by default.",
}


def setup(app: Any) -> dict[str, Any]:
    """Let Sphinx call us before it reads.

    Args:
        app: Sphinx.

    Returns:
        What Sphinx wants to know of an extension.
    """
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir)))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_pages(folder: Path) -> None:
    """Write every page that is made of code, and delete those of rules that are gone.

    Args:
        folder: Where the site's sources lie.
    """
    rules = sorted(RULES, key=lambda rule: rule.code)
    pages = {f"rules/{rule.code}.md": make_rule_page(rule) for rule in rules}
    pages["rules/index.md"] = make_rules_page(rules)
    pages["options.md"] = make_options_page()
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        # What has not changed is not read again.
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
    for path in (folder / "rules").glob("*.md"):
        if f"rules/{path.name}" not in pages:
            path.unlink()


def make_rule_page(rule: Rule) -> str:
    """Write the page of a rule.

    Args:
        rule: The rule.

    Returns:
        Its head, and the text that its module carries.
    """
    return f"# {rule.code} {rule.name}\n\n{_SEVERITIES[rule.severity.value]}\n\n{rule.text}\n"


def make_rules_page(rules: list[Rule]) -> str:
    """Write the table of all rules.

    Args:
        rules: The rules, in the order of their codes.

    Returns:
        The page.
    """
    rows = [
        f"| [{rule.code}]({rule.code}.md) | {rule.name} | {rule.severity.value} "
        f"| {summarize(rule)} |"
        for rule in rules
    ]
    pages = "\n".join(rule.code for rule in rules)
    return (
        "# Rules\n\n"
        "`sessionguard rule SG101` and `pytest --sessionguard-explain SG101` tell the same in the "
        "terminal.\n\n"
        "| code | name | default | what it does |\n|---|---|---|---|\n"
        + "\n".join(rows)
        + f"\n\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"
    )


def make_options_page() -> str:
    """Write what each option does.

    Returns:
        The page, with the marker and the forms of a report.
    """
    head = (
        "# Options\n\n"
        "The command line beats a marker, a marker beats the ini file. The ini names work in "
        "`pytest.ini`, `[tool.pytest.ini_options]` and, with pytest 9, in `[tool.pytest]`; what "
        "takes several values is a list there.\n"
    )
    parts = [
        head,
        *(_tell_option(option) for option in OPTIONS),
        "## The marker\n",
        f"```text\n{MARKER.partition(': ')[0]}\n```\n",
        f"{_begin(MARKER.partition(': ')[2])}\n",
        "## Forms of a report\n",
        "| form | default file | good for |\n|---|---|---|",
        *(f"| `{form.name}` | {_code(form.path)} | {form.help} |" for form in FORMS),
    ]
    return "\n".join(parts) + "\n"


def _tell_option(option: Option) -> str:
    flag = option.flag if option.kind == "flag" else f"{option.flag}={option.metavar}"
    text = f"## {option.name}\n\n`{flag}`"
    text += f", in the ini file `{option.name}`" if not option.no_ini else ""
    text += f"\n: {option.help}"
    if option.default not in ((), None, "") and option.kind != "flag":
        text += f" The default is `{option.default}`."
    if option.no_ini:
        text += f"\n\n  It has no twin in the ini file. {option.no_ini}"
    return f"{text}\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _begin(text: str) -> str:
    return text[:1].upper() + text[1:]
