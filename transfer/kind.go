package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"akin/model"
	"akin/repo"
)

// Kind is what a file is of.
type Kind string

// The kinds of files. Into an empty store they go in the order customers, identities, events: an identity is linked to the
// row's customer, and an event needs its customer.
const (
	Identities Kind = "identities"
	Customers  Kind = "customers"
	Events     Kind = "events"
)

var kinds = map[Kind]*kind{Identities: identities, Customers: customers, Events: events}

// kindOf returns the kind with this name.
func kindOf(name Kind) (*kind, error) {
	if k, ok := kinds[name]; ok {
		return k, nil
	}
	return nil, fmt.Errorf("%q is none of identities, customers and events", name)
}

// kind is how a kind's rows are read, written and shown.
type kind struct {
	// wrapper is the member that a request of the seed documents wraps the object in, and that a file of failed rows
	// keeps a row in: as JSON, or as a string where it is none.
	wrapper string
	// columns are the API's names of what a row holds, a group's members after a dot; exported are those of an export.
	columns, exported []string
	// names leads from each name that a column may have to its column: its own, its snake_case, and those given here.
	names map[string]string
	// groups are the columns that hold others. A group is an object in NDJSON, and a column for each member in CSV.
	groups []string
	// required are the columns that a header must have, at least one of each.
	required [][]string

	// check returns the input that a row asks for and its claims, or every rule that the row breaks.
	check func(values) (input any, claims claims, faults []string)
	// write writes the inputs that check returned, and answers each in its place.
	write func(context.Context, *repo.Store, []any) ([]*model.Upsert, error)
	// count returns how many objects a store has.
	count func(context.Context, *repo.Store) (int, error)
	// page returns a page of a store's objects as they are exported, oldest first, and the cursor of the next page if
	// there is one.
	page func(ctx context.Context, store *repo.Store, after *string) (records []any, next *string, err error)
}

// claims are what a row may write. A batch holds its rows' claims until it is written, and a later row with one of them
// waits for it. That is what makes the result that of the rows one by one.
type claims struct {
	own    []any // in a batch, one row's alone
	shared []any // which rows of a batch may have in common
}

// ownClaims are those of an object with a key and an ID of its own.
func ownClaims(key any, origin model.Origin) []any {
	if origin.ID == nil {
		return []any{key}
	}
	return []any{key, *origin.ID}
}

// values are what a row says, by column: a string, nil for null, or in NDJSON a json.RawMessage for any other value. A
// column of which it says nothing is missing.
type values map[string]any

// remark is the name of what a file of failed rows adds to one, which means nothing when it comes back.
const remark = "line"

// column returns the API's name for the name of a column or a member.
func (k *kind) column(name string) (column string, ok bool) {
	if strings.HasPrefix(name, propertyPrefix) && k.names["properties"] != "" {
		return name, true
	}
	column, ok = k.names[name]
	return column, ok
}

// named completes the names of a kind.
func named(k *kind) *kind {
	names := map[string]string{remark: remark, "error": remark}
	for _, column := range slices.Concat(k.columns, k.groups) {
		names[column], names[snakeCase(column)] = column, column
	}
	maps.Copy(names, k.names)
	k.names = names
	return k
}

// snakeCase returns the twin of a name in camelCase.
func snakeCase(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// known names the columns for a person who has used another.
func (k *kind) known() string {
	last := len(k.columns) - 1
	return strings.Join(k.columns[:last], ", ") + " and " + k.columns[last] + ", or their snake_case"
}

// parse reads the values of a JSON object.
func (k *kind) parse(text []byte) (values, error) {
	members, err := object(text)
	if err != nil {
		return nil, fmt.Errorf("the row is not %w", err)
	}
	v := values{}
	for name, member := range members {
		if err := k.add(v, name, decode(member)); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// add puts a value where it belongs; a group is taken apart.
func (k *kind) add(v values, name string, value any) error {
	column, ok := k.column(name)
	if !ok {
		return fmt.Errorf("the row has the unknown member %q; the members are %s", model.Redact(name), k.known())
	}
	if column == remark {
		return nil
	}
	if _, twice := v[column]; twice {
		return fmt.Errorf("the row has %s in both spellings", column)
	}
	if value == nil || !slices.Contains(k.groups, column) {
		v[column] = value
		return nil
	}
	members, err := object([]byte(textOf(value)))
	if err != nil {
		return fmt.Errorf("%s must be an object", column)
	}
	v[column] = nil
	for member, text := range members {
		if err := k.add(v, column+"."+member, decode(text)); err != nil {
			return err
		}
	}
	return nil
}

// object returns the members of a JSON object, or what the text is not.
func object(text []byte) (map[string]json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil || members == nil {
		if _, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, fmt.Errorf("JSON: %w", err)
		}
		return nil, errors.New("a JSON object")
	}
	return members, nil
}

// decode returns a JSON value as values have it.
func decode(text json.RawMessage) any {
	var s *string
	if json.Unmarshal(text, &s) != nil {
		return text
	}
	if s == nil {
		return nil
	}
	return *s
}

// textOf returns a value as a cell of CSV has it.
func textOf(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case json.RawMessage:
		return string(value)
	}
	return ""
}

// writer returns the write of a kind whose batches this method writes.
func writer[I any, P model.UpsertPayload](
	upsert func(*repo.Store, context.Context, []*I, model.BatchErrorPolicy) (*model.Batch[P], error),
) func(context.Context, *repo.Store, []any) ([]*model.Upsert, error) {
	return func(ctx context.Context, store *repo.Store, rows []any) ([]*model.Upsert, error) {
		inputs := make([]*I, len(rows))
		for i, row := range rows {
			inputs[i] = row.(*I)
		}
		batch, err := upsert(store, ctx, inputs, model.KeepValid)
		if err != nil {
			return nil, err
		}
		answers := make([]*model.Upsert, len(rows))
		for i, payload := range batch.Results {
			answers[i] = payload.Result()
		}
		return answers, nil
	}
}

// records returns a page as an export shows it.
func records[T any](connection model.Connection[T], record func(*T) any) (all []any, next *string) {
	for _, node := range connection.Nodes {
		all = append(all, record(node))
	}
	if info := connection.PageInfo(); info.HasNextPage {
		next = info.EndCursor
	}
	return all, next
}

// pageAfter asks for the longest page after a cursor.
func pageAfter(after *string) model.PageArgs {
	return model.PageArgs{First: new(model.MaxPage), After: after}
}
