"""The dashboard in a real Chromium: it shows what the API says, live, and anybody can use it."""

import re
from collections.abc import Iterator
from secrets import token_hex
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, ViewportSize, expect

from tests.acceptance.steps import as_it_hangs, checked_webhook, settled, sleeping_webhook
from tests.acceptance.test_baselines import WEEK as SINCE_A_WEEK
from tests.acceptance.test_baselines import between, recalculate, send, top_of_hour
from tests.harness.browser import a_browser, axe_source
from tests.harness.client import Client
from tests.harness.receiver import Answer, Receiver
from tests.harness.system import PASSWORD, System
from tests.harness.waiting import eventually, until_far_from_the_next

# For a machine that is busy; whatever comes sooner costs nothing.
WITHIN_MS = 30_000
HOSTILE = """<img src=x onerror="document.title='broken'"> <b>bold</b> & 'quoted'"""
PHONE: ViewportSize = {"width": 390, "height": 844}
DESK: ViewportSize = {"width": 1280, "height": 900}

# Or at the browser's own buttons, which are the page's end.
IS_IN_DIALOG = """() => {
    const focused = document.activeElement;
    return focused === document.body || document.querySelector("dialog").contains(focused);
}"""

expect.set_options(timeout=WITHIN_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with a_browser() as started:
        yield started


class Screen:
    """A page of its own, signed out, that notes what went wrong in it and what it asked for."""

    def __init__(self, browser: Browser, system: System) -> None:
        self.context = browser.new_context(
            viewport=DESK,
            color_scheme="light",
            base_url=system.url,
            # Read now: the database was emptied behind the system's back.
            extra_http_headers={"Cache-Control": "no-cache"},
        )
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(WITHIN_MS)
        self.faults: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._note)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto("/")

    def _note(self, message: ConsoleMessage) -> None:
        # What a refused request or a lost socket leaves there is no fault of the page.
        is_network = re.search("Failed to load resource|WebSocket connection", message.text)
        if message.type in {"error", "warning"} and not is_network:
            self.faults.append(message.text)

    def __getitem__(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def sign_in(self, username: str = "admin", password: str = PASSWORD) -> "Screen":
        self["#username"].fill(username)
        self["#password"].fill(password)
        self["#sign-in-button"].click()
        return self

    def until_live(self) -> "Screen":
        expect(self["#connection"]).to_have_attribute("data-state", "live")
        expect(self["[data-tile=queue] strong"]).not_to_have_text("–")
        return self

    def alert(self, alert_id: int) -> Locator:
        """The row of an alert."""
        return self.page.locator(".alert").filter(has=self.page.locator(f"#alert-{alert_id}"))

    def barriers(self) -> list[str]:
        """What axe finds."""
        self.page.evaluate(axe_source())
        found = self.page.evaluate("axe.run(document)")
        return [
            f"{one['id']}: {node['html']} {node['failureSummary']}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    def is_too_wide(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > innerWidth"))


@pytest.fixture
def screen(browser: Browser, client: Client, system: System) -> Iterator[Screen]:
    made = Screen(browser, system)
    yield made
    made.context.close()
    assert made.faults == []
    elsewhere = [url for url in made.asked if not url.startswith(system.url)]
    assert elsewhere == []


@pytest.fixture
def signed_in(screen: Screen) -> Screen:
    return screen.sign_in().until_live()


def somebody(client: Client, role: str) -> str:
    """A new user's name."""
    name = f"{role}-{token_hex(4)}"
    body = {"username": name, "password": PASSWORD, "role": role}
    assert client.post("/api/v1/users", json=body).status_code == 201
    return name


# Signing in


def test_a_wrong_password_is_said(client: Client, screen: Screen) -> None:
    screen.sign_in(somebody(client, "viewer"), "wrong")
    expect(screen["#sign-in-error"]).to_contain_text("password")
    expect(screen["#app"]).to_be_hidden()


def test_who_signs_out_leaves_nothing_behind(client: Client, screen: Screen) -> None:
    screen.sign_in().until_live()
    expect(screen["#who"]).to_have_text("admin, admin")
    kept = screen.page.evaluate("({...sessionStorage, ...localStorage})")
    assert list(kept) == ["tocsin.refresh"]
    with screen.page.expect_response("**/api/v1/auth/logout"):
        screen["#sign-out"].click()
    expect(screen["#sign-in"]).to_be_visible()
    assert screen.page.evaluate("sessionStorage.length + localStorage.length") == 0
    refused = client.as_nobody().post(
        "/api/v1/auth/refresh", json={"refresh_token": kept["tocsin.refresh"]}
    )
    assert refused.status_code == 401


