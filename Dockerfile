# Callboard as a container: built with everything that librdkafka needs, run with nothing but its libraries.

FROM rust:1.95-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake gcc libssl-dev make pkg-config zlib1g-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The caches outlive the layer, so a changed line does not build 400 crates again. The binary has to leave the cached
# folder within the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release -p callboard \
 && install -D target/release/callboard /out/callboard

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --user-group --home-dir /data --shell /usr/sbin/nologin callboard \
 && install -d -o callboard -g callboard /data
COPY --from=build /out/callboard /usr/local/bin/callboard
ENV CALLBOARD__DATA_DIR=/data
USER callboard
WORKDIR /data
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["callboard"]
CMD ["serve"]
