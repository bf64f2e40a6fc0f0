# The server alone: give it your jobs as docs/how-to/docker.md says.
#
# The same commit gives the same files: what is installed is in requirements.lock, with hashes, and
# the bytecode does not depend on when it was built.
FROM python:3.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 SOURCE_DATE_EPOCH=1767225600
RUN python -m venv --without-pip /opt/schedcore
WORKDIR /build
COPY requirements.lock ./
RUN python -m pip --python /opt/schedcore/bin/python install \
    --require-hashes --only-binary :all: --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m pip --python /opt/schedcore/bin/python install --no-deps .

FROM python:3.13-slim-bookworm
COPY --from=build /opt/schedcore /opt/schedcore
ENV PATH=/opt/schedcore/bin:$PATH PYTHONUNBUFFERED=1 \
    SCHEDULER_BIND=0.0.0.0:5000 \
    SCHEDULER_STORE=sqlite:////data/schedcore.db
# A number, so that Kubernetes can see that it is not root's.
RUN mkdir /app /data && chown 10001:10001 /data
USER 10001:10001
WORKDIR /app
VOLUME /data
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:5000/scheduler/live', timeout=4)"]
ENTRYPOINT ["schedhttp"]
