package repo

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"akin/model"
)

// order is a total order of a table's rows: by a column's value and, between equals, by ID. Each has an index that
// begins with the store, so that a page costs the same wherever it lies.
type order[T any] struct {
	column string                         // an expression; empty where the ID alone decides
	place  func(*T) model.Cursor          // where a row stands
	value  func(text string) (any, error) // the column's value, from the text of a cursor
}

// byID is the order of creation, for IDs are UUIDv7.
func byID[T any](id func(*T) uuid.UUID) order[T] {
	return order[T]{place: func(row *T) model.Cursor { return model.Cursor{ID: id(row)} }}
}

func byTime[T any](column string, id func(*T) uuid.UUID, value func(*T) time.Time) order[T] {
	return order[T]{
		column: column,
		place: func(row *T) model.Cursor {
			return model.Cursor{Value: value(row).Format(time.RFC3339Nano), ID: id(row)}
		},
		value: func(text string) (any, error) { return time.Parse(time.RFC3339Nano, text) },
	}
}

func byText[T any](column string, id func(*T) uuid.UUID, value func(*T) string) order[T] {
	return order[T]{
		column: column,
		place:  func(row *T) model.Cursor { return model.Cursor{Value: value(row), ID: id(row)} },
		value:  func(text string) (any, error) { return text, nil },
	}
}

// page narrows a query to a page of this order, and one row more to tell whether there is more. The rows come in the
// page's direction. It returns BAD_USER_INPUT for a cursor that no row can have.
func (o order[T]) page(query *bun.SelectQuery, p *params, direction model.OrderDirection, page model.Page) error {
	next, previous := relations(direction)
	sort := "ASC"
	if (direction == model.Descending) != page.Backward {
		sort = "DESC"
	}
	if err := o.bound(query, p, next, "after", page.After); err != nil {
		return err
	}
	if err := o.bound(query, p, previous, "before", page.Before); err != nil {
		return err
	}
	if o.column != "" {
		query.OrderExpr(o.column + " " + sort)
	}
	query.OrderExpr("?TableAlias.id " + sort).Limit(int64(page.Size) + 1)
	return nil
}

// relations returns the operators that what follows a row, and what precedes it, has to it in this direction.
func relations(direction model.OrderDirection) (next, previous string) {
	if direction == model.Descending {
		return "<", ">"
	}
	return ">", "<"
}

func (o order[T]) bound(query *bun.SelectQuery, p *params, relation, argument string, place model.Cursor) error {
	switch {
	case place == model.Cursor{}:
	case o.column == "":
		query.Where("?TableAlias.id "+relation+" ?", p.add(place.ID))
	default:
		value, err := o.value(place.Value)
		if err != nil || !utf8.ValidString(place.Value) || strings.ContainsRune(place.Value, 0) {
			return model.BadInput(argument, "must be a cursor that this list gave")
		}
		query.Where("("+o.column+", ?TableAlias.id) "+relation+" (?, ?)", p.add(value), p.add(place.ID))
	}
	return nil
}

// within narrows a query to the rows whose column holds an ID within the page's bounds, if this is the order of IDs.
func (o order[T]) within(query *bun.SelectQuery, p *params, column string, direction model.OrderDirection, page model.Page) {
	if o.column != "" {
		return
	}
	next, previous := relations(direction)
	if page.After != (model.Cursor{}) {
		query.Where(column+" "+next+" ?", p.add(page.After.ID))
	}
	if page.Before != (model.Cursor{}) {
		query.Where(column+" "+previous+" ?", p.add(page.Before.ID))
	}
}

// list is a list of a store's rows in an order, of which pages can be read.
type list[T any] struct {
	name      string // with its order: what its cursors belong to, beside the store
	order     order[T]
	direction model.OrderDirection
	// query selects the list's rows; the page is for what can begin where it does.
	query func(p *params, page model.Page) *bun.SelectQuery
	// changed is when the rows changed, where the list may be a mirror's; see whereSettled.
	changed *model.DateTimeRange
	// seek reads the rows of a page, where it is set, in the place of read.
	seek func(ctx context.Context, page model.Page) ([]*T, error)
}

// page reads a page of the list. It returns BAD_USER_INPUT for an argument that breaks its rule.
func (l list[T]) page(ctx context.Context, s *Store, args model.PageArgs) (none model.Connection[T], err error) {
	scope := fmt.Sprintf("%s %s", s.id, l.name)
	page, err := args.Page(scope)
	if err != nil {
		return none, err
	}
	var rows []*T
	if l.seek != nil {
		rows, err = l.seek(ctx, page)
	} else {
		rows, err = l.read(ctx, s, page)
	}
	if err != nil {
		return none, err
	}
	return model.NewConnection(page, rows, func(row *T) string { return l.order.place(row).Encode(scope) }), nil
}

// read reads the rows of a page, and one more where there is more.
func (l list[T]) read(ctx context.Context, s *Store, page model.Page) ([]*T, error) {
	var p params
	query := l.query(&p, page)
	if err := l.order.page(query, &p, l.direction, page); err != nil {
		return nil, err
	}
	return l.rows(ctx, s, query, p)
}

