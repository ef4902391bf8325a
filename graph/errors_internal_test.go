package graph

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"akin/repo"
)

// TestAPanicOfAResolverIsInternal stands inside the package because no request from outside makes a resolver panic:
// here it has no store.
func TestAPanicOfAResolverIsInternal(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	exec := newEndpoint(Config{Log: slog.New(slog.NewTextHandler(&log, nil))}).exec
	ctx := context.WithValue(t.Context(), requestRecordKey{}, &requestRecord{id: "req-9"})
	ctx = withStore(graphql.StartOperationTrace(ctx), (*repo.Store)(nil))
	operation, errs := exec.CreateOperationContext(ctx, &graphql.RawParams{Query: "{ store { name } }"})
	if errs != nil {
		t.Fatal(errs)
	}
	next, ctx := exec.DispatchOperation(ctx, operation)
	response := next(ctx)
	if len(response.Errors) != 1 || response.Errors[0].Extensions["code"] != "INTERNAL" ||
		response.Errors[0].Message != internalMessage("req-9") {
		t.Errorf("errors %v", response.Errors)
	}
	if !strings.Contains(log.String(), "schema.resolvers.go") || !strings.Contains(log.String(), "req-9") {
		t.Errorf("the log does not say where: %s", log.String())
	}
}

// TestAPanicIsNeverLeftOutOfTheLog has a handler panic that has written nothing, as no request from outside can make ours.
func TestAPanicIsNeverLeftOutOfTheLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	handler := observe(newAccessLog(slog.New(slog.NewTextHandler(&log, nil)), 1), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("here") }))
	const requests = 5
	for range requests {
		func() {
			defer func() { _ = recover() }() // as net/http does
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		}()
	}
	if n := strings.Count(log.String(), "msg=request"); n != requests {
		t.Errorf("%d of %d requests are logged: %s", n, requests, log.String())
	}
}

func TestAFieldCalledVariableHasInternalErrorsLikeAnyOther(t *testing.T) {
	t.Parallel()
	p := presenter{log: slog.New(slog.DiscardHandler)}
	ctx := context.WithValue(t.Context(), requestRecordKey{}, &requestRecord{id: "req-9"})
	path := ast.Path{ast.PathName("variable"), ast.PathName("nodes"), ast.PathIndex(0)}
	shown := p.present(ctx, gqlerror.WrapPath(path, errors.New("secret")))
	if shown.Extensions["code"] != "INTERNAL" || shown.Message != internalMessage("req-9") || shown.Path.String() != path.String() {
		t.Errorf("shown %v", shown)
	}
}
