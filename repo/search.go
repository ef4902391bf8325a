package repo

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"

	"github.com/uptrace/bun"

	"akin/model"
)

// likeEscaper takes their meaning from the characters that LIKE knows.
var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// pattern returns what search_text must be LIKE to have the fragment.
func (p *params) pattern(fragment string) bun.Safe {
	p.planAnew = true // by how common the fragment is
	return "search_fold(" + p.add("%"+likeEscaper.Replace(fragment)+"%") + ")"
}

// needle is a fragment as the indexes are asked for it.
type needle struct {
	fragment string // folded
	// What the search_text of a customer, and of an identity, must be LIKE.
	customers, identities string
}

// An index of trigrams reads all that it has of each trigram of a pattern. For "taylor@gmail" that is every row, to find the
// few of which "taylor" tells, so the pattern leaves out what is common: a trigram that more than a commonShare-th of the
// sampleSize rows have. Half of those are the store's oldest and half its newest, since what a store began with, mostly by an
// import, may look unlike what came after. (For a fragment of one row in a hundred of 200,000 the index took 0.4 ms instead
// of 30 to 50.) A sample that is smaller tells too little.
const (
	sampleSize  = 300
	commonShare = 30
)

// selectSample counts for each three characters of a fragment how many of the store's oldest and newest rows have them.
var selectSample = fmt.Sprintf(`WITH sought AS (SELECT search_fold($2) AS fragment),
part AS (SELECT at, substr(fragment, at, 3) AS text FROM sought, generate_series(1, char_length(fragment) - 2) AS at),
c AS MATERIALIZED (
	(SELECT search_text FROM customers WHERE store_id = (SELECT $1::uuid) ORDER BY id LIMIT %d)
	UNION ALL (SELECT search_text FROM customers WHERE store_id = (SELECT $1::uuid) ORDER BY id DESC LIMIT %[1]d)),
i AS MATERIALIZED (
	(SELECT search_text FROM customer_identities WHERE store_id = (SELECT $1::uuid) ORDER BY id LIMIT %[1]d)
	UNION ALL (SELECT search_text FROM customer_identities WHERE store_id = (SELECT $1::uuid) ORDER BY id DESC LIMIT %[1]d))
SELECT fragment, (SELECT count(*) FROM c), (SELECT count(*) FROM i),
	ARRAY(SELECT (SELECT count(*) FROM c WHERE strpos(search_text, text) > 0) FROM part ORDER BY at),
	ARRAY(SELECT (SELECT count(*) FROM i WHERE strpos(search_text, text) > 0) FROM part ORDER BY at)
FROM sought`, sampleSize/2)

// sample asks the oldest and newest rows of the store how common the parts of a fragment are.
func (s *Store) sample(ctx context.Context, fragment string) (needle, error) {
	var folded []string
	var customers, identities []int
	var inCustomers, inIdentities [][]int
	err := s.read(ctx, selectSample, []any{s.id, fragment}, &folded, &customers, &identities, &inCustomers, &inIdentities)
	if err != nil {
		return needle{}, err
	}
	return needle{folded[0], rare(folded[0], inCustomers[0], customers[0]), rare(folded[0], inIdentities[0], identities[0])}, nil
}

// indexed matches what has a trigram to look up; for a pattern without any, all of an index is read.
var indexed = regexp.MustCompile(`[\pL\pN]{3}|[\pL\pN]{2}[^\x00\pL\pN]|[^\x00\pL\pN][\pL\pN]{2}`)

// rare returns a pattern that everything with the fragment is LIKE, made of those of its parts that are rare: counts has for
// each three characters, from each place on, in how many rows of a sample they are.
func rare(fragment string, counts []int, of int) string {
	characters, kept := []rune(fragment), map[int]bool{}
	for at, n := range counts {
		if n*commonShare <= of {
			kept[at], kept[at+1], kept[at+2] = true, true, true
		}
	}
	for at := range characters {
		if !kept[at] {
			characters[at] = 0 // which is in no fragment
		}
	}
	parts := strings.Join(strings.FieldsFunc(string(characters), func(r rune) bool { return r == 0 }), "\x00")
	if of < sampleSize || !indexed.MatchString(parts) {
		parts = fragment
	}
	return "%" + strings.ReplaceAll(likeEscaper.Replace(parts), "\x00", "%") + "%"
}

// find selects the IDs of the customers that have the fragment themselves or in an identity, some of them repeatedly. The
// condition on the store is worded so that no index can answer it: it is to be checked on the few rows that the index of the
// search has found.
func (s *Store) find(p *params, n needle) *bun.SelectQuery {
	p.planAnew = true
	store, fragment := p.addHidden(s.id), p.add(n.fragment)
	where := func(query *bun.SelectQuery, pattern string) *bun.SelectQuery {
		return query.Where("?TableAlias.search_text LIKE ?", p.add(pattern)).Where("strpos(?TableAlias.search_text, ?) > 0", fragment).
			Where("?TableAlias.store_id IS NOT DISTINCT FROM ?", store)
	}
	return where(s.db.NewSelect().Model((*model.Customer)(nil)).Column("c.id"), n.customers).
		UnionAll(where(s.db.NewSelect().Model((*model.CustomerIdentity)(nil)).Column("i.customer_id"), n.identities))
}

// How far a walk in the order of a page goes before the index is asked. On 1,000,000 customers one past 1,000 takes 2 to
// 3 ms. The short one tells how common what is sought is there, and a long one is taken where it is to fill the page.
const (
	shortWalk = 300
	longWalk  = 5_000
)