// rows runs a query for rows of the list.
func (l list[T]) rows(ctx context.Context, s *Store, query *bun.SelectQuery, p params) (rows []*T, err error) {
	if err := s.whereSettled(ctx, query, &p, l.changed); err != nil {
		return nil, err
	}
	err = s.scan(ctx, query, p, &rows)
	return rows, err
}

// oneWhere returns the store's row that meets a condition, of which there is one at most, nil where there is none. In the
// condition $2 and so on are the key.
func oneWhere[T any](ctx context.Context, s *Store, condition string, key ...any) (*T, error) {
	return one[T](ctx, s, selectWhere[T](s, condition), key...)
}

// one returns the row that a statement gives for the store, which is $1, and a key, nil where there is none.
func one[T any](ctx context.Context, s *Store, query string, key ...any) (*T, error) {
	rows, err := readKeyed[T](ctx, s, query, append([]any{s.id}, key...))
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

// withIDs returns the store's rows that have one of these IDs.
func withIDs[T any](ctx context.Context, s *Store, ids []uuid.UUID, id func(*T) uuid.UUID) (map[uuid.UUID]*T, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	p := params{values: []any{s.id}}
	query := selectWhere[T](s, `id `+string(p.among(ids)))
	var rows []*T
	var err error
	if len(ids) == 1 {
		rows, err = readKeyed[T](ctx, s, query, p.args())
	} else {
		// A plan for any number of IDs reads all of a table that has yet to be analyzed, and would be kept while the table grows.
		p.planAnew = true
		err = s.read(ctx, query, p.args(), &rows)
	}
	if err != nil {
		return nil, err
	}
	byID := make(map[uuid.UUID]*T, len(rows))
	for _, row := range rows {
		byID[id(row)] = row
	}
	return byID, nil
}

// pageOf checks the arguments of a page of a customer's list of this name. What the page's cursors belong to is told only
// where there are any: the same page is asked for of each customer of another one.
func (s *Store) pageOf(customerID uuid.UUID, list string, args model.PageArgs) (model.Page, error) {
	if args.After == nil && args.Before == nil {
		return args.Page("")
	}
	return args.Page(s.scopeOf(customerID, list))
}

func (s *Store) scopeOf(customerID uuid.UUID, list string) string {
	return s.id.String() + " customer " + customerID.String() + " " + list
}

// pagesOf returns a page for each of these customers, who must differ, made by connect of the rows that a query gives for the
// customer; in the query, customer.id is the customer's.
func pagesOf[T, C any](
	ctx context.Context, s *Store, query *bun.SelectQuery, p params, customers []uuid.UUID, customer func(*T) uuid.UUID,
	connect func(rows []*T) *C,
) (map[uuid.UUID]*C, error) {
	if len(customers) == 0 {
		return nil, nil
	}
	var rows []*T
	all := s.db.NewSelect().ColumnExpr("theirs.*").TableExpr("? AS customer (id)", p.each(customers)).
		Join("CROSS JOIN LATERAL (?) AS theirs", query)
	if err := s.scan(ctx, all, p, &rows); err != nil {
		return nil, err
	}
	of := make(map[uuid.UUID][]*T, len(customers))
	for _, row := range rows {
		of[customer(row)] = append(of[customer(row)], row)
	}
	pages := make(map[uuid.UUID]*C, len(customers))
	for _, id := range customers {
		pages[id] = connect(of[id])
	}
	return pages, nil
}

// whereCreated narrows a query to rows created in a range. Their IDs tell, and their index leads there; createdAt, which
// is the same instant, is for the planner, whose estimate of a range of IDs is wrong by up to a hundredth of the table.
func whereCreated(query *bun.SelectQuery, p *params, created *model.DateTimeRange) {
	if created == nil {
		return
	}
	p.planAnew = true
	if created.From != nil {
		query.Where("?TableAlias.id >= ?", p.add(model.FirstID(*created.From))).
			Where("?TableAlias.created_at >= ?", p.add(ceil(*created.From, time.Millisecond)))
	}
	if created.To != nil {
		query.Where("?TableAlias.id < ?", p.add(model.FirstID(*created.To))).
			Where("?TableAlias.created_at < ?", p.add(ceil(*created.To, time.Millisecond)))
	}
}

func whereUpdated(query *bun.SelectQuery, p *params, updated *model.DateTimeRange) {
	if updated == nil {
		return
	}
	p.planAnew = true
	if updated.From != nil {
		query.Where("?TableAlias.updated_at >= ?", p.add(ceil(*updated.From, time.Microsecond)))
	}
	if updated.To != nil {
		query.Where("?TableAlias.updated_at < ?", p.add(ceil(*updated.To, time.Microsecond)))
	}
}

// ceil returns the first instant at t or later that a column of this precision can hold.
func ceil(t time.Time, precision time.Duration) time.Time {
	return t.Add(precision - 1).Truncate(precision)
}
