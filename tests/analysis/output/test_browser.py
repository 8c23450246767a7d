"""The page in a real browser: headless Chromium, where the machine has one."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from synthaug.analysis.pipeline import make_report
from tests.factories.studies import SWEEP, MadeUp, make_study

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator
    from playwright.sync_api import Page as Tab

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
PHONE, DESKTOP = (360, 740), (1440, 900)
LONG = "real0.4-synthetic0.6-erasing_0.25-policy_trivial"


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A study with controls, a failed run, pictures, and names that are long or strange."""
    arms = SWEEP | {"real50": (0.5, 0.0), "real20": (0.2, 0.0), LONG: (0.4, 0.6)}
    classes = [*map(str, range(8)), "a very long name of some aircraft variant", "猫"]
    content = MadeUp(arms=arms, seeds=(0, 1), images=3, classes=classes, failed=[("82", 1)])
    study = make_study(tmp_path_factory.mktemp("browser") / "study", content)
    make_report(study)
    return (study / "report.html").as_uri()


@dataclass
class Visit:
    """An open page, what it asked the network for, and what it complained about."""

    tab: "Tab"
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def visit(browser: "Browser", address: str, size: tuple[int, int] = DESKTOP, theme: str = "light") -> Visit:
    dark = theme == "dark"
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
    )
    seen = Visit(context.new_page())
    seen.tab.on("request", lambda request: seen.requests.append(request.url))
    seen.tab.on("console", lambda message: seen.complaints.append(message.text))
    seen.tab.on("pageerror", lambda error: seen.complaints.append(str(error)))
    seen.tab.goto(address)
    return seen


@pytest.fixture
def tab(browser: "Browser", address: str) -> "Iterator[Tab]":
    seen = visit(browser, address)
    yield seen.tab
    seen.tab.context.close()


def background(tab: "Tab") -> int:
    """How bright the page's ground is, 0 to 765."""
    colour = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(int(part) for part in colour.removeprefix("rgb(").rstrip(")").split(","))


def focus(tab: "Tab") -> "Locator":
    return tab.locator(":focus")


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_complaint_no_request_no_overflow(
    browser: "Browser", address: str, size: tuple[int, int], theme: str
) -> None:
    seen = visit(browser, address, size, theme)
    # Pictures are data URIs, which Chromium counts as requests that never leave.
    assert [url for url in seen.requests if not url.startswith("data:")] == [address]
    assert seen.complaints == []
    width = seen.tab.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0], seen.tab.evaluate(
        "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
        ".slice(0, 5).map(e => e.outerHTML.slice(0, 120))"
    )
    assert (background(seen.tab) < 200) == (theme == "dark")
    assert seen.tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    seen.tab.context.close()


def test_figures_follow_the_paper(tab: "Tab") -> None:
    def ink() -> str:
        return str(tab.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill"))

    light = ink()
    tab.emulate_media(color_scheme="dark")
    assert ink() != light


def test_the_first_key_skips_to_the_result(tab: "Tab") -> None:
    skip = tab.locator(".skip")
    assert not in_view(skip)
    tab.keyboard.press("Tab")
    assert focus(tab).get_attribute("href") == "#content"
    assert in_view(skip)
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    assert focus(tab).evaluate("element => element.closest('main') !== null"), "not the choice of colours before it"


def in_view(element: "Locator") -> bool:
    return bool(element.evaluate("element => element.getBoundingClientRect().top >= 0"))


def test_paper_is_chosen_by_keyboard_and_kept_from_the_system(tab: "Tab") -> None:
    tab.keyboard.press("Tab")
    tab.keyboard.press("Tab")
    assert focus(tab).get_attribute("id") == "theme-system"
    bright = background(tab)
    tab.keyboard.press("ArrowLeft")  # around the end: dark
    assert background(tab) < bright
    tab.keyboard.press("ArrowLeft")
    tab.emulate_media(color_scheme="dark")
    assert background(tab) == bright


def test_every_section_is_reached_by_its_link(tab: "Tab") -> None:
    links = tab.locator("nav a")
    assert links.count() > 5
    for link in links.all():
        link.focus()
        tab.keyboard.press("Enter")
        place = tab.evaluate("document.querySelector(location.hash)?.tagName")
        assert place == "SECTION", link.get_attribute("href")


def test_what_can_be_focused_shows_it(tab: "Tab") -> None:
    for _ in range(60):
        tab.keyboard.press("Tab")
        if focus(tab).count() == 0:
            break
        style = focus(tab).evaluate("element => getComputedStyle(element).outlineStyle")
        assert style != "none", focus(tab).evaluate("element => element.outerHTML.slice(0, 80)")


def test_wide_tables_scroll_by_keyboard_inside_a_named_region(browser: "Browser", address: str) -> None:
    from playwright.sync_api import expect

    tab = visit(browser, address, PHONE).tab
    regions = tab.get_by_role("region").and_(tab.locator(".wide"))
    assert regions.count() >= 2
    for region in regions.all():
        assert region.get_attribute("aria-label")
    table = regions.first
    assert table.evaluate("element => element.scrollWidth > element.clientWidth")
    table.focus()
    tab.keyboard.press("ArrowRight")
    expect(table).not_to_have_js_property("scrollLeft", 0)
    tab.context.close()


def test_on_paper_it_is_light_and_has_no_controls(tab: "Tab") -> None:
    tab.locator("#theme-dark").check()
    tab.emulate_media(media="print")
    assert tab.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
    assert not tab.locator("nav").first.is_visible()
    assert not tab.locator(".theme").is_visible()
