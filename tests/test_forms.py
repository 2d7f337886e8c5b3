"""How the demo's form filler reads pages: ours, and those of other authorization servers."""

import pytest

from demo.forms import Control, read_page

SIGN_IN = """
<!doctype html><html><head><title>Sign in</title><style>p{}</style></head><body>
<form action="/search"><input name="q"><button>Search</button></form>
<p role="alert">Not <b>right</b><br>at all.</p><p>Hello</p>
<form method="POST" action="/oauth/sign-in">
  <input type="hidden" name="form" value="sealed &amp; signed">
  <label>Name <input name="username" autocomplete="username" required></label>
  <input type=password name=password>
  <input type="checkbox" name="stay"><input type="checkbox" name="terms" required>
  <select name="realm"><option value="a">A<option value="b" selected>B</select>
  <input name="off" value="x" disabled>
  <textarea name="remark">ignored</textarea>
  <button>Sign in</button>
</form></body></html>
"""

CONSENT = """
<form method="post" action="/oauth/sign-out"><button>Sign in as somebody else</button></form>
<form method="post" action="/oauth/consent">
  <input type="hidden" name="form" value="sealed">
  <input type="checkbox" name="scope:user" checked disabled>
  <input type="checkbox" name="scope:user:write" value="yes" checked>
  <input type="checkbox" name="scope:files">
  <button name="decision" value="deny">Deny</button>
  <button name="decision" value="allow">Allow</button>
</form>
"""


def never() -> str:
    raise AssertionError("no password was asked for")


def test_the_sign_in_form_is_found_and_filled_in_as_a_browser_would() -> None:
    form = read_page(SIGN_IN).form_to_fill()

    assert form is not None
    assert (form.method, form.target) == ("post", "/oauth/sign-in")
    assert form.filled("alice", lambda: "secret") == [
        ("form", "sealed & signed"),
        ("username", "alice"),
        ("password", "secret"),
        ("terms", "on"),
        ("realm", "b"),
        ("remark", ""),
    ]


def test_the_consent_form_is_found_among_others_and_allowed() -> None:
    form = read_page(CONSENT).form_to_fill()

    assert form is not None
    assert form.filled("alice", never) == [
        ("form", "sealed"),
        ("scope:user:write", "yes"),
        ("decision", "allow"),
    ]


def test_a_page_has_a_title_a_text_and_what_it_warns_of() -> None:
    page = read_page(SIGN_IN)

    assert page.title == "Sign in"
    assert page.alert == "Not right at all."
    assert "p{}" not in page.text
    assert "Hello" in page.text


@pytest.mark.parametrize(
    ("button", "agrees"),
    [
        ('<button name="decision" value="allow">Nein</button>', True),
        ('<button name="decision" value="deny">Yes</button>', False),
        ("<button>Approve access</button>", True),
        ("<button>Continue</button>", True),
        ("<button>Continue as another user</button>", False),
        ("<button>Do not allow</button>", False),
        ("<button>Don’t allow</button>", False),
        ("<button><span>Yes,</span> allow</button>", True),
        ("<button>允许</button>", True),
        ("<button>拒绝</button>", False),
        ("<button>Sign out</button>", False),
        ("<button>Forgot password?</button>", False),
        ("<button name=allow_access value=1></button>", True),
        ('<input type="submit" name="accept" value="Accept">', True),
        ('<input type="submit" name="cancel" value="Cancel">', False),
        ("<button type=button>Allow</button>", False),
    ],
)
def test_the_button_that_says_yes_is_told_from_the_one_that_says_no(
    button: str, *, agrees: bool
) -> None:
    form = read_page(f"<form method=post>{button}</form>").form_to_fill()

    assert (form is not None) is agrees


def test_a_page_that_asks_for_the_name_first_is_filled_in_too() -> None:
    form = read_page("<form><input type=email name=identifier><button>→</button></form>")
    chosen = form.form_to_fill()

    assert chosen is not None
    assert chosen.filled("alice", never) == [("identifier", "alice")]


def test_a_button_may_send_the_form_elsewhere() -> None:
    page = read_page('<form action="/no"><button formaction="/yes">Allow</button></form>')
    form = page.form_to_fill()

    assert form is not None
    assert form.target == "/yes"


@pytest.mark.parametrize("html", ["", "<p>Sorry.</p>", "<button>Allow</button>", "<form></form>"])
def test_a_page_without_a_form_that_leads_on_has_none_to_fill(html: str) -> None:
    assert read_page(html).form_to_fill() is None


def test_broken_markup_is_forgiven() -> None:
    page = read_page("</p></button></select><form><button>Allow<form method=post><button>Deny")

    assert [form.controls for form in page.forms] == [[], []]
    assert read_page("<form><button>Allow</button><p role=alert>x</form>").forms[0].controls == [
        Control("", "submit", text="Allow")
    ]
