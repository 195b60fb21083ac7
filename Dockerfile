# The image from source, for builders that can pull a base image. `make image` builds the same with the host's compiler and pulls nothing.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
ARG COMMIT=unknown
# Not /src/target: a build folder of the host must not be taken for this one.
ENV CARGO_TARGET_DIR=/build
RUN DIZZY_KEYS_COMMIT="${COMMIT}" scripts/image --rootfs-only /rootfs.tar

# An archive keeps the modes of what is in it, which COPY from a stage does not promise.
FROM build AS unpack
RUN mkdir /rootfs && tar --extract --file /rootfs.tar --directory /rootfs --same-permissions

FROM scratch
COPY --from=unpack /rootfs/ /
LABEL org.opencontainers.image.title="dizzy-keys" \
      org.opencontainers.image.description="Rotates database credentials atomically, across databases and clouds" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
USER 1000:1000
ENTRYPOINT ["/dizzy-keys"]
