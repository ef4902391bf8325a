package repo

import (
	"context"
	"reflect"
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

// find selects the IDs of the customers that have the fragment themselves or in an identity, some of them repeatedly.
func (s *Store) find(p *params, fragment string) *bun.SelectQuery {
	pattern := p.pattern(fragment)
	identities := s.selectIdentities(p, &model.CustomerIdentityFilter{}).ExcludeColumn("*").Column("i.customer_id").
		Where("i.search_text LIKE ?", pattern)
	return s.selectCustomers(p, &model.CustomerFilter{}).ExcludeColumn("*").Column("c.id").
		Where("c.search_text LIKE ?", pattern).UnionAll(identities)
}

// How far a walk in the order of a page goes before the index is asked. On 1,000,000 customers one past 1,000 takes 2 to
// 3 ms. The short one tells how common what is sought is there, the long one is taken where it is to fill the page.
const (
	shortWalk = 300
	longWalk  = 5_000
)

// sought returns the list's rows that have the fragment and the tags of a filter. What is common fills a page after a short
// walk; what is rare is in few rows, to which an index leads in an order of its own. Which of both it is, for a value that
// may be in no statistics, and along the order, PostgreSQL cannot know before.
//
// The list is of the rows that meet the rest of the filter.
func (s *Store) sought(l list[model.Customer], f, rest *model.CustomerFilter) list[model.Customer] {
	rows, narrow := l.query, !reflect.ValueOf(*rest).IsZero()
	l.query = func(p *params, page model.Page) *bun.SelectQuery {
		query := rows(p, page)
		if f.Search == nil {
			tagged := s.selectCustomers(p, &model.CustomerFilter{Tags: f.Tags}).ExcludeColumn("*").Column("c.id")
			return query.Where("c.id = ANY (ARRAY(?))", tagged)
		}
		if len(f.Tags) > 0 {
			whereTags(query, p, f.Tags)
		}
		return query.Where("c.id = ANY (ARRAY(?))", s.find(p, *f.Search))
	}
	walk := func(p *params, page model.Page, n int) (*bun.SelectQuery, error) {
		way := page
		way.Size = n
		passed := rows(p, page).ExcludeColumn("*").ColumnExpr("c.*")
		walked := order[model.Customer]{} // what is passed is in the page's bounds
		if l.order.column != "" {
			passed.ColumnExpr(l.order.column + " AS place")
			walked.column = "c.place"
		}
		if err := l.order.page(passed, p, l.direction, way); err != nil {
			return nil, err
		}
		query := s.db.NewSelect().Model((*model.Customer)(nil)).ModelTableExpr("(?) AS c", passed)
		if len(f.Tags) > 0 {
			whereTags(query, p, f.Tags)
		}
		if f.Search != nil {
			pattern := p.pattern(*f.Search)
			// A scalar, for PostgreSQL would answer EXISTS from a table of all identities with the fragment.
			query.Where(`(c.search_text LIKE ? OR (SELECT true FROM customer_identities AS i
				WHERE i.store_id = c.store_id AND i.customer_id = c.id AND i.search_text LIKE ? LIMIT 1))`, pattern, pattern)
		}
		return query, walked.page(query, p, l.direction, model.Page{Size: page.Size, Backward: page.Backward})
	}
	l.shortcuts = []shortcut{
		func(_ context.Context, p *params, page model.Page, _ int) (*bun.SelectQuery, bool, error) {
			query, err := walk(p, page, shortWalk)
			return query, false, err
		},
		func(ctx context.Context, p *params, page model.Page, met int) (query *bun.SelectQuery, all bool, err error) {
			if narrow || page.After != (model.Cursor{}) || page.Before != (model.Cursor{}) {
				if all, err = s.isShort(ctx, l, rows, page); err != nil {
					return nil, false, err
				}
			}
			if !all && met*longWalk < page.Size*shortWalk {
				return nil, false, nil
			}
			query, err = walk(p, page, longWalk)
			return query, all, err
		},
	}
	return l
}

// isShort reports whether a long walk passes all that is left of a list: the index would give everything that has what is
// sought, however little of it meets the other conditions or lies before the end.
func (s *Store) isShort(
	ctx context.Context, l list[model.Customer], rows func(*params, model.Page) *bun.SelectQuery, page model.Page,
) (bool, error) {
	var p params
	left := rows(&p, page)
	way := page
	way.Size = longWalk
	if err := l.order.page(left, &p, l.direction, way); err != nil {
		return false, err
	}
	passed := s.db.NewSelect().Model((*model.Customer)(nil)).ModelTableExpr("(?) AS c", left.ExcludeColumn("*").Column("c.id"))
	n, err := s.count(ctx, passed, p)
	return n <= longWalk, err
}
