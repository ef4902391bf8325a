package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNoPostgreSQLInstalled(t *testing.T) {
	t.Parallel()
	for name, installed := range map[string][]installation{
		"none at all":      nil,
		"only one too old": {{bin: "/old", major: 13}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			_, err := start(t.Context(), Config{Dir: dir}, installed)
			if !errors.Is(err, ErrNotInstalled) {
				t.Fatalf("got %v, want ErrNotInstalled", err)
			}
			for _, part := range []string{"DATABASE_URL", installHint()} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not say %q: %v", part, err)
				}
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a data directory was made: %v", err)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	onPath, newest := installation{bin: "/path", major: 16}, installation{bin: "/newest", major: 18}
	for name, test := range map[string]struct {
		cluster   string
		installed []installation
		want      string
	}{
		"a new cluster takes the first":             {"", []installation{onPath, newest}, "/path"},
		"a new cluster passes over one too old":     {"", []installation{{"/old", 13}, newest}, "/newest"},
		"an existing cluster takes its own version": {"18\n", []installation{onPath, newest}, "/newest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			if test.cluster != "" {
				if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(test.cluster), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := choose(test.installed, data)
			if err != nil || got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestInstallationsAreWhole(t *testing.T) {
	t.Parallel()
	found := installations(t.Context())
	if len(found) == 0 {
		t.Fatal("found no PostgreSQL where the other tests run one")
	}
	if got := inspectAll(t.Context(), []string{"", ".", t.TempDir(), "/nowhere"}); len(got) != 0 {
		t.Errorf("found PostgreSQL where there is none: %v", got)
	}
}

func TestFailedInitdb(t *testing.T) {
	t.Parallel()
	parent, err := os.MkdirTemp("", "akin-embedded-") // t.TempDir shuts out the user PostgreSQL runs as
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(parent); err != nil {
			t.Error(err)
		}
	})
	broken := filepath.Join(parent, "bin")
	if err := errors.Join(os.Chmod(parent, 0o755), os.Mkdir(broken, 0o755)); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho half > postgres.new/PG_VERSION\necho 'initdb: error: No space left on device' >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(broken, "initdb"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(parent, "data")
	_, err = start(t.Context(), Config{Dir: dir}, []installation{{bin: broken, major: 15}})
	if err == nil || !strings.Contains(err.Error(), "No space left on device") {
		t.Fatalf("got %v, want what initdb said", err)
	}
	// One that was killed left its half-made cluster, too.
	if err := os.MkdirAll(filepath.Join(dir, "postgres.new", "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	server, err := Start(t.Context(), Config{Dir: dir, Settings: map[string]string{"fsync": "off"}})
	if err != nil {
		t.Fatalf("the start after a failed one: %v", err)
	}
	if err := server.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
