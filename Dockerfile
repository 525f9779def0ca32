# syntax=docker/dockerfile:1

# -- builder: every dependency from the hashed lock file, into one virtual environment
FROM python:3.12-slim AS builder
WORKDIR /src
RUN python -m venv /opt/batch-exports
ENV PATH=/opt/batch-exports/bin:$PATH
COPY requirements.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY worker worker
COPY migrations migrations
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps .

# -- the service: no compiler, no package manager's cache, no root
FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin batch-exports
COPY --from=builder /opt/batch-exports /opt/batch-exports
ENV PATH=/opt/batch-exports/bin:$PATH PYTHONUNBUFFERED=1 BATCH_EXPORTS_LOG_FORMAT=json
USER 10001
EXPOSE 8000
# SIGTERM stops the API gracefully, and makes a worker finish its runs or hand them back.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=2)"]
ENTRYPOINT ["batch-exports"]
CMD ["api", "--host", "0.0.0.0", "--port", "8000"]
