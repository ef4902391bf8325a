package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"akin/model"
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
	// Where an identity has another email than its customer, and a customer no key at all, only the IDs tell who is meant.
	bare := upserted(t, store, &model.UpsertCustomerInput{By: model.CustomerKey{Email: new("person7@b.example")}, ExternalID: null, Email: null})
	moved := upserted(t, store, &model.UpsertCustomerInput{By: model.CustomerKey{Email: new("person8@b.example")}, Email: null})
	upserted(t, store, &model.UpsertCustomerInput{By: model.CustomerKey{ExternalID: new("only")}, Email: graphql.OmittableOf(new("person8@b.example"))})
	for _, c := range []*model.Customer{bare, moved} {
		event := model.UpsertCustomerEventInput{Customer: model.CustomerKey{ID: &c.ID}, Source: "s", Type: "t", EventID: c.ID.String()}
		if _, err := store.UpsertCustomerEvent(t.Context(), event); err != nil {
			t.Fatal(err)
		}
	}
	return store
}

var null = graphql.OmittableOf[*string](nil)

func upserted(t *testing.T, store *repo.Store, in *model.UpsertCustomerInput) *model.Customer {
	t.Helper()
	payload, err := store.UpsertCustomer(t.Context(), *in)
	if err != nil || payload.UserErrors != nil {
		t.Fatal(payload.UserErrors, err)
	}
	return payload.Customer
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
				if diff := cmp.Diff(exported(t, from, kind), exported(t, to, kind)); diff != "" {
					t.Errorf("%s (-exported +imported):\n%s", kind, diff)
				}
			}
			first, second := created(t, from), created(t, to)
			if diff := cmp.Diff(first, second); diff != "" || len(first) < 500 {
				t.Errorf("when %d objects were created (-exported +imported):\n%s", len(first), diff)
			}
		})
	}
}

// created returns when each customer and identity was created.
func created(t *testing.T, store *repo.Store) map[uuid.UUID]time.Time {
	t.Helper()
	at := map[uuid.UUID]time.Time{}
	for _, c := range allCustomers(t, store) {
		at[c.ID] = c.CreatedAt
	}
	for _, i := range allIdentities(t, store) {
		at[i.ID] = i.CreatedAt
	}
	return at
}

