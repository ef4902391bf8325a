package transfer_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"akin/repo"
	"akin/repo/repotest"
	"akin/transfer"
)

// order is that in which an empty store takes what another has.
var order = []transfer.Kind{transfer.Customers, transfer.Identities, transfer.Events}

// full returns a store with rows of all kinds, on more pages than one.
func full(t *testing.T) *repo.Store {
	t.Helper()
	store := setup(t)
	rows := map[transfer.Kind]*strings.Builder{}
	for _, kind := range order {
		rows[kind] = &strings.Builder{}
	}
	fmt.Fprintln(rows[transfer.Customers], strings.Join(strings.Fields(jane), " "))
	for _, properties := range []string{
		`{"a":"\"quoted\", with <b>&amp; 'all'","back_slash":"\\n","empty":"","unicode":"محمد 👩‍🚀 é"}`,
		`{"big":12345678901234567890.50,"small":1.10,"yes":true,"no":false,"number_text":"42","true_text":"true"}`, `{}`,
	} {
		n := len(properties)
		fmt.Fprintf(rows[transfer.Customers], `{"externalId":"p, \"%d\"","tags":["a,b","c"],"properties":%s}`+"\n", n, properties)
		fmt.Fprintf(rows[transfer.Events], `{"externalId":"p, \"%d\"","source":"s","type":"t","eventId":"=\"%d\", é","properties":%s}`+"\n", n, n, properties)
	}
	fmt.Fprintln(rows[transfer.Customers], `{"email":"only@doe.com","tags":["null"],"acceptsSmsMarketing":false}`)
	fmt.Fprintln(rows[transfer.Customers], `{"externalId":"only","tags":["[x"],"address":{"city":" Köln, \"am\" Rhein "}}`)
	for i := range 250 {
		fmt.Fprintf(rows[transfer.Customers], `{"externalId":"%d","email":"Person%d@B.example","firstName":" Name %d"}`+"\n", i, i, i)
		fmt.Fprintf(rows[transfer.Identities], `{"platform":"shopify","platformCustomerId":"%d,","email":"Person%d@b.example","lastName":"O'Neil \"%d\""}`+"\n", i, i/2, i)
		fmt.Fprintf(rows[transfer.Events], `{"email":"person%d@b.example","source":"s","type":"t","eventId":"%d","occurredAt":"2026-03-09T14:02:06.%06dZ"}`+"\n", i, i, i)
	}
	for _, kind := range order {
		report := mustImport(t, store, transfer.ImportConfig{Kind: kind, File: write(t, "rows.ndjson", rows[kind].String())})
		if report.Failed > 0 {
			t.Fatal(read(t, report.FailedFile))
		}
	}
	return store
}

func TestExportImportsToTheSame(t *testing.T) {
	t.Parallel()
	for _, format := range []string{transfer.CSV, transfer.NDJSON} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			from, to := full(t), setup(t)
			for _, kind := range order {
				file := filepath.Join(t.TempDir(), string(kind)+"."+format)
				rows, err := transfer.Export(t.Context(), from, transfer.ExportConfig{Kind: kind, File: file})
				if err != nil || rows < 250 {
					t.Fatal(rows, err)
				}
				first := mustImport(t, to, transfer.ImportConfig{Kind: kind, File: file})
				wantReport(t, first, transfer.Report{Created: rows})
				wantReport(t, mustImport(t, to, transfer.ImportConfig{Kind: kind, File: file}), transfer.Report{Unchanged: rows})
				wantReport(t, mustImport(t, from, transfer.ImportConfig{Kind: kind, File: file}), transfer.Report{Unchanged: rows})
			}
			for _, kind := range order {
				if diff := cmp.Diff(sortedLines(shown(t, from, kind)), sortedLines(shown(t, to, kind))); diff != "" {
					t.Errorf("%s (-exported +imported):\n%s", kind, diff)
				}
			}
			before, _ := contents(t, from)
			after, _ := contents(t, to)
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("identities and their customers (-exported +imported):\n%s", diff)
			}
		})
	}
}

// sortedLines are without the order, which is that of creation: batches are written at once.
func sortedLines(text string) []string { return slices.Sorted(strings.Lines(text)) }