def test_a_reload_stays_signed_in_and_another_tab_does_not(
    signed_in: Screen, system: System
) -> None:
    signed_in.page.reload()
    signed_in.until_live()
    other = signed_in.context.new_page()
    other.goto(f"{system.url}/")
    expect(other.locator("#sign-in")).to_be_visible()


def test_a_tab_that_was_duplicated_leaves_the_login_to_the_first(
    signed_in: Screen, system: System
) -> None:
    """It has the refresh token too; used twice, that would end the login of both."""
    token = signed_in.page.evaluate("sessionStorage['tocsin.refresh']")
    other = signed_in.context.new_page()
    other.goto(f"{system.url}/")
    other.evaluate("token => { sessionStorage['tocsin.refresh'] = token; }", token)
    other.reload()
    expect(other.locator("#sign-in")).to_be_visible()
    assert other.evaluate("sessionStorage.length") == 0
    signed_in.page.reload()
    signed_in.until_live()


def test_tokens_are_renewed_before_they_end(screen: Screen) -> None:
    screen.page.clock.install()
    screen.page.reload()
    screen.sign_in()
    expect(screen["#connection"]).to_have_attribute("data-state", "live")
    with (
        screen.page.expect_request("**/api/v1/auth/refresh"),
        # The socket that was opened with the old one is replaced in time.
        screen.page.expect_request("**/api/v1/auth/ws-ticket"),
    ):
        screen.page.clock.fast_forward(800_000)
    expect(screen["#connection"]).to_have_attribute("data-state", "live")


def test_a_viewer_has_no_buttons_that_he_may_not_use(client: Client, screen: Screen) -> None:
    alert = client.raise_alert()
    sleeping_webhook(client, name="asleep")
    screen.sign_in(somebody(client, "viewer")).until_live()
    row = screen.alert(alert["id"])
    expect(row.get_by_role("button")).to_have_text(["Explain"])
    expect(screen["#webhooks-add"]).to_be_hidden()
    for opener in (screen[".card"].first, screen["#jobs .link"].first):
        opener.click()
        dialog = screen["dialog"]
        expect(dialog.get_by_role("button")).to_have_text(["Close"])
        screen.page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)


# Alerts


def test_an_alert_arrives_without_a_reload_and_is_acknowledged(
    client: Client, signed_in: Screen
) -> None:
    signed_in.page.evaluate("window.isTheSamePage = true")
    expect(signed_in["#alerts-empty"]).to_be_visible()

    alert = client.raise_alert(
        title=HOSTILE, message=HOSTILE, source=HOSTILE, labels={"is": HOSTILE}
    )

    row = signed_in.alert(alert["id"])
    expect(row.locator(".alert-title")).to_have_text(HOSTILE)
    expect(row.locator(".labels li")).to_have_text(f"is={HOSTILE}")
    expect(signed_in["#news"]).to_have_text(f"New critical alert: {HOSTILE}")
    assert signed_in.page.title() == "(1) Tocsin"
    assert row.locator("img, b").count() == 0

    row.get_by_role("button", name="Acknowledge").click()

    expect(row).to_have_attribute("data-status", "acknowledged")
    shown = client.get(f"/api/v1/alerts/{alert['id']}").json()
    assert (shown["status"], shown["acknowledged_by"]) == ("acknowledged", "admin")
    expect(row.get_by_role("button")).to_have_text(["Resolve", "Explain"])
    assert signed_in.page.evaluate("window.isTheSamePage") is True


def test_an_old_alert_is_shown_though_many_came_after_it(client: Client, signed_in: Screen) -> None:
    """The stream begins with the newest fifty; an older one that is open is to be seen too."""
    old = client.raise_alert(severity="critical")
    alerts = [{"title": f"newer {number}", "severity": "info"} for number in range(60)]
    assert client.post("/api/v1/alerts/batch", json={"alerts": alerts}).status_code == 201
    # Somebody watches, so all of this is told by now, and not to who comes next.
    expect(signed_in["#alerts-count"]).to_have_text("61 pending, 0 acknowledged")
    signed_in.page.reload()
    signed_in.until_live()
    expect(signed_in[".alert"]).to_have_count(61)
    expect(signed_in[".alert"].first).to_contain_text(f"#{old['id']} ·")


