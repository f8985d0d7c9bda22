# Two images from one file:
#   docker build -t monite-proxy:local .                    the sidecar (default target)
#   docker build -t monite-sim:local --target sim .         the simulated Monite API
# Versions are stamped with --build-arg VERSION=... --build-arg COMMIT=...
#
# There is no "# syntax=" line on purpose: nothing here needs more than the front end built into
# Docker 23, and a front-end image would be one more thing to trust.
#
# Both base images are pinned by the digest of their multi-platform index; the tag is for people. To renew one:
#   docker buildx imagetools inspect golang:1.26.8-bookworm

# The builder runs on the build machine's own platform and cross-compiles, so an arm64 image needs no
# emulation on amd64.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm@sha256:a688600ca24f8a4d3ca77f95b0dd40704a9fc787c826660eb7ba0b641b8b175d AS source
WORKDIR /src
# Modules first: this layer is rebuilt only when they change.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod \
    go mod download
# .dockerignore is an allow-list, so "." is the Go source and nothing else.
COPY . .
ENV CGO_ENABLED=0

# One stage per binary: BuildKit then compiles only what the chosen target needs.
# -trimpath and -buildvcs=false: the same source gives the same bytes on any machine.
# The ARG lines stand in each stage because not every builder hands them down from a parent stage; an empty
# TARGETARCH would then quietly build for the builder's own.
FROM source AS build-sim
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
ARG COMMIT=unknown
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    GOOS="$TARGETOS" GOARCH="$TARGETARCH" go build -trimpath -buildvcs=false \
      -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" \
      -o /out/monite-sim ./cmd/monite-sim

FROM source AS build-proxy
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
ARG COMMIT=unknown
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    GOOS="$TARGETOS" GOARCH="$TARGETARCH" go build -trimpath -buildvcs=false \
      -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" \
      -o /out/monite-proxy ./cmd/monite-proxy

# Root certificates, /etc/passwd, time zones; no shell, no package manager.
FROM gcr.io/distroless/static-debian12:nonroot@sha256:afa5c872c891853ca7fcf1f12c3edb23f7eeef36189728842dd51042ff57f7ab AS runtime
# Numeric, because Kubernetes' runAsNonRoot cannot tell whether a name is root.
USER 65532:65532

FROM runtime AS sim
ARG VERSION=dev
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="monite-sim" \
      org.opencontainers.image.description="Simulated Monite API for trying out and testing monite-proxy" \
      org.opencontainers.image.source="https://github.com/monite-proxy/monite-proxy" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT"
COPY --from=build-sim /out/monite-sim /monite-sim
# A simulator that only its own container can reach is of no use, so this image listens on all interfaces.
ENV MONITE_SIM_LISTEN=0.0.0.0:8090
EXPOSE 8090
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["/monite-sim", "-health", "-listen", "127.0.0.1:8090"]
ENTRYPOINT ["/monite-sim"]

FROM runtime AS monite-proxy
ARG VERSION=dev
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="monite-proxy" \
      org.opencontainers.image.description="Sidecar that adds Monite authentication to plain local requests" \
      org.opencontainers.image.source="https://github.com/monite-proxy/monite-proxy" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT"
# Not readable: the kernel then closes the process to its own user from its first instruction, before it can do so itself.
COPY --from=build-proxy --chmod=0711 /out/monite-proxy /monite-proxy
# Where the root certificates are: in the bundle alone. Without this crypto/x509 also parses every file of the
# directories of certificates, of which most hold what the bundle has; an SSL_CERT_DIR that does not exist is empty.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt SSL_CERT_DIR=/nonexistent
# Documentation only. Both listeners stay on loopback unless told otherwise; publishing 8080 would hand
# the Monite account to whoever can reach it.
EXPOSE 8080 8081
# Ready, not merely alive: depends_on: service_healthy then means that a token is there.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["/monite-proxy", "health"]
ENTRYPOINT ["/monite-proxy"]
