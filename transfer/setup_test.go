package transfer_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
	"akin/transfer"
)

func TestMain(m *testing.M) { repotest.Main(m) }

func setup(t *testing.T) *repo.Store {
	t.Helper()
	store, _ := repotest.NewStore(t, repotest.New(t), "test")
	return store
}

// write makes a file of the test's own.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// mustImport imports as the command does, which writes two batches at once where nothing else is asked for.
func mustImport(t *testing.T, store *repo.Store, cfg transfer.ImportConfig) transfer.Report {
	t.Helper()
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 2
	}
	report, err := transfer.Import(t.Context(), store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func wantReport(t *testing.T, got, want transfer.Report) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(transfer.Report{}, "Elapsed", "FailedFile")); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func allCustomers(t *testing.T, store *repo.Store) []*model.Customer {
	t.Helper()
	return all(t, func(page model.PageArgs) (model.Connection[model.Customer], error) {
		connection, err := store.Customers(t.Context(), nil, nil, page)
		if err != nil {
			return model.Connection[model.Customer]{}, err
		}
		return connection.Connection, nil
	})
}

func allIdentities(t *testing.T, store *repo.Store) []*model.CustomerIdentity {
	t.Helper()
	return all(t, func(page model.PageArgs) (model.Connection[model.CustomerIdentity], error) {
		connection, err := store.CustomerIdentities(t.Context(), nil, nil, page)
		if err != nil {
			return model.Connection[model.CustomerIdentity]{}, err
		}
		return connection.Connection, nil
	})
}

// contents returns every identity of a store with its customer, one a line, sorted, and the number of customers.
func contents(t *testing.T, store *repo.Store) (identities []string, customers int) {
	t.Helper()
	byID := map[string]string{}
	for _, c := range allCustomers(t, store) {
		byID[c.ID.String()] = strings.Join([]string{name(c.EmailNormalized), name(c.FirstName), name(c.LastName)}, "|")
	}
	for _, i := range allIdentities(t, store) {
		identities = append(identities, strings.Join([]string{
			i.Platform, *i.PlatformCustomerID, *i.Email, name(i.FirstName), name(i.LastName), "of " + byID[i.CustomerID.String()],
		}, "|"))
	}
	slices.Sort(identities)
	return identities, len(byID)
}

func name(name *string) string {
	if name == nil {
		return "-"
	}
	return *name
}

// all reads a list page by page.
func all[T any](t *testing.T, read func(model.PageArgs) (model.Connection[T], error)) (nodes []*T) {
	t.Helper()
	first := model.MaxPage
	page := model.PageArgs{First: &first}
	for {
		connection, err := read(page)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, connection.Nodes...)
		if !connection.PageInfo().HasNextPage {
			return nodes
		}
		page.After = connection.PageInfo().EndCursor
	}
}
