"""A client that can be watched at work, one command that shows it, and a doctor for deployments.

client.py         the seven steps, told as they happen        python -m demo.client URL
start.py          a server, the client, and an end to both    python -m demo.start
doctor.py         what real clients ask, and what to mend     python -m demo.doctor URL

steps.py          what client.py does, step by step
discovery.py      challenge and metadata                      RFC 9110 §11.6.1, 9728, 8414
oauth.py          registration, authorization, tokens         RFC 7591, 7636, 8707, 9207, 7009
user_agent.py     the browser: a real one, or a form filler   RFC 8252
forms.py          HTML forms, read and filled
mcp_session.py    the MCP session, by the official SDK
first_request.py  what a client asks first, in both eras of the protocol
conversation.py   HTTP exchanges, told
narration.py      the telling
checks/           the doctor's questions
"""

import os
import sys
from types import TracebackType

INTERRUPTED = 130


def _end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Whoever is interrupted, and be it while importing its modules, ends without a traceback."""
    if issubclass(kind, KeyboardInterrupt):
        os._exit(INTERRUPTED)
    sys.__excepthook__(kind, error, trace)


if sys.argv[0] == "-m":  # one of the programs is being started, of whose modules this is the first
    sys.excepthook = _end
