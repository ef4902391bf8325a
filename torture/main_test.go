// Package torture_test holds Akin to its promises while what it stands on fails. It runs the real program on a PostgreSQL
// of its own, and does to both what happens to servers. `make test` runs the short form; `make torture` the long one:
//
//	go test ./torture -long -soak 30m
package torture_test

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"akin/repo/repotest"
)

var long = flag.Bool("long", false, "run the long form: minutes instead of seconds")

// binary is the path of the program under test.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	dir, err := os.MkdirTemp("", "akin-torture-")
	if err == nil {
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "akin")
		err = build(binary)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if code := m.Run(); code != 0 {
		return code
	}
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(repotest.IgnoreProxy()...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// build builds the program, with the race detector where the tests have it.
func build(path string) error {
	args := []string{"build", "-o", path}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	output, err := exec.Command("go", append(args, "akin")...).CombinedOutput()
	if err != nil {
		return errors.Join(err, errors.New(string(output)))
	}
	return nil
}

// longer returns one of two values by the form that runs.
func longer[T any](shortForm, longForm T) T {
	if *long {
		return longForm
	}
	return shortForm
}

// within calls try until it succeeds, returns how long that took, and fails the test when it is longer than the limit.
func within(t *testing.T, limit time.Duration, what string, try func() error) time.Duration {
	t.Helper()
	took, err := until(limit, try)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return took
}

// until is within for goroutines, which may not end a test.
func until(limit time.Duration, try func() error) (time.Duration, error) {
	began := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		took := time.Since(began)
		if took > limit {
			return took, errors.Join(fmt.Errorf("it took longer than %s", limit), err)
		}
		if err == nil {
			return took, nil
		}
		<-tick.C
	}
}
