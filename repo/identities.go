package repo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"akin/model"
)

func identityID(i *model.CustomerIdentity) uuid.UUID { return i.ID }

// identityPlatform is the platform as the index of platforms has it. The plain column leads to the unique key.
const identityPlatform = "(i.platform || '')"

var identityOrders = map[model.CustomerIdentityOrderField]order[model.CustomerIdentity]{
	model.IdentitiesByCreatedAt: byID(identityID),
	model.IdentitiesByUpdatedAt: byTime("i.updated_at", identityID, func(i *model.CustomerIdentity) time.Time { return i.UpdatedAt }),
	model.IdentitiesByPlatform:  byText(identityPlatform, identityID, func(i *model.CustomerIdentity) string { return i.Platform }),
}

// CustomerIdentities returns a page of the identities that meet the filter; a nil filter is met by all, and a nil order is
// newest first. It returns BAD_USER_INPUT for an argument that breaks its rule.
func (s *Store) CustomerIdentities(
	ctx context.Context, filter *model.CustomerIdentityFilter, by *model.CustomerIdentityOrder, args model.PageArgs,
) (*model.CustomerIdentityConnection, error) {
	filter, err := filter.Check()
	if err != nil {
		return nil, err
	}
	if by == nil {
		by = &model.CustomerIdentityOrder{Field: model.IdentitiesByCreatedAt, Direction: model.Descending}
	}
	l := list[model.CustomerIdentity]{
		name: fmt.Sprintf("customerIdentities %s %s", by.Field, by.Direction), order: identityOrders[by.Field], direction: by.Direction,
		query: func(p *params, _ model.Page) *bun.SelectQuery { return s.selectIdentities(p, filter) },
	}
	if *by == (model.CustomerIdentityOrder{Field: model.IdentitiesByUpdatedAt, Direction: model.Ascending}) {
		l.changed = filter.UpdatedAt
	}
	page, err := l.page(ctx, s, args)
	if err != nil {
		return nil, err
	}
	return &model.CustomerIdentityConnection{Connection: page, Filter: filter}, nil
}

// CountCustomerIdentities returns how many identities meet the filter, which CustomerIdentities has checked. It reads
// every one of them.
func (s *Store) CountCustomerIdentities(ctx context.Context, filter *model.CustomerIdentityFilter) (int, error) {
	var p params
	return s.count(ctx, s.selectIdentities(&p, filter), p)
}

func (s *Store) selectIdentities(p *params, f *model.CustomerIdentityFilter) *bun.SelectQuery {
	query := selectRows[model.CustomerIdentity](s)
	if f.Platform == nil {
		query.Where("i.store_id = ?", p.addHidden(s.id))
	} else { // how common a platform is depends on the store
		p.planAnew = true
		query.Where("i.store_id = ?", p.add(s.id)).Where(identityPlatform+" = ?", p.add(*f.Platform))
	}
	if f.Email != nil {
		query.Where("i.email_normalized = ?", p.add(*f.Email))
	}
	if f.CustomerID != nil {
		query.Where("i.customer_id = ?", p.add(*f.CustomerID))
	}
	whereCreated(query, p, f.CreatedAt)
	whereUpdated(query, p, f.UpdatedAt)
	return query
}

// CustomerIdentity returns the identity with this key, nil where there is none, or BAD_USER_INPUT for a key that breaks
// its rule. Where the answer shows customers it has its own, read in the same statement.
func (s *Store) CustomerIdentity(ctx context.Context, by model.CustomerIdentityKey) (*model.CustomerIdentity, error) {
	by, err := by.Check()
	if err != nil {
		return nil, err
	}
	if by.ID != nil {
		return s.identityWhere(ctx, `id = $2`, *by.ID)
	}
	return s.identityWhere(ctx, `platform = $2 AND platform_customer_id = $3`, by.PlatformIdentity.Platform, by.PlatformIdentity.PlatformCustomerID)
}

// owned is an identity beside its customer.
type owned struct {
	model.CustomerIdentity `bun:",extend"`

	Owner model.Customer `bun:"embed:customer__"`
}

