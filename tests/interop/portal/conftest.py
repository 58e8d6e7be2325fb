"""The whole route with the portal's pages, and Debian's Chromium in front of it: started once for all tests of the file."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import urllib.parse

import pytest
import yaml

from tests.support.certificates import Authority
from tests.support.idp import Idp
from tests.support.programs import CHECKOUT, until
from tests.support.route import Route

DEPS = pathlib.Path(os.environ.get("CW_DEPS") or CHECKOUT / ".run/deps") / "portal"
OUTPUTS = pathlib.Path(os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR") or CHECKOUT / ".run/screenshots")
ACCESS_TOKEN_LIFE = 10  # seconds, the shortest that authsvc has: the portal refreshes after 8
PATIENCE = 20_000  # milliseconds; a busy machine is no failure

# Told to the test by every page: what the policy blocked.
WATCH = "addEventListener('securitypolicyviolation', (e) => (globalThis.violations ??= []).push(`${e.violatedDirective} ${e.blockedURI}`))"


@pytest.fixture(scope="module")
def route():
    """`route.idp` is abott's identity provider."""
    with contextlib.ExitStack() as ends:
        directory = pathlib.Path(tempfile.mkdtemp(prefix="cw", dir="/tmp"))
        ends.callback(shutil.rmtree, directory, ignore_errors=True)
        directory.chmod(0o755)
        authority = Authority(directory)
        idp = Idp("rfc9068", certificate=authority.issue("127.0.0.1"))
        ends.callback(idp.stop)
        idp.life, idp.id_claims = ACCESS_TOKEN_LIFE, {"https://abott.com/roles": ["nurse"]}
        route = Route(directory, authority, idp_port=idp.port, idp_secret=idp.secret)
        route.idp = idp
        config = route.config["authsvc.yaml"]
        document = yaml.safe_load(config.read_text())
        document["tenants"][1]["idp"]["breaker"] = {"failures": 1000}
        document["tenants"][0]["access-token-life"] = f"{ACCESS_TOKEN_LIFE}s"
        document["authsvc"]["throttle"] = {"account": {"burst": 3, "per-minute": 4}}
        config.write_text(yaml.safe_dump(document))
        shutil.copytree(DEPS / "dist", directory / "portal")
        for username in ("ben", "lea", "mia", "thea"):
            route.add_user(f"{username}@clinicwave.com", "nurse")
        ends.callback(route.stop)
        route.start()
        route.token()
        yield route


@pytest.fixture(scope="module")
def chromium():
    sys.path.insert(0, str((DEPS / "python").resolve()))
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        # No sandbox of its own: it runs in Bazel's, as whoever runs the tests, on pages of ours.
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"])
        yield browser
        browser.close()


class Person:
    """Somebody with a browser: pages that are watched, and what a test does with them."""

    def __init__(self, route, chromium, domain="clinicwave.localhost", **settings):
        self.route, self.origin = route, f"https://{domain}:{route.ports['HTTPS']}"
        self.context = chromium.new_context(ignore_https_errors=True, locale="en-GB", timezone_id="UTC", **settings)
        self.context.set_default_timeout(PATIENCE)
        self.context.add_init_script(WATCH)
        self.console, self.requests, self.pages = [], [], []
        self.context.on("console", lambda message: self.console.append(message.text))
        self.context.on("weberror", lambda error: self.console.append(f"uncaught: {error.error}"))
        self.context.on("request", lambda request: self.requests.append((request.method, urllib.parse.urlsplit(request.url).path)))
        self.page = self.tab()

    def tab(self, path="/"):
        page = self.context.new_page()
        self.pages.append(page)
        page.goto(self.origin + path)
        return page

    def sign_in(self, username="anna@clinicwave.com", password=None):
        self.page.fill("#username", username)
        self.page.fill("#password", password or self.route.password)
        self.page.click("#login")
        self.page.wait_for_selector("#whoami")
        return self

    def visit(self, name, page=None):
        (page or self.page).click(f"nav >> text={name}")

    def sent(self, method, path):
        return self.requests.count((method, path))

    def tokens(self, page=None):
        """What the page sends: the access token of its next call."""
        page = page or self.page
        with page.expect_request(lambda r: r.url.endswith("/api/storage/files") and r.method == "GET") as seen:
            page.click("#reload")
        return seen.value.all_headers()["authorization"].removeprefix("Bearer ")

    def until(self, what, expression, page=None, seconds=60):
        """Waits until EXPRESSION is true on the page; its value. The policy forbids the browser to do it by itself."""
        page = page or self.page
        return until(what, lambda: page.evaluate(expression) or page.wait_for_timeout(30), seconds)

    def violations(self):
        return [v for page in self.pages if not page.is_closed() for v in page.evaluate("globalThis.violations ?? []")]

    def barriers(self, page=None):
        """What axe-core finds against WCAG 2.2 A and AA, or against good practice."""
        page = page or self.page
        page.evaluate((DEPS / "node_modules/axe-core/axe.min.js").read_text())
        found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})")
        return [f"{v['id']}: {v['help']} {[n['target'] for n in v['nodes']][:3]}" for v in found["violations"]]

    def picture(self, name, page=None):
        OUTPUTS.mkdir(parents=True, exist_ok=True)
        (page or self.page).screenshot(path=OUTPUTS / f"{name}.png")

    def kept(self):
        """Everything that the browser keeps beyond the page."""
        stored = [page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, history.state])") for page in self.pages if not page.is_closed()]
        databases = self.pages[0].evaluate("indexedDB.databases().then((d) => caches.keys().then((c) => JSON.stringify([d, c])))")
        return json.dumps([stored, databases, self.context.cookies(), [page.url for page in self.pages], self.console])

    def close(self):
        self.context.close()


@pytest.fixture(scope="module", autouse=True)
def resident(route, chromium):
    """Somebody who signed in at the beginning, in two tabs, and does nothing while the other tests run."""
    one = Person(route, chromium)
    one.answers = []
    one.context.on("response", lambda r: one.answers.append(r) if re.search(r"/auth/v1/(login|refresh)$", r.url) else None)
    one.sign_in()
    one.second = one.tab("/account")
    one.second.wait_for_selector("#refreshes")
    yield one
    one.close()


@pytest.fixture
def person(route, chromium, request):
    """`person()` opens a browser of its own at the login page; afterwards nothing may have been blocked, and nothing went wrong unseen."""
    people = []

    def open_browser(**settings):
        people.append(Person(route, chromium, **settings))
        return people[-1]
    yield open_browser
    try:
        for one in people:
            if not one.pages[0].is_closed():
                one.picture(f"end-of-{request.node.name}"[:100])
            assert one.violations() == [], "the Content-Security-Policy blocked something"
            assert [c for c in one.console if not c.startswith(("Failed to load resource", "[DOM]"))] == []
    finally:
        for one in people:
            one.close()
