package transfer_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"akin/transfer"
)

func TestImportPutsFailedRowsOfCSVIntoAFileThatCanBeMended(t *testing.T) {
	t.Parallel()
	store := setup(t)
	file := write(t, "customers.csv", strings.Join([]string{
		"platform,platformCustomerId,email,firstName,lastName",
		"woocommerce,1,jane@doe.com,Jane,Doe",
		"woocommerce,2,not-an-address,Jane,",
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
	report := mustImport(t, store, transfer.ImportConfig{Kind: transfer.Identities, File: file})
	wantReport(t, report, transfer.Report{Created: 3, Failed: 8})
	failed := filepath.Join(filepath.Dir(file), "customers.failed.csv")
	if report.FailedFile != failed {
		t.Errorf("the failed rows are in %q", report.FailedFile)
	}
	first := strings.Join([]string{
		"line,error,platform,platformCustomerId,email,firstName,lastName",
		`3,"email must be an email address, such as jane@doe.com",woocommerce,2,not-an-address,Jane,`,
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
	report = mustImport(t, store, transfer.ImportConfig{Kind: transfer.Identities, File: failed})
	wantReport(t, report, transfer.Report{Failed: 8})
	remarks := regexp.MustCompile(`(?m)^\d+,"([^"]|"")*",`)
	again := read(t, report.FailedFile)
	if diff := cmp.Diff(remarks.ReplaceAllString(first, ""), remarks.ReplaceAllString(again, "")); diff != "" {
		t.Errorf("rows failed again (-first +again):\n%s", diff)
	}

	mended := strings.NewReplacer("not-an-address", "two@doe.com", "Woo Commerce,,", "woocommerce,3,", "four@doe.com", "four@doe.com,,",
		",more", "", `"six@`, "six@", "\"two\nlines\"", "Two", "Ren\xe9", "René").Replace(again)
	report = mustImport(t, store, transfer.ImportConfig{Kind: transfer.Identities, File: write(t, "mended.csv", mended)})
	wantReport(t, report, transfer.Report{Created: 7, Failed: 1}) // the one that is left out
	if identities, _ := contents(t, store); len(identities) != 10 {
		t.Errorf("the store has %d identities:\n%s", len(identities), strings.Join(identities, "\n"))
	}
}

func TestAFileOfFailedRowsIsNotLostToTheNext(t *testing.T) {
	t.Parallel()
	store := setup(t)
	cfg := transfer.ImportConfig{Kind: transfer.Identities, File: write(t, "a.csv", "platform,platformCustomerId,email\nwoocommerce,1,jane\n")}
	first, second := mustImport(t, store, cfg), mustImport(t, store, cfg)
	third := mustImport(t, store, cfg)
	for report, name := range map[transfer.Report]string{first: "a.failed.csv", second: "a.failed-2.csv", third: "a.failed-3.csv"} {
		if filepath.Base(report.FailedFile) != name || !strings.Contains(read(t, report.FailedFile), ",jane") {
			t.Errorf("the failed rows are in %s, want %s", report.FailedFile, name)
		}
	}
	cfg.Failed = first.FailedFile
	cfg.File = write(t, "b.csv", "platform,platformCustomerId,email\nwoocommerce,2,bob\n")
	if report := mustImport(t, store, cfg); report.FailedFile != cfg.Failed || strings.Contains(read(t, cfg.Failed), ",jane\n") {
		t.Errorf("a file that is named for the failed rows is not replaced: %s", read(t, report.FailedFile))
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
	report := mustImport(t, store, transfer.ImportConfig{Kind: transfer.Identities, File: file})
	wantReport(t, report, transfer.Report{Created: 2, Failed: 11})
	const members = "; the members are id, customer.id, platform, platformCustomerId, email, firstName and lastName, or their snake_case"
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
	report = mustImport(t, store, transfer.ImportConfig{Kind: transfer.Identities, File: report.FailedFile})
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
	report = mustImport(t, store, transfer.ImportConfig{Kind: transfer.Identities, File: write(t, "mended.ndjson", mended)})
	wantReport(t, report, transfer.Report{Created: 8, Failed: 3})
}
