"""The page in a real browser: what it shows, how it is steered, and what it does not do."""

from __future__ import annotations

import itertools
import time
from importlib.resources import files
from typing import Any

import pytest

LEAK = "#test=test+tests%2Ftest_a.py%3A%3Atest_leak"
STORY = "dialog[open]"


def test_verdict(view):
    """At the top stands what was found, in how many tests, and how full the pool was."""
    page = view("rich")
    assert page.find("h1").text_content() == "5 findings in 4 tests and 1 fixture"
    assert "2 errors and 2 warnings, 1 accepted" in page.find("#verdict-text").text_content()
    assert page.find("#glance").text_content().count("3 of 15") == 1
    assert "1 test failed and was not judged" in page.find("#notes").text_content()
    chips = page.find("#rules button").all_text_contents()
    assert [" ".join(chip.split()) for chip in chips] == [
        "●4 SG101 leaked-connection",
        "▲1 SG201 unclosed-session",
    ]


def test_places(view):
    """The lines to mend come with their numbers of tests, errors first, what is accepted last."""
    page = view("rich")
    places = page.find("#places-list tbody tr .copy").all_text_contents()
    assert places == ["app/db.py:41", "app/jobs.py:41", "tests/conftest.py:9", "app/old.py:7"]
    page.find("#places-list tbody tr").first.get_by_text("2 tests").click()
    assert page.rows == ["test_leak", "test_again"]
    assert "place=app" in page.page.url


def test_what_else_was_found_out(view):
    """What size the pools need, what can be dropped and what never ends stand there too."""
    page = view("rich")
    page.find(".advice summary").click()
    assert "20 need 21" in page.find(".advice").text_content()
    notes = page.find("#notes").text_content()
    assert "1 suppression to drop, 1 of the baseline to drop" in notes
    assert "SG102 app/gone.py f" in notes
    assert "2 connections kept a thread alive" in notes


def test_no_engine(view):
    """A run that saw no engine does not look like a healthy one."""
    page = view("empty")
    assert page.find("h1").text_content() == "No engine was seen"
    assert "This says nothing about the health" in page.find("#verdict-text").text_content()
    assert "is-warn" in page.find("h1").get_attribute("class")
    assert not page.find("#engines").is_visible()
    assert not page.find("#filter").is_visible()
    assert "12 tests opened nothing" in page.find("#count").text_content()


def test_nothing_found(view):
    """A run without findings says so."""
    page = view("fine")
    assert page.find("h1").text_content() == "Nothing found in 20 tests"
    assert not page.find("#places").is_visible()
    assert len(page.rows) == 20


def test_chart(view):
    """Each engine has its curve, its limit, and a mark for each test with findings."""
    page = view("rich")
    figures = page.find("figure.engine")
    assert figures.count() == 2
    first = figures.first
    assert first.locator("svg .limit-text").text_content() == "limit 15"
    assert first.locator("svg .size-text").text_content() == "pool_size 5"
    assert first.locator("svg .flag").count() == 2
    assert first.locator("svg path.curve").get_attribute("d").count("H") == 7
    assert "Connections of postgresql+asyncpg" in first.locator("svg title").text_content()
    limit = float(first.locator("line.limit").get_attribute("y1"))
    size = float(first.locator("line.size").get_attribute("y1"))
    assert limit < size < float(first.locator("line.grid").first.get_attribute("y1"))


def test_chart_by_pointer(view):
    """Pointing at the chart tells who ran, and a click opens that test."""
    page = view("rich")
    svg = page.find("figure.engine svg").first
    svg.scroll_into_view_if_needed()
    flag = page.find("figure.engine .flag").first.bounding_box()
    page.page.mouse.move(flag["x"] + 4, flag["y"] - 20)
    assert "1 of 15 out in test_leak (SG101)" in page.find(".readout").first.text_content()
    page.page.mouse.down()
    page.page.mouse.up()
    assert page.find(f"{STORY} h2").text_content() == "test_leak"


def test_chart_by_keys(view):
    """The arrow keys go from mark to mark, and Enter opens one."""
    page = view("rich")
    page.find("figure.engine [role=group]").first.focus()
    page.press("ArrowRight", "ArrowRight")
    assert "in test_again" in page.find(".readout").first.text_content()
    page.press("Enter")
    page.page.wait_for_selector(STORY)
    assert page.find(f"{STORY} h2").text_content() == "test_again"


