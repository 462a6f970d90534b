"""Opens the dashboard during a run and the report after it in a real browser.

    python tests/browser/pages.py --binary target/release/cxbackfill --pictures target/pictures

It needs Playwright for Python and a Chromium of the system. What it expects is read from the ledger
by its own SQL, and never through the program. It exits with 1 if anything is not as it should be.
"""

import argparse
import datetime
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

from playwright.sync_api import sync_playwright

import hostile_api

HERE = Path(__file__).parent
SIZES = {"1280": {"width": 1280, "height": 900}, "390": {"width": 390, "height": 844}}
results = []


def check(name, found, expected=True):
    """Records whether something is as expected."""
    good = found == expected
    results.append(good)
    print(f"{'ok  ' if good else 'FAIL'} {name}" + ("" if good else f": {found!r} is not {expected!r}"), flush=True)


def config(folder, text):
    path = Path(folder) / "config.toml"
    path.write_text(text)
    return path


def start(binary, folder, *arguments):
    """Starts the program and returns it with the URL of its dashboard."""
    environment = {**os.environ, "RUST_LOG": "warn"}
    program = subprocess.Popen([binary, *arguments], cwd=folder, env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for line in program.stdout:
        found = re.search(r"http://\S+", line)
        if found:
            return program, found.group(0)
    raise SystemExit(f"the dashboard did not start: {program.wait()}")


class Page:
    """A page of the browser that notes what it must not do."""

    def __init__(self, browser, url, size="1280", scheme="light", wait="#legend [data-kind]"):
        self.context = browser.new_context(viewport=SIZES[size], color_scheme=scheme, reduced_motion="reduce")
        self.page = self.context.new_page()
        self.complaints, self.foreign, self.dialogs = [], [], []
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        own = urllib.parse.urlparse(url)
        self.page.on("request", lambda request: self.note(request.url, own))
        self.page.goto(url)
        self.page.wait_for_selector(wait, state="attached", timeout=20_000)
        self.page.evaluate((HERE / "checks.js").read_text())

    def note(self, url, own):
        parts = urllib.parse.urlparse(url)
        if parts.scheme != "data" and (parts.scheme, parts.netloc) != (own.scheme, own.netloc):
            self.foreign.append(url)

    def close(self, name):
        check(f"{name}: no console error", self.complaints, [])
        check(f"{name}: no request to another host", self.foreign, [])
        check(f"{name}: no script of the data runs", self.dialogs, [])
        self.context.close()


def looks(page, name, pictures):
    """Contrast, room, and a picture."""
    found = page.page.evaluate("checks.contrast()")
    check(f"{name}: {found['checked']} texts have contrast", found["weak"], [])
    check(f"{name}: nothing is cut off", page.page.evaluate("checks.cramped()"), [])
    page.page.screenshot(path=pictures / f"{name}.png", full_page=True)


def axe(page, name, script):
    """The rules of axe-core, where it is."""
    if not script:
        return
    page.page.evaluate(Path(script).read_text())
    found = page.page.evaluate("axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa'] })")
    broken = [f"{rule['id']}: {rule['nodes'][0]['html'][:120]}" for rule in found["violations"]]
    check(f"{name}: axe finds nothing", broken, [])


def keyboard(page, name):
    """Everything that can be chosen is reached by the tab key, and the days by the arrows."""
    reached = set()
    focus = "(() => { const n = document.activeElement; n.__id ??= Math.random(); return [n.__id, n.tagName, n.getAttribute('role'), n.getAttribute('aria-label') || n.textContent.slice(0, 30)]; })()"
    page.page.evaluate("document.activeElement.blur()")
    for _ in range(80):
        page.page.keyboard.press("Tab")
        entry = page.page.evaluate(focus)
        if entry[0] in reached:
            break
        reached.add(entry[0])
    wanted = page.page.evaluate("""[...document.querySelectorAll('a, button:not(:disabled), select, summary, [tabindex="0"]')]
        .filter((n) => n.checkVisibility() && !n.__id).map((n) => n.outerHTML.slice(0, 90))""")
    check(f"{name}: the tab key reaches everything", wanted, [])
    page.page.locator("svg.band").first.focus()
    before = page.page.evaluate("document.activeElement.getAttribute('aria-valuetext')")
    page.page.keyboard.press("End")
    page.page.keyboard.press("Home")
    page.page.keyboard.press("ArrowRight")
    after = page.page.evaluate("document.activeElement.getAttribute('aria-valuetext')")
    check(f"{name}: arrows move between the days", bool(before) and bool(after) and "," in after)
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("dialog[open] h2", timeout=5_000)
    page.page.wait_for_timeout(400)
    opened = page.page.inner_text("dialog")
    page.page.keyboard.press("Escape")
    page.page.wait_for_timeout(100)
    check(f"{name}: escape closes the history", page.page.locator("dialog[open]").count(), 0)
    check(f"{name}: the focus returns to the days", page.page.evaluate("document.activeElement.classList.contains('band')"))
    return opened


def days_of_ledger(path, begin, days, datasets):
    """Counts of the days of all datasets by their state, from the ledger's tables alone."""
    ledger = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    counts = {}
    midnight = datetime.datetime.fromisoformat(begin).replace(tzinfo=datetime.timezone.utc)
    start = int(midnight.timestamp() * 1000)
    for dataset in datasets:
        spans = lambda table: ledger.execute(f"SELECT from_ms, to_ms FROM {table} WHERE dataset = ?", [dataset]).fetchall()
        committed, failed, doubtful, split = spans("shard"), spans("failure"), spans("gap"), spans("split")
        for number in range(days):
            a = start + number * 86_400_000
            b = a + 86_400_000
            within = lambda list: [(max(a, x), min(b, y)) for x, y in list if x < b and y > a]
            have = sum(y - x for x, y in within(committed))
            still = [one for one in within(failed) if one not in within(committed)]
            if have < b - a and still:
                state = "failed"
            elif within(doubtful):
                state = "doubtful"
            elif have == 0:
                state = "waiting"
            elif have < b - a:
                state = "partial"
            else:
                state = "split" if within(split) else "committed"
            counts[state] = counts.get(state, 0) + 1
    ledger.close()
    return counts


def during_a_run(browser, binary, folder, pictures, script):
    """The dashboard of a run against the sandbox with faults."""
    text = """
[job]
name = "nightly"
from = "2024-01-01T00:00:00Z"
to = "2024-02-10T00:00:00Z"
datasets = ["conversations", "user-details", "queues"]
[source]
region = "sandbox"
[fetch]
strategy = "query"
shard = "1d"
page_size = 25
[budget]
requests = 1500
per = "60s"
[retry]
first = "50ms"
longest = "300ms"
attempts = 4
[sandbox]
requests = 0
conversations_per_day = 300
throttle_every = 90
fail_every = 37
drift = true
latency = { base = "120ms", jitter = "60ms", capacity = 0, steps = [] }
token_lifetime = "20s"
"""
    path = config(folder, text)
    program, url = start(binary, folder, "run", "--ui", "127.0.0.1:0", "--config", str(path))
    page = Page(browser, url)
    rows = lambda: int(re.sub(r"\D", "", page.page.inner_text("#numbers b >> nth=0")) or 0)
    first, seen, deadline = rows(), set(), time.time() + 90
    while time.time() < deadline and program.poll() is None:
        seen.add(rows())
        if len(seen) >= 4:
            break
        page.page.wait_for_timeout(500)
    check("live rows grow", len(seen) >= 4 and max(seen) > first)
    looks(page, "live-1280-light", pictures)
    axe(page, "live", script)
    for size, scheme in [("1280", "dark"), ("390", "light"), ("390", "dark")]:
        other = Page(browser, url, size, scheme)
        looks(other, f"live-{size}-{scheme}", pictures)
        other.close(f"live-{size}-{scheme}")
    history = keyboard(page, "live")
    check("live: the history names its state", "state" in history)
    program.wait(timeout=240)
    page.page.wait_for_function("document.querySelector('#foot').textContent.includes('has ended')", timeout=15_000)
    check("live: the page tells how the run ended", "The last run ended" in page.page.inner_text("#headline"))
    expected = days_of_ledger(Path(folder) / "out/_ledger.sqlite", "2024-01-01", 40, ["conversations", "user-details"])
    counts = page.page.evaluate("checks.counts()")
    counts.pop("open", None)
    counts["committed"] = counts.get("committed", 0) - 1  # the snapshot of queues is of today
    check("live: the heat map counts what the ledger has", counts, expected)
    rows = sqlite3.connect(f"file:{Path(folder) / 'out/_ledger.sqlite'}?mode=ro", uri=True)
    written = rows.execute("SELECT SUM(rows_written) FROM shard WHERE dataset = 'conversations'").fetchone()[0]
    rows.close()
    shown = re.sub(r"\D", "", page.page.inner_text("#data tbody tr:last-child td:nth-child(2)"))
    check("live: the rows of the data are the ledger's", int(shown), written)
    page.close("live")
    return expected


def after_a_run(browser, folder, expected, pictures, script):
    """The report that the run wrote."""
    report = Path(folder) / "out/_report.html"
    check("there is a report", report.exists() and json.loads((Path(folder) / "out/_report.json").read_text())["version"], 1)
    url = report.resolve().as_uri()
    for size in SIZES:
        for scheme in ("light", "dark"):
            name = f"report-{size}-{scheme}"
            page = Page(browser, url, size, scheme)
            if (size, scheme) == ("1280", "light"):
                counts = page.page.evaluate("checks.counts()")
                counts.pop("open", None)
                counts["committed"] = counts.get("committed", 0) - 1
                check("report: the heat map counts what the ledger has", counts, expected)
                keyboard(page, name)
                axe(page, name, script)
                for zoom in ("Year", "Days"):
                    page.page.get_by_role("button", name=zoom, exact=True).click()
                    check(f"report: {zoom} has days", page.page.locator("svg.band").count() > 0)
                    page.page.screenshot(path=pictures / f"report-{zoom}.png")
                page.page.locator("svg.band").first.focus()
                page.page.keyboard.press("Enter")
                page.page.wait_for_timeout(300)
                page.page.screenshot(path=pictures / f"report-history-{scheme}.png")
                page.page.keyboard.press("Escape")
                page.page.evaluate("document.activeElement.blur()")
            looks(page, name, pictures)
            page.close(name)


def hostile(browser, binary, folder, pictures):
    """Rows, fields and errors whose names would be markup."""
    api = hostile_api.serve()
    (Path(folder) / "catalog.toml").write_text(hostile_api.CATALOG)
    name = json.dumps(hostile_api.PARTICIPANT)
    path = config(folder, f"""
[job]
name = {name}
from = "2024-01-01T00:00:00Z"
to = "2024-01-04T00:00:00Z"
datasets = ["calls"]
[source]
platform = "custom"
catalog = "catalog.toml"
api_url = "{api}"
[auth]
token_url = "{api}/token"
client_id = "a"
client_secret = "a long secret"
[fetch]
shard = "1d"
[budget]
requests = 0
[retry]
first = "10ms"
attempts = 2
""")
    ended = subprocess.run([binary, "run", "--config", str(path)], cwd=folder, capture_output=True, text=True, timeout=120)
    check("hostile: the run ends with a gap", ended.returncode, 1)
    program, url = start(binary, folder, "ui", "--listen", "127.0.0.1:0", "--config", str(path))
    try:
        for kind, address in [("ui", url), ("report", (Path(folder) / "out/_report.html").resolve().as_uri())]:
            page = Page(browser, address)
            text = page.page.inner_text("body")
            check(f"hostile {kind}: the participant is text", text.count(hostile_api.PARTICIPANT) >= 2)
            check(f"hostile {kind}: the field is text", "<b>new" in text)
            check(f"hostile {kind}: the queue is text", "qu\\u{7}e\\u{1b}[31mue\\u{202e}" in text)
            nothing_hidden(page, f"hostile {kind}")
            looks(page, f"hostile-{kind}", pictures)
            page.close(f"hostile {kind}")
    finally:
        program.terminate()
        program.wait()


def nothing_hidden(page, name):
    """No control character, and no element that the data made."""
    shown = page.page.evaluate("[...document.querySelectorAll('main, header, footer, dialog')].map((n) => n.textContent).join()")
    check(f"{name}: no control character is left", [c for c in shown if (ord(c) < 32 and c != "\n") or c == "\u202e"], [])
    check(f"{name}: no element of the data", page.page.locator("img, iframe, main b > b").count(), 0)


def hostile_everywhere(browser, folder):
    """A report in which every text that is no time, state or kind is hostile."""
    report = (Path(folder) / "out/_report.html").read_text()
    embedded = re.search(r'id="page">(.*?)</script>', report, re.S).group(1)
    evil = hostile_api.PARTICIPANT + hostile_api.QUEUE
    kept = {"date", "at", "from", "to", "issued", "expires", "started", "ended", "generated", "since", "state", "first_seen"}

    def spoil(value, key=""):
        if isinstance(value, dict):
            return {name: spoil(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [spoil(inner, key) for inner in value]
        return evil if isinstance(value, str) and key not in kept else value

    data = json.loads(embedded)
    overview = spoil(data["overview"])
    overview["state"]["words"] = evil
    data["overview"], data["histories"] = overview, {evil: {day: spoil(of_day) for days in data["histories"].values() for day, of_day in days.items()}}
    overview["datasets"] = overview["datasets"][:1]
    days = overview["datasets"][0]["days"][:2]
    sum_of = {"media": evil, "rows": 3, "rows_handled": 2, "handle_s": 9.5}
    overview["sums"] = [{"dataset": evil, "days": [{**sum_of, "date": day["date"]} for day in days], "hours": [{**sum_of, "weekday": 1, "hour": 2}]}]
    path = Path(folder) / "hostile.html"
    path.write_text(report.replace(embedded, json.dumps(data).replace("<", "\\u003c")))
    page = Page(browser, path.resolve().as_uri())
    page.page.locator("svg.band").first.focus()
    page.page.keyboard.press("Enter")
    page.page.wait_for_timeout(300)
    text = page.page.evaluate("document.body.innerText")
    check("hostile everywhere: names are text", text.count(hostile_api.PARTICIPANT) > 10)
    check("hostile everywhere: control characters are written out", "\\u{7}" in text and "\\u{1b}" in text and "\\u{202e}" in text)
    nothing_hidden(page, "hostile everywhere")
    page.close("hostile everywhere")


def large(browser, binary, folder):
    """Ten thousand days stay fluid: the calendar is drawn, and moved through, in few milliseconds."""
    report = (Path(folder) / "out/_report.html").read_text()
    data = json.loads(re.search(r'id="page">(.*?)</script>', report, re.S).group(1))
    overview = data["overview"]
    begin = datetime.date(1997, 1, 1)
    for dataset in overview["datasets"]:
        day = dataset["days"][0]
        dataset["days"] = [{**day, "date": str(begin + datetime.timedelta(number)), "rows": number % 97} for number in range(10_000)]
    text = json.dumps(data).replace("<", "\\u003c")
    path = Path(folder) / "large.html"
    path.write_text(report.replace(re.search(r'id="page">(.*?)</script>', report, re.S).group(1), text))
    page = Page(browser, path.resolve().as_uri())
    took = page.page.evaluate("""(() => { const started = performance.now();
        document.querySelector('[data-key="zoom-year"]').click(); document.querySelector('[data-key="zoom-years"]').click();
        return performance.now() - started; })()""")
    check(f"30,000 days are drawn twice in {took:.0f} ms", took < 1000)
    nodes = page.page.evaluate("document.querySelectorAll('*').length")
    check(f"30,000 days take {nodes} elements", nodes < 4000)
    page.close("large")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--pictures", required=True)
    parser.add_argument("--browser", default=shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome"))
    parser.add_argument("--axe", help="axe.min.js of axe-core")
    arguments = parser.parse_args()
    binary, pictures = str(Path(arguments.binary).resolve()), Path(arguments.pictures)
    pictures.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        browser = playwright.chromium.launch(executable_path=arguments.browser, args=["--no-sandbox"])
        expected = during_a_run(browser, binary, one, pictures, arguments.axe)
        after_a_run(browser, one, expected, pictures, arguments.axe)
        large(browser, binary, one)
        hostile(browser, binary, two, pictures)
        hostile_everywhere(browser, two)
        browser.close()
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
