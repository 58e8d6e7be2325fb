"""The portal in a real Chromium: login, files, refresh, tabs, sessions, logout; what it keeps, and whether everybody can use it."""
import base64
import hmac
import re
import struct
import time

import pytest

from tests.support.idp import BOB, BOBS_PASSWORD
from tests.support.programs import until

FILES = "/api/storage/files"
CONTENT = bytes(range(256)) * 400


def notice(page):
    return page.wait_for_selector("#login-form .note").inner_text()


def test_a_login_shows_who_it_is_and_where(person, route):
    anna = person()
    anna.picture("1-login")
    assert anna.barriers() == []
    assert anna.page.evaluate("document.activeElement.id") == "username"
    anna.sign_in()
    anna.page.wait_for_selector("h1 >> text=Files")
    anna.picture("2-files")
    assert anna.barriers() == []
    anna.visit("Account")
    anna.page.wait_for_selector("#userinfo >> text=yes, subject")
    assert anna.page.inner_text("#whoami") == "anna@clinicwave.com"
    assert anna.page.inner_text("#roles") == "doctor"
    anna.picture("3-account")
    assert anna.barriers() == []
    anna.visit("Sessions")
    anna.page.wait_for_selector("text=This session")
    anna.picture("4-sessions")
    assert anna.barriers() == []
    anna.page.go_back()
    anna.page.wait_for_selector("h1 >> text=Account")


def test_a_wrong_password_is_told_and_tried_again(person):
    anna = person()
    anna.page.click("#login")
    anna.page.wait_for_selector("text=Enter your user name.")
    assert anna.sent("POST", "/auth/v1/login") == 0
    anna.page.fill("#username", "anna@clinicwave.com")
    anna.page.fill("#password", "not the password")
    anna.page.click("#login")
    alert = anna.page.wait_for_selector("[role=alert]")
    assert alert.inner_text() == "The user name or the password is not right."
    assert anna.page.evaluate("document.activeElement.getAttribute('role')") == "alert", "who cannot see it is told"
    anna.picture("5-wrong-password")
    assert anna.barriers() == []
    anna.sign_in()


def test_a_password_that_is_too_long_is_told_as_such(person):
    anna = person()
    anna.page.fill("#username", "anna@clinicwave.com")
    for length in (1025, 20_000, 100_000):
        anna.page.fill("#password", "x" * length)
        anna.page.click("#login")
        anna.page.wait_for_selector("#login:not([aria-busy=true])")
        assert anna.page.wait_for_selector("[role=alert]").inner_text() == "What you entered is too long, or has characters that are not accepted."


def test_too_many_attempts_count_down(person):
    thea = person()
    thea.page.fill("#username", "thea@clinicwave.com")
    thea.page.fill("#password", "guess")
    for _ in range(8):
        thea.page.click("#login")
        thea.page.wait_for_selector("#login:not([aria-busy=true])")
        if thea.page.is_disabled("#login"):
            break
    first = int(re.search(r"Try again in (\d+) s", thea.page.inner_text("#login"))[1])
    assert thea.page.inner_text("[role=alert]") == "Too many attempts. Please wait a moment."
    thea.picture("6-throttled")
    thea.until("it counts down", f"Number(document.querySelector('#login').textContent.match(/\\d+/)?.[0] ?? 0) < {first}")
    assert thea.barriers() == []


