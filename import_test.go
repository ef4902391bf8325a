package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"akin/repo/repotest"
)

// TestImportAndPageThroughAll imports realistic rows, and then pages through all of them over HTTP; every count
// must agree with what the maker of the rows says. AKIN_IMPORT_ROWS asks for more rows than the usual 10,000.
func TestImportAndPageThroughAll(t *testing.T) {
	t.Parallel()
	rows := 10_000
	if asked := os.Getenv("AKIN_IMPORT_ROWS"); asked != "" {
		var err error
		if rows, err = strconv.Atoi(asked); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "identities.csv")
	want := makeIdentities(t, file, rows)

	database := []string{"--database-url", repotest.URL(t)}
	akin := func(args ...string) (int, string, string) { return command(t, append(database, args...)...) }
	if code, _, stderr := akin("store", "create", "shop"); code != 0 {
		t.Fatal(stderr)
	}
	code, report, stderr := akin("import", "--store", "shop", file)
	t.Log(report)
	wanted := fmt.Sprintf("%d created, %d updated, %d unchanged, %d failed", want["created"], want["updated"], want["unchanged"], want["failed"])
	if code != 1 || !strings.Contains(report, wanted) {
		t.Fatalf("the import exits with %d, want 1 for the failed rows, and %s:\n%s%s", code, wanted, report, stderr)
	}

	_, token, _ := akin("token", "create", "--store", "shop", "--scope", "read")
	p := start(t, database...)
	token = strings.TrimSpace(token)
	customers, identities := p.pageThrough(t, token)
	if customers != want["customers"] || identities != want["created"] {
		t.Errorf("paging finds %d customers with %d identities, want %d with %d", customers, identities, want["customers"], want["created"])
	}
}

// TestExportFromOneStoreIsImportedIntoAnother moves a store by the command line alone, in both formats.
func TestExportFromOneStoreIsImportedIntoAnother(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	database := []string{"--database-url", repotest.URL(t)}
	akin := func(want int, args ...string) string {
		t.Helper()
		code, stdout, stderr := command(t, append(database, args...)...)
		if code != want {
			t.Fatalf("%v exits with %d:\n%s%s", args, code, stdout, stderr)
		}
		return stdout
	}
	kinds := map[string]string{
		"customers":  "external_id,email,gender,tags,address.city,properties.size\n1,jane@doe.com,F,\"vip,new\",Berlin,42\n",
		"identities": "platform,platform_customer_id,email\nshopify,7781,Jane@Doe.com\nwoocommerce,1,jane@doe.com\n",
		"events":     "email,source,type,event_id,properties\njane@doe.com,quiz_app,quiz_finished,1,\"{\"\"score\"\":9.5}\"\n",
	}
	for _, store := range []string{"first", "second", "third"} {
		akin(0, "store", "create", store)
	}
	for _, kind := range []string{"customers", "identities", "events"} {
		file := filepath.Join(dir, kind+".csv")
		if err := os.WriteFile(file, []byte(kinds[kind]), 0o600); err != nil {
			t.Fatal(err)
		}
		report := akin(0, "import", "--kind", kind, "--store", "first", file)
		if rows := strings.Count(kinds[kind], "\n") - 1; !strings.Contains(report, fmt.Sprintf("%d created", rows)) {
			t.Errorf("importing %s: %s", kind, report)
		}
		akin(0, "export", "--kind", kind, "--store", "first", file)
		akin(0, "import", "--kind", kind, "--store", "second", file)
		lines := filepath.Join(dir, kind+".ndjson")
		akin(0, "export", "--kind", kind, "--store", "second", lines)
		akin(0, "import", "--kind", kind, "--store", "third", lines)
		want := akin(0, "export", "--kind", kind, "--store", "first")
		if got := akin(0, "export", "--kind", kind, "--store", "third", "-"); got != want || !strings.HasPrefix(got, "{") {
			t.Errorf("%s: the third store has\n%sand the first\n%s", kind, got, want)
		}
		if got := akin(0, "export", "--kind", kind, "--store", "third", "--format", "csv"); strings.HasPrefix(got, "{") {
			t.Errorf("%s has NDJSON", got)
		}
		if text, _ := os.ReadFile(file); strings.HasPrefix(string(text), "{") {
			t.Errorf("%s has NDJSON", file)
		}
	}
	if help := akin(0, "export", "--help"); !strings.Contains(help, "use pg_dump") {
		t.Errorf("its help is\n%s", help)
	}
	akin(2, "export")
	akin(2, "export", "--kind", "orders")
	akin(1, "export", "--kind", "events", "--store", "none")
}

// makeIdentities writes a file of rows, and returns what an import of it must come to.
func makeIdentities(t *testing.T, file string, rows int) map[string]int {
	t.Helper()
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var said bytes.Buffer
	maker := exec.CommandContext(t.Context(), "go", "run", "./bench/identities", "-rows", strconv.Itoa(rows))
	maker.Stdout, maker.Stderr = out, &said
	if err := maker.Run(); err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	counts := map[string]int{}
	for word := range strings.FieldsSeq(said.String()) {
		name, value, _ := strings.Cut(word, "=")
		if counts[name], err = strconv.Atoi(value); err != nil {
			t.Fatalf("the maker says %s", said.String())
		}
	}
	return counts
}

// pageThrough reads every customer with its identities, and counts both, each once.
func (p *program) pageThrough(t *testing.T, token string) (customers, identities int) {
	t.Helper()
	type node struct{ ID string }
	var got struct {
		Data struct {
			Customers struct {
				TotalCount int
				Nodes      []struct {
					node
					Identities struct {
						TotalCount int
						Nodes      []node
					}
				}
				PageInfo struct {
					HasNextPage bool
					EndCursor   string
				}
			}
		}
	}
	seen := map[string]bool{}
	total, after := "totalCount", "null"
	for {
		status, body := p.post(t, token, fmt.Sprintf(`{ customers(first: 100, after: %s) { %s
			nodes { id identities(first: 100) { totalCount nodes { id } } } pageInfo { hasNextPage endCursor } } }`, after, total))
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
			t.Fatalf("%d %v: %.300s", status, err, body)
		}
		page := got.Data.Customers
		for _, customer := range page.Nodes {
			if len(customer.Identities.Nodes) != min(customer.Identities.TotalCount, 100) || customer.Identities.TotalCount == 0 {
				t.Errorf("customer %s shows %d of %d identities", customer.ID, len(customer.Identities.Nodes), customer.Identities.TotalCount)
			}
			seen[customer.ID] = true
			for _, identity := range customer.Identities.Nodes {
				seen[identity.ID] = true
				identities++
			}
		}
		customers += len(page.Nodes)
		if !page.PageInfo.HasNextPage {
			break
		}
		total, after = "", strconv.Quote(page.PageInfo.EndCursor)
		got.Data.Customers.Nodes = nil
	}
	if len(seen) != customers+identities {
		t.Errorf("%d of %d objects came twice", customers+identities-len(seen), customers+identities)
	}
	if got.Data.Customers.TotalCount != 0 && got.Data.Customers.TotalCount != customers {
		t.Errorf("totalCount is %d, want %d", got.Data.Customers.TotalCount, customers)
	}
	return customers, identities
}
