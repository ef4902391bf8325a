package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"akin/model"
	"akin/repo"
)

type storeKey struct{}

func withStore(ctx context.Context, store *repo.Store) context.Context {
	return context.WithValue(ctx, storeKey{}, store)
}

// storeFrom returns the store that the request's token belongs to.
func storeFrom(ctx context.Context) *repo.Store {
	return ctx.Value(storeKey{}).(*repo.Store)
}

// authenticate returns the token of the one Authorization header, as RFC 6750 words it. It refuses a request without
// one, or with one that is not valid now, with 401, and returns UNAVAILABLE where the database cannot be asked.
func authenticate(ctx context.Context, db *repo.DB, header http.Header) (*repo.Token, error) {
	values := header.Values("Authorization")
	if len(values) == 0 {
		return nil, unauthenticated("", "a token is needed: Authorization: Bearer akin_…")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.Trim(token, " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" || strings.ContainsAny(token, " ,") {
		return nil, unauthenticated("invalid_token", "the Authorization header must be: Bearer, a space, one token")
	}
	known, err := db.Authenticate(ctx, token)
	if invalid, ok := errors.AsType[*model.Error](err); ok && invalid.Code == model.CodeUnauthenticated {
		return nil, unauthenticated("invalid_token", invalid.Message)
	}
	return known, err
}

// unauthenticated refuses with 401; code is RFC 6750's, empty where no token was sent, as its section 3.1 asks.
func unauthenticated(code, message string) error {
	challenge := `Bearer realm="akin"`
	if code != "" {
		challenge += fmt.Sprintf(`, error=%q, error_description=%q`, code, message)
	}
	return &refusal{
		status: http.StatusUnauthorized, header: "WWW-Authenticate", value: challenge,
		reason: &model.Error{Code: model.CodeUnauthenticated, Message: message},
	}
}

// authorize refuses a mutation to a token that may only read with 403.
func authorize(token *repo.Token, operation ast.Operation) error {
	if operation != ast.Mutation || token.Scope == repo.ScopeWrite {
		return nil
	}
	return &refusal{
		status: http.StatusForbidden, header: "WWW-Authenticate",
		value: `Bearer realm="akin", error="insufficient_scope", scope="write"`,
		reason: &model.Error{
			Code: model.CodeForbidden, Message: "a mutation needs a token of scope write; this one has scope read",
		},
	}
}
