package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// outcome is what a measurement of one operation on one server found.
type outcome struct {
	perSecond float64
	within    int             // the requests that were answered in the time that was measured
	latencies []time.Duration // of those that were sent in it, sorted
	failures  int
	failure   error // one of them
	answers   int   // all, those outside of the time that was measured among them
}

// percentile returns the latency that this share of the requests did not exceed, 0 where there were none.
func (o *outcome) percentile(share float64) time.Duration {
	if len(o.latencies) == 0 {
		return 0
	}
	return o.latencies[int(share*float64(len(o.latencies)-1))]
}

// load sends the requests over so many connections, on each the next when the last was answered, for the time given after
// a fifth of it as a run-up, and checks each answer: an HTTP status other than 200, a GraphQL error, or not what the
// request wants is a failure. It returns an error only where it cannot connect.
func load(ctx context.Context, address string, requests []request, connections int, duration time.Duration) (*outcome, error) {
	start := time.Now().Add(duration / 5)
	results := make([]outcome, connections)
	errs := make([]error, connections)
	var all sync.WaitGroup
	for i := range connections {
		all.Go(func() {
			c := &client{requests: requests, random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
			errs[i] = c.run(ctx, address, start, start.Add(duration), &results[i])
		})
	}
	all.Wait()
	total := &outcome{}
	for _, r := range results {
		total.within += r.within
		total.latencies = append(total.latencies, r.latencies...)
		total.failures += r.failures
		total.answers += r.answers
		if r.failure != nil {
			total.failure = r.failure
		}
	}
	slices.Sort(total.latencies)
	total.perSecond = float64(total.within) / duration.Seconds()
	return total, errors.Join(ctx.Err(), errors.Join(errs...))
}

// client is one connection.
type client struct {
	requests []request
	random   *rand.Rand

	conn   net.Conn
	reader *bufio.Reader
	sent   []byte
	values []int64
	body   bytes.Buffer
}

const answerTimeout = 30 * time.Second

func (c *client) run(ctx context.Context, address string, start, end time.Time, result *outcome) error {
	defer func() {
		if c.conn != nil {
			c.conn.Close()
		}
	}()
	for ctx.Err() == nil {
		if c.conn == nil {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			if err != nil {
				return err
			}
			c.conn, c.reader = conn, bufio.NewReaderSize(conn, 64<<10)
		}
		began := time.Now()
		if began.After(end) {
			return nil
		}
		err := c.send(&c.requests[c.random.IntN(len(c.requests))])
		now := time.Now()
		result.answers++
		if err != nil {
			result.failures++
			result.failure = err
			continue
		}
		if now.After(start) && now.Before(end) {
			result.within++
		}
		if began.After(start) { // however long it took
			result.latencies = append(result.latencies, now.Sub(began))
		}
	}
	return nil
}

// send sends one request and checks its answer.
func (c *client) send(r *request) error {
	c.sent = append(c.sent[:0], r.text...)
	c.values = r.draw(c.random, c.values)
	r.fill(c.sent, c.values)
	err := c.conn.SetDeadline(time.Now().Add(answerTimeout))
	if err == nil {
		_, err = c.conn.Write(c.sent)
	}
	if err == nil {
		err = c.receive()
	}
	if err != nil {
		c.conn.Close()
		c.conn = nil
		return err
	}
	return r.check(c.body.Bytes())
}

func (c *client) receive() error {
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	c.body.Reset()
	if _, err := io.Copy(&c.body, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, shorten(c.body.Bytes()))
	}
	return nil
}

// check returns an error unless the answer is the one that is wanted.
func (r *request) check(answer []byte) error {
	if bytes.Contains(answer, []byte(`"errors":`)) {
		return fmt.Errorf("a GraphQL error: %s", shorten(answer))
	}
	for _, want := range r.want {
		if n := bytes.Count(answer, []byte(want.text)); n != want.n {
			return fmt.Errorf("%d of %s, want %d: %s", n, want.text, want.n, shorten(answer))
		}
	}
	return nil
}

func shorten(text []byte) []byte { return text[:min(len(text), 600)] }
