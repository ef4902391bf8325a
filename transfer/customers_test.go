package transfer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"akin/model"
	"akin/repo"
	"akin/transfer"
)

var idPattern = regexp.MustCompile(`"id":"[0-9a-f-]{36}",?`)

// shown returns what an export in NDJSON shows of a store, without the IDs.
func shown(t *testing.T, store *repo.Store, kind transfer.Kind) string {
	t.Helper()
	return idPattern.ReplaceAllString(exported(t, store, kind), "")
}

// exported returns an export in NDJSON.
func exported(t *testing.T, store *repo.Store, kind transfer.Kind) string {
	t.Helper()
	var out strings.Builder
	rows, err := transfer.Export(t.Context(), store, transfer.ExportConfig{Kind: kind, File: "-", Stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n"); lines != rows {
		t.Errorf("the export says that it has %d rows; it has %d", rows, lines)
	}
	return out.String()
}

// wantShown compares a store's only row with an object of the API's names; what the object lacks is to be null or empty.
func wantShown(t *testing.T, store *repo.Store, kind transfer.Kind, want string) {
	t.Helper()
	if got := shown(t, store, kind); !cmp.Equal(filled(t, want), filled(t, got)) {
		t.Errorf("the store (-want +got):\n%s", cmp.Diff(filled(t, want), filled(t, got)))
	}
}

// filled reads an object without what is null or empty.
func filled(t *testing.T, text string) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for name, value := range object {
		if text := fmt.Sprint(value); value == nil || text == "[]" || text == "map[]" {
			delete(object, name)
		}
	}
	return object
}

const jane = `{"externalId":"7781","email":"Jane@Doe.com","phoneNumber":"+14155552671","firstName":"Jane","lastName":"Doe",
	"gender":"FEMALE","accountCreatedAt":"2021-03-05T10:00:00.123Z","accountStatus":"ENABLED","defaultLanguage":"en",
	"defaultCurrency":"USD","tags":["big spender","vip"],"acceptsEmailMarketing":true,"acceptsSmsMarketing":false,
	"address":{"address1":"1 Main St","address2":"Flat 2","company":"Doe & Sons","city":"Berlin","state":"Berlin","provinceCode":"BE",
		"zip":"10115","countryCode":"DE","phoneNumber":"+493012345678"},
	"properties":{"loyalty_tier":"gold"}}`