def test_chart_as_table(view):
    """The numbers of the chart can be read as a table."""
    page = view("rich")
    page.find("figure.engine summary").first.click()
    page.find("figure.engine tbody tr").first.wait_for()
    lines = page.find("figure.engine").first.locator("tbody tr").all_text_contents()
    assert lines[0].startswith("test_fine3")
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("found", ["test_leak", "test_again", "fixture db", "test_warn", "test_accepted"]),
        ("new", ["test_leak", "test_again", "fixture db", "test_warn"]),
        ("accepted", ["test_accepted"]),
        ("error", ["test_leak", "test_again", "test_accepted"]),
        ("warn", ["fixture db", "test_warn"]),
        ("clean", ["test_fine"]),
        ("failed", ["test_failed"]),
    ],
)
def test_state(view, state, expected):
    """The list is filtered by the state of a test's findings."""
    page = view("rich")
    page.find("#by-state").select_option(state)
    assert page.rows == expected
    told = page.find("#count").text_content()
    assert told.startswith(f"{len(expected)} of 7: ")


def test_filters_add_up(view):
    """Rule, file and text narrow the list together, live, and Clear ends it."""
    page = view("rich")
    page.find("#rules button").first.click()
    assert page.find("#rules button").first.get_attribute("aria-pressed") == "true"
    assert page.find("#by-rule").input_value() == "SG101"
    assert page.rows == ["test_leak", "test_again", "test_warn", "test_accepted"]
    page.find("#by-file").select_option("app/db.py")
    assert page.rows == ["test_leak", "test_again"]
    page.find("#by-text").fill("AGAIN sg101")
    page.wait_for_rows(1)
    assert page.find("#count").get_attribute("role") == "status"
    page.find("#filter button[type=reset]").click()
    assert len(page.rows) == 7
    page.find("#by-text").fill("no such test")
    page.page.wait_for_selector("text=No test matches the filter.")


def test_address_of_a_filter(view):
    """What is filtered stands in the address, and comes back from it."""
    page = view("rich")
    page.find("#by-state").select_option("warn")
    assert page.page.url.endswith("#state=warn")
    again = view("rich", "#rule=SG201&file=tests%2Fconftest.py&state=nonsense")
    assert again.rows == ["fixture db"]


def test_story(view):
    """A test's story has its findings with their ways out, its bars, statements and loads."""
    page = view("rich", LEAK)
    story = page.find(STORY)
    text = story.text_content()
    assert "1 connection was still checked out after test_leak" in text
    assert "Fix: open the session in" in text
    assert '@pytest.mark.sessionguard(ignore="leaked-connection", reason="...")' in text
    assert story.locator("svg rect.session").count() >= 1
    assert story.locator(".chart svg rect.lease.out").count() == 1
    assert story.locator(".chart svg line.tick").count() == 3
    assert story.locator(".chart svg path.load").count() == 1
    assert story.locator(".chart svg text.bad").text_content() == "never returned"
    assert "4 statements more" in text
    tables = story.locator("table")
    assert tables.count() == 3
    assert tables.nth(1).locator("tbody tr").count() == 3
    assert "did not return" in tables.nth(1).text_content()
    assert "User.posts" in tables.nth(2).text_content()


def test_borrowed_connection(view):
    """A statement on a fixture's connection shows that connection, and whose it is."""
    page = view("rich", "#test=test+tests%2Ftest_b.py%3A%3Atest_warn")
    assert page.find(f"{STORY} .chart rect.lease.lent").count() == 1
    assert "connection of fixture db" in page.find(f"{STORY} table").first.text_content()


def test_statements_by_keys(view):
    """The arrow keys go through the statements, and each shows its SQL."""
    page = view("rich", LEAK)
    page.find(f"{STORY} .chart").focus()
    page.press("ArrowRight")
    panel = page.find(f"{STORY} .sql")
    assert "SELECT users.id FROM users WHERE users.id = $1" in panel.text_content()
    page.press("End")
    assert "lazy load of User.posts at app/views.py:5" in panel.text_content()
    page.press("ArrowLeft")
    assert "it did not come back" in panel.text_content()
    assert panel.get_attribute("aria-live") == "polite"