// identityWhere is oneWhere for an identity, and its customer where that is shown. The LATERAL keeps the plan to the indexes where
// a table has no statistics yet.
func (s *Store) identityWhere(ctx context.Context, condition string, key ...any) (*model.CustomerIdentity, error) {
	if !s.showsCustomers() {
		return oneWhere[model.CustomerIdentity](ctx, s, condition, key...)
	}
	columns := []string{"i.*"}
	for _, column := range columnsOf[model.Customer](s) {
		columns = append(columns, "c."+column+" AS customer__"+column)
	}
	query := "SELECT " + strings.Join(columns, ", ") + " FROM (" + selectWhere[model.CustomerIdentity](s, condition) +
		") AS i CROSS JOIN LATERAL (" + selectWhere[model.Customer](s, "id = i.customer_id LIMIT 1") + ") AS c"
	row, err := one[owned](ctx, s, query, key...)
	if err != nil || row == nil {
		return nil, err
	}
	row.Customer = &row.Owner
	return &row.CustomerIdentity, nil
}

func (s *Store) identitiesByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*model.CustomerIdentity, error) {
	return withIDs(ctx, s, ids, identityID)
}

// IdentityPage checks the arguments of Customer.identities. It returns BAD_USER_INPUT for one that breaks its rule.
func (s *Store) IdentityPage(customerID uuid.UUID, platform *string, args model.PageArgs) (page model.IdentityPage, err error) {
	if platform, err = model.CheckPlatform("platform", platform); err != nil {
		return page, err
	}
	if platform != nil {
		page.Platform = *platform
	}
	page.Page, err = s.pageOf(customerID, identitiesOf, args)
	return page, err
}

const identitiesOf = "identities"

// IdentityPages returns this page of the identities of each of these customers, who must differ, oldest identity first.
func (s *Store) IdentityPages(
	ctx context.Context, customers []uuid.UUID, page model.IdentityPage,
) (map[uuid.UUID]*model.CustomerIdentityConnection, error) {
	var p params
	each := onPlatform(s.selectIdentities(&p, &model.CustomerIdentityFilter{}), &p, page.Platform).
		Where("i.customer_id = customer.id")
	if err := identityOrders[model.IdentitiesByCreatedAt].page(each, &p, model.Ascending, page.Page); err != nil {
		return nil, err
	}
	cursor := func(i *model.CustomerIdentity) string {
		return model.Cursor{ID: i.ID}.Encode(s.scopeOf(i.CustomerID, identitiesOf))
	}
	return pagesOf(ctx, s, each, p, customers, func(i *model.CustomerIdentity) uuid.UUID { return i.CustomerID },
		func(identities []*model.CustomerIdentity) *model.CustomerIdentityConnection {
			return &model.CustomerIdentityConnection{Connection: model.NewConnection(page.Page, identities, cursor)}
		})
}

// onPlatform narrows a query of some customers' identities to a platform, if it is not empty. A customer has few and a
// platform has many, so the condition is one that no index serves: the planner, which knows neither before the first
// ANALYZE, would read the platform once for each customer.
func onPlatform(query *bun.SelectQuery, p *params, platform string) *bun.SelectQuery {
	if platform != "" {
		query.Where("'' || i.platform = ?", p.add(platform))
	}
	return query
}

// IdentityCounts returns how many identities each of these customers has, on this platform if it is not empty. Who has none is
// not in the map.
func (s *Store) IdentityCounts(ctx context.Context, customers []uuid.UUID, platform string) (map[uuid.UUID]int, error) {
	if len(customers) == 0 {
		return nil, nil
	}
	var p params
	query := onPlatform(s.selectIdentities(&p, &model.CustomerIdentityFilter{}), &p, platform).
		ExcludeColumn("*").Column("customer_id").ColumnExpr("count(*)").Where("i.customer_id ?", p.among(customers)).Group("customer_id")
	var found []uuid.UUID
	var lengths []int
	if err := s.scan(ctx, query, p, &found, &lengths); err != nil {
		return nil, err
	}
	counts := make(map[uuid.UUID]int, len(found))
	for i, id := range found {
		counts[id] = lengths[i]
	}
	return counts, nil
}