func TestImportReadsCustomers(t *testing.T) {
	t.Parallel()
	const minimal = `{"externalId":"1"`
	cases := map[string]struct{ text, want string }{
		"CSV with the columns of the seed document": {
			"external_id,email,phone_number,first_name,last_name,gender,account_created_at,account_status,default_language,default_currency,tags," +
				"address.address1,address.address2,address.company,address.city,address.state,address.province_code,address.zip,address.country_code," +
				"address.phone_number,accepts_email_marketing,accepts_sms_marketing,properties.loyalty_tier\n" +
				`7781,Jane@Doe.com,+1 (415) 555-2671,Jane,Doe,F,2021-03-05T11:00:00.123456+01:00,enabled,en,usd,"vip, big spender,,vip",` +
				"1 Main St,Flat 2,Doe & Sons,Berlin,Berlin,BE,10115,de,+49 30 12345678,TRUE,false,gold\n", jane,
		},
		"NDJSON with the members of the seed document": {
			`{"external_id":"7781","email":"Jane@Doe.com","phone_number":"+14155552671","first_name":"Jane","last_name":"Doe","gender":"F",` +
				`"account_created_at":"2021-03-05T11:00:00.123456+0100","account_status":"enabled","default_language":"en","default_currency":"USD",` +
				`"tags":"vip,big spender","address":{"address1":"1 Main St","address2":"Flat 2","company":"Doe & Sons","city":"Berlin","state":"Berlin",` +
				`"province_code":"BE","zip":"10115","country_code":"DE","phone_number":"+493012345678"},"accepts_email_marketing":true,` +
				`"accepts_sms_marketing":false,"properties":{"loyalty_tier":"gold"}}`, jane,
		},
		"NDJSON with the API's members":          {strings.Join(strings.Fields(strings.ReplaceAll(jane, "big spender", "big_spender")), " "), strings.ReplaceAll(jane, "big spender", "big_spender")},
		"the seed's request":                     {`{"customer":{"external_id":"1"}}`, minimal + "}"},
		"F":                                      {`{"externalId":"1","gender":"F"}`, minimal + `,"gender":"FEMALE"}`},
		"M":                                      {`{"externalId":"1","gender":"M"}`, minimal + `,"gender":"MALE"}`},
		"Other":                                  {`{"externalId":"1","gender":"Other"}`, minimal + `,"gender":"OTHER"}`},
		"MALE":                                   {`{"externalId":"1","gender":"MALE"}`, minimal + `,"gender":"MALE"}`},
		"a status in mixed case":                 {`{"externalId":"1","accountStatus":"Invited"}`, minimal + `,"accountStatus":"INVITED"}`},
		"a date alone":                           {"external_id,account_created_at\n1,2021-03-05\n", minimal + `,"accountCreatedAt":"2021-03-05T00:00:00Z"}`},
		"a time without an offset":               {"external_id,account_created_at\n1,2021-03-05T10:11:12\n", minimal + `,"accountCreatedAt":"2021-03-05T10:11:12Z"}`},
		"an email alone":                         {"email\njane@doe.com\n", `{"email":"jane@doe.com"}`},
		"tags that are an array in a cell":       {"external_id,tags\n" + `1,"[""a,b"",""c""]"` + "\n", minimal + `,"tags":["a,b","c"]}`},
		"a tag that is a word of JSON":           {"external_id,tags\n1,null\n", minimal + `,"tags":["null"]}`},
		"an address that is an object in a cell": {"external_id,address\n" + `1,"{""city"":""Berlin""}"` + "\n", minimal + `,"address":{"city":"Berlin"}}`},
		"properties as an object and as columns": {"external_id,properties,properties.size\n" + `1,"{""n"":1.50,""b"":true}",42` + "\n", minimal + `,"properties":{"n":1.50,"b":true,"size":"42"}}`},
		"nulls":                                  {`{"externalId":"1","email":null,"gender":null,"tags":null,"address":null,"properties":null,"acceptsSmsMarketing":null}`, minimal + "}"},
		"Unicode, right to left and beyond 16 bit": {`{"externalId":"ключ","firstName":"محمد 👩‍🚀","properties":{"a":"\"q\", <b>\\","empty":""}}`, `{"externalId":"ключ","firstName":"محمد 👩‍🚀","properties":{"a":"\"q\", <b>\\","empty":""}}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := setup(t)
			cfg := transfer.ImportConfig{Kind: transfer.Customers, File: write(t, "customers.txt", c.text)}
			wantReport(t, mustImport(t, store, cfg), transfer.Report{Created: 1})
			wantShown(t, store, transfer.Customers, c.want)
			wantReport(t, mustImport(t, store, cfg), transfer.Report{Unchanged: 1})
		})
	}
}

func TestImportRefusesAFileOfCustomersBeforeItWritesAnything(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"no key":                   {"first_name\nJane\n", "lacks the column id or externalId or email"},
		"an unknown column":        {"email,phone\na@b.example,1\n", `unknown column "phone"`},
		"an unknown member inside": {"email,address.street\na@b.example,x\n", `unknown column "address.street"`},
		"two spellings":            {"email,first_name,firstName\na@b.example,x,y\n", `column "firstName" twice`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := transfer.Import(t.Context(), nil, transfer.ImportConfig{Kind: transfer.Customers, File: write(t, "customers.csv", c.text)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, not one with %q", err, c.want)
			}
		})
	}
	t.Run("an unknown kind", func(t *testing.T) {
		t.Parallel()
		_, err := transfer.Import(t.Context(), nil, transfer.ImportConfig{Kind: "orders"})
		if err == nil || !strings.Contains(err.Error(), `"orders" is none of`) {
			t.Error(err)
		}
	})
}

func TestImportPutsFailedCustomersIntoAFileThatCanBeMended(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		lines, reasons []string
		mend           []string
	}{
		"csv": {
			[]string{
				"external_id,email,phone_number,gender,tags,default_language,address.country_code,properties,accepts_sms_marketing,account_created_at,id",
				"1,one@doe.com,,,,,,,,,",
				",,+14155552671,F,,,,,,,",
				"2,two@doe.com,555-2671,female?,,de-DE,XX,,,,",
				`3,three@doe.com,,,"[""a"",]",,,[1],maybe,yesterday,7`,
				"4,One@doe.com,,,,,,,,,",
				",five@doe.com,,,,,,,,,0190a000-0000-4000-8000-000000000001",
			},
			[]string{
				"the row has no key: an externalId, an email or an id",
				"gender must be F, M or Other",
				"accountCreatedAt must be an instant in ISO 8601, such as 2026-03-09T14:02:06Z; " +
					"tags must be an array of strings, or a string of them with commas between; acceptsSmsMarketing must be true or false; id must be a UUID",
				"email must be the customer's alone; another customer has it",
				"id must be an ID that Akin gave: a UUID of version 7 whose time has come",
			},
			[]string{
				",,+14155552671", ",nobody@doe.com,+14155552671", "555-2671,female?", "+14155552671,F", "de-DE,XX", "de,DE",
				`"[""a"",]"`, "a", "[1],maybe,yesterday,7", "{},true,2021-03-05,", "4,One@doe.com", "4,four@doe.com", "0190a000-0000-4000-8000-000000000001", "",
			},
		},
		"ndjson": {
			[]string{
				`{"externalId":"1","email":"one@doe.com"}`,
				`{"firstName":"Jane"}`,
				`{"externalId":2}`,
				`{"externalId":"3","tags":[1],"address":"Berlin"}`,
				`{"externalId":"4","phoneNumber":"555-2671","defaultLanguage":"de-DE","properties":{"a":{"b":1}}}`,
				`{"externalId":"5","address":{"street":"x"}}`,
				`{"externalId":"6","properties":{"a":"two\u000blines"}}`,
			},
			[]string{
				"the row has no key: an externalId, an email or an id",
				"externalId must be a string",
				"address must be an object",
				"properties a must be a string, a number or a boolean: properties are flat",
				`the row has the unknown member \"address.street\"`,
				"properties a must not contain control characters; it has U+000B",
			},
			[]string{
				`{"firstName":"Jane"}`, `{"firstName":"Jane","email":"jane@doe.com"}`, `"externalId":2`, `"externalId":"2"`,
				`"tags":[1],"address":"Berlin"`, `"tags":["1"]`, `555-2671`, `+14155552671`, "de-DE", "de", `{"b":1}`, `1`, `{"street":"x"}`, "null", `two\u000blines`, "one line",
			},
		},
	}
	for format, c := range cases {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			store := setup(t)
			file := write(t, "customers."+format, strings.Join(c.lines, "\n"))
			report := mustImport(t, store, transfer.ImportConfig{Kind: transfer.Customers, File: file})
			wantReport(t, report, transfer.Report{Created: 1, Failed: len(c.reasons)})
			failed := read(t, report.FailedFile)
			for _, reason := range c.reasons {
				if !strings.Contains(failed, reason) {
					t.Errorf("no row failed because %s:\n%s", reason, failed)
				}
			}
			mended := write(t, "mended."+format, strings.NewReplacer(c.mend...).Replace(failed))
			report = mustImport(t, store, transfer.ImportConfig{Kind: transfer.Customers, File: mended})
			wantReport(t, report, transfer.Report{Created: len(c.reasons)})
			cfg := transfer.ImportConfig{Kind: transfer.Customers, File: mended}
			wantReport(t, mustImport(t, store, cfg), transfer.Report{Unchanged: len(c.reasons)})
		})
	}
}

