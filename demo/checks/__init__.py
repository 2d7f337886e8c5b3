"""The doctor's questions, grouped by what they are put to.

    reach.py            TLS, port, clock
    endpoint.py         the MCP endpoint without a token, or with a bad one   RFC 6750, 9728 §5
    resource.py         protected resource metadata                           RFC 9728
    server.py           authorization server metadata and endpoints           RFC 8414, 6749, 7591
    browsers.py         what a page in a browser may ask and read             Fetch, CORS
    registration.py     the registrations of real clients (only on demand)    RFC 7591

Each check is an async generator of findings. Who asks what was seen on the wire or is documented
by the clients themselves.
"""
