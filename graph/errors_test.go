package graph_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"akin/graph"
	"akin/repo"
	"akin/repo/repotest"
)

func TestBadArgumentsAreNamed(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const unknownID = "0190a000-0000-7000-8000-000000000001"
	type variables = map[string]any
	ids := make([]string, 101)
	for i := range ids {
		ids[i] = unknownID
	}
	const (
		page   = "query ($first: Int, $last: Int, $after: String) { customers(first: $first, last: $last, after: $after) { nodes { id } } }"
		byKey  = "query ($by: CustomerKey!) { customer(by: $by) { id } }"
		byID   = "query ($id: ID!) { node(id: $id) { id } }"
		upsert = "mutation ($input: UpsertCustomerIdentityInput!) { upsertCustomerIdentity(input: $input) { outcome } }"
	)
	for _, test := range []struct {
		name, document string
		variables      variables
		status         int
		code, message  string
		field          string
	}{
		{
			"first with last",
			page,
			variables{"first": 1, "last": 1},
			200, "BAD_USER_INPUT", "first must not be given together with last", "first",
		},
		{
			"a policy in small letters",
			"mutation ($p: BatchErrorPolicy!) { upsertCustomerIdentities(inputs: [], onError: $p) { createdCount } }",
			variables{"p": "reject_all"},
			400, "BAD_USER_INPUT", "$p must be one of KEEP_VALID, REJECT_ALL", "$p",
		},
		{
			"an order in small letters",
			"query ($o: CustomerOrder) { customers(orderBy: $o) { nodes { id } } }",
			variables{"o": map[string]any{"field": "email", "direction": "ASC"}},
			400, "BAD_USER_INPUT", "$o.field must be one of CREATED_AT, UPDATED_AT, EMAIL, LAST_NAME", "$o.field",
		},
		{
			"first as text",
			page,
			variables{"first": "5"},
			400, "BAD_USER_INPUT", "an Int must be a whole number of 32 bits", "$first",
		},
		{
			"first of zero",
			page,
			variables{"first": 0},
			200, "BAD_USER_INPUT", "first must be 1 to 100", "first",
		},
		{
			"first below zero",
			page,
			variables{"first": -5},
			200, "BAD_USER_INPUT", "first must be 1 to 100", "first",
		},
		{
			"first above 100",
			page,
			variables{"first": 101},
			200, "BAD_USER_INPUT", "first must be 1 to 100", "first",
		},
		{"last above 100", page, variables{"last": 1 << 40}, 400, "BAD_USER_INPUT", "an Int must be a whole number of 32 bits", "$last"},
		{
			"first beyond any number",
			"{ customers(first: 99999999999999999999) { nodes { id } } }", nil, 400, "GRAPHQL_VALIDATION_FAILED", "32-bit", "",
		},
		{
			"a broken cursor",
			page,
			variables{"after": "nonsense"},
			200, "BAD_USER_INPUT", "after must be a cursor", "after",
		},
		{"a malformed ID", byID, variables{"id": "nonsense"}, 400, "BAD_USER_INPUT", "an ID must be a UUID", "$id"},
		{"a number for an ID", byID, variables{"id": 7}, 400, "BAD_USER_INPUT", "an ID must be a UUID", "$id"},
		{
			"a malformed ID in a list",
			"query ($ids: [ID!]!) { nodes(ids: $ids) { id } }",
			variables{"ids": []string{unknownID, "x"}},
			400, "BAD_USER_INPUT", "an ID must be a UUID", "$ids[1]",
		},
		{
			"a malformed ID in a key",
			byKey,
			variables{"by": variables{"id": "x"}},
			400, "BAD_USER_INPUT", "an ID must be a UUID", "$by.id",
		},
		{
			"more than 100 IDs",
			"query ($ids: [ID!]!) { nodes(ids: $ids) { id } }",
			variables{"ids": ids},
			200, "BAD_USER_INPUT", "at most 100", "ids",
		},
		{
			"no key of a oneOf",
			byKey,
			variables{"by": variables{}},
			200, "BAD_USER_INPUT", "by must have exactly one field; it has 0", "by",
		},
		{
			"two keys of a oneOf",
			byKey,
			variables{"by": variables{"id": unknownID, "email": "a@doe.com"}},
			200, "BAD_USER_INPUT", "by must have exactly one field; it has 2", "by",
		},
		{
			"a null beside the key of a oneOf",
			byKey,
			variables{"by": variables{"id": unknownID, "email": nil}},
			400, "BAD_USER_INPUT", "$by.email must not be null: exactly one field may be given", "$by.email",
		},
		{
			"a variable that may be null for the key of a oneOf",
			"query ($id: ID) { customer(by: {id: $id}) { id } }",
			variables{"id": nil},
			400, "GRAPHQL_VALIDATION_FAILED", `"$id" is of type "ID" but must be non-nullable`, "",
		},
		{
			"two keys of a oneOf as literals",
			`{ customer(by: {id: "x", email: "y"}) { id } }`, nil, 400, "GRAPHQL_VALIDATION_FAILED", "", "",
		},
		{"a missing variable", byID, nil, 400, "BAD_USER_INPUT", "$id: must be defined", "$id"},
		{"a null where none may be", byID, variables{"id": nil}, 400, "BAD_USER_INPUT", "$id: cannot be null", "$id"},
		{
			"a missing input field",
			upsert,
			variables{"input": variables{"platform": "shopify"}},
			400, "BAD_USER_INPUT", "$input.platformCustomerId: must be defined", "$input.platformCustomerId",
		},
		{
			"an unknown input field",
			upsert,
			variables{"input": variables{"plattform": "shopify"}},
			400, "BAD_USER_INPUT", "$input: unknown field of UpsertCustomerIdentityInput, which has platform, platformCustomerId, email", "$input",
		},
		{
			"a number for a string",
			upsert,
			variables{"input": variables{"platform": "shopify", "platformCustomerId": 7, "email": "a@doe.com"}},
			400, "BAD_USER_INPUT", "$input.platformCustomerId: must be a String", "$input.platformCustomerId",
		},
		{
			"a string for an object",
			upsert,
			variables{"input": "shopify"},
			400, "BAD_USER_INPUT", "$input: must be an UpsertCustomerIdentityInput", "$input",
		},
		{
			"a word for a number",
			page,
			variables{"first": "ten"},
			400, "BAD_USER_INPUT", "$first: must be an Int", "$first",
		},
		{
			"a fraction for a whole number",
			page,
			variables{"first": 1.5},
			400, "BAD_USER_INPUT", "$first: must be an Int", "$first",
		},
		{
			"an unknown enum value",
			"query ($f: CustomerOrderField!) { customers(orderBy: {field: $f}) { nodes { id } } }",
			variables{"f": "AGE"},
			400, "BAD_USER_INPUT", "$f: must be one of CREATED_AT, UPDATED_AT, EMAIL, LAST_NAME", "$f",
		},
		{
			"an instant that is none",
			`{ customers(filter: {createdAt: {from: "today"}}) { nodes { id } } }`, nil,
			400, "BAD_USER_INPUT", "a DateTime must be an instant", "filter.createdAt.from",
		},
		{
			"a null in the place of an order",
			`query ($f: CustomerOrderField = EMAIL) { customers(orderBy: {field: $f}) { nodes { id } } }`,
			variables{"f": nil},
			400, "BAD_USER_INPUT", "orderBy.field must not be null", "orderBy.field",
		},
		{
			"a null in the place of a direction, which has a default",
			`query ($d: OrderDirection) { customerIdentities(orderBy: {field: PLATFORM, direction: $d}) { nodes { id } } }`,
			variables{"d": nil},
			400, "BAD_USER_INPUT", "orderBy.direction must not be null", "orderBy.direction",
		},
		{
			"an enum's value in lower case, alone in the place of a list",
			`query ($f: CustomerFilter) { customers(filter: $f) { nodes { id } } }`,
			variables{"f": map[string]any{"accountStatus": "enabled"}},
			400, "BAD_USER_INPUT", "must be one of ENABLED, DISABLED, INVITED, DECLINED", "$f.accountStatus[0]",
		},
		{
			"an unknown field",
			"{ store { nam } }", nil, 400, "GRAPHQL_VALIDATION_FAILED", `Cannot query field "nam" on type "Store"`, "",
		},
		{
			"a field of a long name",
			"{ store { " + strings.Repeat("x", 257) + " } }", nil, 400, "QUERY_TOO_COMPLEX", "a name of 257 bytes; at most 256", "",
		},
		{
			"a long text for an enum",
			"{ customers(orderBy: {field: \"" + strings.Repeat("x", 40_000) + "\"}) { nodes { id } } }", nil,
			400, "QUERY_TOO_COMPLEX", "a value of 40000 bytes; at most 32768", "",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := a.query(t, test.document, test.variables)
			got.check(t, test.status, test.code, test.message)
			if field := got.Errors[0].Extensions.Field; field != test.field {
				t.Errorf("field %q, want %q", field, test.field)
			}
			path := fmt.Sprint(got.Errors[0].Path)
			if test.status == http.StatusBadRequest && path != "[]" || strings.Contains(path, " ") {
				t.Errorf("path %s is none in the answer", path)
			}
			if len(got.body) > 1000 {
				t.Errorf("%d bytes tell of one error", len(got.body))
			}
		})
	}
}

