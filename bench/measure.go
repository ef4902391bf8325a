package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// measurement is what one measurement of an operation found; of pgbench only the rate and the mean latency are known.
type measurement struct {
	Round       int     `json:"round"`
	Operation   string  `json:"operation"`
	Connections int     `json:"connections"`
	Server      string  `json:"server"`
	PerSecond   float64 `json:"per_second"` // requests, or pgbench's transactions
	P50         float64 `json:"p50_ms,omitempty"`
	P99         float64 `json:"p99_ms,omitempty"`
	CPU         float64 `json:"cpu_us,omitempty"`      // of the server, for each request
	LoadCPU     float64 `json:"load_cpu_us,omitempty"` // of this program, for each request
	Failures    int     `json:"failures,omitempty"`
	Failure     string  `json:"failure,omitempty"` // one of them
}

const pgbench = "pgbench"

// measure warms every server up and then measures everything in rounds; what is to be compared is measured in turn.
func (b *bench) measure(ctx context.Context) (*result, error) {
	r := newResult(b)
	for i := range b.ops {
		for _, s := range b.servers {
			if b.requests[s][i] == nil {
				continue
			}
			if _, err := load(ctx, s.address, b.requests[s][i], 16, b.warm); err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	start := time.Now()
	for round := range b.rounds {
		for _, connections := range b.connections {
			for i := range b.ops {
				found, err := b.compareOn(ctx, i, connections, round)
				if err != nil {
					return nil, err
				}
				for _, m := range found {
					m.Round = round + 1
					r.Measurements = append(r.Measurements, *m)
				}
			}
			b.log.InfoContext(ctx, "measured", "round", round+1, "connections", connections, "since", time.Since(start).Round(time.Second))
		}
	}
	for _, s := range b.servers {
		if memory, err := s.peakMemory(); err == nil {
			r.Memory[s.name] = float64(memory) / (1 << 20)
		}
	}
	return r, nil
}

// compareOn measures one operation on pgbench and on every server, in turn; who begins changes from round to round, so that
// nobody is always behind the same one.
func (b *bench) compareOn(ctx context.Context, i, connections, round int) ([]*measurement, error) {
	op := &b.ops[i]
	duration := b.duration
	if !b.quick {
		duration = max(duration, op.least*time.Duration(connections)/16)
	}
	turns := []func() (*measurement, error){func() (*measurement, error) {
		return b.limits[i].measure(ctx, b.programs.pgbench, b.db.url, connections, duration)
	}}
	for _, s := range b.servers {
		if b.requests[s][i] == nil {
			continue
		}
		turns = append(turns, func() (*measurement, error) { return s.measure(ctx, b.requests[s][i], connections, duration) })
	}
	var found []*measurement
	for turn := range turns {
		if err := b.db.settle(ctx); err != nil {
			return nil, err
		}
		m, err := turns[(round+turn)%len(turns)]()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op.name, err)
		}
		m.Operation = op.name
		found = append(found, m)
	}
	return found, nil
}

func (s *server) measure(ctx context.Context, requests []request, connections int, duration time.Duration) (*measurement, error) {
	runtime.GC() // rather than in the midst of it
	before, cpuErr := s.cpu()
	loadBefore := ownCPU()
	found, err := load(ctx, s.address, requests, connections, duration)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	milliseconds := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	m := &measurement{
		Connections: connections, Server: s.name, PerSecond: found.perSecond, Failures: found.failures,
		P50: milliseconds(found.percentile(0.5)), P99: milliseconds(found.percentile(0.99)),
	}
	if found.failure != nil {
		m.Failure = found.failure.Error()
	}
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(max(found.answers, 1)) }
	m.LoadCPU = each(ownCPU() - loadBefore)
	after, err := s.cpu()
	if err = errors.Join(cpuErr, err); err == nil {
		m.CPU = each(after - before)
	} else if !errors.Is(err, errNoProc) {
		return nil, err
	}
	return m, nil
}

// ownCPU returns the processor time that this process has taken.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// mostClients is how many clients pgbench has at most. Each is a process of PostgreSQL's, and more of them than this are slower
// (measured: with 64 instead of 16 a batch comes at .7 to .9 of the rate), while a server's pool keeps their number.
const mostClients = 2 * poolSize

var (
	tpsPattern    = regexp.MustCompile(`tps = ([0-9.]+) \(without`)
	failedPattern = regexp.MustCompile(`failed transactions: [1-9]|aborted`)
)

