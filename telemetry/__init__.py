"""What an operator sees of a running server; both halves use it, it uses neither.

correlation.py   one name for a request, in its answer and in all of its log lines
logs.py          log lines as people read them or as JSON
metrics.py       what is counted
requests.py      the middleware that counts requests and names them
exposition.py    the counts as Prometheus reads them
scraping.py      where it reads them: /metrics, or a port of their own
"""
