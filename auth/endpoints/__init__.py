"""One file an endpoint, named as RFC 8414 names it."""