def test_a_file_goes_up_is_listed_comes_back_and_goes(person, route, tmp_path):
    anna = person().sign_in()
    anna.page.set_input_files("#upload", files=[{"name": "knee x-ray.png", "mimeType": "image/png", "buffer": CONTENT}])
    anna.page.wait_for_selector("[data-transfer='knee x-ray.png'][data-state=done]")
    row = anna.page.wait_for_selector("[data-file='knee x-ray.png']")
    assert "image/png" in row.inner_text() and "102 KB" in row.inner_text()
    assert route.gateway.get(f"{FILES}/knee%20x-ray.png", route.token()).response.content == CONTENT
    anna.picture("7-uploaded")
    with anna.page.expect_download() as got:
        row.query_selector("button >> text=Download").click()
    got.value.save_as(tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == CONTENT and got.value.suggested_filename == "knee x-ray.png"
    row.query_selector("button >> text=Delete").click()
    anna.page.wait_for_selector("dialog >> text=cannot be undone")
    anna.picture("8-delete")
    assert anna.barriers() == []
    anna.page.click("#confirm")
    anna.page.wait_for_selector("[data-file='knee x-ray.png']", state="detached")
    assert route.gateway.get(f"{FILES}/knee%20x-ray.png", route.token()).status == 404


def test_an_upload_shows_its_progress_and_can_be_cancelled(person, route):
    anna = person().sign_in()
    network = anna.context.new_cdp_session(anna.page)
    network.send("Network.enable")
    network.send("Network.emulateNetworkConditions", {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000})
    anna.page.set_input_files("#upload", files=[{"name": "film.mp4", "mimeType": "video/mp4", "buffer": bytes(8_000_000)}])
    anna.until("some of it is sent", "(p => p && p.value > 0 && p.value < p.max)(document.querySelector(\"[data-transfer='film.mp4'] progress\"))")
    anna.picture("9-progress")
    assert anna.barriers() == []
    anna.page.click("[data-transfer='film.mp4'] button")
    anna.page.wait_for_selector("[data-transfer='film.mp4']", state="detached")
    assert route.gateway.get(f"{FILES}/film.mp4", route.token()).status == 404


def test_a_name_that_no_path_can_carry_is_told(person):
    anna = person().sign_in()
    anna.page.set_input_files("#upload", files=[{"name": "a;b.txt", "mimeType": "text/plain", "buffer": b"x"}])
    anna.page.wait_for_selector("[data-transfer='a;b.txt'][data-state=failed] >> text=This file name has characters")
    anna.page.set_input_files("#upload", files=[{"name": ".hidden", "mimeType": "text/plain", "buffer": b"x"}])
    anna.page.wait_for_selector("[data-transfer='.hidden'][data-state=failed] >> text=This file name has characters")


def test_many_calls_with_a_refused_token_make_one_refresh(person):
    anna, begun = person().sign_in(), time.monotonic()
    refused = []

    def refuse_the_first(r):
        token = r.request.headers["authorization"]
        if refused and token != refused[0]:
            r.continue_()
        else:
            refused.append(token)
            r.fulfill(status=401, content_type="application/problem+json", body='{"reason":"token_expired","status":401}')
    anna.page.route("**/api/storage/files/*", refuse_the_first)
    before = anna.sent("POST", "/auth/v1/refresh")
    names = [f"{n}.txt" for n in range(6)]
    anna.page.set_input_files("#upload", files=[{"name": name, "mimeType": "text/plain", "buffer": b"x"} for name in names])
    for name in names:
        anna.page.wait_for_selector(f"[data-transfer='{name}'][data-state=done]")
    by_time = int((time.monotonic() - begun) / 6)  # refreshes before expiry, on a slow machine
    assert before + 1 <= anna.sent("POST", "/auth/v1/refresh") <= before + 1 + by_time
    if not by_time:
        assert len(refused) == 6 and [anna.sent("PUT", f"{FILES}/{name}") for name in names] == [2] * 6


def test_a_login_and_a_logout_count_for_all_tabs(person):
    anna = person().sign_in()
    second = anna.tab("/sessions")
    second.wait_for_selector("#whoami")
    anna.page.click("#logout")
    assert notice(anna.page) == "You are signed out."
    assert notice(second) == "You were signed out in another tab."
    anna.sign_in("ben@clinicwave.com")
    second.wait_for_selector("#whoami >> text=ben@clinicwave.com")
    assert anna.sent("POST", "/auth/v1/login") == 2


def test_a_session_that_is_ended_elsewhere_is_told(person, route):
    ben = person().sign_in("ben@clinicwave.com")
    other = person().sign_in("ben@clinicwave.com")
    other.visit("Sessions")
    mine = other.page.wait_for_selector("[data-session]:has-text('This session')").get_attribute("data-session")
    for row in other.page.query_selector_all("[data-session]"):
        if row.get_attribute("data-session") != mine:
            row.query_selector("button >> text=End session").click()
    other.until("they are gone", "document.querySelectorAll('[data-session]').length === 1")
    ben.page.click("#reload")
    assert notice(ben.page).startswith("Your session has ended")
    ben.picture("10-ended")
    assert ben.barriers() == []
    assert other.page.is_visible("#whoami")


def test_after_logout_the_tokens_open_nothing(person, route):
    anna = person()
    with anna.page.expect_response("**/auth/v1/login") as answer:
        anna.sign_in()
    tokens = answer.value.json()
    present = anna.tokens()
    assert route.gateway.get(FILES, present).status == 200
    anna.page.click("#logout")
    assert notice(anna.page) == "You are signed out."
    refused = route.gateway.get(FILES, present)
    assert (refused.status, refused.reason) == (401, "token_revoked")
    refresh = route.gateway.request("POST", "/auth/v1/refresh", https=True, json={"refresh_token": tokens["refresh_token"]})
    assert (refresh.status, refresh.reason) == (401, "refresh_invalid")
    anna.page.reload()
    anna.page.wait_for_selector("#login-form")


def test_the_access_token_is_refreshed_before_it_ends_in_one_tab_for_all(resident):
    refreshes = lambda: int(resident.second.inner_text("#refreshes"))
    until("two silent refreshes", lambda: resident.second.wait_for_timeout(50) or refreshes() >= 2, 90)
    assert resident.sent("POST", "/auth/v1/login") == 1, "the second tab got the session from the first"
    assert resident.sent("POST", "/auth/v1/refresh") <= refreshes() + 1, "one tab refreshes for both"
    first = resident.answers[0].json()
    assert resident.tokens() != first["access_token"]
    resident.page.wait_for_selector(".empty, #files")
    assert resident.console == [], "no call was refused, nothing went wrong"


def test_no_token_and_no_password_is_kept_anywhere(resident):
    until("a refresh", lambda: resident.page.wait_for_timeout(50) or len(resident.answers) >= 2, 60)
    answers = [r.json() for r in list(resident.answers) if r.ok and r.finished() is None]
    secrets = [t for a in answers for t in (a["access_token"], a["id_token"], a["refresh_token"])] + [resident.route.password]
    assert len(secrets) >= 7
    kept = resident.kept()
    assert [s for s in secrets if s in kept] == []
    assert resident.context.cookies() == [] and resident.page.evaluate("localStorage.length + sessionStorage.length") == 0
    assert resident.violations() == []


def test_a_reload_of_the_only_tab_asks_for_the_password(person):
    anna = person().sign_in()
    anna.page.reload()
    anna.page.wait_for_selector("#login-form")


def totp(secret, step=0):
    """RFC 6238 over the key as the page shows it."""
    counter = struct.pack(">Q", int(time.time()) // 30 + step)
    digest = hmac.digest(base64.b32decode(secret.replace(" ", "")), counter, "sha1")
    return f"{int.from_bytes(digest[(o := digest[-1] & 15):o + 4], 'big') & 0x7FFFFFFF:010}"[-6:]


def test_a_second_factor_is_set_up_and_asked_for(person):
    mia = person().sign_in("mia@clinicwave.com")
    mia.visit("Account")
    mia.page.click("#factor-start")
    mia.page.fill("#factor-password", mia.route.password)
    mia.page.click("#factor-go")
    secret = mia.page.wait_for_selector("#secret").inner_text()
    mia.page.fill("#factor-code", totp(secret))
    assert mia.barriers() == []
    mia.page.click("#factor-go")
    mia.page.wait_for_selector("#recovery-codes")
    codes = mia.page.locator("#recovery-codes li").all_inner_texts()
    assert len(set(codes)) == 10
    mia.picture("13-recovery-codes")
    assert mia.barriers() == []
    mia.page.click("text=I have kept them")
    mia.page.wait_for_selector("#factor-form .badge >> text=on")

    mia.page.click("#logout")
    mia.page.fill("#password", mia.route.password)
    mia.page.click("#login")
    mia.page.fill("#otp", "000000")
    mia.picture("14-code")
    assert mia.barriers() == []
    mia.page.click("#login")
    assert mia.page.wait_for_selector("[role=alert]").inner_text().startswith("The code is not right")
    mia.page.fill("#otp", codes[0])
    mia.page.click("#login")
    mia.page.wait_for_selector("#whoami")
    mia.visit("Account")
    mia.page.wait_for_selector("text=9 recovery codes are left")


def test_a_changed_password_ends_the_other_sessions(person):
    lea, elsewhere = person().sign_in("lea@clinicwave.com"), person().sign_in("lea@clinicwave.com")
    lea.visit("Account")

    def change(new):
        for field, value in (("#old-password", lea.route.password), ("#new-password", new), ("#new-password-again", new)):
            lea.page.fill(field, value)
        lea.page.click("#change-password")
    change("short")
    assert lea.page.wait_for_selector("#password-form [role=alert]").inner_text() == "The new password is too short."
    change("seven quiet herons at dawn")
    lea.page.wait_for_selector("text=The password is changed.")
    lea.picture("17-password")
    assert lea.barriers() == []
    elsewhere.page.click("#reload")
    assert notice(elsewhere.page).startswith("Your session has ended")
    elsewhere.sign_in("lea@clinicwave.com", "seven quiet herons at dawn")
    lea.visit("Files")
    assert lea.tokens()


def test_a_user_of_an_identity_provider_has_the_same_portal(person, route):
    anna = person().sign_in()
    anna.page.set_input_files("#upload", files=[{"name": "clinicwave's.txt", "mimeType": "text/plain", "buffer": b"not abott's"}])
    anna.page.wait_for_selector("[data-transfer][data-state=done]")

    bob = person(domain="abott.localhost")
    bob.page.fill("#username", BOB)
    bob.page.fill("#password", "not the password")
    bob.page.click("#login")
    assert bob.page.wait_for_selector("[role=alert]").inner_text() == "The user name or the password is not right."
    bob.sign_in(BOB, BOBS_PASSWORD)
    bob.page.set_input_files("#upload", files=[{"name": "abott's.txt", "mimeType": "text/plain", "buffer": CONTENT}])
    bob.page.wait_for_selector('[data-file="abott\'s.txt"]')
    assert bob.page.locator("[data-file]").count() == 1, "each organisation sees its own files"
    bob.picture("15-abott-files")
    bob.visit("Account")
    bob.page.wait_for_selector("#roles >> text=nurse")
    bob.page.wait_for_selector("text=Both are managed by the login service of your organisation")
    bob.page.wait_for_selector("#userinfo >> text=yes, subject auth0|bob")
    bob.picture("16-abott-account")
    assert bob.barriers() == []
    until("a silent refresh", lambda: bob.page.wait_for_timeout(50) or int(bob.page.inner_text("#refreshes")) >= 1, 60)
    bob.visit("Sessions")
    bob.page.wait_for_selector("text=This session")
    bob.visit("Files")
    token = bob.tokens()
    assert route.gateway.get(FILES, token, host="abott.localhost").status == 200
    bob.page.click("#logout")
    assert notice(bob.page) == "You are signed out."
    refused = route.gateway.get(FILES, token, host="abott.localhost")
    assert (refused.status, refused.reason) == (401, "token_revoked")


def test_an_identity_provider_that_asks_for_more_or_is_away_is_told(person, route):
    route.idp.users["eve@abott.com"] = {"sub": "auth0|eve", "password": "eve's", "name": "Eve", "email": "eve@abott.com", "email_verified": True,
                                        "mfa": {"otp": "123456", "recovery": "ABCDEFGH"}}
    eve = person(domain="abott.localhost")
    eve.page.fill("#username", "eve@abott.com")
    eve.page.fill("#password", "eve's")
    eve.page.click("#login")
    eve.page.fill("#otp", "123456")
    eve.page.click("#login")
    eve.page.wait_for_selector("#whoami")
    eve.page.click("#logout")
    route.idp.answer_with(503)
    eve.page.fill("#password", "eve's")
    eve.page.click("#login")
    assert eve.page.wait_for_selector("[role=alert]").inner_text().startswith("Your organisation's login service does not answer.")
    route.idp.answer_normally()


def test_the_policy_blocks_what_is_not_ours(person):
    anna = person()
    anna.page.evaluate("document.body.append(Object.assign(document.createElement('img'), {src: 'https://elsewhere.invalid/x.png'}))")
    anna.until("it is blocked", "(globalThis.violations ?? []).length > 0")
    assert "img-src" in anna.violations()[0]
    with pytest.raises(Exception, match="TrustedHTML"):
        anna.page.evaluate("document.body.innerHTML = '<b>x</b>'")
    anna.page.goto(anna.origin + "/")
    anna.console.clear()


def test_the_service_and_the_login_being_down_are_told_and_pass(person, route):
    anna = person().sign_in()
    route.storage.stop()
    until("the gateway knows", lambda: route.gateway.get(FILES, anna.tokens()).status in (502, 503), 30)
    anna.page.click("#reload")
    anna.page.wait_for_selector("[role=alert] >> text=The service is not available at the moment.")
    anna.picture("11-service-down")
    assert anna.barriers() == []
    route.storage.start().until_ready(lambda: route.ready("STORAGE_MANAGEMENT"))
    until("it is back", lambda: route.gateway.get(FILES, anna.tokens()).status == 200, 30)
    anna.page.click("#reload")
    anna.page.wait_for_selector("[role=alert]", state="detached")

    other = person()
    route.authsvc.stop()
    try:
        other.page.fill("#username", "anna@clinicwave.com")
        other.page.fill("#password", "x")
        other.page.click("#login")
        other.page.wait_for_selector("[role=alert] >> text=The service is not available at the moment.")
        anna.page.wait_for_selector("text=You stay signed in", timeout=60_000)
    finally:
        route.authsvc.start().until_ready(lambda: route.ready("AUTHSVC"))
    anna.page.wait_for_selector("text=You stay signed in", state="detached", timeout=90_000)
    assert anna.page.is_visible("#whoami")


def test_being_offline_is_told_and_passes(person):
    anna = person().sign_in()
    anna.context.set_offline(True)
    anna.page.wait_for_selector("text=You are offline.")
    anna.context.set_offline(False)
    anna.page.wait_for_selector("text=You are offline.", state="detached")
    assert anna.tokens()
    assert anna.page.is_visible("#whoami")


def test_the_keyboard_is_enough(person):
    anna = person()
    anna.page.wait_for_selector("#username:focus")
    anna.page.keyboard.type("anna@clinicwave.com")
    anna.page.keyboard.press("Tab")
    anna.page.keyboard.type(anna.route.password)
    anna.page.keyboard.press("Enter")
    anna.page.wait_for_selector("#whoami")
    anna.until("the page has the focus", "document.activeElement.id === 'main'")

    def tab_to(text):
        for _ in range(30):
            anna.page.keyboard.press("Tab")
            if text in anna.page.evaluate("document.activeElement.textContent"):
                return
        raise AssertionError(f"Tab never comes to {text}")
    tab_to("Skip to the content")
    tab_to("Sessions")
    anna.page.keyboard.press("Enter")
    anna.page.wait_for_selector("h1 >> text=Sessions")
    tab_to("Sign out")
    anna.page.keyboard.press("Enter")
    assert notice(anna.page) == "You are signed out."


@pytest.mark.parametrize("scheme, width", [("dark", 1200), ("light", 360)])
def test_it_fits_small_screens_and_dark_rooms(person, scheme, width):
    anna = person(color_scheme=scheme, viewport={"width": width, "height": 760})
    assert anna.barriers() == []
    anna.sign_in()
    anna.page.set_input_files("#upload", files=[{"name": "a letter with a rather long name, as they often have, of November 2026.pdf", "mimeType": "application/pdf", "buffer": b"x" * 5000}])
    anna.page.wait_for_selector("#files")
    for name in ("Files", "Sessions", "Account"):
        anna.visit(name)
        anna.page.wait_for_selector(f"h1 >> text={name}")
        anna.until("all is there", "!document.querySelector('.spinner')")
        anna.picture(f"12-{scheme}-{width}-{name.lower()}")
        assert anna.barriers() == []
        assert anna.page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"


def test_the_pages_are_served_as_they_should_be(route):
    home = route.gateway.get("/", https=True)
    assert (home.status, home.headers["cache-control"], home.headers["content-type"]) == (200, "no-cache", "text/html; charset=utf-8")
    policy = dict(part.split(" ", 1) for part in home.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'" and policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in home.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style| style=| on\w+=", home.text), "no inline script or style"
    assert home.headers["x-content-type-options"] == "nosniff" and home.headers["referrer-policy"] == "no-referrer"
    for page in ("/files", "/sessions", "/account"):
        assert route.gateway.get(page, https=True).text == home.text
    script = re.search(r'src="(/assets/[^"]+\.js)"', home.text)[1]
    asset = route.gateway.get(script, https=True, headers={"Accept-Encoding": "gzip"})
    assert (asset.status, asset.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    assert asset.headers["content-type"].startswith("text/javascript") and asset.headers["content-encoding"] == "gzip"
    assert int(asset.headers.get("content-length", 0)) < 150_000
    for nothing in ("/assets/none.js", "/index.html", "/nothing", "/files/x", "/../etc/passwd", "/assets/../../etc/nginx.conf"):
        answer = route.gateway.get(nothing, https=True)
        assert answer.status in (400, 404) and answer.headers["cache-control"] == "no-store", nothing
    assert route.gateway.get("/nothing", https=True).reason == "route_unknown"
    clear = route.gateway.get("/sessions")
    assert (clear.status, clear.headers["location"]) == (308, f"https://clinicwave.localhost:{route.ports['HTTPS']}/sessions")
