package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// storeID is the store that every request asks: the first, which has half of the customers.
const storeID = "018c0000-0000-7000-8000-000000000001"

// The keys of customers are numbers of 12 digits, so that requests do not change their length: those of seed.sql begin
// behind firstKey, those of new customers are drawn from firstNewKey on.
const (
	firstKey    = 100_000_000_000
	firstNewKey = 200_000_000_000
	lastNewKey  = 900_000_000_000
)

// pageSize is how many customers a page has, batchSize how many inputs a batch.
const (
	pageSize  = 50
	batchSize = 100
)

// operation is a request that every server is measured with. In its texts stand, for what differs from request to request:
// @store@, @key@ and @cursor@ of a sample (see sample), and a variable's name and an index, such as @k@ or @k7@.
type operation struct {
	name string
	rows int // of a request, where it is a batch
	// least is the least time to measure it for with 16 connections, and with more so much the longer as a request then takes; not
	// where it has to be quick.
	least time.Duration

	document, variables       string // as Akin's schema has it
	postgraphile, pgVariables string // the same asked of PostGraphile

	sampled bool       // each request is one of the samples, and the answer's number of IDs is the sample's
	draws   []variable // or it is drawn anew
	want    []count    // must be in every answer
}

// variable is a number that is drawn for each request: low to low+count-1, in the hole with index i plus i times step.
type variable struct {
	name             string
	low, count, step int64
}

// count is how often a text must be in an answer.
type count struct {
	text string
	n    int
}

var hole = regexp.MustCompile(`@([a-z])(\d*)@`)

// What is asked of a customer and of an identity, of Akin and of PostGraphile.
const (
	customerFields   = `id email firstName lastName createdAt updatedAt`
	identityFields   = `id platform platformCustomerId email firstName lastName createdAt updatedAt`
	pgCustomerFields = `id: rowId email firstName lastName createdAt updatedAt`
	pgIdentityFields = `id: rowId platform platformCustomerId email firstName lastName createdAt updatedAt`
	pageInfo         = `pageInfo { hasNextPage endCursor }`

	withIdentities   = customerFields + ` identities { nodes { ` + identityFields + ` } }`
	pgWithIdentities = pgCustomerFields + ` identities: customerIdentitiesByStoreIdAndCustomerId(first: 20, orderBy: [PRIMARY_KEY_ASC]) ` +
		`{ nodes { ` + pgIdentityFields + ` } }`

	upsertDocument = `mutation Upsert($input: UpsertCustomerIdentityInput!) { upsertCustomerIdentity(input: $input) ` +
		`{ outcome customerLink customerIdentity { ` + identityFields + ` } userErrors { code message field } } }`
	pgUpsertDocument = `mutation Upsert($input: UpsertCustomerIdentityInput!) { upsertCustomerIdentity(input: $input) ` +
		`{ result { outcome customerLink customerIdentity { ` + pgIdentityFields + ` } } } }`
	batchDocument = `mutation Batch($inputs: [UpsertCustomerIdentityInput!]!) { upsertCustomerIdentities(inputs: $inputs) ` +
		`{ createdCount updatedCount failedCount results { outcome customerIdentity { id } userErrors { code message field } } } }`
	pgBatchDocument = `mutation Batch($input: UpsertCustomerIdentitiesInput!) { upsertCustomerIdentities(input: $input) ` +
		`{ results: result { outcome customerIdentity { id: rowId } } } }`
)

// operations returns what is measured, with as many customers in the first store. These have separate parts: what is read
// and what is updated is the older four fifths, and what new identities are linked to, which makes the customers' lists
// longer, the newest fifth.
func operations(customers int64) []operation {
	part := customers / 10
	existing := variable{"k", firstKey + 1, 4 * part, 4 * part / batchSize}
	untouched := variable{"k", firstKey + 4*part + 1, 4 * part, 1}
	linked := variable{"k", firstKey + 8*part + 1, customers - 8*part, 1}
	fresh := variable{"r", firstNewKey, lastNewKey - firstNewKey, 1}
	strided := existing
	strided.count = existing.step // so that the last of a batch is within

	ops := []operation{
		page("page of 50 + identities, edges", "", "", `edges { cursor node { %s } }`),
		page("page of 50 + identities, nodes", "", "", `nodes { %s }`),
		page("filtered page of 50 + identities", "filter: { accountStatus: [DISABLED] }, ", `, accountStatus: "DISABLED"`, `nodes { %s }`),
		{
			name: "identity + customer", sampled: true,
			document: `query Identity($platform: String!, $id: String!) { customerIdentity(by: { platformIdentity: ` +
				`{ platform: $platform, platformCustomerId: $id } }) { ` + identityFields + ` customer { ` + customerFields + ` } } }`,
			postgraphile: `query Identity($platform: String!, $id: String!) { ` +
				`customerIdentity: customerIdentityByStoreIdAndPlatformAndPlatformCustomerId(storeId: "` + storeID +
				`", platform: $platform, platformCustomerId: $id) { ` + pgIdentityFields +
				` customer: customerByStoreIdAndCustomerId { ` + pgCustomerFields + ` } } }`,
			variables: `{"platform":"woocommerce","id":"cust_@key@"}`,
		},
		{
			name:     "customer by email",
			document: `query Email($email: String!) { customer(by: { email: $email }) { ` + customerFields + ` } }`,
			postgraphile: `query Email($email: String!) { customer: customerByStoreIdAndEmailNormalized(storeId: "` + storeID +
				`", emailNormalized: $email) { ` + pgCustomerFields + ` } }`,
			variables: `{"email":"user@k@@example.com"}`,
			draws:     []variable{{"k", firstKey + 1, customers, 1}}, want: []count{{`"id":`, 1}},
		},
		search("search: one in a hundred", "99@Example", []count{{`"id":`, pageSize}}),
		search("search: one of all", "User@key@", nil),
		upsert("upsert: create both", "CREATED", "CREATED", input("woocommerce", "r", "r", "r", 0), fresh),
		upsert("upsert: link", "CREATED", "MATCHED_BY_EMAIL", input("bigcommerce", "r", "k", "r", 0), linked, fresh),
		upsert("upsert: update", "UPDATED", "KEPT", input("woocommerce", "k", "k", "r", 0), existing, fresh),
		upsert("upsert: nothing new", "UNCHANGED", "KEPT", input("woocommerce", "k", "k", "k", 0), untouched),
		batch("batch of 100 new", "CREATED", func(i int) string { return input("woocommerce", "r", "r", "r", i) }, fresh),
		batch("batch of 100 updates", "UPDATED", func(i int) string { return input("woocommerce", "k", "k", "r", i) }, strided, fresh),
	}
	for i := range ops {
		if ops[i].pgVariables == "" {
			ops[i].pgVariables = ops[i].variables
		}
	}
	return ops
}

