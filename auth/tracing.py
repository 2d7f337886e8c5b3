"""A span for each step of OAuth, through OpenTelemetry's API: silent until an SDK is configured.

Of what a caller chose, attributes hold only the correlation id and the host of a document.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import wraps

from opentelemetry.propagate import extract
from opentelemetry.trace import (
    ProxyTracerProvider,
    Span,
    SpanKind,
    StatusCode,
    get_current_span,
    get_tracer,
    get_tracer_provider,
)
from opentelemetry.util.types import AttributeValue
from starlette.requests import Request
from starlette.responses import Response

from auth.errors import OAuthError, PageError
from telemetry.correlation import correlation_id

Respond = Callable[[Request], Awaitable[Response]]


def traced(step: str, respond: Respond) -> Respond:
    """An endpoint within a span `oauth.<step>`, a child of the caller's span if it names one."""
    name = f"oauth.{step}"
    tracer = get_tracer("latchgate")

    @wraps(respond)
    async def within_span(request: Request) -> Response:
        is_child = "traceparent" in request.headers
        if not is_child and isinstance(get_tracer_provider(), ProxyTracerProvider):
            return await respond(request)  # no SDK: nobody would see the span
        context = extract(request.headers) if is_child else None
        attributes = {
            "http.request.method": request.method,
            "latchgate.correlation_id": correlation_id(request.scope),
        }
        with (
            tracer.start_as_current_span(
                name,
                context,
                SpanKind.SERVER,
                attributes,
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
            _telling_failure(span),
        ):
            response = await respond(request)
            span.set_attribute("http.response.status_code", response.status_code)
            return response

    return within_span


@contextmanager
def fetching(what: str, host: str) -> Iterator[None]:
    """A span for a request of ours to this host."""
    with (
        get_tracer("latchgate").start_as_current_span(
            f"oauth.fetch_{what}",
            kind=SpanKind.CLIENT,
            attributes={"server.address": host},
            record_exception=False,
            set_status_on_exception=False,
        ) as span,
        _telling_failure(span),
    ):
        yield


def note(name: str, value: AttributeValue) -> None:
    """Add an attribute to the span of the step that is going on."""
    get_current_span().set_attribute(name, value)


@contextmanager
def _telling_failure(span: Span) -> Iterator[None]:
    """Name what was raised, without its message; only what is no refusal is the span's error."""
    try:
        yield
    except OAuthError as refusal:
        span.set_attributes(
            {"error.type": refusal.error, "http.response.status_code": refusal.status}
        )
        raise
    except PageError as refusal:
        span.set_attributes(
            {"error.type": refusal.kind, "http.response.status_code": refusal.status}
        )
        raise
    except Exception as error:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(StatusCode.ERROR)
        raise
