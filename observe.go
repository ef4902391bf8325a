package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

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
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelWarn),
	}
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