def test_statements_by_pointer(view):
    """Pointing at a statement shows its SQL."""
    page = view("rich", LEAK)
    box = page.find(f"{STORY} .chart line.tick").first.bounding_box()
    page.page.mouse.move(box["x"], box["y"] + box["height"] / 2)
    assert "SELECT users.id" in page.find(f"{STORY} .sql").text_content()


def test_way_through_the_page(view):
    """The list is walked with the arrow keys, Enter opens, Escape closes, the focus comes back."""
    page = view("rich")
    page.find("#test-list a.row").first.focus()
    page.press("ArrowDown", "ArrowDown", "ArrowUp")
    assert page.focused.startswith("test_again")
    page.press("Enter")
    page.page.wait_for_selector(STORY)
    assert "test_again" in page.page.url
    assert page.focused == "Close"
    page.press("Escape")
    page.page.wait_for_selector(STORY, state="hidden")
    assert "test_again" not in page.page.url
    assert page.focused.startswith("test_again")
    page.press("End")
    assert page.focused.startswith("test_failed")
    page.press("Home")
    assert page.focused.startswith("test_leak")


def test_next_and_back(view):
    """Next goes through the list as it is filtered, and the browser's Back goes back."""
    page = view("rich", "#state=warn")
    page.find("#test-list a.row").first.click()
    page.page.wait_for_selector(STORY)
    page.find(f"{STORY} button:text('Next')").click()
    assert page.find(f"{STORY} h2").text_content() == "test_warn"
    assert page.find(f"{STORY} button:text('Next')").is_disabled()
    page.page.go_back()
    page.page.wait_for_selector(f"{STORY} h2:has-text('fixture db')")
    page.page.go_back()
    page.page.wait_for_selector(STORY, state="hidden")
    assert page.rows == ["fixture db", "test_warn"]


def test_all_by_tab(view):
    """Everything that can be clicked is reached by Tab; the list takes one stop."""
    page = view("rich")
    seen = []
    for _ in range(60):
        page.press("Tab")
        mark = page.page.evaluate(
            "(e => e.id || e.dataset.rule || e.className || e.tagName)(document.activeElement)"
        )
        seen.append(mark)
        if mark == "BODY":
            break
    assert seen[0] == "skip"
    for wanted in ("theme", "SG101", "SG201", "by-text", "by-rule", "by-file", "by-state", "row"):
        assert wanted in seen
    assert seen.count("row") == 1


def test_focus_is_seen(view):
    """What has the focus by keyboard has an outline."""
    page = view("rich")
    for _ in range(3):
        page.press("Tab")
        assert (
            page.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        )


def test_copy(browser, pages):
    """A place is copied as an editor takes it."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    try:
        page = context.new_page()
        page.goto(pages["rich"])
        page.locator("#places-list .copy").first.click()
        page.wait_for_selector(".copy[data-done]")
        assert page.evaluate("navigator.clipboard.readText()") == "app/db.py:41"
        assert page.locator("#said").text_content() == "Copied"
    finally:
        context.close()


def ground(page: Any) -> str:
    return str(page.page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_light_and_dark(view):
    """The page follows the system, and the button beats it."""
    light, dark = view("rich"), view("rich", color_scheme="dark")
    assert ground(light) == "rgb(252, 251, 248)"
    assert ground(dark) == "rgb(21, 23, 26)"
    for theme, colour in (("light", ground(light)), ("dark", ground(dark)), ("auto", ground(dark))):
        dark.find("#theme").click()
        assert dark.find("#theme").text_content() == f"Theme: {theme}"
        assert ground(dark) == colour


@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("name", ["rich", "hostile", "empty"])
def test_narrow(view, name, width):
    """Nothing is wider than the window, not in a story either."""
    page = view(name, viewport={"width": width, "height": 740})
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.page.evaluate(wide) <= 0
    if page.rows:
        page.find("#test-list a.row").first.click()
        page.page.wait_for_selector(STORY)
        wide = "(e => e.scrollWidth - e.clientWidth)(document.querySelector('dialog'))"
        assert page.page.evaluate(wide) <= 0


def test_tables_are_stacked(view):
    """In a narrow window each cell of a table takes a line of its own, over the whole width."""
    page = view("rich", LEAK, viewport={"width": 360, "height": 740})
    for table in page.find("#places table, dialog table").all():
        for cell in table.locator("td").all()[:8]:
            assert not cell.text_content() or cell.bounding_box()["width"] > 200


def test_hostile(view):
    """Names, paths and SQL that are meant to do harm are shown, and do none."""
    page = view("hostile")
    assert len(page.rows) == 8
    for number in range(8):
        page.find("#test-list a.row").nth(number).click()
        page.page.wait_for_selector(STORY)
        page.find(f"{STORY} .chart").focus()
        page.press("ArrowRight", "ArrowRight")
        page.press("Escape")
        page.page.wait_for_selector(STORY, state="hidden")
    for summary in page.find("summary").all():
        summary.click()
    assert page.find("img, iframe, object, embed, [onload], [onerror]").count() == 0
    assert page.find("script").count() == 2
    assert "<img src=x onerror=alert(2)>" in page.find("#places-list").text_content()
    page.find("#by-file").select_option(index=3)
    view("hostile", page.page.url.split(".html")[1])


def test_policy_holds(browser, pages):
    """What is put into the page from outside does not run, and reaches nothing."""
    context = browser.new_context(offline=True)
    try:
        page = context.new_page()
        page.goto(pages["rich"])
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "window.ran = true";
                document.body.append(script);
                const image = document.createElement("img");
                image.src = "http://127.0.0.1:9/x.png";
                document.body.append(image);
            }"""
        )
        page.wait_for_timeout(200)
        assert page.evaluate("window.ran === undefined")
        assert sum("Content Security Policy" in text for text in said) >= 2
    finally:
        context.close()


