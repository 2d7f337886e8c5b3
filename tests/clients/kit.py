"""What tests of real clients share: a server that restarts, a person, and a client program."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from demo.discovery import AUTHORIZATION_SERVER
from demo.start import ROOT, Server, free_port, running

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
NODE_MODULES = HERE / "node_modules"
PASSWORD = "a password of the tests"
ACCESS_TOKEN_TTL = 3
PATIENCE = 45


class Client(Protocol):
    """A real client at work: whatever it has to do first, it calls a tool."""

    def call(self, tool: str, **arguments: str) -> dict[str, Any]:
        """What the tool answered; CallFailed if the client could not or would not."""


class CallFailed(Exception):
    """What the client said when a call failed."""
