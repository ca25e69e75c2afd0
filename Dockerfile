# Builds the one executable; used by docker-compose.yml.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package capstan

FROM debian:bookworm-slim
RUN useradd --system --create-home capstan
COPY --from=build /src/target/release/capstan /usr/local/bin/capstan
USER capstan
EXPOSE 7070
ENTRYPOINT ["capstan"]
