package repo_test

import (
	"path/filepath"
	"testing"

	"akin/model"
	"akin/repo/repotest"
)

// TestWithoutAReplica reads beside servers that are no replica to read from. What one gives, torture's
// TestReadsFromAReplica shows.
func TestWithoutAReplica(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	for name, replica := range map[string]string{
		"no socket":             "host=" + filepath.Join(t.TempDir(), "none") + " user=akin dbname=akin",
		"one that never speaks": "postgres://akin@" + silentServer(t) + "/akin?sslmode=disable",
		"the primary itself":    url,
		"another primary":       repotest.URL(t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, url, nil)
			if err := db.ReadFrom(t.Context(), replica); err != nil {
				t.Fatal(err)
			}
			created, err := db.CreateStore(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			store := db.Store(created.ID)
			if _, err := store.UpsertCustomerIdentity(t.Context(), *input("1", "jane@doe.com")); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				ctx, end := db.Watch(t.Context(), 1<<20)
				page, err := store.Customers(ctx, nil, nil, model.PageArgs{})
				end()
				if err != nil || len(page.Nodes) != 1 {
					t.Fatalf("reads %+v, %v", page, err)
				}
			}
		})
	}
	t.Run("a URL that is none", func(t *testing.T) {
		t.Parallel()
		if err := open(t, url, nil).ReadFrom(t.Context(), "postgres://%"); err == nil {
			t.Error("it is taken")
		}
	})
}
