package transfer

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// FuzzRows reads files that are anything. Every byte belongs to one row, each row is sound or has a reason, and what is
// written of those that failed can be read again as as many rows that fail.
func FuzzRows(f *testing.F) {
	for _, seed := range []string{
		"platform,platformCustomerId,email,firstName\nwoocommerce,cust_1,Jane@Doe.com,Jane\n,,,\n",
		"\ufeff\"platform\",platformCustomerId,email\r\nshopify,\"a\nb\",\"x@y.example\r\n\"\"",
		"line,error,platform,platformCustomerId,email\n3,\"why \"\"so\"\"\",shopify,1,a@b\n",
		"externalId,email,phoneNumber,tags,address.city,properties.size\nC-1,jane@doe.com,+1 415 555 2671,\"vip,sale\",Berlin,42\n",
		"source,type,eventId,externalId,occurredAt\nquiz_app,done,q1,C-1,2026-03-09T14:02:06Z\n",
		`{"platform":"woocommerce","platformCustomerId":"cust_1","email":"Jane@Doe.com"}` + "\n{]\n",
		`{"customer_identity": {"platform":"woocommerce","platform_customer_id":"cust_1","email":"j@d.com"}}` + "\n" + `{"line":2,"error":"x","customer_identity":"{]"}`,
		`{"externalId":"C-1","tags":["a"],"address":{"city":"Berlin"},"properties":{"a":1e400,"b":null}}`,
		`{"source":"q","type":"t","eventId":"e","customer":{"email":"j@d.com"},"occurredAt":"2026"}`,
		"\xff\xfep\x00", "[1]", "", "{", "\"", "{\"a\":\"\xff\"}",
	} {
		for kind := range len(kinds) {
			f.Add(uint8(kind), []byte(seed))
		}
	}
	names := []Kind{Identities, Customers, Events}
	f.Fuzz(func(t *testing.T, n uint8, file []byte) {
		k := kinds[names[int(n)%len(names)]]
		failed, count := everyRow(t, k, file)
		if count == 0 {
			return
		}
		if _, again := everyRow(t, k, failed); again != count {
			t.Errorf("%d rows failed, and %d of those written as failed:\n%s", count, again, failed)
		}
	})
}

// everyRow reads a file to its end, and returns a file of the rows that failed and how many they are; of a line that is too
// long nothing is left to read again.
func everyRow(t *testing.T, k *kind, file []byte) (failed []byte, count int) {
	t.Helper()
	in, err := openRows(k, bytes.NewReader(file), "rows")
	if err != nil {
		return nil, 0
	}
	failed = in.failedHeader()
	line, end := 0, int64(0)
	for {
		r, err := in.next()
		if errors.Is(err, io.EOF) {
			return failed, count
		}
		if err != nil {
			t.Fatalf("%v after line %d", err, line)
		}
		if r.line <= line || r.end <= end || r.end > int64(len(file)) || (r.input == nil) == (r.reason == "") {
			t.Fatalf("after line %d and byte %d comes %+v", line, end, r)
		}
		line, end = r.line, r.end
		if r.reason != "" && r.text != nil {
			failed = append(failed, in.failedRow(r)...)
			count++
		}
	}
}
