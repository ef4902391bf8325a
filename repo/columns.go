package repo

import (
	"reflect"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"akin/model"
)

// Columns are names of columns, by the model of their table.
type Columns map[reflect.Type][]string

// needed are the columns that are read whatever an answer shows: what rows are told apart by, belong to one another by, and are
// sorted by.
var needed = Columns{
	reflect.TypeFor[model.Customer]():         {"id", "email_normalized", "last_name", "updated_at"},
	reflect.TypeFor[model.CustomerIdentity](): {"id", "customer_id", "platform", "updated_at"},
	reflect.TypeFor[model.CustomerEvent]():    {"id", "customer_id", "occurred_at"},
}

// Showing returns the store for an answer that shows these columns of customers, identities and events, and no others: what else
// a row has, but for what is needed, is not read, and is the zero value. nil shows all. Upserts answer with whole rows. (Measured:
// a page of 50 customers with 15 properties each, of which it shows none, comes 1.7 times as fast as with whole rows.)
func (s *Store) Showing(columns Columns) *Store {
	showing := *s
	showing.shown = columns
	return &showing
}

// columnsOf returns the columns that are to be read of a model's rows, in the order of the table.
func columnsOf[T any](s *Store) []string {
	row := reflect.TypeFor[T]()
	var columns []string
	for _, field := range s.db.Table(row).Fields {
		if s.shown == nil || slices.Contains(needed[row], field.Name) || slices.Contains(s.shown[row], field.Name) {
			columns = append(columns, field.Name)
		}
	}
	return columns
}

// showsCustomers reports whether an answer is known to show more of customers than their IDs, be it in another of its parts.
func (s *Store) showsCustomers() bool {
	return slices.ContainsFunc(s.shown[reflect.TypeFor[model.Customer]()], func(column string) bool { return column != "id" })
}

// selectRows begins a query for rows of a model.
func selectRows[T any](s *Store) *bun.SelectQuery {
	return s.db.NewSelect().Model((*T)(nil)).Column(columnsOf[T](s)...)
}

// selectWhere returns the statement that selects the store's rows that meet a condition; the store is $1. It is made without Bun,
// which takes longer to compose so short a statement than it takes to send. For the store's condition see addHidden.
func selectWhere[T any](s *Store, condition string) string {
	return "SELECT " + strings.Join(columnsOf[T](s), ", ") + " FROM " + s.db.Table(reflect.TypeFor[T]()).Name +
		" WHERE store_id = (SELECT $1::uuid) AND " + condition
}
