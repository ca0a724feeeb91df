"""The status page in a real Chromium, while real mail goes through with hostile signatures, subjects and file names."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import urlsplit

import pytest

from tests.harness.browser import Browser
from tests.harness.processes import wait_until
from tests.harness.sandwich import private_folder
from tests.harness.watched import HOSTILE, TAME, Load, WatchedSandwich

DETECTIONS = "[...document.querySelectorAll('#detections td[data-label=Signature]')].map((cell) => cell.textContent)"
WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Watched:
    """A sandwich that has had all kinds of mail, and a browser that shows its page."""

    sandwich: WatchedSandwich
    browser: Browser
    page: str

    def field(self, name: str) -> str:
        """What stands in a field of the page."""
        return str(self.browser.evaluate(f"document.querySelector('[data-field=\"{name}\"]').textContent"))

    def search(self, text: str) -> str:
        """What the field finds for this text."""
        answer = "document.getElementById('found').textContent"
        self.browser.evaluate("document.getElementById('found').replaceChildren()")
        self.browser.evaluate(f"document.getElementById('find-id').value = {json.dumps(text)}")
        self.browser.evaluate("document.getElementById('find').requestSubmit()")
        return str(self.browser.wait_for(answer, WITHIN))

    def wait_for(self, level: str) -> None:
        """Wait until the assessment has this level."""
        self.browser.wait_for(f"document.querySelector('#assessment.{level}') !== null", WITHIN)


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    """The page is open while the mail goes through."""
    with private_folder() as folder, WatchedSandwich(folder) as sandwich, Browser.start() as browser:
        page = f"http://127.0.0.1:{sandwich.miltscan.exporter_port}/"
        browser.resize(1280, 900)
        browser.open(page)
        shown = Watched(sandwich, browser, page)
        shown.wait_for("ok")
        with Load(sandwich, every=2) as load:
            wait_until(lambda: load.sent >= 4 * len(HOSTILE | TAME), WITHIN, "enough mail")
        assert load.errors == []
        yield shown


def test_the_page_lives(watched: Watched) -> None:
    """Without a reload: what was sent after it was opened is there, and each plot is drawn."""
    watched.browser.wait_for(f"{DETECTIONS}.length > 0", WITHIN)
    for plot in ("rates", "latency", "load"):
        watched.browser.wait_for(f"document.querySelectorAll('#plot-{plot} path').length > 0", WITHIN)
    assert "scanned" in watched.browser.evaluate("document.getElementById('assessment-text').textContent")
    assert watched.browser.evaluate("document.getElementById('assessment-text').getAttribute('aria-live')") == "polite"


def test_hostile_names_are_shown_harmlessly(watched: Watched) -> None:
    """As text, cut, with what is not printable as an escape; they make no element and run nothing."""
    parts = [HOSTILE["script"], HOSTILE["image"], HOSTILE["attribute"], r"\u202egpj", r"\x1b[2J", "Long.xxx"]
    every_part = f"{json.dumps(parts)}.every((part) => {DETECTIONS}.some((name) => name.includes(part)))"
    shown = watched.browser.wait_for(f"{every_part} && {DETECTIONS}", WITHIN)
    assert all(name.isprintable() and len(name) <= 200 for name in shown)
    assert (
        watched.browser.evaluate("document.querySelectorAll('main script, td img, [onmouseover], [onerror]').length")
        == 0
    )


def test_nothing_private_is_shown(watched: Watched) -> None:
    """No subject, file name, sender or recipient of a mail that was found."""
    watched.browser.wait_for(f"{DETECTIONS}.some((name) => name.includes('Win.Trojan'))", WITHIN)
    answer = watched.sandwich.miltscan.get("/api/status")
    for private in ("Subject", "invoice.pdf", "Your invoice", "sender@", "recipient@"):
        assert private not in answer


def test_the_numbers_are_those_of_the_metrics(watched: Watched) -> None:
    """Once no more mail arrives, both show the same."""
    metric = watched.sandwich.miltscan.metric
    outcomes = ("clean", "spam", "unscanned", "error", "infected")
    cells = "Object.fromEntries([...document.querySelectorAll('#outcomes tbody tr')].map((row) => "
    cells += "[row.cells[0].textContent, Number(row.cells[2].textContent.replaceAll(',', ''))]))"

    def agree() -> bool:
        counted = {outcome: metric("messages_total", outcome=outcome) for outcome in outcomes}
        recent = watched.field("messages").replace(",", "")
        return bool(watched.browser.evaluate(cells) == counted and recent == f"{metric('messages_total'):g}")

    wait_until(agree, WITHIN, "the numbers of /metrics on the page")
    assert watched.field("infected") == f"{metric('messages_total', outcome='infected'):g}"
    assert watched.field("in-flight") == f"{metric('transactions_in_flight'):g}"
    assert metric("messages_total", outcome="infected") > 0


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_the_window(watched: Watched, width: int, *, dark: bool) -> None:
    """From a phone to a desk nothing is wider than the window, in both colours."""
    watched.browser.resize(width, 800, dark=dark)
    watched.browser.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert watched.browser.evaluate("document.documentElement.scrollWidth") <= width
    assert watched.browser.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(16, 21, 28)" if dark else "rgb(244, 246, 249)"
    )


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing(watched: Watched, width: int, *, dark: bool) -> None:
    """No rule of axe-core is violated, of WCAG or of good practice, on a phone and on a desk, in both colours."""
    watched.browser.resize(width, 800, dark=dark)
    watched.browser.evaluate(files("axe_core_python").joinpath("axe.min.js").read_text())
    violations = (
        "axe.run().then((found) => found.violations.map((one) => [one.id, one.nodes.map((node) => node.html)]))"
    )
    assert watched.browser.evaluate(violations) == []


def test_the_contents_lead_to_each_section(watched: Watched) -> None:
    """Each entry leads to a heading that is there, and each card has an entry."""
    entries = "[...document.querySelectorAll('#contents a:not([hidden])')].map((entry) => entry.hash)"
    sections = "[...document.querySelectorAll('main section.card:not([hidden])')].map((section) => '#' + section.id)"
    assert {*watched.browser.evaluate(sections)} <= {*watched.browser.evaluate(entries)}
    assert watched.browser.evaluate(f"{entries}.every((entry) => document.querySelector(entry) !== null)")


def test_a_message_is_found(watched: Watched) -> None:
    """By its queue ID and by its Message-ID, as the form is sent; an unknown one leads to the log."""
    line = watched.sandwich.miltscan.events("message", outcome="infected")[-1]
    for text in (line["queue_id"], line["message_id"]):
        assert "infected" in watched.search(str(text)).split("Result")[1]
        assert f"miltscan trace {line['queue_id']}" in watched.search(str(text))
    assert "Not among the last messages" in watched.search("<unknown@example.org>")


def test_encrypted_mail_that_the_policy_accepts_is_no_error(watched: Watched) -> None:
    """It is counted as not scanned, and in no list of errors."""
    assert watched.sandwich.miltscan.metric("unscanned_total", reason="encrypted") > 0
    assert "encrypted" not in watched.browser.evaluate("document.getElementById('errors').textContent")
    assert watched.field("encrypted") == watched.field("not-scanned")
    assert watched.browser.evaluate("document.querySelector('[data-field=not-scanned]').className") == ""


def test_axes_of_counts_have_whole_numbers(watched: Watched) -> None:
    """There is no half message in flight."""
    labels = (
        "[...document.querySelectorAll('#plot-load svg text, #plot-queues svg text')].map((text) => text.textContent)"
    )
    counts = [text for text in watched.browser.evaluate(labels) if "min" not in text and text != "now"]
    assert counts
    assert [text for text in counts if not text.replace(",", "").isdecimal()] == []


def test_texts_can_be_told_from_their_background(watched: Watched) -> None:
    """WCAG 2.2 AA: a contrast of 4.5 for each text that is not decoration, in both colours."""
    for dark in (False, True):
        watched.browser.resize(1280, 900, dark=dark)
        assert watched.browser.evaluate(f"({_FAINT})()") == []


def test_the_whole_of_a_long_table_is_a_button_away(watched: Watched) -> None:
    """It opens by keyboard and by mouse, and reports whether it is open."""
    rows = "document.querySelectorAll('#detections tbody tr:not([hidden])').length"
    assert watched.browser.evaluate(rows) == 8
    watched.browser.evaluate("document.querySelector('[aria-controls=detections]').click()")
    assert watched.browser.evaluate(rows) > 8
    assert watched.browser.evaluate("document.querySelector('[aria-controls=detections]').ariaExpanded") == "true"


def test_a_reload_shows_the_settings_in_force(watched: Watched) -> None:
    """Each setting shows its default next to its value."""
    watched.sandwich.miltscan.configure({"limits": {"queue_wait": "7s"}})
    watched.sandwich.miltscan.reload_and_wait()
    rows = "[...document.querySelectorAll('#changed tr')].map((row) => row.textContent)"
    row = watched.browser.wait_for(f"{rows}.find((text) => text.includes('limits.queue_wait'))", WITHIN)
    assert '"7s""10s"' in row


def test_outage_and_return(watched: Watched) -> None:
    """Without clamd the page shows that, the reason, and what clients receive; once clamd is back it recovers."""
    watched.sandwich.clamd.stop()
    watched.wait_for("error")
    text = watched.browser.evaluate("document.getElementById('assessment').textContent")
    assert "not being scanned: clients receive a temporary error (4xx)" in text
    assert "clamd.ctl: " in text
    watched.browser.wait_for("document.getElementById('errors').textContent.includes('engine down')", WITHIN)
    watched.sandwich.clamd.start()
    watched.sandwich.clamd.wait_ready()
    watched.browser.wait_for("document.querySelector('#assessment.ok, #assessment.warning') !== null", WITHIN)


def test_all_of_it_came_from_the_page_itself(watched: Watched) -> None:
    """Nothing was asked of any other host, nothing was refused by the policy, no error is in the console."""
    origins = {f"{url.scheme}://{url.netloc}/" for url in map(urlsplit, watched.browser.requests)}
    assert origins == {watched.page}
    assert watched.browser.complaints == []


def test_a_lost_connection_is_seen(watched: Watched) -> None:
    """Old numbers must not look current. Runs last: Chromium's message about the refused connection is not a fault."""
    watched.sandwich.miltscan.stop()
    watched.wait_for("lost")
    assert watched.browser.evaluate("document.getElementById('assessment-text').textContent").startswith(
        "Connection lost"
    )
    watched.sandwich.start_miltscan()
    watched.wait_for("ok")


_FAINT = """() => {
  const channel = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const numbers = (color) => color.match(/[0-9.]+/g).map(Number);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const color = numbers(getComputedStyle(node).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !node.checkVisibility() || node.closest("noscript")) continue;
    const style = getComputedStyle(node);
    const [text, back] = [light(numbers(node.closest("svg") ? style.fill : style.color)), light(ground(node))];
    const contrast = (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
    if (contrast < 4.5) found.push([walk.currentNode.data.trim(), contrast]);
  }
  return found;
}"""
