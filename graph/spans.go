package graph

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traced gives each request that next answers a span, below its client's where it sends a traceparent. (otelhttp would
// do, but tells the User-Agent, the forwarded addresses and the tracestate, which hold whatever a client or a proxy
// writes there.)
func traced(provider trace.TracerProvider, next http.Handler) http.Handler {
	if provider == nil {
		return next
	}
	tracer := provider.Tracer("akin/graph")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.SpanContextFromContext(ctx).WithTraceState(trace.TraceState{}))
		ctx, span := tracer.Start(ctx, method(r)+" /graphql", trace.WithSpanKind(trace.SpanKindServer))
		defer func() {
			record := recordFrom(ctx)
			done := record.effort.Done()
			span.SetAttributes(
				attribute.String("http.request.method", method(r)), attribute.String("http.route", "/graphql"),
				attribute.Int("http.response.status_code", record.answer.status),
				attribute.String("graphql.operation.type", record.kind), attribute.String("graphql.operation.name", record.operation),
				attribute.Int("akin.cost", record.cost), attribute.Int("akin.rows", done.Rows),
				attribute.Int("akin.round_trips", done.RoundTrips), attribute.String("akin.store_id", record.storeID),
				attribute.String("akin.token", record.token), attribute.String("akin.request_id", record.id))
			if record.code != "" {
				span.SetAttributes(attribute.String("error.type", record.code))
			}
			if record.answer.status >= http.StatusInternalServerError {
				span.SetStatus(codes.Error, record.code)
			}
			span.End()
		}()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