func TestExportWritesWhatCanBeRead(t *testing.T) {
	t.Parallel()
	store := setup(t)
	mustImport(t, store, transfer.ImportConfig{Kind: transfer.Customers, File: write(t, "jane.ndjson", strings.Join(strings.Fields(jane), " "))})
	var out strings.Builder
	if _, err := transfer.Export(t.Context(), store, transfer.ExportConfig{Kind: transfer.Customers, Format: transfer.CSV, File: "-", Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	want := "externalId,email,phoneNumber,firstName,lastName,gender,accountCreatedAt,accountStatus,defaultLanguage,defaultCurrency,tags," +
		"address.address1,address.address2,address.company,address.city,address.state,address.provinceCode,address.zip,address.countryCode,address.phoneNumber," +
		"acceptsEmailMarketing,acceptsSmsMarketing,properties\n" +
		`7781,Jane@Doe.com,+14155552671,Jane,Doe,FEMALE,2021-03-05T10:00:00.123456Z,ENABLED,en,USD,"big spender,vip",` +
		`1 Main St,Flat 2,Doe & Sons,Berlin,Berlin,BE,10115,DE,+493012345678,true,false,"{""loyalty_tier"":""gold""}"` + "\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("CSV (-want +got):\n%s", diff)
	}
	for _, kind := range []transfer.Kind{transfer.Identities, transfer.Events} {
		if got := shown(t, store, kind); got != "" {
			t.Errorf("a store without %s exports %q", kind, got)
		}
	}
}

func TestExportOfNothingIsImportedAsNothing(t *testing.T) {
	t.Parallel()
	store := setup(t)
	for _, name := range []string{"rows.ndjson", "rows.csv", "rows"} {
		for _, kind := range order {
			file := filepath.Join(t.TempDir(), name)
			if n, err := transfer.Export(t.Context(), store, transfer.ExportConfig{Kind: kind, File: file}); err != nil || n != 0 {
				t.Fatal(n, err)
			}
			wantReport(t, mustImport(t, store, transfer.ImportConfig{Kind: kind, File: file}), transfer.Report{})
		}
	}
	nothing := transfer.ImportConfig{Kind: transfer.Events, File: "-", Stdin: strings.NewReader("")} // from an export in a pipe
	wantReport(t, mustImport(t, store, nothing), transfer.Report{})
}

// stoppingAt stops at the second page that is asked for.
type stoppingAt struct {
	pages int
	stop  func()
}

func (s *stoppingAt) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if strings.Contains(data.SQL, "ORDER BY") {
		s.pages++
		if s.pages == 2 {
			s.stop()
		}
	}
	return ctx
}

func (*stoppingAt) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestExportLeavesNoHalfFile(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	db, err := repo.Open(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	store, _ := repotest.NewStore(t, db, "test")
	var rows strings.Builder
	for i := range 250 {
		fmt.Fprintf(&rows, "person%d@doe.com\n", i)
	}
	mustImport(t, store, transfer.ImportConfig{Kind: transfer.Customers, File: write(t, "customers.csv", "email\n"+rows.String())})
	dir := t.TempDir()
	cfg := transfer.ExportConfig{Kind: transfer.Customers, File: filepath.Join(dir, "customers.ndjson")}
	if err := os.WriteFile(cfg.File, []byte("what was there"), 0o644); err != nil {
		t.Fatal(err)
	}
	wantOnly := func(text string) {
		t.Helper()
		if got := read(t, cfg.File); !strings.HasPrefix(got, text) {
			t.Errorf("the file has %.100q", got)
		}
		if files, _ := os.ReadDir(dir); len(files) != 1 {
			t.Errorf("in the directory there are %v", files)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	halfFiles := 0
	stopping, err := repo.Open(ctx, url, &stoppingAt{stop: func() {
		files, _ := os.ReadDir(dir)
		halfFiles = len(files) - 1
		cancel()
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopping.Close() })
	if _, err := transfer.Export(ctx, stopping.Store(store.ID()), cfg); err == nil || ctx.Err() == nil || halfFiles != 1 {
		t.Errorf("stopped with %d half files, it returns %v", halfFiles, err)
	}
	wantOnly("what was there")

	if n, err := transfer.Export(t.Context(), store, cfg); err != nil || n != 250 {
		t.Fatal(n, err)
	}
	wantOnly(`{"externalId":null,"email":"person0@doe.com"`)
	if info, err := os.Stat(cfg.File); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	cfg.File = dir
	if _, err := transfer.Export(t.Context(), store, cfg); err == nil || !strings.Contains(err.Error(), "is not a file that can be replaced") {
		t.Error(err)
	}
}
