"""Templates: what each shape makes, what a custom one may do, and what it may never cost."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.templates import SAMPLES, Rendered, Shape, Template, problems, render
from app.domain.templates.budget import MAX_TEXT_CHARS
from app.domain.templates.custom import MAX_BODY_BYTES, MAX_SOURCE_CHARS
from app.domain.templates.shapes import CHAT_TEXT_CHARS

FIRING, ACKNOWLEDGED, RESOLVED, GROUP, PING = SAMPLES


def alert(**fields: Any) -> dict[str, Any]:
    return {**FIRING, "data": {**FIRING["data"], **fields}}


def shown(shape: Shape, message: Any, **fields: Any) -> Any:
    rendered = render(Template(shape, **fields), orjson.dumps(message))
    assert rendered.error is None, rendered
    return json.loads(rendered.body)


def custom(text: str, message: Any = FIRING) -> Rendered:
    return render(Template(Shape.CUSTOM, text), orjson.dumps(message))


def fault(text: str) -> str:
    (said,) = problems(Template(Shape.CUSTOM, text)).get("text", [""])
    return said


def test_raw_is_the_message_to_the_letter() -> None:
    body = b'{ "type": "alert.firing" }'
    assert render(Template(), body) == Rendered(body)


@pytest.mark.parametrize("shape", [Shape.SLACK, Shape.MATTERMOST])
def test_chats_get_a_line_and_an_attachment(shape: Shape) -> None:
    body = shown(shape, alert(title="Disk"))
    assert body["text"] == "[critical] Disk"
    (attachment,) = body["attachments"]
    assert attachment["text"] == "/var is at 97 %\nC:\\ too"
    assert [(one["title"], one["value"]) for one in attachment["fields"]] == [
        ("source", "node-exporter"),
        ("host", "db-1"),
        ("team", "storage"),
    ]
    assert attachment["footer"] == "Tocsin, alert 1"


def test_a_line_says_what_happened() -> None:
    lines = [shown(Shape.SLACK, message)["text"] for message in SAMPLES]
    assert lines == [
        '[critical] Disk "almost" full',
        '[acknowledged by ada] Disk "almost" full',
        '[resolved] Disk "almost" full',
        '[critical] Disk "almost" full (and 1 more)',
        "Tocsin: a test message for on-call",
    ]
    assert shown(Shape.SLACK, alert(title="Disk", reminder=2))["text"] == (
        "[critical, reminder 2] Disk"
    )


def test_a_colour_says_how_bad_it_is() -> None:
    colours = {
        shown(Shape.SLACK, message)["attachments"][0]["color"]
        for message in (FIRING, ACKNOWLEDGED, RESOLVED, PING, alert(severity="info"))
    }
    assert len(colours) == 5


def test_no_alert_can_mention_people() -> None:
    nasty = alert(title="<!channel> & <http://evil|here>", labels={"a": "@channel @ALL a@b.c"})
    slack = orjson.dumps(shown(Shape.SLACK, nasty)).decode()
    assert "<" not in slack
    assert "&lt;!channel&gt; &amp; &lt;" in slack
    mattermost = orjson.dumps(shown(Shape.MATTERMOST, nasty)).decode()
    assert "@channel" not in mattermost
    assert "@ALL" not in mattermost
    assert "a@b.c" in mattermost
    assert shown(Shape.DISCORD, nasty)["allowed_mentions"] == {"parse": []}


def test_what_is_long_is_cut_to_what_the_receiver_takes() -> None:
    long = alert(
        title="t" * 500,
        message="m" * 20_000,
        labels={f"name-{number}" + "n" * 100: "v" * 1000 for number in range(50)},
    )
    (attachment,) = shown(Shape.SLACK, long)["attachments"]
    assert len(attachment["text"]) == CHAT_TEXT_CHARS
    assert len(attachment["fields"]) == 10
    discord = shown(Shape.DISCORD, long)
    assert len(discord["content"]) <= 2000
    (embed,) = discord["embeds"]
    assert len(embed["title"]) <= 256
    total = len(embed["title"]) + len(embed["description"]) + len(embed["footer"]["text"])
    total += sum(len(one["name"]) + len(one["value"]) for one in embed["fields"])
    assert total <= 6000
    assert all(one["name"] and one["value"] for one in shown_fields(alert(labels={"a": ""})))


def shown_fields(message: Any) -> list[dict[str, str]]:
    fields: list[dict[str, str]] = shown(Shape.DISCORD, message)["embeds"][0]["fields"]
    return fields


def test_pagerduty_gets_one_incident_that_begins_and_ends() -> None:
    events = [shown(Shape.PAGERDUTY, message, routing_key="R0") for message in SAMPLES]
    assert [one["event_action"] for one in events] == [
        "trigger",
        "acknowledge",
        "resolve",
        "trigger",
        # Of an incident that nobody knows: a test wakes nobody.
        "resolve",
    ]
    assert {one["routing_key"] for one in events} == {"R0"}
    assert [one["dedup_key"] for one in events] == ["tocsin-alert-1"] * 4 + ["tocsin-ping"]
    payload = events[0]["payload"]
    assert (payload["severity"], payload["source"]) == ("critical", "node-exporter")
    assert payload["custom_details"]["labels"] == {"host": "db-1", "team": "storage"}


def test_a_custom_one_puts_values_into_json() -> None:
    text = """
        {"text": "{{ summary }}",
         "at": "{{ timestamp }}",
         "colour": "{{ {'critical': 'red'}[data.severity]|default('blue') }}",
         "labels": [{% for name, value in data.labels|items %}"{{ loop.index }} {{
            name ~ '=' ~ value }}"{{ "," if not loop.last }}{% endfor %}],
         "alert": {{ data|tojson }},
         "missing": "{{ data.nothing.at.all }}{{ data.expires_at }}"}
    """
    assert fault(text) == ""
    rendered = custom(text)
    assert rendered.error is None
    assert json.loads(rendered.body) == {
        "text": '[critical] Disk "almost" full',
        "at": FIRING["timestamp"],
        "colour": "red",
        "labels": ["1 host=db-1", "2 team=storage"],
        "alert": FIRING["data"],
        "missing": "",
    }


@settings(max_examples=50)
@given(
    st.text(max_size=200), st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5)
)
def test_no_text_breaks_out_of_a_json_string(title: str, labels: dict[str, str]) -> None:
    message = alert(title=title, labels=labels)
    text = '{"a": "{{ data.title }}", "b": {{ data|tojson }}}'
    try:
        body = orjson.dumps(message)
    except TypeError:
        return  # half a surrogate pair, which no alert can hold
    rendered = render(Template(Shape.CUSTOM, text), body)
    assert rendered.error is None
    seen = json.loads(rendered.body)
    assert seen == {"a": title, "b": message["data"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ data.labels.items() }}", "called"),
        ("{{ [].append(1) }}", "called"),
        ("{% set a = 1 %}", "set"),
        ("{% set a %}1{% endset %}", "set"),
        ("{{ 9 ** 9 ** 9 }}", "pow"),
        ("{{ 'a' * 1000000000 }}", "multiplied"),
        ("{{ [1] * 1000000000 }}", "multiplied"),
        ("{{ '%1000000000d' % 1 }}", "%"),
        ("{{ data.title[::-1] }}", "slice"),
        ("{{ range(1000000000) }}", "called"),
        ("{% for a in range(9) %}{% endfor %}", "called"),
        ("{% for a in data.labels recursive %}{{ loop(a) }}{% endfor %}", "recursive"),
        ("{% macro a() %}{% endmacro %}", "macro"),
        ("{% include 'x' %}", "include"),
        ("{% import 'x' as y %}", "import"),
        ("{% extends 'x' %}", "extends"),
        ("{% block a %}{% endblock %}", "block"),
        ("{% filter upper %}{% endfilter %}", "filterblock"),
        ("{% with a = 1 %}{% endwith %}", "with"),
        ("{{ data|attr('get') }}", "no filter `attr`"),
        ("{{ data|format }}", "no filter `format`"),
        ("{{ data|default(*[1]) }}", "can't be used like this"),
        ("{{ data is divisibleby 2 }}", "no test `divisibleby`"),
        ("{{ lables }}", "There is no `lables`; there are type, timestamp, data, summary."),
        ("{{ data", "Line 1"),
        ("{% if %}", "Line 1"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000, "nested too deeply"),
        ("{{ " + "not " * 500 + "1 }}", "nested too deeply"),
        ("{{ 1" + "+1" * 5000 + " }}", "nested too deeply"),
        ("{{ 1" + "~1" * 5000 + " }}", "parts"),
        ("a" * (MAX_SOURCE_CHARS + 1), "characters at most"),
        ("{{ " + "9" * 5000 + " }}", "can't be read"),
        ("{{ loop }}", "loop"),
        ("{{ 1 < data.count < 3 }}", "two at a time"),
        ("{{ self }}", "can't be put out"),
        ("{{ data.title }}", "not JSON"),
        ("", "needs a text"),
    ],
)
def test_what_a_template_may_not_do_is_said_at_registration(text: str, said: str) -> None:
    assert said in fault(text)


@pytest.mark.parametrize(
    "path",
    ["data.__class__", "data.title.__class__", "data['__class__']", "data.title.format",
     "data.labels.items", "summary.upper", "data.title.__init__.__globals__"],
)  # fmt: skip
def test_python_is_not_to_be_seen(path: str) -> None:
    assert custom(f'"{{{{ {path} }}}}"') == Rendered(b'""')


GROWING = "data.message" + "|replace('m', data.message)" * 3
LONG = alert(message="m" * 20_000, labels={f"name-{n}": "v" * 1000 for n in range(50)})
LOOP = "{% for a in data.labels %}"
GREEDY = {
    "a text that grows by itself": f'"{{{{ {GROWING} }}}}"',
    "texts joined by a text": '"{{ [data.message, 1, 2, 3, 4]|join(data.message) }}"',
    "loops in loops": '"' + LOOP * 4 + "x" + "{% endfor %}" * 4 + '"',
    "loops that put nothing out": '"' + LOOP * 5 + "{% endfor %}" * 5 + '"',
    "long texts put together in a loop": (
        '"' + LOOP + "{{ '' if " + "data.message ~ " * 50 + "'' }}{% endfor %}" + '"'
    ),
    "long texts looked through in a loop": (
        '"' + LOOP + "{{ '' if '" + "m" * 30 + "x' in data.message }}{% endfor %}" + '"'
    ),
    "a text that is hard to find": (
        '"' + LOOP + "{{ 'yes' if data.message|truncate(500, 'x' ~ data.message|truncate(250, '')) "
        "in data.message|truncate(2400) }}{% endfor %}" + '"'
    ),
    "a text that is hard to replace": (
        '"' + LOOP + "{{ data.message|truncate(2400)|replace(data.message|truncate(1000, 'x'), '') "
        "|truncate(1) }}{% endfor %}" + '"'
    ),
    "more than a body holds": '"' + LOOP + "{{ data.message }}{% endfor %}" + '"',
    "much JSON in a loop": "[" + LOOP + "{{ data|tojson|length }},{% endfor %}1]",
}


@pytest.mark.parametrize("text", GREEDY.values(), ids=GREEDY)
def test_what_would_cost_much_ends_early_and_the_alert_is_told_all_the_same(text: str) -> None:
    """Counted, not timed: so it ends at the same place on every machine, and at every attempt."""
    rendered = custom(text, LONG)
    assert rendered.error is not None
    said = ("It does too much", f"more than {MAX_TEXT_CHARS}", f"more than {MAX_BODY_BYTES}")
    assert any(one in rendered.error for one in said), rendered.error
    body = json.loads(rendered.body)
    assert body["type"] == "alert.firing"
    assert body["data"] == LONG["data"]
    assert body["text"] == body["content"]
    assert rendered.error in body["text"]
    assert custom(text, LONG) == rendered


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("'almost' in data.title", True),
        ("'not there' in data.title", False),
        ("'not there' not in data.title", True),
        ("data.severity in ['warning', 'critical']", True),
        ("'host' in data.labels and data.labels.host == 'db-1'", True),
        ("data.count >= 1", True),
        ("'a' in data.nothing", False),
    ],
)
def test_conditions_mean_what_they_say(condition: str, holds: bool) -> None:
    rendered = custom("{{ 'true' if " + condition + " else 'false' }}")
    assert rendered == Rendered(json.dumps(holds).encode())


def test_what_fails_on_one_message_does_not_fail_on_another() -> None:
    text = '{"count": {{ data.group.count + 1 }}}'
    assert custom(text, GROUP) == Rendered(b'{"count": 3}')
    failed = custom(text, FIRING)
    assert failed.error is not None
    assert json.loads(failed.body)["data"] == FIRING["data"]


def test_each_attempt_is_the_same_message() -> None:
    templates = [
        Template(Shape.PAGERDUTY, routing_key="R0") if shape is Shape.PAGERDUTY else Template(shape)
        for shape in Shape
        if shape is not Shape.CUSTOM
    ]
    templates.append(Template(Shape.CUSTOM, '{"all": {{ data|tojson }}}'))
    for template in templates:
        for message in SAMPLES:
            body = orjson.dumps(message)
            assert render(template, body) == render(template, body)


@pytest.mark.parametrize(
    ("template", "field"),
    [
        (Template(Shape.PAGERDUTY), "routing_key"),
        (Template(Shape.CUSTOM), "text"),
        (Template(Shape.SLACK, text="{}"), "text"),
        (Template(Shape.SLACK, routing_key="R0"), "routing_key"),
    ],
)
def test_a_shape_has_what_it_needs_and_nothing_else(template: Template, field: str) -> None:
    assert list(problems(template)) == [field]
