package repo

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestARequestWaitsForConnectionsAllInAll has a request wait in parts, after one another and at the same time, and looks
// how long the next may.
func TestARequestWaitsForConnectionsAllInAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pool{wait: 900 * time.Millisecond}
		ctx := context.WithValue(t.Context(), watchedKey{}, &watched{})
		waits := func(takes, may time.Duration) {
			_, err := bounded(ctx, p, func(ctx context.Context) (any, error) {
				deadline, _ := ctx.Deadline()
				if got := time.Until(deadline); got != may {
					t.Errorf("it may wait %s, want %s", got, may)
				}
				time.Sleep(takes)
				return nil, nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		waits(300*time.Millisecond, 800*time.Millisecond)
		time.Sleep(time.Hour) // a statement
		waits(100*time.Millisecond, 500*time.Millisecond)
		var parts sync.WaitGroup
		for range 10 {
			parts.Go(func() { waits(200*time.Millisecond, 400*time.Millisecond) })
		}
		parts.Wait()
		waits(300*time.Millisecond, 200*time.Millisecond)
		waits(0, 100*time.Millisecond) // for a connection that is free
	})
}
