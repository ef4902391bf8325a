package embedded

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	port = "5432" // names the socket file; nothing listens on TCP

	// The shortest limit of the systems served: sun_path is 104 bytes on macOS
	// and 108 on Linux, with the final NUL.
	maxSocketPath = 103

	pollInterval = 20 * time.Millisecond
)

// cluster is a PostgreSQL data directory with the means to run it. Below dir:
//
//	postgres/      the data
//	postgres.log   what PostgreSQL said since it was last started, and .old before that
//	run/           the socket, unless its path would be too long
//	turn.lock      held by whoever starts or stops PostgreSQL
//	users.lock     held shared by every process that uses it
//	alive.lock     held by PostgreSQL itself: see launch
type cluster struct {
	dir       string
	socketDir string
	settings  map[string]string
	bin       string
	owner     account
	log       *slog.Logger
}

func openCluster(cfg Config, installed []installation) (*cluster, error) {
	if cfg.Dir == "" {
		return nil, errors.New("no data directory was given")
	}
	data := filepath.Join(cfg.Dir, "postgres")
	bin, err := choose(installed, data)
	if err != nil {
		return nil, err
	}
	owner, err := serverAccount(data)
	if err != nil {
		return nil, err
	}
	dir, err := makeDataDir(cfg.Dir, owner)
	if err != nil {
		return nil, err
	}
	c := &cluster{
		dir: dir, socketDir: filepath.Join(dir, "run"),
		settings: cfg.Settings, bin: bin, owner: owner, log: cfg.Log,
	}
	if len(c.socket()) > maxSocketPath {
		c.socketDir = fmt.Sprintf("/tmp/akin-%d-%.8x", owner.uid(), sha256.Sum256([]byte(dir)))
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func (c *cluster) data() string   { return filepath.Join(c.dir, "postgres") }
func (c *cluster) socket() string { return filepath.Join(c.socketDir, ".s.PGSQL."+port) }

// takeTurn waits to be the only process that creates, starts or stops this
// cluster; closing the file ends the turn.
func (c *cluster) takeTurn(ctx context.Context) (*os.File, error) {
	for {
		turn, err := tryLock(c.dir, "turn.lock", syscall.LOCK_EX)
		if !errors.Is(err, errLocked) {
			return turn, notWritable(c.dir, err)
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return nil, fmt.Errorf("wait for another process to start or stop PostgreSQL in %s: %w", c.dir, err)
		}
	}
}

// create runs initdb unless there is a cluster, beside the place where it
// belongs, so that a half-made one is never taken for whole. initdb inherits
// the turn: should this process be killed, the turn lasts until initdb ends.
func (c *cluster) create(ctx context.Context, turn *os.File) error {
	_, err := os.Stat(filepath.Join(c.data(), "PG_VERSION"))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	began := time.Now()
	half := c.data() + ".new"
	if err := os.RemoveAll(half); err != nil { // what a failed or killed initdb left
		return err
	}
	if err := c.owner.mkdir(half); err != nil {
		return notWritable(c.dir, err)
	}
	// Whoever can open the socket is trusted: its directory is the owner's
	// alone, and a password would have to lie beside it. Should TCP ever be
	// opened by a setting, everybody is turned away. Sorting by bytes is the one
	// order that no update of a library changes under an index; which characters
	// are letters is known for all alphabets, so that an index of trigrams has
	// some of each.
	letters := "C.UTF-8"
	if runtime.GOOS == "darwin" {
		letters = "en_US.UTF-8"
	}
	args := []string{
		"-D", "postgres.new", "--username=akin", "--encoding=UTF8", "--locale=C", "--lc-ctype=" + letters,
		"--auth-local=trust", "--auth-host=reject",
	}
	if c.settings["fsync"] == "off" {
		args = append(args, "--no-sync")
	}
	if err := c.run(ctx, turn, "initdb", args...); err != nil {
		return err
	}
	if err := appendFile(c.dir, "postgres.new/postgresql.conf", "include = 'akin.conf'\n"); err != nil {
		return err
	}
	if err := os.Rename(half, c.data()); err != nil {
		return err
	}
	c.log.InfoContext(ctx, "postgresql cluster created", "data_directory", c.dir, "duration", time.Since(began))
	return syncDir(c.dir)
}

// ensure returns a connection to the running PostgreSQL, starting it if need
// be. It must be called in turn.
func (c *cluster) ensure(ctx context.Context) (*pgconn.PgConn, error) {
	if err := c.owner.privateDir(c.socketDir); err != nil {
		return nil, err
	}
	began, launched, told := time.Now(), false, false
	for {
		conn, err := c.connect(ctx)
		if err == nil {
			if launched {
				c.log.InfoContext(ctx, "postgresql started", "data_directory", c.dir, "duration", time.Since(began))
			}
			return conn, nil
		}
		if launched, err = c.advance(ctx, err, launched); err != nil {
			return nil, err
		}
		if !told && time.Since(began) > 5*time.Second {
			told = true
			c.log.WarnContext(ctx, "waiting for postgresql", "data_directory", c.dir)
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return nil, fmt.Errorf("wait for PostgreSQL in %s: %w", c.dir, err)
		}
	}
}

// advance does what can be done about a failed connection: launch PostgreSQL if
// it was not yet, nothing if waiting may help, and else it says what is wrong.
// Two facts that only the kernel keeps, so that they are never stale, tell the
// cases apart: whether any process of the cluster lives, and whether somebody
// listens at the socket.
func (c *cluster) advance(ctx context.Context, failure error, launched bool) (bool, error) {
	if final(failure) {
		return launched, fmt.Errorf("PostgreSQL at %s: %w", c.socket(), failure)
	}
	alive, err := tryLock(c.dir, "alive.lock", syscall.LOCK_EX)
	if errors.Is(err, errLocked) {
		return launched, nil // it starts, recovers or stops, or is what is left of a killed one
	}
	if err != nil {
		return launched, err
	}
	defer alive.Close()
	switch {
	case temporary(failure):
		return launched, nil // somebody started it by hand
	case c.listening(ctx):
		return launched, fmt.Errorf("the socket %s is in use by something else: %w", c.socket(), failure)
	case launched:
		return launched, fmt.Errorf("it ended while it started: %s", c.logTail())
	}
	return true, c.launch(ctx, alive)
}

// launch starts PostgreSQL in the background, knowing that nothing of this
// cluster runs: alive is locked. pg_ctl, the postmaster and every process it
// forks inherit the file and with it the lock, which ends when the last of them
// does, however it ends.
func (c *cluster) launch(ctx context.Context, alive *os.File) error {
	if err := c.writeSettings(); err != nil {
		return err
	}
	if err := c.disownPidFile(); err != nil {
		return err
	}
	// PostgreSQL would refuse if the number in it now belonged to another live
	// process. Nobody listens, so nobody is robbed.
	if err := os.Remove(c.socket() + ".lock"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := c.freshLog(); err != nil {
		return err
	}
	// Relative paths, because pg_ctl hands them to a shell.
	return c.run(ctx, alive, "pg_ctl", "start", "-W", "-D", "postgres", "-l", "postgres.log")
}

// disownPidFile puts our process number into a postmaster.pid left behind.
// PostgreSQL takes that of pg_ctl's parent as stale, where one that by now
// belongs to a stranger would stop it. The rest of the file stays: with it
// PostgreSQL still refuses if the shared memory of the dead server is in use,
// as it is when somebody started the same cluster by hand with other settings.
func (c *cluster) disownPidFile() error {
	path := filepath.Join(c.data(), "postmaster.pid")
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, rest, _ := bytes.Cut(content, []byte("\n"))
	return writeFile(c.data(), "postmaster.pid", append(fmt.Appendf(nil, "%d\n", os.Getpid()), rest...))
}

func (c *cluster) writeSettings() error {
	settings := map[string]string{
		"timezone": "UTC",
		// What fails in a statement is the caller's to log; here it would let the
		// log grow without bound.
		"log_min_messages": "log",
		"log_checkpoints":  "off",
	}
	if runtime.GOOS == "linux" { // elsewhere PostgreSQL 14 refuses it
		// A statement whose client is gone ends, instead of running on, and after
		// a crash of the postmaster keeping the cluster from starting.
		settings["client_connection_check_interval"] = "2s"
	}
	maps.Copy(settings, c.settings)
	maps.Copy(settings, map[string]string{
		"listen_addresses":        "",
		"port":                    port,
		"unix_socket_directories": `"` + strings.ReplaceAll(c.socketDir, `"`, `""`) + `"`,
		"unix_socket_permissions": "0700",
	})
	quote := strings.NewReplacer(`\`, `\\`, `'`, `''`, "\n", `\n`)
	text := []byte("# Written at every start. ALTER SYSTEM overrides it.\n")
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		text = fmt.Appendf(text, "%s = '%s'\n", name, quote.Replace(settings[name]))
	}
	if err := writeFile(c.data(), "akin.conf", text); err != nil {
		return err
	}
	return c.owner.own(filepath.Join(c.data(), "akin.conf"))
}

// stop shuts PostgreSQL down, cutting its connections, and waits until its last
// process is gone. It must be called in turn. One that was started by hand does
// not hold the lock, and is left running.
func (c *cluster) stop(ctx context.Context) error {
	asked := false
	for {
		alive, err := tryLock(c.dir, "alive.lock", syscall.LOCK_EX)
		if err == nil {
			if asked {
				c.log.InfoContext(ctx, "postgresql stopped", "data_directory", c.dir)
			}
			if filepath.Dir(c.socketDir) != c.dir {
				_ = os.Remove(c.socketDir) // in /tmp; the next start makes it again
			}
			return alive.Close()
		}
		if !errors.Is(err, errLocked) {
			return err
		}
		if !asked {
			asked = c.askToStop(ctx)
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return fmt.Errorf("wait for PostgreSQL in %s: %w", c.dir, err)
		}
	}
}

// askToStop sends the signal of a fast shutdown, if the process to send it to
// is known: only while something listens is the number in the file not stale.
func (c *cluster) askToStop(ctx context.Context) bool {
	if !c.listening(ctx) {
		return false
	}
	content, err := os.ReadFile(filepath.Join(c.data(), "postmaster.pid"))
	if err != nil {
		return false
	}
	line, _, _ := bytes.Cut(content, []byte("\n"))
	pid, err := strconv.Atoi(string(line))
	return err == nil && pid > 1 && syscall.Kill(pid, syscall.SIGINT) == nil
}

// run runs one of PostgreSQL's programs in dir as the cluster's owner, with a
// bare environment (PGDATA, PGOPTIONS and secrets are not its business, and it
// outlives us) and one open file. TZ saves initdb a search of all time zones.
func (c *cluster) run(ctx context.Context, inherit *os.File, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, program), args...)
	cmd.Dir = c.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.owner.credential}
	cmd.ExtraFiles = []*os.File{inherit}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // initdb cleans up after itself
	cmd.WaitDelay = 5 * time.Second
	output, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if _, ran := errors.AsType[*exec.ExitError](err); !ran && errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("the user %s, as which PostgreSQL runs, may not enter %s or not run %s: "+
			"choose another data directory with AKIN_DATA_DIR: %w", c.owner.name, c.dir, cmd.Path, err)
	}
	return fmt.Errorf("%s: %w: %s", program, err, tail(output))
}

// freshLog gives PostgreSQL an empty log and keeps the one before, which says
// how it ended.
func (c *cluster) freshLog() error {
	path := filepath.Join(c.dir, "postgres.log")
	if err := os.Rename(path, path+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeFile(c.dir, "postgres.log", nil); err != nil {
		return err
	}
	return c.owner.own(path)
}

func (c *cluster) logTail() string {
	content, err := os.ReadFile(filepath.Join(c.dir, "postgres.log"))
	if err != nil {
		return err.Error()
	}
	return tail(content)
}

// tail is the end of what a program said, short enough for an error.
func tail(output []byte) string {
	output = bytes.TrimSpace(output)
	return string(output[max(0, len(output)-2000):])
}
