package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The flavours of servers: what they are told by and how they word the operations.
const (
	akin         = "akin"
	apollo       = "apollo"
	mercurius    = "mercurius"
	postgraphile = "postgraphile"
	bare         = "bare"
)

// poolSize is how many connections to the database each server may have, all its processes together.
const poolSize = 8

// server is one of those that are measured.
type server struct {
	name    string
	flavour string
	workers int // processes

	address string            // host and port
	header  string            // lines that its requests have
	cursors map[string]string // its cursor of the customer with an ID

	cmd *exec.Cmd
	log *os.File
}

// servers returns Akin, a bareServer, and Akin's peers, each with one and with two workers.
func servers() []*server {
	all := []*server{{name: akin, flavour: akin, workers: 1}, {name: bare, flavour: bare, workers: 1}}
	for _, flavour := range []string{postgraphile, mercurius, apollo} {
		for _, workers := range []int{1, 2} {
			all = append(all, &server{name: fmt.Sprintf("%s-%d", flavour, workers), flavour: flavour, workers: workers})
		}
	}
	return all
}

// programs are the files that servers are made of.
type programs struct {
	akin, self, node, pgbench, psql string
}

// find looks for the programs; it says which is missing.
func find(akinPath string) (*programs, error) {
	p := &programs{}
	var err error
	if p.akin, err = filepath.Abs(akinPath); err != nil {
		return nil, err
	}
	if _, err := exec.LookPath(p.akin); err != nil {
		return nil, fmt.Errorf("%w: `make build` makes it", err)
	}
	if p.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if p.node, err = lookPath("node", "bench/peers/node_modules/node-*/bin/node"); err != nil {
		return nil, fmt.Errorf("%w: `npm ci` in bench/peers installs it", err)
	}
	p.pgbench, err = lookPath("pgbench", "/usr/lib/postgresql/*/bin/pgbench", "/usr/pgsql-*/bin/pgbench", "/usr/libexec/postgresql*/pgbench",
		"/opt/homebrew/opt/postgresql*/bin/pgbench", "/usr/local/opt/postgresql*/bin/pgbench")
	p.psql = filepath.Join(filepath.Dir(p.pgbench), "psql")
	return p, err
}

// lookPath returns the last file that one of the patterns matches, or else the program of this name on PATH.
func lookPath(name string, patterns ...string) (string, error) {
	for _, pattern := range patterns {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return filepath.Abs(found[len(found)-1])
		}
	}
	return exec.LookPath(name)
}

// answers reports whether the server knows an operation.
func (s *server) answers(op *operation) bool {
	return s.flavour != bare || op.rows == 0 && bareOperations.MatchString(op.document)
}

// start starts the server with its log in dir, and returns when it accepts connections.
func (s *server) start(ctx context.Context, p *programs, env []string, dir string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.address = listener.Addr().String()
	listener.Close()
	_, port, _ := net.SplitHostPort(s.address)

	switch s.flavour {
	case akin:
		s.cmd = exec.CommandContext(ctx, p.akin)
	case bare:
		s.cmd = exec.CommandContext(ctx, p.self, bareCommand)
	case postgraphile:
		s.cmd = exec.CommandContext(ctx, p.node, "bench/peers/cluster.mjs", "./postgraphile.mjs")
	default:
		s.cmd = exec.CommandContext(ctx, p.node, "bench/peers/cluster.mjs", "./server.mjs")
	}
	if s.log, err = os.Create(filepath.Join(dir, s.name+".log")); err != nil {
		return err
	}
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.Env = append(s.cmd.Env, "NODE_ENV=production", "PORT="+port, "WORKERS="+strconv.Itoa(s.workers),
		"POOL="+strconv.Itoa(poolSize), "PEER="+s.flavour, "AKIN_LISTEN="+s.address)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // to be stopped whole
	s.cmd.Cancel = s.terminate
	if err := s.cmd.Start(); err != nil {
		return err
	}
	return s.await(ctx)
}

// await returns when the server accepts connections.
func (s *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen: %w; see %s", s.name, err, s.log.Name())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// stop ends the server's processes.
func (s *server) stop() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.terminate() // it may have ended
	_ = s.cmd.Wait()  // Node ends with the signal's status
	s.log.Close()
}

func (s *server) terminate() error { return syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM) }

// processes returns the IDs of the server's processes: the first one's and those that it forked.
func (s *server) processes() []int {
	pid := s.cmd.Process.Pid
	all := []int{pid}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for child := range strings.FieldsSeq(string(children)) {
		if n, err := strconv.Atoi(child); err == nil {
			all = append(all, n)
		}
	}
	return all
}

var errNoProc = errors.New("no /proc here to measure processor time and memory")

// cpu returns the processor time that the server's processes have taken.
func (s *server) cpu() (time.Duration, error) {
	var total time.Duration
	for _, pid := range s.processes() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, errNoProc
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // from the third, the state, on
		for _, field := range fields[11:13] {                                     // utime, stime
			ticks, err := strconv.Atoi(field)
			if err != nil {
				return 0, err
			}
			total += time.Duration(ticks) * (time.Second / 100) // USER_HZ
		}
	}
	return total, nil
}

// peakMemory returns the most memory that the server's processes have had resident, in bytes, each at its time.
func (s *server) peakMemory() (int64, error) {
	var total int64
	for _, pid := range s.processes() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, errNoProc
		}
		_, rest, _ := strings.Cut(string(text), "VmHWM:")
		line, _, _ := strings.Cut(rest, "kB")
		kilobytes, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		if err != nil {
			return 0, err
		}
		total += kilobytes << 10
	}
	return total, nil
}