def test_big_run(view):
    """5,000 tests with 1,000 findings are shown and filtered without a wait worth the name."""
    begin = time.monotonic()
    page = view("big")
    assert time.monotonic() - begin < 15
    assert page.find("h1").text_content() == "1,000 findings in 1,000 tests"
    assert len(page.rows) == 100
    page.page.evaluate("window.began = performance.now()")
    page.find("#by-text").fill("test_case_4999")
    page.wait_for_rows(1)
    assert page.page.evaluate("performance.now() - window.began") < 5_000
    page.find("#filter button[type=reset]").click()
    page.find("#more button").click()
    assert len(page.rows) == 600
    assert page.find("#test-list a.row").nth(100).evaluate("e => e === document.activeElement")


def test_print(view):
    """On paper stand the verdict and the tests, or the story that is open, and no controls."""
    page = view("rich")
    page.page.emulate_media(media="print")
    assert page.find("h1").is_visible()
    assert not page.find("#filter").is_visible()
    assert not page.find("#theme").is_visible()
    story = view("rich", LEAK)
    story.page.emulate_media(media="print")
    assert story.find(f"{STORY} h2").is_visible()
    assert not story.find("h1").is_visible()
    assert not story.find(f"{STORY} .bar").is_visible()


def test_reduced_motion(view):
    """Who wants no motion gets none."""
    page = view("rich", reduced_motion="reduce")
    assert page.page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_outline(view):
    """A screen reader finds landmarks, one first heading, and no level left out."""
    page = view("rich", LEAK)
    for landmark in ("header", "main", "footer"):
        assert page.find(f"body > {landmark}").count() == 1
    for selector in ("main :is(h1, h2, h3, h4)", "dialog :is(h2, h3, h4)"):
        levels = page.find(selector).evaluate_all("all => all.map(e => Number(e.tagName[1]))")
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert page.find("h1").count() == 1
    for svg in page.find("svg[role=img]").all():
        assert svg.locator("> title").text_content()
        assert svg.locator("> desc").text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("name", "address"),
    [("rich", ""), ("rich", LEAK), ("empty", ""), ("hostile", ""), ("fine", "")],
    ids=["page", "story", "empty", "hostile", "fine"],
)
def test_axe(view, name, address, scheme):
    """axe-core finds nothing against the page, by WCAG 2.2 AA and its own best practices."""
    pytest.importorskip("axe_playwright_python")
    page = view(name, address, color_scheme=scheme)
    for summary in page.find("figure.engine summary").all():
        if not address:
            summary.click()
    script = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    page.page.evaluate(script)
    found = page.page.evaluate(
        "axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))"
    )
    assert found == []