func TestImportKeepsOrClearsWhatCustomersHave(t *testing.T) {
	t.Parallel()
	store := setup(t)
	for _, step := range []struct{ text, want string }{
		{`{"externalId":"1","firstName":"Jane","tags":["a"],"address":{"city":"Berlin","zip":"1"},"properties":{"a":1,"b":2}}`, `{"externalId":"1","firstName":"Jane","tags":["a"],"address":{"city":"Berlin","zip":"1"},"properties":{"a":1,"b":2}}`},
		{"external_id,first_name,tags,address.city,properties\n1,,,,\n", `{"externalId":"1","firstName":"Jane","tags":["a"],"address":{"city":"Berlin","zip":"1"},"properties":{"a":1,"b":2}}`},
		{`{"externalId":"1","lastName":"Doe","properties":{"b":null}}`, `{"externalId":"1","firstName":"Jane","lastName":"Doe","tags":["a"],"address":{"city":"Berlin","zip":"1"},"properties":{"a":1}}`},
		{"external_id,address.city\n1,Paris\n", `{"externalId":"1","firstName":"Jane","lastName":"Doe","tags":["a"],"address":{"city":"Paris"},"properties":{"a":1}}`},
		{`{"externalId":"1","firstName":null,"tags":null,"address":null,"properties":null}`, `{"externalId":"1","lastName":"Doe"}`},
	} {
		mustImport(t, store, transfer.ImportConfig{Kind: transfer.Customers, File: write(t, "customers", step.text)})
		wantShown(t, store, transfer.Customers, step.want)
	}
}

