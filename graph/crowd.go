package graph

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/google/uuid"

	"akin/model"
)

// crowd counts the requests of each token that are under way.
type crowd struct {
	most int // of one token

	mu    sync.Mutex
	count map[uuid.UUID]int
}

// enter lets a request of the token in, or refuses it with 429; who is in must leave.
func (c *crowd) enter(token uuid.UUID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count[token] >= c.most {
		return &refusal{
			status: http.StatusTooManyRequests, header: retryAfterHeader, value: "1",
			reason: &model.Error{
				Code:    model.CodeTooManyAtOnce,
				Message: fmt.Sprintf("the token has %d requests under way; at most %d are allowed at the same time", c.most, c.most),
			},
		}
	}
	c.count[token]++
	return nil
}

func (c *crowd) leave(token uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[token]--
	if c.count[token] == 0 {
		delete(c.count, token)
	}
}