// page is a page of customers behind a cursor, newest first, with their identities.
func page(name, filter, condition, shape string) operation {
	const head = `query Page($first: Int!, $after: `
	return operation{
		name: name, sampled: true,
		document: head + `String) { customers(` + filter + `first: $first, after: $after) { ` +
			fmt.Sprintf(shape, withIdentities) + ` ` + pageInfo + ` } }`,
		postgraphile: head + `Cursor) { customers: allCustomers(condition: { storeId: "` + storeID + `"` + condition +
			` }, orderBy: [PRIMARY_KEY_DESC], first: $first, after: $after) { ` + fmt.Sprintf(shape, pgWithIdentities) + ` ` + pageInfo + ` } }`,
		variables: fmt.Sprintf(`{"first":%d,"after":"@cursor@"}`, pageSize),
	}
}

// search is a first page of the customers that have a fragment, as somebody types it, in one of their fields or identities:
// always the same one, with what is found, or one of each sample. (Akin asks its index for a part of it, in which pgbench
// could not put the digits that are drawn.)
func search(name, fragment string, found []count) operation {
	const head = `query Search($search: String!) { customers`
	return operation{
		name: name, least: 2 * time.Second, sampled: found == nil,
		document: head + fmt.Sprintf(`(first: %d, filter: { search: $search }) { nodes { `, pageSize) + customerFields + ` } ` + pageInfo + ` } }`,
		postgraphile: head + fmt.Sprintf(`: searchCustomers(storeId: %q, fragment: $search, first: %d) { nodes { `, storeID, pageSize) +
			pgCustomerFields + ` } ` + pageInfo + ` } }`,
		variables: `{"search":"` + fragment + `"}`,
		want:      found,
	}
}

// input is an UpsertCustomerIdentityInput whose ID, email and first name have these variables in them.
func input(platform, id, email, name string, i int) string {
	at := func(variable string) string {
		if i == 0 {
			return "@" + variable + "@"
		}
		return fmt.Sprintf("@%s%d@", variable, i)
	}
	return `{"platform":"` + platform + `","platformCustomerId":"cust_` + at(id) + `","email":"User` + at(email) +
		`@Example.com","firstName":"First` + at(name) + `","lastName":"Last` + at(email) + `"}`
}

func upsert(name, outcome, link, input string, draws ...variable) operation {
	return operation{
		name: name, document: upsertDocument, postgraphile: pgUpsertDocument,
		variables:   `{"input":` + input + `}`,
		pgVariables: `{"input":{"storeId":"` + storeID + `",` + input[1:] + `}`,
		draws:       draws,
		want:        []count{{`"outcome":"` + outcome + `"`, 1}, {`"customerLink":"` + link + `"`, 1}, {`"id":`, 1}},
	}
}

func batch(name, outcome string, input func(i int) string, draws ...variable) operation {
	inputs := make([]string, batchSize)
	for i := range inputs {
		inputs[i] = input(i)
	}
	list := strings.Join(inputs, ",")
	return operation{
		name: name, rows: batchSize, least: 2 * time.Second, document: batchDocument, postgraphile: pgBatchDocument,
		variables:   `{"inputs":[` + list + `]}`,
		pgVariables: `{"input":{"storeId":"` + storeID + `","inputs":[` + list + `]}}`,
		draws:       draws,
		want:        []count{{`"outcome":"` + outcome + `"`, batchSize}, {`"id":`, batchSize}},
	}
}
