package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"akin/repo"
	"akin/transfer"
)

// generate runs the generator and returns its file and what it says must come of it.
func generate(t *testing.T, rows int, format string) (path string, want transfer.Report, customers int) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "run", "akin/bench/identities", "-rows", fmt.Sprint(rows), "-format", format)
	var says bytes.Buffer
	command.Stderr = &says
	text, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &says)
	}
	var said int
	if _, err := fmt.Sscanf(says.String(), "rows=%d created=%d updated=%d unchanged=%d failed=%d customers=%d",
		&said, &want.Created, &want.Updated, &want.Unchanged, &want.Failed, &customers); err != nil || said != rows {
		t.Fatalf("the generator said %q: %v", &says, err)
	}
	return write(t, "identities."+format, string(text)), want, customers
}

func TestImportKeepsOrClearsNames(t *testing.T) {
	t.Parallel()
	store := setup(t)
	for _, step := range []struct{ text, want string }{
		{"platform,platformCustomerId,email,firstName,lastName\nshopify,1,a@b.example,Jane,Doe\n", "Jane|Doe"},
		{"platform,platformCustomerId,email,firstName,lastName\nshopify,1,a@b.example,,Roe\n", "Jane|Roe"},
		{`{"platform":"shopify","platformCustomerId":"1","email":"a@b.example","firstName":null}`, "Jane|Roe"},
		{`{"platform":"shopify","platformCustomerId":"1","email":"a@b.example","firstName":""}`, "-|Roe"},
	} {
		mustImport(t, store, transfer.ImportConfig{Kind: transfer.Identities, File: write(t, "customers", step.text)})
		got, _ := contents(t, store)
		if want := []string{"shopify|1|a@b.example|" + step.want + "|of a@b.example|Jane|Doe"}; !slices.Equal(got, want) {
			t.Errorf("after %s\nthe store has %v, not %v", step.text, got, want)
		}
	}
}

func TestImportLetsTheLaterOfTwoRowsWithOneKeyWin(t *testing.T) {
	t.Parallel()
	store := setup(t)
	var text strings.Builder
	text.WriteString("platform,platformCustomerId,email,firstName\n")
	for i := range 200 { // far apart, near one another, in the same batch and in the next
		fmt.Fprintf(&text, "shopify,%d,person%d@b.example,Name %d\nWooCommerce,1,a@b.example,Name %d\n", i%50, i%50, i, i)
	}
	report := mustImport(t, store, transfer.ImportConfig{Kind: transfer.Identities, File: write(t, "customers.csv", text.String()), Concurrency: 8})
	wantReport(t, report, transfer.Report{Created: 51, Updated: 349})
	got, _ := contents(t, store)
	for _, want := range []string{
		"woocommerce|1|a@b.example|Name 199|-|of a@b.example|Name 0|-",
		"shopify|7|person7@b.example|Name 157|-|of person7@b.example|Name 7|-",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("the store lacks %s", want)
		}
	}
}

func TestImportComesToWhatTheGeneratorSays(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"csv", "ndjson"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			store := setup(t)
			file, want, wantCustomers := generate(t, 20_000, format)
			wantReport(t, mustImport(t, store, transfer.ImportConfig{Kind: transfer.Identities, File: file}), want)
			identities, customers := contents(t, store)
			if len(identities) != want.Created || customers != wantCustomers {
				t.Errorf("the store has %d identities and %d customers, not %d and %d",
					len(identities), customers, want.Created, wantCustomers)
			}
			second := mustImport(t, store, transfer.ImportConfig{Kind: transfer.Identities, File: file})
			// A row that a later one supersedes is written again, and so is the later one.
			if second.Created != 0 || second.Failed != want.Failed || second.Updated > 2*want.Updated || second.Rows() != want.Rows() {
				t.Errorf("the second import: %+v", second)
			}
			if again, _ := contents(t, store); !slices.Equal(again, identities) {
				t.Error("the second import changed the store")
			}
		})
	}
}

func TestImportIsUnchangedTheSecondTime(t *testing.T) {
	t.Parallel()
	store := setup(t)
	var text strings.Builder
	text.WriteString("platform,platformCustomerId,email,firstName\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "shopify,%d,person%d@b.example,\n", i, i%600)
	}
	file := write(t, "customers.csv", text.String())
	wantReport(t, mustImport(t, store, transfer.ImportConfig{Kind: transfer.Identities, File: file}), transfer.Report{Created: 1000})
	wantReport(t, mustImport(t, store, transfer.ImportConfig{Kind: transfer.Identities, File: file}), transfer.Report{Unchanged: 1000})
}

