package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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

func mustImport(t *testing.T, store *repo.Store, cfg transfer.ImportConfig) transfer.Report {
	t.Helper()
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

// contents returns every identity of a store with its customer, one a line, sorted, and the number of customers.
func contents(t *testing.T, store *repo.Store) (identities []string, customers int) {
	t.Helper()
	byID := map[string]string{}
	for _, c := range all(t, func(page model.PageArgs) (model.Connection[model.Customer], error) {
		connection, err := store.Customers(t.Context(), nil, nil, page)
		if err != nil {
			return model.Connection[model.Customer]{}, err
		}
		return connection.Connection, nil
	}) {
		byID[c.ID.String()] = strings.Join([]string{*c.EmailNormalized, name(c.FirstName), name(c.LastName)}, "|")
	}
	for _, i := range all(t, func(page model.PageArgs) (model.Connection[model.CustomerIdentity], error) {
		connection, err := store.CustomerIdentities(t.Context(), nil, nil, page)
		if err != nil {
			return model.Connection[model.CustomerIdentity]{}, err
		}
		return connection.Connection, nil
	}) {
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
		if !connection.PageInfo.HasNextPage {
			return nodes
		}
		page.After = connection.PageInfo.EndCursor
	}
}

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

func TestImportReads(t *testing.T) {
	t.Parallel()
	jane := []string{"woocommerce|cust_1|Jane@Doe.com|Jane|Doe|of jane@doe.com|Jane|Doe"}
	cases := map[string]struct {
		text string
		want []string
	}{
		"CSV in camelCase":          {"platform,platformCustomerId,email,firstName,lastName\nwoocommerce,cust_1,Jane@Doe.com,Jane,Doe\n", jane},
		"CSV in snake_case":         {"platform,platform_customer_id,email,first_name,last_name\nwoocommerce,cust_1,Jane@Doe.com,Jane,Doe\n", jane},
		"columns in any order":      {"last_name,email,platform,first_name,platformCustomerId\nDoe,Jane@Doe.com,woocommerce,Jane,cust_1\n", jane},
		"a platform in mixed case":  {"platform,platformCustomerId,email,firstName,lastName\nWooCommerce,cust_1,Jane@Doe.com,Jane,Doe\n", jane},
		"a BOM and Windows lines":   {"\ufeffplatform,platformCustomerId,email,firstName,lastName\r\nwoocommerce,cust_1,Jane@Doe.com,Jane,Doe\r\n", jane},
		"blank lines and no end":    {"\n\nplatform,platformCustomerId,email,firstName,lastName\n  \nwoocommerce,cust_1,Jane@Doe.com,Jane,Doe", jane},
		"CSV without optional ones": {"platform,platformCustomerId,email\nshopify,1,a@b.example\n", []string{"shopify|1|a@b.example|-|-|of a@b.example|-|-"}},
		"quoted CSV": {
			"\"platform\",platformCustomerId,email,firstName,lastName\n" + `shopify,"a,b","x@y.example","Robert ""Bob""","Smith, Jr."` + "\n",
			[]string{`shopify|a,b|x@y.example|Robert "Bob"|Smith, Jr.|of x@y.example|Robert "Bob"|Smith, Jr.`},
		},
		"NDJSON in camelCase":       {`{"platform":"woocommerce","platformCustomerId":"cust_1","email":"Jane@Doe.com","firstName":"Jane","lastName":"Doe"}`, jane},
		"NDJSON in snake_case":      {"\n{\"platform\":\"woocommerce\",\"platform_customer_id\":\"cust_1\",\"email\":\"Jane@Doe.com\",\"first_name\":\"Jane\",\"last_name\":\"Doe\"}\r\n\n", jane},
		"the seed's request":        {`{"customer_identity": {"platform":"woocommerce","platform_customer_id":"cust_1","email":"Jane@Doe.com","first_name":"Jane","last_name":"Doe"}}`, jane},
		"a header and nothing else": {"platform,platformCustomerId,email\n", nil},
		"RTL, emoji and two spellings of one address": {
			"platform,platformCustomerId,email,firstName\nshopify,1,José@BÜCHER.example,محمد 👩‍🚀\nshopify,2,jose\u0301@xn--bcher-kva.example,\n",
			[]string{
				"shopify|1|José@BÜCHER.example|محمد 👩‍🚀|-|of josé@xn--bcher-kva.example|محمد 👩‍🚀|-",
				"shopify|2|jose\u0301@xn--bcher-kva.example|-|-|of josé@xn--bcher-kva.example|محمد 👩‍🚀|-",
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := setup(t)
			file := write(t, "customers.txt", c.text)
			report := mustImport(t, store, transfer.ImportConfig{File: file})
			wantReport(t, report, transfer.Report{Created: len(c.want)})
			got, _ := contents(t, store)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("store (-want +got):\n%s", diff)
			}
			if report.FailedFile != "" {
				t.Errorf("there is a file of failed rows: %s", report.FailedFile)
			}
			if files, _ := os.ReadDir(filepath.Dir(file)); len(files) != 1 {
				t.Errorf("beside the file there are %v", files)
			}
		})
	}
}

