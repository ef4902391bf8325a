package transfer_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"akin/transfer"
)

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
			report := mustImport(t, store, transfer.ImportConfig{Kind: transfer.Identities, File: file})
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
		"an unknown column":         {"platform,platformCustomerId,email,first" + row, `unknown column "first"; the columns are id, customer.id, platform, platformCustomerId, email, firstName`},
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
		"gzip":                      {"\x1f\x8b\x08\x00", "gunzip"},
		"an email for a header":     {"jane@doe.com,woocommerce,1\n", `unknown column "(not shown)"`},
		"UTF-16":                    {"\xff\xfep\x00l\x00a\x00", "UTF-16"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := setup(t)
			report, err := transfer.Import(t.Context(), store, transfer.ImportConfig{Kind: transfer.Identities, File: write(t, "customers.csv", c.text)})
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
		_, err := transfer.Import(t.Context(), nil, transfer.ImportConfig{Kind: transfer.Identities, File: filepath.Join(t.TempDir(), "none.csv")})
		if !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
	t.Run("failed rows over the file itself", func(t *testing.T) {
		t.Parallel()
		file := write(t, "customers.csv", "platform,platformCustomerId,email\n,,\n")
		redirected, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer redirected.Close()
		for _, cfg := range []transfer.ImportConfig{{File: file}, {File: "-", Stdin: redirected}} {
			cfg.Kind, cfg.Failed = transfer.Identities, file
			if _, err := transfer.Import(t.Context(), nil, cfg); err == nil || !strings.Contains(err.Error(), "is the file to read") {
				t.Error(err)
			}
		}
	})
}
