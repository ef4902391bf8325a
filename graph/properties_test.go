package graph_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type propertiesAnswer struct {
	UpsertCustomer struct {
		Customer   *struct{ Properties json.RawMessage }
		UserErrors []struct{ Code, Message string }
	}
}

// TestNumbersOfProperties holds what comes back of a number to what the scalar's description says.
func TestNumbersOfProperties(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for sent, want := range map[string]string{
		"9007199254740993":     "9007199254740993", // which no double is
		"-9223372036854775808": "-9223372036854775808",
		"9007199254740993.0":   "9007199254740992",
		"0.10":                 "0.1",
		"1e21":                 "1000000000000000000000",
		"1e-20000":             "0",
	} {
		for name, document := range map[string]string{
			"a literal":  `mutation { upsertCustomer(input: {by: {externalId: "1"}, properties: {n: ` + sent + `}}) { customer { properties } userErrors { code message } } }`,
			"a variable": `mutation ($n: Properties) { upsertCustomer(input: {by: {externalId: "1"}, properties: $n}) { customer { properties } userErrors { code message } } }`,
		} {
			t.Run(sent+" as "+name, func(t *testing.T) {
				t.Parallel()
				var answer propertiesAnswer
				a.must(t, &answer, document, map[string]any{"n": json.RawMessage(`{"n":` + sent + `}`)})
				if diff := cmp.Diff(`{"n": `+want+`}`, string(answer.UpsertCustomer.Customer.Properties)); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		}
	}
}

// TestTheLongestNumberComesBack sends a number as it is answered, written out.
func TestTheLongestNumberComesBack(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const document = `mutation ($n: Properties) { upsertCustomer(input: {by: {externalId: "1"}, properties: $n}) { customer { properties } userErrors { code message } } }`
	written := `{"n": 1` + strings.Repeat("0", 308) + `}`
	for _, sent := range []string{`{"n": 1e308}`, written} {
		var answer propertiesAnswer
		a.must(t, &answer, document, map[string]any{"n": json.RawMessage(sent)})
		if got := string(answer.UpsertCustomer.Customer.Properties); got != written {
			t.Errorf("%.20s came back as %.20s…, of %d bytes", sent, got, len(got))
		}
	}
}

// TestSizeOfProperties counts the space that PostgreSQL writes, and says so.
func TestSizeOfProperties(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const document = `mutation ($p: Properties) { upsertCustomer(input: {by: {externalId: "1"}, properties: $p}) { customer { properties } userErrors { code message } } }`
	for size, want := range map[int]string{
		16383: "",
		16384: "properties must come to at most 100 keys and 16384 bytes of JSON as PostgreSQL writes it, with those that are kept",
		16385: "properties must have at most 16384 bytes of JSON as PostgreSQL writes it; they have 16385 as sent",
	} {
		var answer propertiesAnswer
		a.must(t, &answer, document, map[string]any{"p": map[string]any{"n": strings.Repeat("x", size-len(`{"n":""}`))}})
		got := ""
		for _, f := range answer.UpsertCustomer.UserErrors {
			got += f.Message
		}
		if got != want {
			t.Errorf("%d bytes as sent: %q, not %q", size, got, want)
		}
	}
	var escaped propertiesAnswer // by Go, each to six bytes; PostgreSQL writes three
	a.must(t, &escaped, document, map[string]any{"p": map[string]any{"n": strings.Repeat("\u2028", 5000)}})
	if faults := escaped.UpsertCustomer.UserErrors; len(faults) > 0 {
		t.Errorf("15,000 bytes that JSON may escape: %q", faults[0].Message)
	}
}