def test_the_keyboard_is_enough(client: Client, signed_in: Screen) -> None:
    first = client.raise_alert(title="first")
    second = client.raise_alert(title="second")
    expect(signed_in[".alert"]).to_have_count(2)
    keys = signed_in.page.keyboard
    signed_in.alert(second["id"]).focus()
    keys.press("ArrowDown")
    expect(signed_in.alert(first["id"])).to_be_focused()

    keys.press("s")
    dialog = signed_in["dialog"]
    expect(dialog).to_be_visible()
    # The focus stays in the dialog however often one tabs, and goes back when it is over.
    for _press in range(12):
        keys.press("Tab")
        assert signed_in.page.evaluate(IS_IN_DIALOG)
    keys.press("Escape")
    expect(dialog).to_have_count(0)
    expect(signed_in.alert(first["id"])).to_be_focused()

    keys.press("s")
    dialog.get_by_role("button", name="1 hour").click()
    expect(signed_in.alert(first["id"])).to_contain_text("snoozed by admin until")
    assert client.get(f"/api/v1/alerts/{first['id']}").json()["snoozed_by"] == "admin"

    signed_in.alert(second["id"]).focus()
    keys.press("r")
    expect(signed_in.alert(second["id"])).to_have_attribute("data-status", "resolved")
    assert client.get(f"/api/v1/alerts/{second['id']}").json()["resolved_by"] == "admin"


def test_it_explains_who_was_told_and_why(
    client: Client, receiver: Receiver, signed_in: Screen
) -> None:
    checked_webhook(client, receiver, "/told", name="told")
    checked_webhook(client, receiver, "/other", name="other")
    (told,) = (
        one["id"] for one in client.get("/api/v1/webhooks").json()["items"] if one["name"] == "told"
    )
    alert = client.raise_alert(webhook_ids=[told])
    assert settled(client, alert["id"])[0]["status"] == "delivered"
    row = signed_in.alert(alert["id"])
    expect(row).to_contain_text("1 delivered")
    row.get_by_role("button", name="Explain").click()
    explained = signed_in[".explained"]
    expect(explained).to_have_count(2)
    expect(explained.filter(has_text="not told")).to_contain_text("The alert names other webhooks")
    expect(explained.filter(has_text="Attempt")).to_contain_text(
        "the receiver accepted it, HTTP 204"
    )


# The stream


def test_it_survives_a_restart_of_the_server_without_a_reload(
    client: Client, system: System, signed_in: Screen
) -> None:
    signed_in.page.evaluate("window.isTheSamePage = true")
    # The first of them; it ends the others.
    min(system.processes("gunicorn"), key=lambda one: one.create_time()).terminate()
    expect(signed_in["#connection"]).to_have_attribute("data-state", "away")
    expect(signed_in["#banner"]).to_contain_text("No connection since")
    eventually(lambda: _is_up(client), 60, "the server")
    signed_in.until_live()
    expect(signed_in["#banner"]).to_be_hidden()
    alert = client.raise_alert()
    expect(signed_in.alert(alert["id"])).to_be_visible()
    assert signed_in.page.evaluate("window.isTheSamePage") is True


def _is_up(client: Client) -> bool:
    try:
        return client.get("/health/ready").status_code == 200
    except OSError:
        return False


def test_with_redis_away_it_says_so_and_goes_on(
    client: Client, system: System, signed_in: Screen
) -> None:
    with as_it_hangs(system):
        expect(signed_in["#connection-text"]).to_have_text("Every 5 s")
        expect(signed_in["#banner"]).to_contain_text("Redis is away")
        alert = client.raise_alert()
        expect(signed_in.alert(alert["id"])).to_be_visible()
    signed_in.until_live()
    expect(signed_in["#banner"]).to_be_hidden()


# What there is to see


def test_an_empty_system_says_what_to_do_first(
    client: Client, receiver: Receiver, signed_in: Screen
) -> None:
    empty = signed_in["#webhooks-empty"]
    expect(empty).to_contain_text("First of all, add a webhook")
    empty.get_by_role("button").click()
    dialog = signed_in["dialog"]
    dialog.get_by_label("Name").fill(HOSTILE)
    dialog.get_by_label("Address").fill("nonsense")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.locator(".error")).to_contain_text("url")
    dialog.get_by_label("Address").fill(receiver.url("/first"))
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.locator(".secret")).to_contain_text("whsec_")
    dialog.get_by_role("button", name="Close").click()
    expect(signed_in[".card"]).to_contain_text(HOSTILE)
    (made,) = client.get("/api/v1/webhooks").json()["items"]
    assert (made["name"], made["url"]) == (HOSTILE, receiver.url("/first"))

    signed_in[".card"].click()
    dialog.get_by_role("button", name="Send a test").click()
    expect(signed_in[".toast"]).to_contain_text("the receiver accepted it (HTTP 204)")
    assert receiver.messages("/first")[0].json["type"] == "webhook.ping"


