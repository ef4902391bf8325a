package repo

import (
	"context"
	"reflect"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"
)

// querier is a *pool or a pgx.Tx, or one of these metered.
type querier interface {
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
}

// scanRows runs a statement and reads its rows into dest, in the place of what is there: a pointer to a slice of pointers to
// structs that Bun knows, or a pointer to a slice for each column. It does what Bun's ScanRows does, but from pgx's own rows:
// database/sql between the two makes a text of each UUID and copies each value (measured: a third of our CPU time for a page).
func scanRows(ctx context.Context, db *bun.DB, q querier, query string, args []any, dest ...any) error {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return asModelError(err)
	}
	defer rows.Close()
	return asModelError(readRows(db, rows, dest...))
}

// readRows reads the rows of a statement into dest, as scanRows does.
func readRows(db *bun.DB, rows pgx.Rows, dest ...any) error {
	for _, slice := range dest {
		reflect.ValueOf(slice).Elem().SetLen(0)
	}
	scan := scanColumns
	if reflect.TypeOf(dest[0]).Elem().Elem().Kind() == reflect.Pointer {
		scan = scanStructs
	}
	if err := scan(db, rows, dest); err != nil {
		return err
	}
	return rows.Err()
}

// scanColumns reads each column into a slice of its own.
func scanColumns(_ *bun.DB, rows pgx.Rows, dest []any) error {
	values := make([]any, len(dest))
	for rows.Next() {
		for i, slice := range dest {
			column := reflect.ValueOf(slice).Elem()
			column.Set(reflect.Append(column, reflect.Zero(column.Type().Elem())))
			values[i] = column.Index(column.Len() - 1).Addr().Interface()
		}
		if err := rows.Scan(values...); err != nil {
			return err
		}
	}
	return nil
}

// scanStructs reads each row into a new struct, in which SQL's NULL is the zero value.
func scanStructs(db *bun.DB, rows pgx.Rows, dest []any) error {
	slice := reflect.ValueOf(dest[0]).Elem()
	row := slice.Type().Elem().Elem()
	table := db.Table(row)
	columns := make([][]int, len(rows.FieldDescriptions())) // where each is in the struct
	for i, column := range rows.FieldDescriptions() {
		field, err := table.Field(column.Name)
		if err != nil {
			return err
		}
		columns[i] = field.Index
	}
	values := make([]any, len(columns))
	for rows.Next() {
		pointer := reflect.New(row)
		slice.Set(reflect.Append(slice, pointer))
		added := pointer.Elem()
		for i, raw := range rows.RawValues() {
			values[i] = nil // which Scan passes over
			if raw == nil {
				continue
			}
			field := added.FieldByIndex(columns[i])
			if field.Kind() == reflect.Pointer { // which pgx would fill in by a plan that wraps another
				field.Set(reflect.New(field.Type().Elem()))
				field = field.Elem()
			}
			values[i] = field.Addr().Interface()
			if id, ok := values[i].(*uuid.UUID); ok {
				values[i] = (*[16]byte)(id) // which pgx writes to without an allocation
			}
		}
		if err := rows.Scan(values...); err != nil {
			return err
		}
	}
	return nil
}
