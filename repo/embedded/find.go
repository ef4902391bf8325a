package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ErrNotInstalled is returned by Start when no PostgreSQL of version 14 or later
// is found; its text names the command that installs one on this system.
var ErrNotInstalled = errors.New("PostgreSQL 14 or later is not installed")

// minMajor is the oldest version whose every feature Akin uses.
const minMajor = 14

// installation is a directory with initdb, pg_ctl and postgres.
type installation struct {
	bin   string
	major int
}

// installations are those on PATH, in its order, and then those in the places
// where packages put them without PATH, newest first.
func installations(ctx context.Context) []installation {
	var elsewhere []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
		"/usr/pgsql-*/bin",                  // PostgreSQL's own packages for Red Hat's family
		"/usr/libexec/postgresql*",          // Alpine
		"/opt/homebrew/opt/postgresql*/bin", // Homebrew on Apple silicon
		"/usr/local/opt/postgresql*/bin",    // Homebrew on Intel
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		matches, _ := filepath.Glob(pattern) // fails only on a bad pattern
		elsewhere = append(elsewhere, matches...)
	}
	packaged := inspectAll(ctx, elsewhere)
	slices.SortStableFunc(packaged, func(a, b installation) int { return cmp.Compare(b.major, a.major) })
	return append(inspectAll(ctx, filepath.SplitList(os.Getenv("PATH"))), packaged...)
}

func inspectAll(ctx context.Context, dirs []string) []installation {
	var found []installation
	for _, dir := range dirs {
		if major := inspect(ctx, dir); major > 0 {
			found = append(found, installation{bin: dir, major: major})
		}
	}
	return found
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// inspect returns the major version of the server in dir, 0 if it is not whole.
func inspect(ctx context.Context, dir string) int {
	for _, program := range []string{"initdb", "pg_ctl", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, program)); err != nil || !filepath.IsAbs(dir) {
			return 0
		}
	}
	output, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0
	}
	match := versionPattern.FindSubmatch(output)
	if match == nil {
		return 0
	}
	major, _ := strconv.Atoi(string(match[1])) // digits by the pattern
	return major
}

// choose returns the programs to run the cluster in data with: those of the
// version that made it, or the first new enough if there is none yet.
func choose(installed []installation, data string) (bin string, err error) {
	made, err := clusterMajor(data)
	if err != nil {
		return "", err
	}
	var majors []string
	for _, one := range installed {
		if one.major == made || made == 0 && one.major >= minMajor {
			return one.bin, nil
		}
		majors = append(majors, strconv.Itoa(one.major))
	}
	if made != 0 {
		return "", fmt.Errorf("the cluster in %s was made by PostgreSQL %d, and that version is not installed (found: %s): "+
			"install PostgreSQL %d, or choose another data directory with AKIN_DATA_DIR",
			data, made, cmp.Or(strings.Join(majors, ", "), "none"), made)
	}
	return "", fmt.Errorf("%w: %s, or set DATABASE_URL to a PostgreSQL of yours", ErrNotInstalled, installHint())
}

// clusterMajor is the version that made the cluster in data, 0 if there is none.
func clusterMajor(data string) (int, error) {
	content, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0, fmt.Errorf("%s does not hold the cluster of a PostgreSQL since 10: %w", data, err)
	}
	return major, nil
}

// installHint is the command that installs PostgreSQL with the package manager
// found on PATH.
func installHint() string {
	for _, manager := range []struct{ name, command string }{
		{"brew", "brew install postgresql@18"},
		{"apt-get", "apt-get install postgresql"},
		{"dnf", "dnf install postgresql-server"},
		{"apk", "apk add postgresql"},
	} {
		if _, err := exec.LookPath(manager.name); err != nil {
			continue
		}
		if manager.name != "brew" && os.Geteuid() != 0 {
			return "run `sudo " + manager.command + "`"
		}
		return "run `" + manager.command + "`"
	}
	return "install it from https://www.postgresql.org/download/"
}