func TestAnUnknownIDIsNull(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const document = `query ($id: ID!) {
		node(id: $id) { id } nodes(ids: [$id]) { id } customer(by: {id: $id}) { id } customerIdentity(by: {id: $id}) { id }
	}`
	got := a.query(t, document, map[string]any{"id": "0190a000-0000-7000-8000-000000000001"})
	const want = `{"node":null,"nodes":[null],"customer":null,"customerIdentity":null}`
	if got.status != http.StatusOK || string(got.Data) != want || len(got.Errors) > 0 {
		t.Errorf("status %d: %s", got.status, got.body)
	}
}

func TestOnlyTheFirstErrorsOfADocumentAreTold(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var fields strings.Builder
	for i := range 500 {
		fmt.Fprintf(&fields, "x%d ", i)
	}
	got := a.query(t, "{ store { "+fields.String()+"} }", nil)
	if len(got.Errors) != 21 || got.Errors[20].Message != "and 480 errors more" {
		t.Errorf("%d errors: %.300s", len(got.Errors), got.body)
	}
}

func TestAnInternalErrorIsLoggedAndNotShown(t *testing.T) {
	t.Parallel()
	address := repotest.URL(t)
	db, err := repo.Open(t.Context(), address, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	a := newAPI(t, func(cfg *graph.Config) { cfg.DB = db })
	_, a.token = repotest.NewStore(t, db, "shop")
	conn, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), `ALTER TABLE customers RENAME TO lost`); err != nil {
		t.Fatal(err)
	}
	got := a.send(t, request{
		header: map[string]string{"X-Request-Id": "req-7", "Accept": typeGraphQL},
		body:   `{"query":"{ store { name } a: customer(by: {email: \"a@doe.com\"}) { id } b: customer(by: {email: \"a@doe.com\"}) { id } }"}`,
	})
	if want := `{"store":{"name":"shop"},"a":null,"b":null}`; got.status != http.StatusOK || string(got.Data) != want {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	if len(got.Errors) != 2 {
		t.Fatal(got.body)
	}
	for _, e := range got.Errors {
		if e.Extensions.Code != "INTERNAL" || !strings.HasSuffix(e.Message, "under request req-7") || len(e.Path) != 1 {
			t.Errorf("error %+v", e)
		}
	}
	for _, secret := range []string{"42P01", "SELECT", "relation", "identities", ".go", "goroutine", "doe.com"} {
		if strings.Contains(got.body, secret) {
			t.Errorf("the answer tells of %q: %s", secret, got.body)
		}
	}
	line := a.log.line(t, "internal error")
	if cause, _ := line["error"].(string); line["request_id"] != "req-7" || !strings.Contains(cause, "42P01") {
		t.Errorf("the log does not say why: %v", line)
	}
	a.log.line(t, "request")
	if n := strings.Count(a.log.String(), "42P01"); n != 1 {
		t.Errorf("the cause is logged %d times", n)
	}
}

