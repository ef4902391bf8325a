package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"akin/model"
)

// redact is the ReplaceAttr of the program's log. Errors are the attributes whose text is not ours: PostgreSQL, for one,
// quotes the values that it cannot take.
func redact(_ []string, attr slog.Attr) slog.Attr {
	if attr.Key == "error" {
		attr.Value = slog.StringValue(model.Redact(attr.Value.String()))
	}
	return attr
}

// serveMetrics serves /metrics at its own address until stop is called, where an address is given; else the registry is
// nil. They tell of all stores and ask for no token, so they are never beside the API, where a proxy that lets all paths
// through would publish them.
func (s *serveCommand) serveMetrics(ctx context.Context, c *cli, db *database) (registry prometheus.Registerer, stop func(), err error) {
	if s.Metrics == "" {
		return nil, func() {}, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Metrics)
	if err != nil {
		return nil, nil, fmt.Errorf("%w; AKIN_METRICS_LISTEN or --metrics-listen names another address", err)
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	db.Register(metrics)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	server := newServer(mux, c.log)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			c.log.ErrorContext(ctx, "metrics are not served any more", "error", err)
		}
	}()
	c.log.InfoContext(ctx, "serving metrics", "address", listener.Addr().String())
	return metrics, func() { server.Close(); <-done }, nil
}

// flushTimeout is how long traces may take to be sent when the server stops.
const flushTimeout = 5 * time.Second

// startTracing sends traces to where the flag says until flush is called; nowhere where it says nothing. Headers,
// certificates and sampling are settings of OpenTelemetry's own, such as OTEL_EXPORTER_OTLP_HEADERS and
// OTEL_TRACES_SAMPLER.
func (s *serveCommand) startTracing(ctx context.Context, c *cli) (flush func(), err error) {
	if s.Traces == "" {
		return func() {}, nil
	}
	endpoint, err := url.Parse(s.Traces)
	if err != nil || endpoint.Scheme != "http" && endpoint.Scheme != "https" || endpoint.Host == "" {
		return nil, errors.New("OTEL_EXPORTER_OTLP_ENDPOINT or --otlp-endpoint must be an http or https URL, such as http://localhost:4318")
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint.JoinPath("v1/traces").String()))
	if err != nil {
		return nil, fmt.Errorf("prepare to send traces: %w", err)
	}
	described, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "akin")),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describe the server for traces: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		c.log.WarnContext(ctx, "traces are lost", "error", err)
	}))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described))
	c.spans = provider
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			c.log.WarnContext(ctx, "traces are lost", "error", err)
		}
	}, nil
}