func TestImportTellsCustomersByTheFirstOfTheirKeys(t *testing.T) {
	t.Parallel()
	store := setup(t)
	importing := func(text string, want transfer.Report) {
		t.Helper()
		cfg := transfer.ImportConfig{Kind: transfer.Customers, File: write(t, "customers.csv", text), Failed: filepath.Join(t.TempDir(), "failed")}
		wantReport(t, mustImport(t, store, cfg), want)
	}
	// In one batch the third row is the first's customer by another key, and the fourth takes what the first gave back.
	importing("external_id,email,first_name\n1,old@doe.com,A\n", transfer.Report{Created: 1})
	importing("external_id,email,first_name\n1,new@doe.com,\n,b@doe.com,B\n,new@doe.com,C\n2,old@doe.com,D\n", transfer.Report{Created: 2, Updated: 2})
	// An identity's customer, whom no row has named yet, is that of the row with its email; one that has a key is not.
	_, err := store.UpsertCustomerIdentity(t.Context(), model.UpsertCustomerIdentityInput{Platform: "shopify", PlatformCustomerID: "1", Email: "e@doe.com"})
	if err != nil {
		t.Fatal(err)
	}
	importing("external_id,email,first_name\n3,E@doe.com,E\n4,old@doe.com,F\n", transfer.Report{Updated: 1, Failed: 1})
	customer, err := store.Customer(t.Context(), model.CustomerKey{ExternalID: new("3")})
	if err != nil || customer == nil {
		t.Fatal(customer, err)
	}
	importing(fmt.Sprintf("id,email\n%s,moved@doe.com\n", customer.ID), transfer.Report{Updated: 1})
	got := []string{}
	for line := range strings.Lines(shown(t, store, transfer.Customers)) {
		row := filled(t, line)
		got = append(got, fmt.Sprint(row["externalId"], " ", row["email"], " ", row["firstName"]))
	}
	want := []string{"1 new@doe.com C", "<nil> b@doe.com B", "2 old@doe.com D", "3 moved@doe.com E"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("store (-want +got):\n%s", diff)
	}
}

func TestImportLetsTheLaterOfTwoRowsOfACustomerWin(t *testing.T) {
	t.Parallel()
	store := setup(t)
	var text strings.Builder
	text.WriteString("external_id,email,first_name\n")
	for i := range 600 {
		fmt.Fprintf(&text, "%d,person%d@b.example,Name %d\n", i%70, i%70, i)
	}
	report := mustImport(t, store, transfer.ImportConfig{Kind: transfer.Customers, File: write(t, "customers.csv", text.String()), Concurrency: 8})
	wantReport(t, report, transfer.Report{Created: 70, Updated: 530})
	customer, err := store.Customer(context.WithoutCancel(t.Context()), model.CustomerKey{ExternalID: new("3")})
	if err != nil || customer == nil || *customer.FirstName != "Name 563" {
		t.Errorf("%+v %v", customer, err)
	}
}

func TestImportGivesAnEmailThatARowGaveUpToALaterOne(t *testing.T) {
	t.Parallel()
	const customers = 1000 // so that the two rows of an email are some batches apart
	store := setup(t)
	var before, after strings.Builder
	before.WriteString("external_id,email\n")
	after.WriteString("external_id,email\n")
	for i := range customers {
		fmt.Fprintf(&before, "%d,old%d@b.example\n", i, i)
		fmt.Fprintf(&after, "%d,new%d@b.example\n", i, i)
	}
	for i := range customers {
		fmt.Fprintf(&after, "%d,old%d@b.example\n", customers+i, i)
	}
	mustImport(t, store, transfer.ImportConfig{Kind: transfer.Customers, File: write(t, "before.csv", before.String())})
	cfg := transfer.ImportConfig{Kind: transfer.Customers, File: write(t, "after.csv", after.String()), Concurrency: 8}
	wantReport(t, mustImport(t, store, cfg), transfer.Report{Created: customers, Updated: customers})
	wantReport(t, mustImport(t, store, cfg), transfer.Report{Unchanged: 2 * customers})
}

func TestImportOfAFileThatOverrulesItselfComesToTheSameAgain(t *testing.T) {
	t.Parallel()
	store := setup(t)
	text := "external_id,email,first_name\n1,a@b.example,A\n1,c@b.example,\n2,a@b.example,B\n"
	cfg := transfer.ImportConfig{Kind: transfer.Customers, File: write(t, "customers.csv", text)}
	wantReport(t, mustImport(t, store, cfg), transfer.Report{Created: 2, Updated: 1})
	want := shown(t, store, transfer.Customers)
	wantReport(t, mustImport(t, store, cfg), transfer.Report{Unchanged: 2, Failed: 1})
	if got := shown(t, store, transfer.Customers); got != want {
		t.Errorf("the store has\n%s, not\n%s", got, want)
	}
}
