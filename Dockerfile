# Akin alone, in some thirty megabytes: the database is another's, named by DATABASE_URL.

FROM node:24-alpine AS playground
WORKDIR /src
COPY graph/playground/package.json graph/playground/package-lock.json graph/playground/.npmrc ./
RUN npm ci
COPY graph/playground/ ./
RUN npm run build

FROM golang:1.26-alpine AS akin
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=playground /src/dist graph/playground/dist
RUN CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o /akin .

FROM scratch
# For a PostgreSQL reached over TLS.
COPY --from=akin /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=akin /akin /akin
USER 65532:65532
ENV AKIN_LISTEN=0.0.0.0:8080
EXPOSE 8080
ENTRYPOINT ["/akin"]
