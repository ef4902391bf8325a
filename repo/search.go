package repo

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"akin/model"
)

// maxFound is how many rows a fragment may be found in for the index to be the way to a page. On 1,000,000 customers to
// fetch as many takes 1 to 2 ms; more often than that, a page of those in order is soon full.
const maxFound = 1000

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

// whereFound narrows a page of customers to those that have the fragment. The few that have a rare one are found by
// index first, in a statement of their own; for a common one, customers are tried in the order of the page until it is
// full. PostgreSQL cannot choose between the two by itself: it would have to know how the fragment is spread over two
// tables, and along the order.
func (s *Store) whereFound(ctx context.Context, query *bun.SelectQuery, p *params, fragment string) error {
	var first params
	var found []uuid.UUID
	some := s.db.NewSelect().ColumnExpr("*").TableExpr("(?) AS found", s.find(&first, fragment)).Limit(maxFound + 1)
	if err := s.scan(ctx, some, first, &found); err != nil {
		return err
	}
	if len(found) <= maxFound {
		query.Where("c.id = ANY (?)", p.add(found))
		return nil
	}
	pattern := p.pattern(fragment)
	// A scalar, for PostgreSQL would answer EXISTS from a table of all identities with the fragment.
	query.Where(`(c.search_text LIKE ? OR (SELECT true FROM customer_identities AS i
		WHERE i.store_id = c.store_id AND i.customer_id = c.id AND i.search_text LIKE ? LIMIT 1))`, pattern, pattern)
	return nil
}
