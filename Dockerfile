# syntax=docker/dockerfile:1
# Recast's processes: worker, beat, flower, web and the one-shot migration share the image; the command selects one.

FROM python:3.13.16-slim-trixie AS base
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

FROM base AS build
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv /opt/recast
# The lock before the code: a change of code does not install the dependencies again. Wheels only, so that no compiler
# is needed and no package runs code of its own at build time.
COPY requirements-prod.lock ./
RUN /opt/recast/bin/pip install --require-hashes --only-binary=:all: -r requirements-prod.lock
COPY . .
# The build backend is in the lock; without isolation nothing is fetched that has no hash.
RUN /opt/recast/bin/pip install --no-deps --no-build-isolation ./recast .

FROM base
# The identity is fixed, so that volumes keep their owner when the image is built anew.
RUN groupadd --gid 10001 recast \
    && useradd --uid 10001 --gid recast --home-dir /var/lib/recast --create-home --shell /usr/sbin/nologin recast \
    && install --directory --owner=recast --group=recast /etc/recast
COPY --from=build /opt/recast /opt/recast
ENV PATH=/opt/recast/bin:$PATH \
    RECAST_HOME=/var/lib/recast \
    RECAST_ACCOUNTS_FILE=/etc/recast/accounts.toml
USER recast
WORKDIR /var/lib/recast
VOLUME /var/lib/recast
EXPOSE 5555 8765
# `docker stop` sends SIGTERM to worker and beat: they stop claiming jobs and record submissions in flight.
STOPSIGNAL SIGTERM
ENTRYPOINT ["recast"]
CMD ["worker"]
