package graph_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"akin/graph"
	"akin/repo"
	"akin/repo/repotest"
)

// throttle is what an answer tells of the rate limit.
type throttle struct {
	Extensions struct {
		Cost *struct {
			RequestedQueryCost int
			ThrottleStatus     struct{ MaximumAvailable, CurrentlyAvailable, RestoreRate int }
		}
	}
}

func (got answer) throttle(t *testing.T) throttle {
	t.Helper()
	var told throttle
	if err := json.Unmarshal([]byte(got.body), &told); err != nil {
		t.Fatal(err)
	}
	return told
}

// costs2102 is a query whose cost is 2 + 100 * (1 + 20).
const costs2102 = "{ customers(first: 100) { nodes { id identities(first: 18) { nodes { id } } } } }"

func TestATokenPaysForWhatItAsks(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(cfg *graph.Config) { cfg.RateLimit = graph.RateLimit{Capacity: 25_000, Restore: 1} })
	got := a.query(t, costs2102, nil)
	told := got.throttle(t).Extensions.Cost
	if got.status != http.StatusOK || told == nil {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	status := told.ThrottleStatus
	// A second or more may have gone by.
	if told.RequestedQueryCost != 2102 || status.MaximumAvailable != 25_000 || status.RestoreRate != 1 ||
		status.CurrentlyAvailable < 25_000-2102 || status.CurrentlyAvailable > 25_000-2000 {
		t.Errorf("extensions.cost is %+v", *told)
	}
	if policy := got.header.Get("RateLimit-Policy"); policy != `"cost";q=25000;w=25000` {
		t.Errorf("RateLimit-Policy is %q", policy)
	}
	left := status.CurrentlyAvailable
	if limit, want := got.header.Get("RateLimit"), `"cost";r=`+strconv.Itoa(left)+`;t=`+strconv.Itoa(25_000-left)+`;akin-cost=2102`; limit != want {
		t.Errorf("RateLimit is %q, want %q", limit, want)
	}

	for range 10 {
		a.query(t, costs2102, nil)
	}
	got = a.query(t, costs2102, nil)
	got.check(t, http.StatusTooManyRequests, "RATE_LIMITED", "the request costs 2102")
	told = got.throttle(t).Extensions.Cost
	wait, _ := strconv.Atoi(got.header.Get("Retry-After"))
	if missing := 2102 - told.ThrottleStatus.CurrentlyAvailable; wait < missing-2 || wait > missing+2 {
		t.Errorf("Retry-After is %d, %d are missing", wait, missing)
	}
	if got := a.send(t, request{body: `{"query":"` + costs2102 + `"}`}); got.status != http.StatusTooManyRequests {
		t.Errorf("in the older media type the status is %d", got.status)
	}
	if got := a.query(t, "{ store { name } }", nil); got.status != http.StatusOK {
		t.Errorf("a query for what is left: %d %s", got.status, got.body)
	}
	if got := a.query(t, "{ nonsense }", nil); got.throttle(t).Extensions.Cost.RequestedQueryCost != 1 {
		t.Errorf("a refused document costs something else than 1: %s", got.body)
	}
	a.token = a.otherToken(t)
	if got := a.query(t, costs2102, nil); got.status != http.StatusOK {
		t.Errorf("another token pays for it too: %d %s", got.status, got.body)
	}
}

func (a *api) otherToken(t *testing.T) string {
	t.Helper()
	token, _, err := a.db.CreateToken(t.Context(), "shop", "other", repo.ScopeWrite, nil)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestARefusedMutationWritesNothing(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(cfg *graph.Config) { cfg.RateLimit = graph.RateLimit{Capacity: 25_000, Restore: 1} })
	for range 11 {
		a.query(t, costs2102, nil)
	}
	document := `mutation { upsertCustomerIdentities(inputs: [` +
		strings.Repeat(`{platform: "p", platformCustomerId: "1", email: "a@doe.com"},`, 20) +
		`]) { results { customerIdentity { customer { identities(first: 100) { nodes { id } } } } } } }`
	a.query(t, document, nil).check(t, http.StatusTooManyRequests, "RATE_LIMITED", "used up")
	a.token = a.otherToken(t)
	if got := a.query(t, "{ customers { totalCount } }", nil); string(got.Data) != `{"customers":{"totalCount":0}}` {
		t.Errorf("%s", got.body)
	}
}

func TestWithoutARateLimitNothingIsToldOfIt(t *testing.T) {
	t.Parallel()
	got := newAPI(t).query(t, "{ store { name } }", nil)
	if got.header.Get("RateLimit") != "" || strings.Contains(got.body, "extensions") {
		t.Errorf("headers %v: %s", got.header, got.body)
	}
}

// TestATokenHasSoManyRequestsAtOnce holds the requests of one token at the database until one too many has come.
func TestATokenHasSoManyRequestsAtOnce(t *testing.T) {
	t.Parallel()
	address := repotest.URL(t)
	a := newAPIAt(t, address, func(cfg *graph.Config) { cfg.Limits.Concurrent = 2 })
	h := hold(t, address)
	first := make(chan answer, 2)
	for range 2 {
		go func() { first <- a.send(t, request{body: readCustomers}) }()
	}
	h.waits(t, 2)
	got := a.query(t, "{ store { name } }", nil)
	got.check(t, http.StatusTooManyRequests, "TOO_MANY_AT_ONCE", "2 requests under way; at most 2")
	if got.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
	}
	other := map[string]string{"Authorization": "Bearer " + a.otherToken(t)}
	if got := a.send(t, request{header: other, body: `{"query":"{ store { name } }"}`}); got.status != http.StatusOK {
		t.Errorf("another token is refused too: %d %s", got.status, got.body)
	}
	h.let()
	for range 2 {
		if got := <-first; got.status != http.StatusOK {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	if got := a.query(t, "{ store { name } }", nil); got.status != http.StatusOK {
		t.Errorf("afterwards: %d %s", got.status, got.body)
	}
}

func TestRateLimitsThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]graph.RateLimit{
		"a bucket that loses":                    {Restore: -1},
		"a bucket too small for an operation":    {Restore: 1, Capacity: 24_999},
		"a bucket that stays empty":              {Capacity: 50_000},
		"a bucket that regains beyond all bound": {Restore: 1 << 40},
	} {
		if limit.Verify(graph.Limits{}) == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for name, limit := range map[string]graph.RateLimit{
		"none": {},
		"a bucket with the capacity it has anyway": {Restore: 100},
		"a bucket for the dearest operation":       {Restore: 1, Capacity: 25_000},
	} {
		if err := limit.Verify(graph.Limits{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
