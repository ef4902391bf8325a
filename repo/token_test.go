package repo_test

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

// code returns the code of a model.Error; empty for nil and for any other error.
func code(err error) model.ErrorCode {
	var known *model.Error
	if errors.As(err, &known) {
		return known.Code
	}
	return ""
}

func TestTokens(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	recorded := &recorder{}
	db := open(t, url, recorded)
	store, write := repotest.NewStore(t, db, "store")
	read, created, err := db.CreateToken(t.Context(), "store", "reader", repo.ScopeRead, nil)
	if err != nil {
		t.Fatal(err)
	}
	for token, scope := range map[string]repo.Scope{write: repo.ScopeWrite, read: repo.ScopeRead} {
		got, err := db.Authenticate(t.Context(), token)
		if err != nil || got.StoreID != store.ID() || got.Scope != scope {
			t.Errorf("%+v, %v", got, err)
		}
		recorded.take()
		if _, err := db.Authenticate(t.Context(), token); err != nil {
			t.Error(err)
		}
		if again := recorded.take(); len(again) > 1 {
			t.Errorf("a verified token asked %v", again)
		}
	}
	if got, err := db.Authenticate(t.Context(), read); err != nil || got.ID != created.ID || got.Name != "reader" {
		t.Errorf("%+v, %v", got, err)
	}
	tokens, err := db.Tokens(t.Context(), "store")
	if err != nil || len(tokens) != 2 || tokens[0].Name != "test" || tokens[1].Name != "reader" {
		t.Errorf("the tokens are %+v, %v", tokens, err)
	}

	conn := connect(t, url)
	rows := one[string](t, conn, `SELECT string_agg(t::text, E'\n') FROM api_tokens t`)
	for _, token := range []string{write, read} {
		secret := token[len("akin_") : len(token)-6]
		if strings.Contains(rows, secret) || strings.Contains(rows, hex.EncodeToString([]byte(secret))) {
			t.Errorf("the database holds %s: %s", token, rows)
		}
	}
}

func TestNotATokenIsRefusedWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	recorded := &recorder{}
	db := open(t, repotest.URL(t), recorded)
	_, token := repotest.NewStore(t, db, "store")
	not := []string{"", "akin_", "Bearer " + token, token + "x", token + " ", token[1:], token[:len(token)-1], strings.ToUpper(token), strings.Repeat("a", 100_000), "akin_" + strings.Repeat("\x00", 33)}
	for i := range token { // every typo of one character, and every swap of two
		for _, c := range []byte("0Az_\xff") {
			if token[i] != c {
				not = append(not, token[:i]+string([]byte{c})+token[i+1:])
			}
		}
		if i > 0 && token[i] != token[i-1] {
			not = append(not, token[:i-1]+string([]byte{token[i], token[i-1]})+token[i+1:])
		}
	}
	recorded.take()
	for _, wrong := range not {
		if _, err := db.Authenticate(t.Context(), wrong); code(err) != model.CodeUnauthenticated || !strings.Contains(err.Error(), "malformed") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if asked := recorded.take(); len(asked) > 0 {
		t.Errorf("the database was asked %d times", len(asked))
	}
}

func TestTokensThatAreNotValid(t *testing.T) {
	t.Parallel()
	db, elsewhere := repotest.New(t), repotest.New(t)
	repotest.NewStore(t, db, "store")
	_, unknown := repotest.NewStore(t, elsewhere, "store")
	if _, err := db.Authenticate(t.Context(), unknown); code(err) != model.CodeUnauthenticated || !strings.Contains(err.Error(), "unknown") {
		t.Errorf("another database's token: %v", err)
	}
	past, soon := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	expired, _, err := db.CreateToken(t.Context(), "store", "expired", repo.ScopeWrite, &past)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Authenticate(t.Context(), expired); code(err) != model.CodeUnauthenticated || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired token: %v", err)
	}
	valid, _, err := db.CreateToken(t.Context(), "store", "expires later", repo.ScopeWrite, &soon)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Authenticate(t.Context(), valid); err != nil {
		t.Errorf("a token that expires in an hour: %v", err)
	}
}

func TestRevocationIsSeenByEveryServer(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	db, server := open(t, url, nil), open(t, url, nil)
	_, token := repotest.NewStore(t, db, "store")
	servers := []*repo.DB{db, server}
	for _, s := range servers { // which now have it in their caches
		if _, err := s.Authenticate(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.RevokeToken(t.Context(), "store", "test"); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Second)
	for _, s := range servers {
		for {
			_, err := s.Authenticate(t.Context(), token)
			if code(err) == model.CodeUnauthenticated && strings.Contains(err.Error(), "revoked") {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if time.Now().After(deadline) {
				t.Fatal("a token still works a second after it was revoked")
			}
		}
	}
	tokens, err := db.Tokens(t.Context(), "store")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.RevokeToken(t.Context(), "store", "test"); err != nil {
		t.Errorf("to revoke it again: %v", err)
	}
	again, err := db.Tokens(t.Context(), "store")
	if err != nil || !again[0].RevokedAt.Equal(*tokens[0].RevokedAt) {
		t.Errorf("revoked at %v and again at %v, %v", tokens[0].RevokedAt, again[0].RevokedAt, err)
	}
}

func TestNamesOfStoresAndTokens(t *testing.T) {
	t.Parallel()
	db := repotest.New(t)
	repotest.NewStore(t, db, "one")
	repotest.NewStore(t, db, "two") // with a token of the same name
	for name, call := range map[string]func() error{
		"a store's name twice": func() error { _, err := db.CreateStore(t.Context(), "one"); return err },
		"a store without name": func() error { _, err := db.CreateStore(t.Context(), " "); return err },
		"a store's long name":  func() error { _, err := db.CreateStore(t.Context(), strings.Repeat("x", 65)); return err },
		"a token's name twice": func() error { _, _, err := db.CreateToken(t.Context(), "one", "test", repo.ScopeRead, nil); return err },
		"a token without name": func() error { _, _, err := db.CreateToken(t.Context(), "one", "", repo.ScopeRead, nil); return err },
		"a token of no store": func() error {
			_, _, err := db.CreateToken(t.Context(), "three", "test", repo.ScopeRead, nil)
			return err
		},
		"a scope that is none":  func() error { _, _, err := db.CreateToken(t.Context(), "one", "admin", "admin", nil); return err },
		"the tokens of none":    func() error { _, err := db.Tokens(t.Context(), "three"); return err },
		"no token to revoke":    func() error { return db.RevokeToken(t.Context(), "one", "unknown") },
		"no store to revoke in": func() error { return db.RevokeToken(t.Context(), "three", "test") },
		"a store that is not":   func() error { _, err := db.FindStore(t.Context(), "three"); return err },
	} {
		if err := call(); code(err) != model.CodeBadUserInput {
			t.Errorf("%s: %v", name, err)
		}
	}
	stores, err := db.Stores(t.Context())
	if err != nil || !slices.IsSortedFunc(stores, func(a, b *model.Store) int { return strings.Compare(a.Name, b.Name) }) || len(stores) != 2 {
		t.Errorf("the stores are %+v, %v", stores, err)
	}
	self, err := db.Store(stores[0].ID).Self(t.Context())
	if err != nil || *self != *stores[0] {
		t.Errorf("%+v, %v", self, err)
	}
	if self, err := db.Store(uuid.New()).Self(t.Context()); self != nil || err != nil {
		t.Errorf("a store that is not: %+v, %v", self, err)
	}
}