// TestNothingRunsBehindABadValue sends mutations of which the second cannot be read: the first must not be written, for the
// answer has no data to tell of it.
func TestNothingRunsBehindABadValue(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const first = `a: upsertCustomerIdentity(input: {platform: "shop", platformCustomerId: "1", email: "jane@doe.com"}) { outcome } `
	const event = `upsertCustomerEvent(input: {customer: {email: "jane@doe.com"}, source: "s", type: "t", eventId: "1", `
	below := func(selection string) string {
		return strings.Replace(first, "outcome", "customerIdentity { customer { "+selection+" } }", 1)
	}
	for name, test := range map[string]struct {
		document  string
		variables map[string]any
		field     string
	}{
		"an instant in a variable": {
			`mutation ($at: DateTime) { ` + first + event + `occurredAt: $at}) { outcome } }`, map[string]any{"at": "yesterday"}, "$at",
		},
		"an instant in an input": {
			`mutation ($in: UpsertCustomerEventInput!) { ` + first + `upsertCustomerEvent(input: $in) { outcome } }`,
			map[string]any{"in": map[string]any{"customer": map[string]any{"email": "jane@doe.com"}, "source": "s", "type": "t", "eventId": "1", "occurredAt": 7}},
			"$in.occurredAt",
		},
		"an instant in the document": {`mutation { ` + first + event + `occurredAt: "yesterday"}) { outcome } }`, nil, "input.occurredAt"},
		"properties in a fragment":   {`mutation { ` + first + `...f } fragment f on Mutation { ` + event + `properties: [1]}) { outcome } }`, nil, "input.properties"},
		"an ID in a list": {
			`mutation ($id: ID!) { ` + first + `upsertCustomers(inputs: [{by: {email: "a@b.c"}}, {by: {id: $id}}]) { createdCount } }`,
			map[string]any{"id": "7"},
			"$id",
		},
		"a whole number": {
			`mutation ($v: Int) { ` + first + `upsertCustomer(input: {by: {email: "a@b.c"}, ifVersion: $v}) { outcome } }`,
			map[string]any{"v": "1"},
			"$v",
		},
		"a lone value for a list": {
			`mutation ($in: [UpsertCustomerInput!]!) { ` + first + `upsertCustomers(inputs: $in) { createdCount } }`,
			map[string]any{"in": map[string]any{"by": map[string]any{"email": "a@b.c"}, "accountCreatedAt": "yesterday"}},
			"$in[0].accountCreatedAt",
		},
		"a null in the place of an input that has a default": {
			`mutation ($in: UpsertCustomerInput = {by: {email: "a@b.c"}}) { ` + first + `upsertCustomers(inputs: [$in]) { createdCount } }`,
			map[string]any{"in": nil},
			"inputs[0]",
		},
		"a null for what has a default": {
			`mutation ($e: BatchErrorPolicy) { ` + first + `upsertCustomers(inputs: [{by: {email: "a@b.c"}}], onError: $e) { createdCount } }`,
			map[string]any{"e": nil},
			"onError",
		},
		"a null that decides on what is shown": {
			`mutation ($x: Boolean = false) { ` + first + `b: ` + strings.Replace(first[3:], "outcome", "outcome @skip(if: $x)", 1) + `}`,
			map[string]any{"x": nil},
			"$x",
		},
		"a number below a mutation": {`mutation { ` + below(`identities(first: 3000000000) { totalCount }`) + `}`, nil, "first"},
		"a page that is too long":   {`mutation { ` + below(`...f`) + `} fragment f on Customer { events(last: 101) { nodes { id } } }`, nil, "last"},
		"both ends of a page":       {`mutation { ` + below(`identities(first: 1, last: 1) { totalCount }`) + `}`, nil, "first"},
		"a platform that cannot be": {`mutation { ` + below(`identities(platform: "") { totalCount }`) + `}`, nil, "platform"},
		"a type of events, in a variable": {
			`mutation ($t: String) { ` + below(`events(type: $t) { nodes { id } }`) + `}`, map[string]any{"t": "Bad Type"}, "type",
		},
		"a batch of none": {`mutation { ` + first + `upsertCustomers(inputs: []) { createdCount } }`, nil, "inputs"},
	} {
		got := a.query(t, test.document, test.variables)
		got.check(t, http.StatusBadRequest, "BAD_USER_INPUT", "must")
		if len(got.Errors) != 1 || got.Errors[0].Extensions.Field != test.field || strings.Contains(got.body, `"data"`) {
			t.Errorf("%s: %s", name, got.body)
		}
	}
	if got := a.query(t, `{ customers { nodes { id } } }`, nil); !strings.Contains(got.body, `"nodes":[]`) {
		t.Errorf("a refused mutation has written: %s", got.body)
	}
}