def test_a_gap_in_the_checks_is_a_gap_in_the_bars(
    client: Client, system: System, screen: Screen
) -> None:
    until_far_from_the_next(3600, 30)
    hook = sleeping_webhook(client, name="asleep")
    with system.sql() as sql:
        sql.execute(BARS, [hook])
    grid = client.get("/api/v1/dashboard/webhooks?limit=500").json()["items"]
    assert [one["id"] for one in grid] == [hook]
    # An hour of 23 ago to that which goes on now: gaps, half of one hour's checks failed, all well.
    assert grid[0]["bars"] == [None] * 12 + [0.5] + [1.0] * 10 + [None]
    screen.sign_in().until_live()
    card = screen[".card"]
    expect(card).to_have_attribute("aria-label", re.compile("inactive, up 95.5 % of 24 hours"))
    shapes = {
        kind: len(re.findall("M", card.locator(f".bar-{kind}").get_attribute("d") or ""))
        for kind in ("gap", "bad", "good")
    }
    assert shapes == {"gap": 13, "bad": 1, "good": 11}


# Ten hours with all well, one before them with half.
BARS = """
    INSERT INTO pggit.webhook_health_rollups
        (webhook_id, resolution, at, checks, failed, slow, in_maintenance, latency_sum_ms)
    SELECT %s, 3600, date_trunc('hour', now()) - ago * interval '1 hour', 12,
        CASE WHEN ago = 11 THEN 6 ELSE 0 END, 0, 0, 1200
    FROM generate_series(1, 11) AS ago
"""


def test_the_panels_show_what_the_api_says(
    client: Client, receiver: Receiver, screen: Screen
) -> None:
    checked_webhook(client, receiver, "/down", name="down")
    receiver.plan("/down", Answer(500))
    alert = client.raise_alert()
    assert settled(client, alert["id"])[0]["status"] == "failed"
    screen.sign_in().until_live()

    jobs = client.get("/api/v1/jobs?limit=100").json()["items"]
    expect(screen["#jobs tbody tr"]).to_have_count(len(jobs))
    checks = screen["#jobs tbody tr"].filter(has_text="health-check")
    slot = client.get("/api/v1/jobs/health-check/executions?limit=1").json()["items"][0]["slot"]
    # It goes on meanwhile: the next ones come by themselves.
    expect(checks).to_contain_text(re.compile("|".join(str(slot + later) for later in (1, 2, 3))))
    expect(checks.locator(".run")).not_to_have_count(0)

    workers = client.get("/api/v1/system/info").json()["workers"]
    expect(screen["#workers tbody tr"]).to_have_count(len(workers))
    expect(screen["#cache-levels .level"]).to_have_count(3)
    expect(screen["#cache tbody tr"].first).to_be_visible()
    expect(screen["#deliveries tbody tr"].first).to_contain_text("the receiver failed (500)")
    expect(screen["#rates-chart svg"]).to_have_attribute("aria-label", re.compile("failed: now"))
    queue = client.get("/api/v1/dashboard/queue").json()
    expect(screen["[data-tile=queue] strong"]).to_have_text(str(queue["undelivered"]))
    hour = client.get("/api/v1/dashboard/deliveries").json()
    assert set(hour["outcomes"]) == {"delivered", "failed"}
    assert len(hour["outcomes"]["failed"]) in {60, 61}


def test_a_series_is_shown_over_what_is_usual_for_it(client: Client, screen: Screen) -> None:
    until_far_from_the_next(3600, 60)
    now = top_of_hour()
    send(client, "checkout/pay", between(now - SINCE_A_WEEK, now), 100.0)
    recalculate(client)
    screen.sign_in().until_live()
    expect(screen["#operation"]).to_have_value("checkout/pay")
    chart = screen["#anomalies-chart"]
    expect(chart.locator("path.band")).to_have_attribute("d", re.compile("M.*L.*Z"))
    expect(chart.locator(".line-avg").last).to_have_attribute("d", re.compile("M.*L"))
    chart.get_by_text("Figures").click()
    expect(chart.locator("tbody tr").last).to_contain_text("ms")


