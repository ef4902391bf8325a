package transfer_test

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
	"akin/transfer"
)

// behindProxy returns a store of a database behind a proxy that can be shut.
func behindProxy(t *testing.T) (*repotest.Proxy, *repo.Store) {
	t.Helper()
	proxy := repotest.NewProxy(t, repotest.URL(t))
	db, err := repo.Open(t.Context(), proxy.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	store, _ := repotest.NewStore(t, db, "test")
	return proxy, store
}

// opensOn opens the proxy once something has been said.
type opensOn struct {
	t     *testing.T
	proxy *repotest.Proxy
	said  strings.Builder
}

func (o *opensOn) Write(p []byte) (int, error) {
	o.proxy.Open(o.t)
	return o.said.Write(p)
}

// shutting shuts the proxy after a number of bytes.
type shutting struct {
	source io.Reader
	left   int
	proxy  *repotest.Proxy
}

func (s *shutting) Read(p []byte) (int, error) {
	if s.left > 0 {
		p = p[:min(len(p), 4096, s.left)]
	} else if s.proxy != nil {
		s.proxy.Shut()
		s.proxy = nil
	}
	n, err := s.source.Read(p)
	s.left -= n
	return n, err
}

func TestImportWaitsForADatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	file, want, _ := generate(t, 5_000, "csv")
	proxy, store := behindProxy(t)
	text := read(t, file)
	progress := &opensOn{t: t, proxy: proxy}
	report := mustImport(t, store, transfer.ImportConfig{
		Kind: transfer.Identities, File: "-", Stdin: &shutting{strings.NewReader(text), len(text) / 2, proxy}, Progress: progress,
		Failed: filepath.Join(t.TempDir(), "failed.csv"),
	})
	// A batch that was written when its connection was cut is sent again and found unchanged.
	if report.Rows() != want.Rows() || report.Created+report.Unchanged != want.Created+want.Unchanged || report.Failed != want.Failed {
		t.Errorf("the report is %+v, not %+v", report, want)
	}
	if !strings.Contains(progress.said.String(), "the database cannot be reached; waiting for it") {
		t.Errorf("it said %q", &progress.said)
	}
	if identities, _ := contents(t, store); len(identities) != want.Created {
		t.Errorf("the store has %d identities, not %d", len(identities), want.Created)
	}
}

func TestImportGivesUpOnADatabaseThatStaysAway(t *testing.T) {
	t.Parallel()
	file, want, _ := generate(t, 5_000, "csv")
	proxy, store := behindProxy(t)
	text := read(t, file)
	report, err := transfer.Import(t.Context(), store, transfer.ImportConfig{
		Kind: transfer.Identities, File: "-", Stdin: &shutting{strings.NewReader(text), len(text) / 2, proxy}, Patience: 50 * time.Millisecond,
		Failed: filepath.Join(t.TempDir(), "failed.csv"), Concurrency: 2,
	})
	if known, ok := errors.AsType[*model.Error](err); !ok || known.Code != model.CodeUnavailable || !strings.Contains(err.Error(), "import the file again") {
		t.Errorf("the error is %v", err)
	}
	proxy.Open(t)
	identities, _ := contents(t, store)
	if report.Rows() >= want.Rows() || len(identities) < report.Created {
		t.Errorf("the store has %d identities; the report is %+v", len(identities), report)
	}
	mustImport(t, store, transfer.ImportConfig{Kind: transfer.Identities, File: file})
	if identities, _ = contents(t, store); len(identities) != want.Created {
		t.Errorf("after the second run the store has %d identities, not %d", len(identities), want.Created)
	}
}