// TestNullIsNoCondition asks with a null for what decides whether a field is shown, which a variable with a default may be.
func TestNullIsNoCondition(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, selections := range []string{
		`{ store @include(if: $x) { id } }`,
		`{ ... @skip(if: $x) { store { id } } }`,
		`{ ...f @include(if: $x) } fragment f on Query { store { id } }`,
		`{ ...f } fragment f on Query { store { id @skip(if: $x) } }`,
		`{ __typename @include(if: $x) }`,
		`{ __schema @include(if: $x) { types { name } } }`,
		`{ customers { nodes { id @include(if: $x) } } }`,
	} {
		document := "query ($x: Boolean = true) " + selections
		got := a.query(t, document, map[string]any{"x": nil})
		got.check(t, http.StatusBadRequest, "BAD_USER_INPUT", "$x must not be null")
		a.must(t, nil, document, nil)
		a.must(t, nil, document, map[string]any{"x": false})
	}
}

// TestErrorsOfManyRows has every row of a list fail for the same reason.
func TestErrorsOfManyRows(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var inputs []map[string]any
	for i := range 60 {
		inputs = append(inputs, map[string]any{"by": map[string]any{"externalId": fmt.Sprint(i)}})
	}
	a.must(t, nil, `mutation ($inputs: [UpsertCustomerInput!]!) { upsertCustomers(inputs: $inputs) { createdCount } }`, map[string]any{"inputs": inputs})
	const list = `{ customers(first: 60) { nodes { identities(after: "x") { totalCount } } } }`
	got := a.query(t, list, nil)
	if n := len(got.Errors); got.status != http.StatusOK || n != 21 || got.Errors[0].Extensions.Code != "BAD_USER_INPUT" || got.Errors[20].Message != "and 40 errors more" {
		t.Errorf("%d errors: %s", n, got.body)
	}

	few := newAPI(t, func(cfg *graph.Config) { cfg.Limits.Result = 32 << 14 })
	few.must(t, nil, `mutation ($inputs: [UpsertCustomerInput!]!) { upsertCustomers(inputs: $inputs) { createdCount } }`, map[string]any{"inputs": inputs})
	few.query(t, list, nil).check(t, http.StatusBadRequest, "RESULT_TOO_LARGE", "with 16384 for each error")
}
