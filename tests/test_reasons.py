"""Every reason that an error page gives is told in the person's language, and no other is kept."""

import ast
import re
from collections.abc import Iterator

from auth.pages import TEMPLATES

AUTH = TEMPLATES.parent / "auth"
TOLD = re.findall(r'^  "(.+)": _\(', (TEMPLATES / "_reasons.html").read_text("utf-8"), re.MULTILINE)

# Where the reason stands among the arguments of an error.
ERRORS = {"AuthorizationError": 1, "InvalidTarget": 0, "DocumentUnreachable": 0}
# Told by redirect in any case: the person has just decided.
UNSEEN = AUTH / "endpoints" / "consent.py"
# Functions that refuse what a browser may send as well, or answer with a reason.
READERS = {"read_body", "read_posted_form", "_pairs", "near_miss"}


def expressions() -> Iterator[ast.expr]:
    """What stands in the source where a page's reason comes from."""
    for path in AUTH.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and path != UNSEEN:
                name = ast.unparse(node.func)
                if name in ERRORS:
                    yield node.args[ERRORS[name]]
                elif name == "PageError":
                    yield from (word.value for word in node.keywords if word.arg == "reason")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in READERS:
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Call) and ast.unparse(inner.func) == "InvalidRequest":
                        yield inner.args[0]
                    elif isinstance(inner, ast.Return) and inner.value and node.name == "near_miss":
                        yield inner.value


def patterns() -> Iterator[str]:
    """The texts among them; whatever is filled in may be anything."""
    for expression in expressions():
        parts = expression.values if isinstance(expression, ast.JoinedStr) else [expression]
        written = [p.value for p in parts if isinstance(p, ast.Constant) and p.value]
        if written:
            yield ".+".join(re.escape(str(text)) for text in written)


def test_every_reason_that_a_page_may_give_is_translated_and_no_other() -> None:
    given = {*patterns()}
    assert {one for one in given if not any(re.match(one, told) for told in TOLD)} == set()
    assert [told for told in TOLD if not any(re.match(one, told) for one in given)] == []