// measure runs pgbench.
func (l *limit) measure(ctx context.Context, program, url string, connections int, duration time.Duration) (*measurement, error) {
	clients := min(connections, mostClients)
	// The IDs that a script makes have the time of its run in front.
	stamp := uuid.Must(uuid.NewV7()).String()[:13]
	seconds := max(1, int(duration.Round(time.Second)/time.Second))
	args := []string{
		"--no-vacuum", "--protocol=simple", "--time=" + strconv.Itoa(seconds), "--client=" + strconv.Itoa(clients),
		"--jobs=" + strconv.Itoa(min(2, clients)), "--define=ready=0", "--define=stamp=" + stamp,
	}
	for _, script := range l.scripts {
		args = append(args, "--file="+script)
	}
	output, err := exec.CommandContext(ctx, program, append(args, url)...).CombinedOutput()
	found := tpsPattern.FindSubmatch(output)
	if err != nil || found == nil || failedPattern.Match(output) {
		return nil, fmt.Errorf("pgbench: %w: %s", err, shorten(output))
	}
	tps, err := strconv.ParseFloat(string(found[1]), 64)
	return &measurement{Connections: connections, Server: pgbench, PerSecond: tps}, err
}

// compare readies the requests to each server and refuses to measure servers whose answers differ from Akin's, but for
// cursors, the IDs and times of what is new, and where a payload has its parts.
func (b *bench) compare(ctx context.Context) error {
	for _, s := range b.servers {
		for i := range b.ops {
			op := &b.ops[i]
			if !s.answers(op) {
				b.requests[s] = append(b.requests[s], nil)
				continue
			}
			requests, err := op.requests(s, b.samples)
			if err != nil {
				return err
			}
			b.requests[s] = append(b.requests[s], requests)
			var one *sample
			if op.sampled {
				one = b.samples[0]
			}
			want, err := b.answer(ctx, b.servers[0], op, one)
			if err != nil {
				return err
			}
			got, err := b.answer(ctx, s, op, one)
			if err != nil {
				return err
			}
			if diff := cmp.Diff(want, got); diff != "" {
				return fmt.Errorf("%s: %s answers otherwise than akin:\n%s", op.name, s.name, diff)
			}
		}
	}
	return nil
}

// answer returns the answer to one request, made comparable.
func (b *bench) answer(ctx context.Context, s *server, op *operation, one *sample) (any, error) {
	cursor := ""
	if one != nil {
		cursor = s.cursors[one.id]
	}
	text, err := op.body(s.flavour, one, cursor)
	if err != nil {
		return nil, err
	}
	t, err := newTemplate(text, op.draws)
	if err != nil {
		return nil, err
	}
	values := make([]int64, len(op.draws))
	for i, v := range op.draws {
		values[i] = v.low + time.Now().UnixNano()%v.count // new, where that matters
	}
	t.fill(t.text, values)
	var answer map[string]any
	if err := s.post(ctx, t.text, &answer); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", op.name, s.name, err)
	}
	return alike(answer, len(op.draws) > 0), nil
}

var digitsPattern = regexp.MustCompile(`\d{12}`)

// alike drops what servers may answer differently.
func alike(value any, drawn bool) any {
	switch v := value.(type) {
	case map[string]any:
		if inner, ok := v["result"]; ok && len(v) == 1 { // where PostGraphile puts what a function returns
			return alike(inner, drawn)
		}
		for name, member := range v {
			switch name {
			case "cursor", "endCursor", "userErrors", "createdCount", "updatedCount", "failedCount":
				delete(v, name)
			case "id", "createdAt", "updatedAt":
				if drawn {
					delete(v, name)
				} else if at, err := time.Parse(time.RFC3339, fmt.Sprint(member)); err == nil {
					v[name] = at.UnixMilli() // as precise as Akin tells it
				}
			default:
				v[name] = alike(member, drawn)
			}
		}
		return v
	case []any:
		for i := range v {
			v[i] = alike(v[i], drawn)
		}
		return v
	case string:
		if drawn {
			return digitsPattern.ReplaceAllString(v, "#")
		}
	}
	return value
}

// ask sends a document and decodes the answer's data.
func (s *server) ask(ctx context.Context, document string, variables map[string]any, data any) error {
	body, err := json.Marshal(map[string]any{"query": document, "variables": variables})
	if err != nil {
		return err
	}
	return s.post(ctx, body, data)
}

// post sends a request's body and decodes the answer's data; an error in the answer is one here.
func (s *server) post(ctx context.Context, body []byte, data any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.address+"/graphql", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	if name, value, ok := strings.Cut(strings.TrimSpace(s.header), ": "); ok {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	answer := struct {
		Data   any
		Errors []any
	}{Data: data}
	if err := json.Unmarshal(text, &answer); err != nil || response.StatusCode != http.StatusOK || answer.Errors != nil {
		return fmt.Errorf("%s: %s", response.Status, shorten(text))
	}
	return nil
}