func TestExportWritesWhatCanBeRead(t *testing.T) {
	t.Parallel()
	store := setup(t)
	mustImport(t, store, transfer.ImportConfig{Kind: transfer.Customers, File: write(t, "jane.ndjson", strings.Join(strings.Fields(jane), " "))})
	var out strings.Builder
	if _, err := transfer.Export(t.Context(), store, transfer.ExportConfig{Kind: transfer.Customers, Format: transfer.CSV, File: "-", Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	want := "id,externalId,email,phoneNumber,firstName,lastName,gender,accountCreatedAt,accountStatus,defaultLanguage,defaultCurrency,tags," +
		"address.address1,address.address2,address.company,address.city,address.state,address.provinceCode,address.zip,address.countryCode,address.phoneNumber," +
		"acceptsEmailMarketing,acceptsSmsMarketing,properties\n" +
		allCustomers(t, store)[0].ID.String() + `,7781,Jane@Doe.com,+14155552671,Jane,Doe,FEMALE,2021-03-05T10:00:00.123Z,ENABLED,en,USD,"big spender,vip",` +
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
	wantOnly(`{"id":"`)
	if lines := strings.Count(read(t, cfg.File), "\n"); lines != 250 {
		t.Errorf("the file has %d rows", lines)
	}
	if info, err := os.Stat(cfg.File); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	file, link := cfg.File, filepath.Join(t.TempDir(), "link.ndjson")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	cfg.File = link
	if _, err := transfer.Export(t.Context(), store, cfg); err != nil {
		t.Error(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != fs.ModeSymlink || strings.Count(read(t, file), "\n") != 250 {
		t.Errorf("the link is %v, %v, and the file behind it not the export", info.Mode(), err)
	}
	cfg.File = dir
	if _, err := transfer.Export(t.Context(), store, cfg); err == nil || !strings.Contains(err.Error(), "is not a file that can be replaced") {
		t.Error(err)
	}
}

// TestExportClearsNothing has the export of a customer of whom an identity told come to a store that knows more.
func TestExportClearsNothing(t *testing.T) {
	t.Parallel()
	from := setup(t)
	mustImport(t, from, transfer.ImportConfig{File: write(t, "i.csv", "platform,platform_customer_id,email\nshopify,1,jane@doe.com\n"), Kind: transfer.Identities})
	for _, format := range []string{transfer.CSV, transfer.NDJSON} {
		to := setup(t)
		mustImport(t, to, transfer.ImportConfig{Kind: transfer.Customers, File: write(t, "jane.ndjson", strings.Join(strings.Fields(jane), " "))})
		file := filepath.Join(t.TempDir(), "customers."+format)
		if _, err := transfer.Export(t.Context(), from, transfer.ExportConfig{Kind: transfer.Customers, File: file}); err != nil {
			t.Fatal(err)
		}
		before := shown(t, to, transfer.Customers)
		wantReport(t, mustImport(t, to, transfer.ImportConfig{Kind: transfer.Customers, File: file}), transfer.Report{Updated: 1})
		if diff := cmp.Diff(strings.Replace(before, "Jane@Doe.com", "jane@doe.com", 1), shown(t, to, transfer.Customers)); diff != "" {
			t.Errorf("%s (-before +after):\n%s", format, diff)
		}
	}
}

// TestImportIntoAStoreThatHasSomeOfThem has an export come to a store that knows some of its customers under other IDs, and
// some of its rows changed since.
func TestImportIntoAStoreThatHasSomeOfThem(t *testing.T) {
	t.Parallel()
	store := setup(t)
	importing := func(kind transfer.Kind, text string, want transfer.Report, reasons ...string) {
		t.Helper()
		report := mustImport(t, store, transfer.ImportConfig{Kind: kind, File: write(t, "rows.csv", text)})
		wantReport(t, report, want)
		for _, reason := range reasons {
			if failed := read(t, report.FailedFile); !strings.Contains(failed, reason) {
				t.Errorf("no row failed because %s:\n%s", reason, failed)
			}
		}
	}
	const a, b, c, d = "019a0000-0000-7000-8000-00000000000a", "019a0000-0000-7000-8000-00000000000b",
		"019a0000-0000-7000-8000-00000000000c", "019a0000-0000-7000-8000-00000000000d"
	const i1, i2, i3, e1, e2 = "019b0000-0000-7000-8000-000000000001", "019b0000-0000-7000-8000-000000000002",
		"019b0000-0000-7000-8000-000000000003", "019c0000-0000-7000-8000-000000000001", "019c0000-0000-7000-8000-000000000002"
	importing(transfer.Customers, "external_id,email\n1,one@doe.com\n,two@doe.com\n", transfer.Report{Created: 2})
	importing(transfer.Customers, "id,external_id,email,first_name\n"+
		a+",1,one@doe.com,One\n"+ // known by its externalId
		b+",,two@doe.com,Two\n"+ // by its email
		c+",3,,Three\n"+
		d+",,,Four\n"+
		c+",,,Three again\n", transfer.Report{Created: 2, Updated: 3})
	if got := shown(t, store, transfer.Customers); strings.Count(got, "\n") != 4 || strings.Count(exported(t, store, transfer.Customers), "019a0000-") != 2 {
		t.Errorf("the customers are\n%s", got)
	}
	importing(transfer.Identities, "id,customer_id,platform,platform_customer_id,email\n"+
		i1+","+c+",shopify,1,one@doe.com\n"+ // the ID goes before the email
		i2+","+a+",shopify,2,one@doe.com\n"+ // the store has nobody with the ID
		i3+","+d+",shopify,3,new@doe.com\n", transfer.Report{Created: 3})
	importing(transfer.Identities, "id,customer_id,platform,platform_customer_id,email\n"+
		i1+","+d+",shopify,1,changed@doe.com\n"+ // is known, and stays with its customer
		i2+",,shopify,4,one@doe.com\n"+ // the ID is another identity's, and a customer's
		c+",,shopify,6,one@doe.com\n"+
		",,shopify,5,one@doe.com\n", transfer.Report{Created: 1, Updated: 1, Failed: 2}, "id must be the object's alone; another object has it")
	got, _ := contents(t, store)
	want := []string{
		"shopify|1|changed@doe.com|-|-|of -|Three again|-", "shopify|2|one@doe.com|-|-|of one@doe.com|One|-",
		"shopify|3|new@doe.com|-|-|of -|Four|-", "shopify|5|one@doe.com|-|-|of one@doe.com|One|-",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("identities and their customers (-want +got):\n%s", diff)
	}
	importing(transfer.Events, "id,customer_id,external_id,source,type,event_id\n"+
		e1+","+c+",1,s,t,1\n"+e2+","+a+",1,s,t,2\n"+e2+",,1,s,t,3\n"+i1+",,1,s,t,4\n",
		transfer.Report{Created: 2, Failed: 2}, "id must be the object's alone; another object has it")
	if got := exported(t, store, transfer.Events); !strings.Contains(got, `{"id":"`+e1+`","customer":{"id":"`+c+`"`) ||
		!strings.Contains(got, `{"id":"`+e2+`","customer":{"id":"`) || strings.Count(got, "\n") != 2 {
		t.Errorf("the events are\n%s", got)
	}
	importing(transfer.Customers, "id,email\n"+e1+",event@doe.com\n"+store.ID().String()+",store@doe.com\n", transfer.Report{Failed: 2},
		"id must be the object's alone; another object has it")
	// The row's own customer is known: the email is refused, whoever has it.
	importing(transfer.Customers, "id,external_id,email\n"+c+",3,two@doe.com\n", transfer.Report{Failed: 1},
		"email must be the customer's alone; another customer has it")
	const future = "ffff0000-0000-7000-8000-00000000000a"
	const given = "id must be an ID that Akin gave: a UUID of version 7 whose time has come"
	for id, reason := range map[string]string{
		future: given, "019a0000-0000-4000-8000-00000000000a": given, uuid.Nil.String(): given, "{" + a + "}": "id must be a UUID",
	} {
		importing(transfer.Customers, "id,email\n"+id+",six@doe.com\n", transfer.Report{Failed: 1}, reason)
		importing(transfer.Identities, "id,platform,platform_customer_id,email\n"+id+",shopify,6,six@doe.com\n", transfer.Report{Failed: 1}, reason)
		importing(transfer.Events, "id,external_id,source,type,event_id\n"+id+",1,s,t,5\n", transfer.Report{Failed: 1}, reason)
	}
}