# Anybody can use it


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_bars_anybody(
    client: Client, receiver: Receiver, screen: Screen, scheme: Any
) -> None:
    screen.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    assert screen.barriers() == []
    checked_webhook(client, receiver, "/hook", name="hook")
    alert = client.raise_alert(message="text", labels={"a": "b"})
    client.raise_alert(severity="warning")
    done = client.raise_alert(severity="info")
    client.post(f"/api/v1/alerts/{done['id']}/acknowledge")
    screen.sign_in().until_live()
    expect(screen[".alert"]).to_have_count(3)
    expect(screen["#cache tbody tr"].first).to_be_visible()
    assert screen.barriers() == []
    openers = [
        screen.alert(alert["id"]).get_by_role("button", name="Explain"),
        screen[".card"],
        screen["#jobs .link"].first,
        screen["#webhooks-add"],
    ]
    # The colours are the same in all of them, and each look takes a second.
    for opener in openers if scheme == "light" else openers[:1]:
        opener.click()
        expect(screen["dialog[open]"]).to_be_visible()
        expect(screen["dialog"]).not_to_contain_text("Looking …")
        assert screen.barriers() == []
        screen.page.keyboard.press("Escape")


def test_a_theme_is_chosen_and_kept(signed_in: Screen) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = signed_in.page.evaluate(ground)
    signed_in["#theme"].click()
    expect(signed_in["#theme"]).to_have_text("Theme: Light")
    signed_in["#theme"].click()
    expect(signed_in["#theme"]).to_have_text("Theme: Dark")
    dark = signed_in.page.evaluate(ground)
    assert dark != light
    signed_in.page.reload()
    signed_in.until_live()
    assert signed_in.page.evaluate(ground) == dark


def test_it_fits_a_phone(client: Client, receiver: Receiver, screen: Screen) -> None:
    screen.page.set_viewport_size(PHONE)
    assert not screen.is_too_wide()
    checked_webhook(client, receiver, "/hook", name="a-name-without-any-blank-" * 6)
    alert = client.raise_alert(title="a-title-without-any-blank-" * 12, labels={"a": "b" * 200})
    screen.sign_in().until_live()
    expect(screen.alert(alert["id"])).to_be_visible()
    expect(screen["#cache tbody tr"].first).to_be_visible()
    assert not screen.is_too_wide()
    screen.alert(alert["id"]).get_by_role("button", name="Explain").click()
    expect(screen[".explained"]).to_be_visible()
    assert not screen.is_too_wide()


def test_five_hundred_webhooks_are_drawn_with_few_shapes(
    client: Client, system: System, screen: Screen
) -> None:
    """24 bars each, and not 12,000 elements; however many alerts arrive, it draws a few times a
    second."""
    sleeping_webhook(client, name="many")
    with system.sql() as sql:
        sql.execute(MANY)
        sql.execute(
            "INSERT INTO pggit.webhook_health_metrics (webhook_id)"
            " SELECT id FROM pggit.webhooks ON CONFLICT DO NOTHING"
        )
    screen.sign_in().until_live()
    expect(screen[".card"]).to_have_count(500)
    shapes = "document.querySelectorAll('#webhooks-grid svg path').length"
    assert screen.page.evaluate(shapes) == 1500

    screen.page.evaluate(COUNT_DRAWS)
    alerts = [{"title": f"alert {number}", "severity": "info"} for number in range(600)]
    assert client.post("/api/v1/alerts/batch", json={"alerts": alerts}).status_code == 201
    expect(screen["[data-tile=alerts] strong"]).to_have_text("600")
    expect(screen[".alert"]).to_have_count(100)
    draws, seconds = screen.page.evaluate(
        "[window.draws, (performance.now() - window.since) / 1000]"
    )
    assert draws <= 6 * (seconds + 1)


# 499 more like the first.
MANY = """
    INSERT INTO pggit.webhooks OVERRIDING SYSTEM VALUE
    SELECT made.* FROM pggit.webhooks w, generate_series(1, 499) AS number,
        jsonb_populate_record(w, jsonb_build_object(
            'id', nextval(pg_get_serial_sequence('pggit.webhooks', 'id')),
            'name', 'many ' || number
        )) AS made
"""
COUNT_DRAWS = """() => {
    window.draws = 0;
    window.since = performance.now();
    const count = new MutationObserver(() => { window.draws += 1; });
    count.observe(document.getElementById("alerts-list"), { childList: true });
}"""
