package transfer_test

import (
	"errors"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
	"akin/transfer"
)

// gate stands between an import and its database, and can be shut.
type gate struct {
	listener net.Listener
	mu       sync.Mutex
	shut     bool
	open     []net.Conn
	refused  int
}

// newGate returns a gate, and a database behind it.
func newGate(t *testing.T) (*gate, *repo.DB) {
	t.Helper()
	address, err := url.Parse(repotest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	query := address.Query()
	socket := filepath.Join(query.Get("host"), ".s.PGSQL."+query.Get("port"))
	g := &gate{}
	if g.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.listener.Close(); g.set(true) })
	go g.serve(socket)
	query.Del("host")
	query.Del("port")
	query.Set("sslmode", "disable")
	address.Host, address.RawQuery = g.listener.Addr().String(), query.Encode()
	db, err := repo.Open(t.Context(), address.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return g, db
}

func (g *gate) serve(socket string) {
	for {
		client, err := g.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", socket)
		if err != nil {
			client.Close()
			continue
		}
		g.mu.Lock()
		if g.shut {
			g.refused++
			client.Close()
			server.Close()
		} else {
			g.open = append(g.open, client, server)
			go func() { _, _ = io.Copy(client, server); client.Close() }()
			go func() { _, _ = io.Copy(server, client); server.Close() }()
		}
		g.mu.Unlock()
	}
}

// set shuts or opens the gate; shutting cuts what is open.
func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if shut {
		for _, conn := range g.open {
			conn.Close()
		}
		g.open = nil
	}
}

// opensOn opens the gate once something has been said.
type opensOn struct {
	gate *gate
	said strings.Builder
}

func (o *opensOn) Write(p []byte) (int, error) {
	o.gate.set(false)
	return o.said.Write(p)
}

// shutting shuts the gate after a number of bytes.
type shutting struct {
	source io.Reader
	left   int
	gate   *gate
}

func (s *shutting) Read(p []byte) (int, error) {
	if s.left > 0 {
		p = p[:min(len(p), 4096, s.left)]
	} else if s.gate != nil {
		s.gate.set(true)
		s.gate = nil
	}
	n, err := s.source.Read(p)
	s.left -= n
	return n, err
}

func TestImportWaitsForADatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	file, want, _ := generate(t, 5_000, "csv")
	g, db := newGate(t)
	store, _ := repotest.NewStore(t, db, "test")
	text := read(t, file)
	progress := &opensOn{gate: g}
	report := mustImport(t, store, transfer.ImportConfig{
		Kind: transfer.Identities, File: "-", Stdin: &shutting{strings.NewReader(text), len(text) / 2, g}, Progress: progress,
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
	g, db := newGate(t)
	store, _ := repotest.NewStore(t, db, "test")
	text := read(t, file)
	report, err := transfer.Import(t.Context(), store, transfer.ImportConfig{
		Kind: transfer.Identities, File: "-", Stdin: &shutting{strings.NewReader(text), len(text) / 2, g}, Patience: 50 * time.Millisecond,
		Failed: filepath.Join(t.TempDir(), "failed.csv"), Concurrency: 2,
	})
	var known *model.Error
	if !errors.As(err, &known) || known.Code != model.CodeUnavailable || !strings.Contains(err.Error(), "import the file again") {
		t.Errorf("the error is %v", err)
	}
	g.set(false)
	identities, _ := contents(t, store)
	if report.Rows() >= want.Rows() || len(identities) < report.Created {
		t.Errorf("the store has %d identities; the report is %+v", len(identities), report)
	}
	mustImport(t, store, transfer.ImportConfig{Kind: transfer.Identities, File: file})
	if identities, _ = contents(t, store); len(identities) != want.Created {
		t.Errorf("after the second run the store has %d identities, not %d", len(identities), want.Created)
	}
}
