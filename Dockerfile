# Latchgate in a container: docker build -t latchgate . && docker run -p 127.0.0.1:8000:8000 -v latchgate:/data latchgate
# It writes to /data and nowhere else, so that the rest may be mounted read-only.

FROM python:3.13-slim AS build
COPY requirements.lock /tmp/
# Wheels only: nothing is compiled, neither here nor by whoever publishes a package.
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check \
        --require-hashes --only-binary :all: -r /tmp/requirements.lock
COPY . /app
RUN python -m compileall -q /app /opt/venv

FROM python:3.13-slim
RUN groupadd --gid 10001 latchgate \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data latchgate \
    && install --directory --owner 10001 --group 10001 --mode 0700 /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LATCHGATE_STORE_URL=sqlite:////data/latchgate.db \
    LATCHGATE_CONTAINED=true
WORKDIR /app
USER 10001:10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
# Connections idle longer than a proxy keeps them (60 s in deploy/), and streams end before docker stop loses patience.
CMD ["python", "-m", "uvicorn", "combined_app:app", "--host", "0.0.0.0", "--port", "8000", "--no-access-log", "--timeout-keep-alive", "75", "--timeout-graceful-shutdown", "8"]