func TestImportGivesTheSameResultWhateverTheConcurrency(t *testing.T) {
	t.Parallel()
	file, want, _ := generate(t, 5_000, "csv")
	stores := map[int]*repo.Store{1: setup(t), 8: setup(t)}
	for concurrency, store := range stores {
		wantReport(t, mustImport(t, store, transfer.ImportConfig{Kind: transfer.Identities, File: file, Concurrency: concurrency}), want)
	}
	one, _ := contents(t, stores[1])
	eight, _ := contents(t, stores[8])
	if diff := cmp.Diff(one, eight); diff != "" {
		t.Errorf("1 at once and 8 (-1 +8):\n%s", diff)
	}
}

// stopping cancels after a number of bytes and then blocks until the test ends, as a pipe does that nobody writes to.
type stopping struct {
	source io.Reader
	left   int
	cancel func()
	ended  <-chan struct{}
}

func (s *stopping) Read(p []byte) (int, error) {
	if s.left <= 0 {
		s.cancel()
		<-s.ended
		return 0, io.EOF
	}
	n, err := s.source.Read(p[:min(len(p), 4096, s.left)])
	s.left -= n
	return n, err
}

// customerRows returns rows of customers, a hundred of whom already have an identity. One row in ten says something new of
// an earlier one's customer, and one in a hundred is bad.
func customerRows(n int) string {
	var text strings.Builder
	text.WriteString("external_id,email,first_name,phone_number,tags,properties\n")
	for i := range n {
		id, phone := i, "+1 (415) 555-2671"
		switch {
		case i%100 == 99:
			phone = "555-2671"
		case i%10 == 9:
			id = i / 2
		}
		fmt.Fprintf(&text, `%d,person%d@b.example,Name %d,%s,"tag %d,vip","{""row_%d"":%d}"`+"\n", id, id, i, phone, i%7, i%3, i)
	}
	return text.String()
}

// eventRows returns rows of events of a hundred customers. One row in ten says something else of an earlier event, and one
// in a hundred is of nobody.
func eventRows(n int) string {
	var text strings.Builder
	text.WriteString("email,source,type,event_id,occurred_at,properties\n")
	for i := range n {
		id, person := i, fmt.Sprint("person", i%100)
		switch {
		case i%100 == 99:
			person = "nobody"
		case i%10 == 9:
			id = i / 2
		}
		fmt.Fprintf(&text, `%s@b.example,quiz_app,quiz_finished,e%d,2026-03-09T14:02:06Z,"{""score"":%d}"`+"\n", person, id, i)
	}
	return text.String()
}

func TestImportCanBeStoppedAndRunAgain(t *testing.T) {
	t.Parallel()
	identities, _, _ := generate(t, 5_000, "csv")
	for kind, text := range map[transfer.Kind]string{
		transfer.Identities: read(t, identities), transfer.Customers: customerRows(5_000), transfer.Events: eventRows(5_000),
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			file := write(t, "rows.csv", text)
			whole, stopped := setup(t), setup(t)
			var known strings.Builder
			known.WriteString("platform,platform_customer_id,email\n")
			for i := range 100 {
				fmt.Fprintf(&known, "known,%d,Person%d@b.example\n", i, i)
			}
			for _, store := range []*repo.Store{whole, stopped} {
				mustImport(t, store, transfer.ImportConfig{Kind: transfer.Identities, File: write(t, "known.csv", known.String())})
			}
			count := func(store *repo.Store) int { return strings.Count(shown(t, store, kind), "\n") }
			before := count(stopped)
			want := mustImport(t, whole, transfer.ImportConfig{Kind: kind, File: file})

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stdin := &stopping{strings.NewReader(text), len(text) / 2, cancel, t.Context().Done()}
			report, err := transfer.Import(ctx, stopped, transfer.ImportConfig{
				Kind: kind, File: "-", Stdin: stdin, Failed: filepath.Join(t.TempDir(), "failed.csv"), Concurrency: 2,
			})
			if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), fmt.Sprintf("stopped after %d rows", report.Rows())) {
				t.Errorf("the error is %v", err)
			}
			half := count(stopped)
			if report.Created == 0 || half != before+report.Created || report.Rows() >= want.Rows() {
				t.Errorf("the store has %d new %s; the report is %+v", half-before, kind, report)
			}

			report = mustImport(t, stopped, transfer.ImportConfig{Kind: kind, File: file})
			if report.Rows() != want.Rows() || report.Failed != want.Failed || half+report.Created != count(whole) {
				t.Errorf("the second run: %+v, and in one go: %+v", report, want)
			}
			for _, kind := range order {
				if diff := cmp.Diff(sortedLines(shown(t, whole, kind)), sortedLines(shown(t, stopped, kind))); diff != "" {
					t.Errorf("%s in one go and in two (-one +two):\n%s", kind, diff)
				}
			}
			one, _ := contents(t, whole)
			two, _ := contents(t, stopped)
			if diff := cmp.Diff(one, two); diff != "" {
				t.Errorf("identities in one go and in two (-one +two):\n%s", diff)
			}
		})
	}
}

// sortedLines are without the order, which is that of creation: batches are written at once.
func sortedLines(text string) []string { return slices.Sorted(strings.Lines(text)) }
