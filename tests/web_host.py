"""A host on the web, as far as a test needs one: real TCP, real TLS, answers byte by byte."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HOST = "c.example"
ADDRESS = "127.0.0.1"


def answer(
    body: bytes = b"{}", status: str = "200 OK", content_type: str = "application/json", **more: str
) -> bytes:
    """An HTTP answer; `more` are headers, their underscores read as hyphens."""
    headers = {"Content-Type": content_type, "Content-Length": str(len(body))}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class WebHost:
    """What it will answer, and what it was asked."""

    port: int = 0
    answers: list[bytes] = field(default_factory=lambda: [answer()])
    """One for each request, in turn; the last one stays."""
    greeting: bytes = b""
    """What it says before it is asked anything."""
    hold: asyncio.Event | None = None
    """While it is not set, requests wait for their answers."""
    keep_open: bool = False
    """Whether connections stay open after the answer, until the other side goes."""
    connections: int = 0
    server_names: list[str | None] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: int = 0
    most_at_once: int = 0
    open: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """A document on this host."""
        return f"https://{HOST}:{self.port}/client.json"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one request, one answer."""
        self.connections += 1
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self.open.add(task)
        task.add_done_callback(self.open.discard)
        try:
            writer.write(self.greeting)
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            self.asked.set()
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            if self.hold:
                await self.hold.wait()
            self.at_once -= 1
            writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
            await writer.drain()
            if self.keep_open:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the other side went away, as tests let it
        finally:
            writer.close()

    def note_server_name(self, _: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        """Remember the name of a TLS handshake (SNI)."""
        self.server_names.append(name)


@asynccontextmanager
async def web_host(tls: ssl.SSLContext | None) -> AsyncIterator[WebHost]:
    """A running host on a free loopback port; without `tls` it speaks plain HTTP."""
    host = WebHost()
    if tls:
        tls.sni_callback = host.note_server_name
    server = await asyncio.start_server(host.serve, ADDRESS, 0, ssl=tls)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()
        for connection in host.open:
            connection.cancel()
        await asyncio.gather(*host.open, return_exceptions=True)


@dataclass(frozen=True)
class Authority:
    """A certificate authority of one test run: for the host's side and for who trusts it."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def new_authority(directory: Path, names: Collection[str] = (HOST,)) -> Authority:
    """An authority that is its own certificate, for these host names."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(map(x509.DNSName, names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain = directory / "chain.pem"
    chain.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain)
    client = ssl.create_default_context(cafile=str(chain))
    return Authority(server, client)
