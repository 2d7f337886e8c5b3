"""Can clients reach it at all: TLS, the port, the clock."""

from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from demo.checks.deployment import Deployment
from demo.checks.finding import Finding, Question

HOSTED = "claude.ai, ChatGPT and other hosted clients"
MOST_SKEW = 60


async def check_reach(deployment: Deployment) -> AsyncIterator[Finding]:
    """Hosted clients come over https to port 443 and nothing else."""
    question = Question("https on port 443", HOSTED)
    parts = urlsplit(deployment.url)
    proxy = "put a TLS proxy in front, on port 443, and set the public URL to its https address"
    if deployment.is_loopback:
        yield question.ok("not needed: only this machine can reach it")
    elif parts.scheme != "https":
        yield question.failure(f"{parts.scheme}: tokens would travel in clear", proxy)
    else:
        yield question.judge(
            holds=parts.port in {None, 443},
            seen="port 443" if parts.port is None else f"port {parts.port}",
            remedy="hosted clients call no other port: " + proxy,
        )


async def check_clock(deployment: Deployment) -> AsyncIterator[Finding]:
    """Expiry times mean something only if both clocks agree."""
    question = Question("the clock is right", "clients that refresh before expiry")
    date = deployment.refusal.headers.get("date")
    if date is None:
        yield question.warning("no Date header", "let the server or its proxy send Date")
        return
    try:
        skew = parsedate_to_datetime(date).timestamp() - deployment.now()
    except ValueError:
        yield question.warning(f"Date: {date}", "send Date in the form of RFC 9110 §5.6.7")
        return
    yield question.judge(
        holds=abs(skew) <= MOST_SKEW,
        seen="right" if abs(skew) <= MOST_SKEW else f"{abs(skew):.0f} s {_side(skew)}",
        remedy="synchronize the clocks of the server and of this machine (NTP): tokens seem "
        "expired, or live on after their end",
    )


def _side(skew: float) -> str:
    return "ahead of this machine" if skew > 0 else "behind this machine"
