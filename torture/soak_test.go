package torture_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var soak = flag.Duration("soak", 0, "how long to soak; not at all where 0")

// resources are what a process holds.
type resources struct{ memory, files, connections int } // memory in KiB

// TestSoak keeps one server under full load, and compares what it holds in the last quarter with what it held in the
// second: memory, files and connections to PostgreSQL have to be flat, and so have the goroutines once the load is gone.
func TestSoak(t *testing.T) {
	t.Parallel()
	if *soak == 0 {
		t.Skip("-soak says for how long: make torture")
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("what a process holds is read from /proc")
	}
	p := startPostgres(t, nil)
	url := p.url + "&pool_max_conns=8"
	idle := func(how time.Duration) (samples []resources, goroutines int) {
		a := startAkin(t, url)
		a.ready(t)
		l := newLoad([]*akin{a}, newToken(t, url, fmt.Sprint("shop for ", how)))
		l.history = nil // it would grow here
		stop := l.run(16)
		t.Cleanup(stop)
		tick := time.NewTicker(max(how/200, 50*time.Millisecond))
		defer tick.Stop()
		for deadline := time.After(how); ; {
			select {
			case <-tick.C:
				samples = append(samples, a.resources(t, p))
				continue
			case <-deadline:
			}
			break
		}
		stop()
		l.report(t)
		t.Logf("%d writes and %d reads in %s", l.writes.Load(), l.reads.Load(), how)
		client.CloseIdleConnections()
		return samples, a.goroutines(t)
	}
	_, before := idle(*soak / 20)
	samples, after := idle(*soak)
	early, late := middle(samples[len(samples)/4:len(samples)/2]), middle(samples[len(samples)*3/4:])
	t.Logf("in the second quarter %+v, in the last %+v; idle goroutines %d and %d", early, late, before, after)
	if late.memory > early.memory*11/10+16<<10 || late.files > early.files+8 || late.connections > early.connections+1 || after > before+4 {
		t.Error("the server holds more and more")
	}
}

// middle returns the median of each resource.
func middle(samples []resources) resources {
	median := func(of func(resources) int) int {
		values := make([]int, len(samples))
		for i, s := range samples {
			values[i] = of(s)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return resources{
		memory: median(func(r resources) int { return r.memory }), files: median(func(r resources) int { return r.files }),
		connections: median(func(r resources) int { return r.connections }),
	}
}

// resources returns what the server holds now.
func (a *akin) resources(t *testing.T, p *postgres) (r resources) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d", a.command.Process.Pid)
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		if fields := strings.Fields(string(line)); len(fields) > 1 && fields[0] == "VmRSS:" {
			r.memory, _ = strconv.Atoi(fields[1])
		}
	}
	files, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil || r.memory == 0 {
		t.Fatalf("%v; VmRSS is %d", err, r.memory)
	}
	r.files = len(files)
	r.connections = one[int](t, p, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
	return r
}

// goroutines ends the server with SIGQUIT, upon which Go's runtime lists them.
func (a *akin) goroutines(t *testing.T) int {
	t.Helper()
	before := len(a.log.String())
	if err := a.command.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	_ = a.command.Wait() // says that it was killed
	a.command = nil
	n := len(regexp.MustCompile(`(?m)^goroutine \d+ `).FindAllString(a.log.String()[before:], -1))
	a.log.text.Truncate(before) // nothing in the list is a fault
	if n == 0 {
		t.Fatal("the runtime lists no goroutine")
	}
	return n
}
