package transfer_test

import (
	"strings"
	"testing"

	"akin/model"
	"akin/repo"
	"akin/transfer"
)

// withJane returns a store with one customer, and an identity of hers.
func withJane(t *testing.T) *repo.Store {
	t.Helper()
	store := setup(t)
	mustImport(t, store, transfer.ImportConfig{Kind: transfer.Customers, File: write(t, "jane.csv", "external_id,email\n7781,jane@doe.com\n")})
	_, err := store.UpsertCustomerIdentity(t.Context(), model.UpsertCustomerIdentityInput{Platform: "shopify", PlatformCustomerID: "1", Email: "jane@doe.com"})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestImportReadsEvents(t *testing.T) {
	t.Parallel()
	const want = `{"customer":{"externalId":"7781","email":"jane@doe.com"},"source":"quiz_app","type":"quiz_finished","eventId":"e1",` +
		`"occurredAt":"2026-03-09T14:02:06.5Z","properties":{"score":9.50,"passed":true}}`
	const rest = `"source":"quiz_app","type":"quiz_finished","eventId":"e1","occurredAt":"2026-03-09T14:02:06.5Z","properties":{"score":9.50,"passed":true}}`
	const cells = `,quiz_app,quiz_finished,e1,2026-03-09T14:02:06.5Z,"{""score"":9.50,""passed"":true}"` + "\n"
	cases := map[string]string{
		"CSV by external_id":        "external_id,source,type,event_id,occurred_at,properties\n7781" + cells,
		"CSV by email":              "email,source,type,event_id,occurred_at,properties\nJane@Doe.com" + cells,
		"CSV by customer.email":     "customer.email,source,type,eventId,occurredAt,properties\njane@doe.com" + cells,
		"CSV by the first of two":   "customer.external_id,email,source,type,eventId,occurredAt,properties\n7781,nobody@doe.com" + cells,
		"CSV by an identity":        "customer.identity.platform_customer_id,customer.identity.platform,source,type,eventId,occurredAt,properties\n1,Shopify" + cells,
		"NDJSON by externalId":      `{"externalId":"7781",` + rest,
		"NDJSON by customer":        `{"customer":{"external_id":"7781"},` + rest,
		"NDJSON by an identity":     `{"customer":{"identity":{"platform":"shopify","platformCustomerId":"1"}},` + rest,
		"what an export has of one": want,
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := withJane(t)
			cfg := transfer.ImportConfig{Kind: transfer.Events, File: write(t, "events.txt", text)}
			wantReport(t, mustImport(t, store, cfg), transfer.Report{Created: 1})
			wantShown(t, store, transfer.Events, want)
			wantReport(t, mustImport(t, store, cfg), transfer.Report{Unchanged: 1})
		})
	}
}

func TestImportPutsFailedEventsIntoAFileThatCanBeMended(t *testing.T) {
	t.Parallel()
	store := withJane(t)
	file := write(t, "events.csv", strings.Join([]string{
		"external_id,source,type,event_id,occurred_at",
		"7781,quiz_app,quiz_finished,1,",
		",quiz_app,quiz_finished,2,",
		"nobody,quiz_app,quiz_finished,3,",
		"7781,Quiz App,,4,soon",
		"7781,quiz_app,quiz_finished,5,2026-03-09T14:02:06Z",
		"7781,quiz_app,quiz_finished,5,2026-03-10T14:02:06Z",
	}, "\n"))
	report := mustImport(t, store, transfer.ImportConfig{Kind: transfer.Events, File: file})
	wantReport(t, report, transfer.Report{Created: 2, Updated: 1, Failed: 3})
	failed := read(t, report.FailedFile)
	for _, reason := range []string{
		"the row does not name its customer: by externalId, email, id or identity",
		"customer must be the key of a customer of this store",
		"occurredAt must be an instant in ISO 8601",
	} {
		if !strings.Contains(failed, reason) {
			t.Errorf("no row failed because %s:\n%s", reason, failed)
		}
	}
	mended := strings.NewReplacer(`",,quiz`, `",7781,quiz`, "nobody", "7781", "Quiz App,,4,soon", "quiz_app,quiz_begun,4,2026-03-09").Replace(failed)
	report = mustImport(t, store, transfer.ImportConfig{Kind: transfer.Events, File: write(t, "mended.csv", mended)})
	wantReport(t, report, transfer.Report{Created: 3})
}

func TestImportPutsFailedEventsOfNDJSONIntoAFileThatFailsInTheSameWay(t *testing.T) {
	t.Parallel()
	store := withJane(t)
	file := write(t, "events.ndjson", `{"email":"nobody@doe.com","source":"s","type":"t","eventId":"1"}`+"\n"+`{"customer":"jane"}`)
	const unknown = `"error":"customer must be the key of a customer of this store","customer_event":` +
		`{"email":"nobody@doe.com","source":"s","type":"t","eventId":"1"}}` + "\n"
	for range 2 {
		report := mustImport(t, store, transfer.ImportConfig{Kind: transfer.Events, File: file})
		wantReport(t, report, transfer.Report{Failed: 2})
		file = report.FailedFile
		text := read(t, file)
		if !strings.Contains(text, unknown) || !strings.Contains(text, `"error":"customer must be an object","customer_event":{"customer":"jane"}}`) {
			t.Errorf("the failed rows are\n%s", text)
		}
	}
	mended := strings.NewReplacer("nobody@doe.com", "jane@doe.com", `{"customer":"jane"}`, `{"customer":{"email":"jane@doe.com"},"source":"s","type":"t","eventId":"2"}`)
	file = write(t, "mended.ndjson", mended.Replace(read(t, file)))
	wantReport(t, mustImport(t, store, transfer.ImportConfig{Kind: transfer.Events, File: file}), transfer.Report{Created: 2})
}
