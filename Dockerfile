# The router, without a shell or a package manager around it. `docker build -t switchboard .`
# docs/deploy.md says how to run it; scripts/dockerfile-steps goes through these steps without
# Docker, and knows only the forms that are used here.

FROM rust:1.95.0-slim-trixie AS build
WORKDIR /src
# The dependencies first, on empty sources: they are built again only when they change.
COPY Cargo.toml Cargo.lock ./
COPY loadtest/Cargo.toml loadtest/
COPY tests/planted/Cargo.toml tests/planted/
RUN mkdir -p src benches loadtest/src tests/planted/src out/data \
    && echo 'fn main() {}' > src/main.rs \
    && cp src/main.rs benches/append.rs \
    && cp src/main.rs loadtest/src/main.rs \
    && cp src/main.rs tests/planted/src/main.rs \
    && touch src/lib.rs loadtest/src/lib.rs \
    && cargo build --release --locked --bin switchboard
COPY src src
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked --bin switchboard \
    && cp target/release/switchboard out/

# glibc of the same Debian, and nothing else; its user 65532 is nobody else's.
FROM gcr.io/distroless/cc-debian13:nonroot@sha256:e792ab3d241a468a4fd7519ddbbebe66b49b5f365771716ea688ad40b6c6f1c2
WORKDIR /var/lib/switchboard
COPY --from=build /src/out/switchboard /usr/local/bin/switchboard
# A volume that is mounted here takes over the owner.
COPY --from=build --chown=65532:65532 /src/out/data /var/lib/switchboard/data
COPY config /etc/switchboard
ENV SWITCHBOARD_SERVER_LISTEN=0.0.0.0:8080
ENV SWITCHBOARD_SERVER_OPS_LISTEN=0.0.0.0:9090
ENV SWITCHBOARD_LOG_FORMAT=json
USER 65532:65532
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/switchboard", "health"]
ENTRYPOINT ["/usr/local/bin/switchboard"]
CMD ["serve"]
