package graph

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"akin/model"
)

// RateLimit is what each token may ask for over time, in the manner of Shopify's GraphQL API: a bucket of cost that
// fills up again as time goes by, and out of which each request is paid. It is this server's alone: behind several, a
// token has as many buckets.
type RateLimit struct {
	Restore  int `env:"RESTORE" placeholder:"COST" help:"The cost that a token's bucket regains each second. Default: 0, which is no rate limit."`
	Capacity int `env:"CAPACITY" placeholder:"COST" help:"The cost that a token's bucket holds, at least the most that one operation may cost. Default: twice that."`
}

// Verify returns an error where the limit cannot be, beside these limits of one request.
func (r RateLimit) Verify(limits Limits) error {
	most := limits.withDefaults().Cost
	switch {
	case r.Restore < 0 || r.Restore > math.MaxInt32:
		return fmt.Errorf("a bucket must regain 0 to %d each second; it is %d", math.MaxInt32, r.Restore)
	case r.Capacity != 0 && (r.Capacity < most || r.Capacity > math.MaxInt32):
		return fmt.Errorf("a bucket must hold %d, which one operation may cost, to %d; it is %d", most, math.MaxInt32, r.Capacity)
	case r.Capacity != 0 && r.Restore == 0:
		return errors.New("a bucket that holds something must regain something")
	}
	return nil
}

// buckets are the tokens' buckets, by the tokens' IDs. One that is forgotten, for others have been used since, is full
// again.
type buckets struct {
	RateLimit

	known *lru.Cache[uuid.UUID, *rate.Limiter]
}

const maxBuckets = 10_000

// newBuckets returns nil where there is no limit.
func newBuckets(limit RateLimit, mostCost int) *buckets {
	if limit.Restore == 0 {
		return nil
	}
	if limit.Capacity == 0 {
		limit.Capacity = 2 * mostCost
	}
	known, err := lru.New[uuid.UUID, *rate.Limiter](maxBuckets)
	if err != nil {
		panic(err) // only for a size of none
	}
	return &buckets{RateLimit: limit, known: known}
}

// payment is what a request has paid, and out of which bucket. The nil payment is of a server without a rate limit.
type payment struct {
	RateLimit

	bucket *rate.Limiter
	cost   int
}

// begin returns the payment of a request that has paid nothing yet.
func (b *buckets) begin(token uuid.UUID) *payment {
	if b == nil {
		return nil
	}
	full := rate.NewLimiter(rate.Limit(b.Restore), b.Capacity)
	bucket, known, _ := b.known.PeekOrAdd(token, full)
	if known {
		b.known.Get(token) // it has been used
	} else {
		bucket = full
	}
	return &payment{RateLimit: b.RateLimit, bucket: bucket}
}

// raise pays what is missing to this cost, or refuses with 429 and when to come again.
func (p *payment) raise(cost int) error {
	if p == nil || cost <= p.cost {
		return nil
	}
	missing, now := cost-p.cost, time.Now()
	p.cost = cost
	reservation := p.bucket.ReserveN(now, missing)
	wait := reservation.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	reservation.CancelAt(now)
	return &refusal{
		status: http.StatusTooManyRequests, header: retryAfterHeader, value: seconds(wait),
		reason: &model.Error{
			Code: model.CodeRateLimited, Message: fmt.Sprintf("the token has used up its rate: the request costs %d; "+
				"%d is left, and %d comes back each second", cost, p.left(now), p.Restore),
		},
	}
}

// left returns what the bucket has now.
func (p *payment) left(now time.Time) int {
	return max(int(p.bucket.TokensAt(now)), 0)
}

// throttle is the extension of an answer that tells of the rate limit; the names are Shopify's.
type throttle struct {
	RequestedQueryCost int            `json:"requestedQueryCost"`
	ThrottleStatus     throttleStatus `json:"throttleStatus"`
}

type throttleStatus struct {
	MaximumAvailable   int `json:"maximumAvailable"`
	CurrentlyAvailable int `json:"currentlyAvailable"`
	RestoreRate        int `json:"restoreRate"` // each second
}

// tell puts into the header and the extensions what was asked and what is left. The header's fields are those of
// draft-ietf-httpapi-ratelimit-headers-10: q is what a bucket holds and w in how many seconds it fills, r is what is left
// and t in how many seconds it is full again; akin-cost, for such as are not the draft's begin with a vendor, is what was asked.
func (p *payment) tell(header http.Header, extensions map[string]any) map[string]any {
	if p == nil {
		return extensions
	}
	left := p.left(time.Now())
	fills := func(cost int) string {
		return seconds(time.Duration(cost) * time.Second / time.Duration(p.Restore))
	}
	header.Set(rateLimitPolicyHeader, fmt.Sprintf(`"cost";q=%d;w=%s`, p.Capacity, fills(p.Capacity)))
	header.Set(rateLimitHeader, fmt.Sprintf(`"cost";r=%d;t=%s;akin-cost=%d`, left, fills(p.Capacity-left), p.cost))
	if extensions == nil {
		extensions = map[string]any{}
	}
	extensions["cost"] = throttle{p.cost, throttleStatus{p.Capacity, left, p.Restore}}
	return extensions
}

// seconds is a time in whole seconds, rounded up.
func seconds(d time.Duration) string {
	return strconv.Itoa(int(math.Ceil(d.Seconds())))
}
