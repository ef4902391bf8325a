package repo_test

import (
	"encoding/hex"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

// code returns the code of a model.Error; empty for nil and for any other error.
func code(err error) model.ErrorCode {
	if known, ok := errors.AsType[*model.Error](err); ok {
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
		looked := 0
		for _, statement := range recorded.take() {
			if strings.HasPrefix(statement.sql, "SELECT") {
				looked++
			}
		}
		if looked > 1 {
			t.Errorf("a verified token was looked up %d times", looked)
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

// TestRotation has a token's user change over while both tokens are valid, on two servers.
func TestRotation(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	db, server := open(t, url, nil), open(t, url, nil)
	repotest.NewStore(t, db, "store")
	old, _, err := db.CreateToken(t.Context(), "store", "old", repo.ScopeRead, nil)
	if err != nil {
		t.Fatal(err)
	}
	later, soon := time.Now().Add(90*24*time.Hour), time.Now().Add(time.Hour)
	fresh, row, err := db.RotateToken(t.Context(), "store", "old", "new", 2*time.Hour, &later)
	if err != nil || row.Name != "new" || row.Scope != repo.ScopeRead || !row.ExpiresAt.Equal(later) {
		t.Fatalf("%+v, %v", row, err)
	}
	for _, s := range []*repo.DB{db, server} {
		for name, token := range map[string]string{"old": old, "new": fresh} {
			if got, err := s.Authenticate(t.Context(), token); err != nil || got.Name != name || got.Scope != repo.ScopeRead {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
	}
	expiry := func(name string) time.Time {
		t.Helper()
		tokens, err := db.Tokens(t.Context(), "store")
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range tokens {
			if token.Name == name {
				return *token.ExpiresAt
			}
		}
		t.Fatalf("no token %s", name)
		return time.Time{}
	}
	if left := time.Until(expiry("old")); left < time.Hour || left > 2*time.Hour {
		t.Errorf("the old token expires in %s, want two hours", left)
	}
	if _, _, err := db.CreateToken(t.Context(), "store", "short", repo.ScopeWrite, &soon); err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.RotateToken(t.Context(), "store", "short", "longer", 48*time.Hour, nil); err != nil || time.Until(expiry("short")) > time.Hour {
		t.Errorf("a rotation lengthens the old token's life: %v", err)
	}

	// Without grace the old token ends, and every server sees it.
	if _, _, err := db.RotateToken(t.Context(), "store", "new", "newest", 0, nil); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*repo.DB{db, server} {
		for deadline := time.Now().Add(time.Second); ; {
			if _, err := s.Authenticate(t.Context(), fresh); code(err) == model.CodeUnauthenticated {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("a token still works a second after its end")
			}
		}
	}
	for name, call := range map[string]func() error{
		"an expired token": func() error {
			_, _, err := db.RotateToken(t.Context(), "store", "new", "x", time.Hour, nil)
			return err
		},
		"a token that is not": func() error {
			_, _, err := db.RotateToken(t.Context(), "store", "none", "x", time.Hour, nil)
			return err
		},
		"a name that is taken": func() error {
			_, _, err := db.RotateToken(t.Context(), "store", "test", "newest", 0, nil)
			return err
		},
	} {
		if err := call(); code(err) != model.CodeBadUserInput {
			t.Errorf("%s: %v", name, err)
		}
	}
	tokens, err := db.Tokens(t.Context(), "store")
	if err != nil || tokens[0].Name != "test" || tokens[0].ExpiresAt != nil || len(tokens) != 6 {
		t.Errorf("a rotation that failed left %+v, %v", tokens, err)
	}
}

// TestLastUseIsWrittenOnce uses a token often on two servers.
func TestLastUseIsWrittenOnce(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	recorded := &recorder{}
	db, server := open(t, url, recorded), open(t, url, recorded)
	_, token := repotest.NewStore(t, db, "store")
	if _, _, err := db.CreateToken(t.Context(), "store", "unused", repo.ScopeRead, nil); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var tokens []*repo.Token
	for deadline := began.Add(10 * time.Second); len(tokens) == 0 || tokens[0].LastUsedAt == nil; {
		var err error
		if _, err = db.Authenticate(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if tokens, err = db.Tokens(t.Context(), "store"); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatal("the use was not written down")
		}
	}
	if used := *tokens[0].LastUsedAt; used.Before(began.Add(-time.Second)) || used.After(time.Now()) || tokens[1].LastUsedAt != nil {
		t.Errorf("used at %s and %v", used, tokens[1].LastUsedAt)
	}
	for range 1000 {
		for _, s := range []*repo.DB{db, server} {
			if _, err := s.Authenticate(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		}
	}
	written := 0
	for _, statement := range recorded.take() {
		if strings.Contains(statement.sql, "SET last_used_at") {
			written++
		}
	}
	if written != 1 {
		t.Errorf("the use was written down %d times", written)
	}

	// What another server wrote long ago is written anew, and a database that cannot be written to keeps nobody out.
	conn := connect(t, url)
	run(t, conn, `UPDATE api_tokens SET last_used_at = last_used_at - interval '2 minutes' WHERE name = 'test'`)
	reader := open(t, url+"&default_transaction_read_only=on", nil)
	if _, err := reader.Authenticate(t.Context(), token); err != nil {
		t.Errorf("a server that can only read: %v", err)
	}
	third := open(t, url, nil)
	for deadline := time.Now().Add(10 * time.Second); one[bool](t, conn, `SELECT last_used_at < now() - interval '1 minute' FROM api_tokens WHERE name = 'test'`); {
		if _, err := third.Authenticate(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatal("a later use was not written down")
		}
	}
}

func TestUnknownTokensWait(t *testing.T) {
	t.Parallel()
	db, elsewhere := repotest.New(t), repotest.New(t)
	_, unknown := repotest.NewStore(t, elsewhere, "store")
	began := time.Now()
	if _, err := db.Authenticate(t.Context(), unknown); code(err) != model.CodeUnauthenticated {
		t.Error(err)
	}
	if waited := time.Since(began); waited < 500*time.Millisecond {
		t.Errorf("an unknown token was refused after %s", waited)
	}
	registry := prometheus.NewRegistry()
	db.Register(registry)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
		# HELP akin_token_refusals_total Tokens that were refused, by reason: malformed, unknown, expired, revoked.
		# TYPE akin_token_refusals_total counter
		akin_token_refusals_total{reason="expired"} 0
		akin_token_refusals_total{reason="malformed"} 0
		akin_token_refusals_total{reason="revoked"} 0
		akin_token_refusals_total{reason="unknown"} 1
	`), "akin_token_refusals_total"); err != nil {
		t.Error(err)
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

// TestTheLookUpOfATokenIsShared shows a token at once to a server that does not know it yet, while the look-up has to
// wait, and goes on to show it when it has to wait again: by then it is known, and nobody waits for it.
func TestTheLookUpOfATokenIsShared(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	_, token := repotest.NewStore(t, open(t, url, nil), "store")
	r := &recorder{}
	db, conn := open(t, url, r), connect(t, url)
	lookUps := func() (n int) {
		for _, statement := range r.take() {
			if strings.HasPrefix(statement.sql, "SELECT") && strings.Contains(statement.sql, "api_tokens") {
				n++
			}
		}
		return n
	}
	lock := func() func() {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "LOCK TABLE api_tokens"); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	unlock := lock()
	var shows sync.WaitGroup
	for range 20 {
		shows.Go(func() {
			if _, err := db.Authenticate(t.Context(), token); err != nil {
				t.Error(err)
			}
		})
	}
	for one[int](t, conn, "SELECT count(*) FROM pg_locks WHERE relation = 'api_tokens'::regclass AND NOT granted") == 0 {
		runtime.Gosched()
	}
	unlock()
	shows.Wait()
	if n := lookUps(); n != 1 {
		t.Errorf("it was looked up %d times", n)
	}
	defer lock()()
	for lookUps() == 0 {
		if _, err := db.Authenticate(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
}
