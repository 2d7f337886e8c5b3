"""Spans: one for each step of OAuth, children of the caller's, and nothing secret in them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    TracerProvider,
    use_span,
)

from tests.clock import Clock
from tests.kit import (
    PASSWORD,
    VERIFIER,
    World,
    authorization_request,
    identification,
    new_settings,
    serving,
)

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


class Recorded(NonRecordingSpan):
    """A span that a test can look at."""

    def __init__(self, name: str, parent: SpanContext, kind: SpanKind) -> None:
        trace_id = parent.trace_id or 1
        super().__init__(SpanContext(trace_id, 2, is_remote=False, trace_flags=TraceFlags(1)))
        self.name = name
        self.parent = parent
        self.kind = kind
        self.attributes: dict[str, Any] = {}
        self.status: StatusCode | None = None

    def is_recording(self) -> bool:
        return True

    def set_attribute(self, key: str, value: Any) -> None:
        self.attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        self.attributes |= attributes

    def set_status(self, status: Any, description: str | None = None) -> None:
        assert description is None
        self.status = status

    def record_exception(self, *_: Any, **__: Any) -> None:
        pytest.fail("an exception's message may hold what a caller sent")


class Recorder(Tracer, TracerProvider):
    """The process's tracer provider while these tests run: OpenTelemetry lets it be set once."""

    spans: ClassVar[list[Recorded] | None] = None

    def get_tracer(self, *_: Any, **__: Any) -> Tracer:
        return self

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Any = None,
        *_: Any,
        **__: Any,
    ) -> Span:
        parent = trace.get_current_span(context).get_span_context()
        if self.spans is None:
            return NonRecordingSpan(parent)
        span = Recorded(name, parent, kind)
        span.set_attributes(attributes or {})
        self.spans.append(span)
        return span

    @contextmanager
    def start_as_current_span(  # type: ignore[override]
        self, name: str, *args: Any, **options: Any
    ) -> Iterator[Span]:
        recording = {
            name: options.pop(name, True)
            for name in ("record_exception", "set_status_on_exception")
        }
        with use_span(self.start_span(name, *args, **options), **recording) as span:
            yield span


@pytest.fixture(scope="session")
def recorder() -> type[Recorder]:
    trace.set_tracer_provider(Recorder())
    return Recorder


@pytest.fixture
def spans(recorder: type[Recorder]) -> Iterator[list[Recorded]]:
    """The spans of this test, in the order in which they began."""
    recorder.spans = []
    yield recorder.spans
    recorder.spans = None


def ours(spans: Sequence[Recorded]) -> list[str]:
    return [span.name for span in spans if span.name.startswith("oauth.")]


async def test_a_journey_is_a_span_a_step(world: World, spans: list[Recorded]) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_post")
    browser = world.browser()
    await browser.get("/oauth/authorize", params=authorization_request(client))
    await browser.sign_in()
    code = await world.code(client)
    tokens = (await world.exchange(client, code)).json()
    refreshed = (await world.refresh(client, tokens["refresh_token"])).json()
    token = {"token": tokens["access_token"]} | identification(client)
    await world.http.post("/oauth/introspect", data=token)
    await world.http.post("/oauth/revoke", data=token)

    assert ours(spans) == [
        "oauth.register",
        "oauth.authorize",
        "oauth.sign_in",
        # the same with the next browser, which signs in first
        "oauth.sign_in",
        "oauth.authorize",
        "oauth.consent",
        "oauth.token",
        "oauth.token",
        "oauth.introspect",
        "oauth.revoke",
    ]
    grant_types = [span.attributes.get("oauth.grant_type") for span in spans]
    assert [name for name in grant_types if name] == ["authorization_code", "refresh_token"]
    assert {span.attributes["http.response.status_code"] for span in spans} == {200, 201, 303}
    assert {span.kind for span in spans} == {SpanKind.SERVER}
    written = repr([(span.name, span.attributes) for span in spans])
    secrets = [PASSWORD, VERIFIER, code, client["client_secret"], client["client_id"]]
    secrets += [pair[name] for pair in (tokens, refreshed) for name in pair if "token" in name]
    assert "admin" not in written
    assert not [secret for secret in secrets if secret != "Bearer" and secret in written]


async def test_a_span_is_a_child_of_the_callers(world: World, spans: list[Recorded]) -> None:
    traceparent = f"00-{TRACE_ID}-b7ad6b7169203331-01"
    await world.http.post("/oauth/register", json={}, headers={"traceparent": traceparent})
    await world.http.post("/oauth/register", json={}, headers={"traceparent": "garbage"})
    child, orphan = spans
    assert f"{child.parent.trace_id:032x}" == TRACE_ID
    assert not orphan.parent.is_valid


@pytest.mark.parametrize(
    ("path", "error", "status"),
    [
        ("/oauth/token", "invalid_request", 400),
        ("/oauth/introspect", "invalid_request", 400),
        ("/oauth/consent", "invalid_request", 400),
        ("/oauth/consent?form", "forged_form", 403),
    ],
)
async def test_a_refusal_is_named_and_no_error_of_the_span(
    world: World, spans: list[Recorded], path: str, error: str, status: int
) -> None:
    path, _, field = path.partition("?")
    form = {field: "x"} if field else None
    await world.http.post(path, data=form, headers={"Origin": str(world.http.base_url)})
    (span,) = spans
    assert span.attributes["error.type"] == error
    assert span.attributes["http.response.status_code"] == status
    assert span.status is None


async def test_what_a_client_is_told_by_redirect_is_named(
    world: World, spans: list[Recorded]
) -> None:
    browser = await world.signed_in()
    client = await world.register()
    await browser.get("/oauth/authorize", params=authorization_request(client, scope="unheard-of"))
    assert spans[-1].attributes["error.type"] == "invalid_scope"
    assert spans[-1].attributes["http.response.status_code"] == 303


async def test_a_mistake_of_ours_is_an_error_without_its_message(
    world: World, spans: list[Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("with a secret")

    monkeypatch.setattr("auth.endpoints.registration.seal_client", fail)
    await world.http.post("/oauth/register", json={"redirect_uris": ["https://c.example/"]})
    (span,) = spans
    assert span.status is StatusCode.ERROR
    assert span.attributes["error.type"] == "RuntimeError"
    assert "secret" not in repr(span.attributes)


async def test_fetching_a_document_is_a_span_of_its_own(
    clock: Clock, spans: list[Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = new_settings(client_metadata_loopback=True)
    async with serving(clock, settings) as world:
        client_id = "http://127.0.0.1:9/client?with=a-secret"
        client = {"client_id": client_id, "redirect_uris": ["https://c.example/"]}
        await world.http.get("/oauth/authorize", params=authorization_request(client))
    authorize, fetch = spans
    assert (authorize.name, fetch.name) == (
        "oauth.authorize",
        "oauth.fetch_client_metadata_document",
    )
    assert fetch.kind is SpanKind.CLIENT
    assert fetch.parent.span_id == authorize.get_span_context().span_id
    assert fetch.attributes["server.address"] == "127.0.0.1"
    assert "secret" not in repr(fetch.attributes)
    assert fetch.status is StatusCode.ERROR
