package repo

import (
	"context"
	"fmt"

	"akin/model"
)

// CreateStore creates a store. It returns BAD_USER_INPUT for a name that is blank, too long or taken.
func (db *DB) CreateStore(ctx context.Context, name string) (*model.Store, error) {
	if err := model.CheckLabel("name", name); err != nil {
		return nil, err
	}
	id, now := model.NewID()
	store := &model.Store{ID: id, Name: name, CreatedAt: now}
	if _, err := db.bun.NewInsert().Model(store).Exec(ctx); err != nil {
		return nil, asModelError(err)
	}
	return store, nil
}

// Stores returns every store, by name.
func (db *DB) Stores(ctx context.Context) ([]*model.Store, error) {
	var stores []*model.Store
	err := db.bun.NewSelect().Model(&stores).Order("name").Scan(ctx)
	return stores, asModelError(err)
}

// FindStore returns the store with this name, or BAD_USER_INPUT.
func (db *DB) FindStore(ctx context.Context, name string) (*model.Store, error) {
	var stores []*model.Store
	if err := db.bun.NewSelect().Model(&stores).Where("name = ?", name).Scan(ctx); err != nil {
		return nil, asModelError(err)
	}
	if len(stores) == 0 {
		return nil, model.BadInput("store", fmt.Sprintf("%q does not exist; `akin store list` shows those that do", name))
	}
	return stores[0], nil
}

// Self returns the store itself.
func (s *Store) Self(ctx context.Context) (*model.Store, error) {
	return one[model.Store](ctx, s, `SELECT id, name, created_at FROM stores AS s WHERE s.id = $1`)
}