func TestImportRefusesAFileBeforeItWritesAnything(t *testing.T) {
	t.Parallel()
	const row = "\nwoocommerce,cust_1,jane@doe.com,Jane\n"
	cases := map[string]struct{ text, want string }{
		"an unknown column":         {"platform,platformCustomerId,email,first" + row, `unknown column "first"; the columns are platform, platformCustomerId, email, firstName`},
		"a column twice":            {"platform,platformCustomerId,email,email" + row, `column "email" twice`},
		"a column in two spellings": {"platform,platformCustomerId,email,platform_customer_id" + row, `column "platform_customer_id" twice`},
		"a column missing":          {"platform,platformCustomerId,firstName\nwoocommerce,1,Jane\n", "lacks the column email"},
		"semicolons":                {"platform;platformCustomerId;email\nwoocommerce;1;jane@doe.com\n", "unknown column"},
		"no header":                 {"woocommerce,cust_1,jane@doe.com,Jane\n", "unknown column"},
		"a broken header":           {"platform,platform\"CustomerId,email\n", "header is not CSV"},
		"a header without end":      {strings.Repeat("x", 2<<20), "longer than"},
		"nothing":                   {"", "is empty"},
		"blank lines":               {"\n \n", "is empty"},
		"a JSON array":              {`[{"platform":"woocommerce"}]`, "JSON array"},
		"UTF-16":                    {"\xff\xfep\x00l\x00a\x00", "UTF-16"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := setup(t)
			report, err := transfer.Import(t.Context(), store, transfer.ImportConfig{File: write(t, "customers.csv", c.text)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, not one with %q", err, c.want)
			}
			wantReport(t, report, transfer.Report{})
			if got, _ := contents(t, store); got != nil {
				t.Errorf("the store has %v", got)
			}
		})
	}
	t.Run("no such file", func(t *testing.T) {
		t.Parallel()
		_, err := transfer.Import(t.Context(), nil, transfer.ImportConfig{File: filepath.Join(t.TempDir(), "none.csv")})
		if !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
	t.Run("failed rows over the file itself", func(t *testing.T) {
		t.Parallel()
		file := write(t, "customers.csv", "platform,platformCustomerId,email\n,,\n")
		_, err := transfer.Import(t.Context(), nil, transfer.ImportConfig{File: file, Failed: file})
		if err == nil || !strings.Contains(err.Error(), "is the file to read") {
			t.Error(err)
		}
	})
}

func TestImportPutsFailedRowsOfCSVIntoAFileThatCanBeMended(t *testing.T) {
	t.Parallel()
	store := setup(t)
	file := write(t, "customers.csv", strings.Join([]string{
		"platform,platformCustomerId,email,firstName,lastName",
		"woocommerce,1,jane@doe.com,Jane,Doe",
		"woocommerce,2,not an address,Jane,",
		"Woo Commerce,,x@y.example,Jane,Doe",
		"woocommerce,4,four@doe.com",
		"woocommerce,5,five@doe.com,Jane,Doe,more",
		`woocommerce,6,"six@doe.com,Jane,Doe`,
		`woocommerce,7,seven@doe.com,"Ja""ne",Doe`,
		`woocommerce,8,eight@doe.com,"two`, `lines",Doe`,
		"woocommerce,9,nine@doe.com,Ren\xe9,Doe",
		"woocommerce,10,ten@doe.com," + strings.Repeat("long", 1<<18) + ",Doe",
		"woocommerce,11,eleven@doe.com,Jane,Doe",
	}, "\n"))
	report := mustImport(t, store, transfer.ImportConfig{File: file})
	wantReport(t, report, transfer.Report{Created: 3, Failed: 8})
	failed := filepath.Join(filepath.Dir(file), "customers.failed.csv")
	if report.FailedFile != failed {
		t.Errorf("the failed rows are in %q", report.FailedFile)
	}
	first := strings.Join([]string{
		"line,error,platform,platformCustomerId,email,firstName,lastName",
		`3,"email must be an email address, such as jane@doe.com",woocommerce,2,not an address,Jane,`,
		`4,"platform must be made of a-z, 0-9, _ and -, beginning with a letter or digit; platformCustomerId must not be blank",Woo Commerce,,x@y.example,Jane,Doe`,
		`5,"the row has 3 fields and the header 5",woocommerce,4,four@doe.com`,
		`6,"the row has 6 fields and the header 5",woocommerce,5,five@doe.com,Jane,Doe,more`,
		`7,"the row is not CSV: extraneous or missing "" in quoted-field",woocommerce,6,"six@doe.com,Jane,Doe`,
		`9,"firstName must not contain control characters; it has U+000A",woocommerce,8,eight@doe.com,"two`, `lines",Doe`,
		`11,"firstName must be valid UTF-8",woocommerce,9,nine@doe.com,Ren` + "\xe9,Doe",
		`12,"the line is longer than 1048576 bytes and is left out here",`, "",
	}, "\n")
	if diff := cmp.Diff(first, read(t, failed)); diff != "" {
		t.Fatalf("failed rows (-want +got):\n%s", diff)
	}

	// Imported as it is, every row fails again, and none has grown.
	report = mustImport(t, store, transfer.ImportConfig{File: failed})
	wantReport(t, report, transfer.Report{Failed: 8})
	remarks := regexp.MustCompile(`(?m)^\d+,"([^"]|"")*",`)
	again := read(t, report.FailedFile)
	if diff := cmp.Diff(remarks.ReplaceAllString(first, ""), remarks.ReplaceAllString(again, "")); diff != "" {
		t.Errorf("rows failed again (-first +again):\n%s", diff)
	}

	mended := strings.NewReplacer("not an address", "two@doe.com", "Woo Commerce,,", "woocommerce,3,", "four@doe.com", "four@doe.com,,",
		",more", "", `"six@`, "six@", "\"two\nlines\"", "Two", "Ren\xe9", "René").Replace(again)
	report = mustImport(t, store, transfer.ImportConfig{File: write(t, "mended.csv", mended)})
	wantReport(t, report, transfer.Report{Created: 7, Failed: 1}) // the one that is left out
	if identities, _ := contents(t, store); len(identities) != 10 {
		t.Errorf("the store has %d identities:\n%s", len(identities), strings.Join(identities, "\n"))
	}
}

func TestImportPutsFailedRowsOfNDJSONIntoAFileThatCanBeMended(t *testing.T) {
	t.Parallel()
	store := setup(t)
	file := write(t, "customers.jsonl", strings.Join([]string{
		`{"platform":"woocommerce","platformCustomerId":"1","email":"jane@doe.com"}`,
		`{"platform":"woocommerce","platformCustomerId":"2","email":"jane"}`,
		`{"platform":"woocommerce","platformCustomerId":3,"email":"three@doe.com"}`,
		`{"platform":"woocommerce","platformCustomerId":"4","email":"four@doe.com","phone":"1"}`,
		`{"platform":"woocommerce","platformCustomerId":"5","email":"five@doe.com"`,
		`not JSON`,
		`"text"`,
		`{"customer_identity":{"platform":"woocommerce","platform_customer_id":"8"}}`,
		`{"platform":"woocommerce","platformCustomerId":"9","platform_customer_id":"9","email":"nine@doe.com"}`,
		`{"customer_identity":{"platform":"woocommerce","platform_customer_id":"10","email":"ten@doe.com"},"email":"x@y.example"}`,
		`{"platform":"woocommerce","platformCustomerId":"11","email":"eleven@doe.com","firstName":"` + strings.Repeat("long", 1<<18) + `"}`,
		`{"platform":"woocommerce","platformCustomerId":"12","email":"twelve@doe.com","firstName":"Ren` + "\xe9" + `"}`,
		`{"platform":"woocommerce","platformCustomerId":"13","email":"thirteen@doe.com"}`,
	}, "\n"))
	report := mustImport(t, store, transfer.ImportConfig{File: file})
	wantReport(t, report, transfer.Report{Created: 2, Failed: 11})
	const members = "; the members are platform, platformCustomerId, email, firstName and lastName, or their snake_case"
	first := []string{
		`{"line":2,"error":"email must be an email address, such as jane@doe.com","customer_identity":{"platform":"woocommerce","platformCustomerId":"2","email":"jane"}}`,
		`{"line":3,"error":"platformCustomerId must be a string","customer_identity":{"platform":"woocommerce","platformCustomerId":3,"email":"three@doe.com"}}`,
		`{"line":4,"error":"the row has the unknown member \"phone\"` + members + `","customer_identity":{"platform":"woocommerce","platformCustomerId":"4","email":"four@doe.com","phone":"1"}}`,
		`{"line":5,"error":"the row is not JSON: unexpected end of JSON input","customer_identity":"{\"platform\":\"woocommerce\",\"platformCustomerId\":\"5\",\"email\":\"five@doe.com\""}`,
		`{"line":6,"error":"the row is not JSON: invalid character 'o' in literal null (expecting 'u')","customer_identity":"not JSON"}`,
		`{"line":7,"error":"the row is not a JSON object","customer_identity":"text"}`,
		`{"line":8,"error":"email must not be blank","customer_identity":{"platform":"woocommerce","platform_customer_id":"8"}}`,
		`{"line":9,"error":"the row has platformCustomerId in both spellings","customer_identity":{"platform":"woocommerce","platformCustomerId":"9","platform_customer_id":"9","email":"nine@doe.com"}}`,
		`{"line":10,"error":"the row has the member \"email\" beside customer_identity","customer_identity":{"customer_identity":{"platform":"woocommerce","platform_customer_id":"10","email":"ten@doe.com"},"email":"x@y.example"}}`,
		`{"line":11,"error":"the line is longer than 1048576 bytes and is left out here","customer_identity":""}`,
		`{"line":12,"error":"firstName must not contain U+FFFD, which stands for text that was broken on its way","customer_identity":{"platform":"woocommerce","platformCustomerId":"12","email":"twelve@doe.com","firstName":"Ren` + "\xe9" + `"}}`,
	}
	if diff := cmp.Diff(strings.Join(first, "\n")+"\n", read(t, report.FailedFile)); diff != "" {
		t.Fatalf("failed rows (-want +got):\n%s", diff)
	}

	// Imported as it is, every row fails again, and none has grown.
	report = mustImport(t, store, transfer.ImportConfig{File: report.FailedFile})
	wantReport(t, report, transfer.Report{Failed: 11})
	again := strings.Split(read(t, report.FailedFile), "\n")
	for i, line := range first {
		_, want, _ := strings.Cut(line, `"customer_identity":`)
		if _, got, _ := strings.Cut(again[i], `"customer_identity":`); got != want {
			t.Errorf("failed again:\n%s\nfailed first:\n%s", got, want)
		}
	}

	mended := strings.NewReplacer(`"jane"`, `"two@doe.com"`, `Id":3`, `Id":"3"`, `,"phone":"1"`, "", `five@doe.com\""`, `five@doe.com\"}"`,
		`"8"`, `"8","email":"eight@doe.com"`, `"platform_customer_id":"9",`, "", `},"email":"x@y.example"}}`, `}}`,
		`"customer_identity":{"customer_identity"`, `"customer_identity"`, "\xe9", "é").Replace(strings.Join(again, "\n"))
	report = mustImport(t, store, transfer.ImportConfig{File: write(t, "mended.ndjson", mended)})
	wantReport(t, report, transfer.Report{Created: 8, Failed: 3})
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
		mustImport(t, store, transfer.ImportConfig{File: write(t, "customers", step.text)})
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
	report := mustImport(t, store, transfer.ImportConfig{File: write(t, "customers.csv", text.String()), Concurrency: 8})
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
			wantReport(t, mustImport(t, store, transfer.ImportConfig{File: file}), want)
			identities, customers := contents(t, store)
			if len(identities) != want.Created || customers != wantCustomers {
				t.Errorf("the store has %d identities and %d customers, not %d and %d",
					len(identities), customers, want.Created, wantCustomers)
			}
			second := mustImport(t, store, transfer.ImportConfig{File: file})
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
	wantReport(t, mustImport(t, store, transfer.ImportConfig{File: file}), transfer.Report{Created: 1000})
	wantReport(t, mustImport(t, store, transfer.ImportConfig{File: file}), transfer.Report{Unchanged: 1000})
}

func TestImportGivesTheSameResultWhateverTheConcurrency(t *testing.T) {
	t.Parallel()
	file, want, _ := generate(t, 5_000, "csv")
	stores := map[int]*repo.Store{1: setup(t), 8: setup(t)}
	for concurrency, store := range stores {
		wantReport(t, mustImport(t, store, transfer.ImportConfig{File: file, Concurrency: concurrency}), want)
	}
	one, _ := contents(t, stores[1])
	eight, _ := contents(t, stores[8])
	if diff := cmp.Diff(one, eight); diff != "" {
		t.Errorf("1 at once and 8 (-1 +8):\n%s", diff)
	}
}

// stopping cancels after a number of bytes and then blocks, as a pipe does that nobody writes to.
type stopping struct {
	source io.Reader
	left   int
	cancel func()
}

func (s *stopping) Read(p []byte) (int, error) {
	if s.left <= 0 {
		s.cancel()
		select {}
	}
	n, err := s.source.Read(p[:min(len(p), 4096, s.left)])
	s.left -= n
	return n, err
}

func TestImportCanBeStoppedAndRunAgain(t *testing.T) {
	t.Parallel()
	file, want, _ := generate(t, 5_000, "csv")
	whole, stopped := setup(t), setup(t)
	wantReport(t, mustImport(t, whole, transfer.ImportConfig{File: file}), want)

	text := read(t, file)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	report, err := transfer.Import(ctx, stopped, transfer.ImportConfig{
		File: "-", Stdin: &stopping{strings.NewReader(text), len(text) / 2, cancel}, Failed: filepath.Join(t.TempDir(), "failed.csv"),
	})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), fmt.Sprintf("stopped after %d rows", report.Rows())) {
		t.Errorf("the error is %v", err)
	}
	if half, _ := contents(t, stopped); report.Created == 0 || len(half) != report.Created || report.Rows() >= want.Rows() {
		t.Errorf("the store has %d identities; the report is %+v", len(half), report)
	}

	report = mustImport(t, stopped, transfer.ImportConfig{File: file})
	if report.Rows() != want.Rows() || report.Created >= want.Created {
		t.Errorf("the second run: %+v", report)
	}
	wanted, _ := contents(t, whole)
	got, _ := contents(t, stopped)
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("in one go and in two (-one +two):\n%s", diff)
	}
}

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
		File: "-", Stdin: &shutting{strings.NewReader(text), len(text) / 2, g}, Progress: progress,
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
		File: "-", Stdin: &shutting{strings.NewReader(text), len(text) / 2, g}, Patience: 50 * time.Millisecond,
		Failed: filepath.Join(t.TempDir(), "failed.csv"),
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
	mustImport(t, store, transfer.ImportConfig{File: file})
	if identities, _ = contents(t, store); len(identities) != want.Created {
		t.Errorf("after the second run the store has %d identities, not %d", len(identities), want.Created)
	}
}
