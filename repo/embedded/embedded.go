// Package embedded runs a private PostgreSQL for a program that was given none.
//
// The cluster lives in one directory, is reached through a unix socket that
// only its owner can open, and belongs to every process that names the
// directory: the first one starts it, later ones join it, the last one stops
// it. It is not a child of any of them, so a killed process takes no data and
// no neighbour with it, and the next one finds the cluster running.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Config says where a private PostgreSQL lives and how it differs from the
// defaults.
type Config struct {
	// Dir is the directory that holds the cluster, its log and its locks. It is
	// made when missing. It must be on a file system with flock, that is, a
	// local one.
	Dir string

	// Settings are lines of postgresql.conf, by name. They hold for the process
	// that starts the cluster; one that joins a running cluster takes it as it
	// is. Where PostgreSQL listens cannot be changed.
	Settings map[string]string

	// Log is told of starts, stops and recoveries; nil is silence.
	Log *slog.Logger
}

// Server is one process's share in a running PostgreSQL.
type Server struct {
	cluster *cluster
	users   *os.File // locked shared while this process uses the cluster

	endWatch context.CancelFunc
	watched  sync.WaitGroup
	stopped  sync.Once
}

// Start returns when PostgreSQL accepts connections: one that ran already, or
// one started now, in a cluster made by initdb if Dir had none. While the Server
// is not stopped, a PostgreSQL that dies is started again.
//
// Start waits as long as ctx allows, because recovery after a crash takes as
// long as there is work to replay; ctx has no say once Start has returned.
// ErrNotInstalled is returned when there is no PostgreSQL to run. Any other
// error says what stands in the way, with the last words of the tool that
// failed, and leaves nothing behind that would stop the next Start.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	return start(ctx, cfg, installations(ctx))
}

// start is Start with a choice of installations, in order of preference.
func start(ctx context.Context, cfg Config, installed []installation) (*Server, error) {
	c, err := openCluster(cfg, installed)
	if err != nil {
		return nil, err
	}
	turn, err := c.takeTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer turn.Close()

	if err := c.create(ctx, turn); err != nil {
		return nil, fmt.Errorf("create the PostgreSQL cluster: %w", err)
	}
	users, err := tryLock(c.dir, "users.lock", syscall.LOCK_SH)
	if err != nil {
		return nil, err
	}
	s := &Server{cluster: c, users: users}
	conn, err := c.ensure(ctx)
	if err != nil {
		// The caller's time may be what ran out; leaving has its own.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), s.leave(ctx))
	}

	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.endWatch = cancel
	s.watched.Go(func() { s.watch(watch, conn) })
	return s, nil
}

// URL is the address of the database "akin", in the form of DATABASE_URL, for
// pgx and for psql. It is the same for every Start with the same Dir.
func (s *Server) URL() string { return s.cluster.url("akin") }

// Stop gives up this process's share. The last process to do so stops
// PostgreSQL, cutting what connections are left, and Stop returns when it is
// down; ctx bounds that wait, not the shutdown, which goes on. A second call
// does nothing and returns nil.
func (s *Server) Stop(ctx context.Context) (err error) {
	s.stopped.Do(func() { err = s.shutdown(ctx) })
	return err
}

func (s *Server) shutdown(ctx context.Context) error {
	s.endWatch()
	s.watched.Wait()
	turn, err := s.cluster.takeTurn(ctx)
	if err != nil {
		return errors.Join(err, s.users.Close())
	}
	defer turn.Close()
	return s.leave(ctx)
}

// leave must be called in turn, so that nobody joins a cluster about to stop.
func (s *Server) leave(ctx context.Context) error {
	defer s.users.Close()
	err := flock(s.users, syscall.LOCK_EX)
	if errors.Is(err, errLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.cluster.stop(ctx); err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	return nil
}

// watch holds an idle connection, which breaks the moment PostgreSQL dies, and
// then brings PostgreSQL back. Asking the system whether the process is alive
// would have to poll, and would be fooled by a zombie (a container whose first
// process reaps no children) and by a reused process number.
func (s *Server) watch(ctx context.Context, conn *pgconn.PgConn) {
	c := s.cluster
	for {
		for conn.WaitForNotification(ctx) == nil {
			continue // nothing listens, but a notification would not be a fault
		}
		_ = conn.Close(context.Background()) // what matters was said by the wait
		if ctx.Err() != nil {
			return
		}
		c.log.WarnContext(ctx, "postgresql connection lost", "data_directory", c.dir)
		conn = s.revive(ctx)
		if conn == nil {
			return
		}
		c.log.InfoContext(ctx, "postgresql is back", "data_directory", c.dir)
	}
}

// revive tries until PostgreSQL accepts connections again, and returns nil when
// ctx ends first.
func (s *Server) revive(ctx context.Context) *pgconn.PgConn {
	for {
		conn, err := s.ensureInTurn(ctx)
		if err == nil {
			return conn
		}
		if ctx.Err() != nil {
			return nil
		}
		s.cluster.log.ErrorContext(ctx, "postgresql does not come back", "error", err)
		if sleep(ctx, time.Second) != nil {
			return nil
		}
	}
}

func (s *Server) ensureInTurn(ctx context.Context) (*pgconn.PgConn, error) {
	turn, err := s.cluster.takeTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer turn.Close()
	return s.cluster.ensure(ctx)
}

// DefaultDir is the user's data directory for Akin: $XDG_DATA_HOME/akin, else
// ~/.local/share/akin (XDG Base Directory Specification), on macOS
// ~/Library/Application Support/akin. For root it is /var/lib/akin, because the
// user PostgreSQL then runs as may not enter root's home. It fails when the
// home directory is unknown.
func DefaultDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/akin", nil
	}
	if base := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "akin"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find a data directory: %w; AKIN_DATA_DIR names one, or DATABASE_URL a PostgreSQL elsewhere", err)
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support", "akin"), nil
	}
	return filepath.Join(home, ".local", "share", "akin"), nil
}