// foundCost is what a customer that the index finds costs, with identities and other stores' customers, in customers that a
// walk goes past: 2.4 to 6.4 in the order of creation, and 1 to 2.5 in another, in which they lie apart (measured with 200,000
// to 2,000,000 customers, in memory and not).
func (o order[T]) foundCost() int {
	if o.column == "" {
		return 3
	}
	return 1
}

// farther returns how far a walk has to go that is to fill a page of this size, going by how many rows a shorter one met on
// its way, with a quarter to spare: to miss the page by a row costs another. It returns 0 where the index finds everything
// for less. What the index finds grows with the table and the way does not, so that for a page of what is neither common
// nor rare, the time grows with the square root of the table.
func (s *Store) farther(ctx context.Context, l list[model.Customer], met, way, size int) (int, error) {
	if met == 0 {
		return 0, nil
	}
	long := way * size * 5 / 4 / met
	if long <= longWalk {
		return longWalk, nil
	}
	var customers []int
	const count = "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'customers'::regclass" // as last analyzed
	if err := s.read(ctx, count, nil, &customers); err != nil {
		return 0, err
	}
	if long > l.order.foundCost()*customers[0]*met/way {
		return 0, nil
	}
	return long, nil
}

// seek reads the rows of a page of those of the list that have the fragment and the tags of a filter. What is common fills a
// page after a short walk; what is rare is in few rows, to which an index leads in an order of its own. Which of both it is,
// for a value that may be in no statistics, and along the order, PostgreSQL cannot know before.
//
// The list is of the rows that meet the rest of the filter.
func (s *Store) seek(
	ctx context.Context, l list[model.Customer], f, rest *model.CustomerFilter, page model.Page,
) ([]*model.Customer, error) {
	way := shortWalk // how far the last walk went
	rows, err := s.walk(ctx, l, f, page, way)
	if err != nil || len(rows) > page.Size {
		return rows, err
	}
	if !reflect.ValueOf(*rest).IsZero() || page.After != (model.Cursor{}) || page.Before != (model.Cursor{}) {
		short, err := s.isShort(ctx, l, page)
		if err != nil {
			return nil, err
		}
		if short {
			return s.walk(ctx, l, f, page, longWalk)
		}
	}
	for _, most := range []int{2 * longWalk, math.MaxInt} { // the short walk meets too few to go by any farther
		far, err := s.farther(ctx, l, len(rows), way, page.Size)
		if err != nil {
			return nil, err
		}
		if far == 0 {
			break
		}
		way = min(far, most)
		if rows, err = s.walk(ctx, l, f, page, way); err != nil || len(rows) > page.Size {
			return rows, err
		}
	}
	return s.lookUp(ctx, l, f, page)
}

// walk reads those rows of a page that have what the filter seeks and are among the next so many of the list.
func (s *Store) walk(
	ctx context.Context, l list[model.Customer], f *model.CustomerFilter, page model.Page, way int,
) ([]*model.Customer, error) {
	var p params
	passed := l.query(&p, page).ExcludeColumn("*").ColumnExpr("c.*")
	walked := order[model.Customer]{} // what is passed is in the page's bounds
	if l.order.column != "" {
		passed.ColumnExpr(l.order.column + " AS place")
		walked.column = "c.place"
	}
	bounds := page
	bounds.Size = way
	if err := l.order.page(passed, &p, l.direction, bounds); err != nil {
		return nil, err
	}
	query := selectRows[model.Customer](s).ModelTableExpr("(?) AS c", passed)
	if len(f.Tags) > 0 {
		whereTags(query, &p, f.Tags)
	}
	if f.Search != nil {
		pattern := p.pattern(*f.Search)
		// A scalar, for PostgreSQL would answer EXISTS from a table of all identities with the fragment.
		query.Where(`(c.search_text LIKE ? OR (SELECT true FROM customer_identities AS i
			WHERE i.store_id = c.store_id AND i.customer_id = c.id AND i.search_text LIKE ? LIMIT 1))`, pattern, pattern)
	}
	if err := walked.page(query, &p, l.direction, model.Page{Size: page.Size, Backward: page.Backward}); err != nil {
		return nil, err
	}
	return l.rows(ctx, s, query, p)
}

// lookUp reads the rows of a page among all that an index gives of what the filter seeks.
func (s *Store) lookUp(ctx context.Context, l list[model.Customer], f *model.CustomerFilter, page model.Page) ([]*model.Customer, error) {
	var p params
	query := l.query(&p, page)
	if f.Search == nil {
		tagged := s.selectCustomers(&p, &model.CustomerFilter{Tags: f.Tags}, nil).ExcludeColumn("*").Column("c.id")
		query.Where("c.id = ANY (ARRAY(?))", tagged)
	} else {
		needle, err := s.sample(ctx, *f.Search)
		if err != nil {
			return nil, err
		}
		if len(f.Tags) > 0 {
			whereTags(query, &p, f.Tags)
		}
		query.Where("c.id = ANY (ARRAY(?))", s.find(&p, needle))
	}
	if err := l.order.page(query, &p, l.direction, page); err != nil {
		return nil, err
	}
	return l.rows(ctx, s, query, p)
}

// isShort reports whether a list has no more rows left than a long walk passes. The index would give all that has what is
// sought in the whole store, however little of it meets the other conditions or lies before the end.
func (s *Store) isShort(ctx context.Context, l list[model.Customer], page model.Page) (bool, error) {
	var p params
	left := l.query(&p, page)
	way := page
	way.Size = longWalk
	if err := l.order.page(left, &p, l.direction, way); err != nil {
		return false, err
	}
	passed := s.db.NewSelect().Model((*model.Customer)(nil)).ModelTableExpr("(?) AS c", left.ExcludeColumn("*").Column("c.id"))
	n, err := s.count(ctx, passed, p)
	return n <= longWalk, err
}
