package repo

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
	"github.com/uptrace/bun"
)

// Migrations are the numbered steps from an empty database to what this program needs; they only go forward.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// migrationLock is the key of the advisory lock that servers which start together take in turn.
const migrationLock = 0x616b696e // "akin"

// Migrate brings the database's tables up to what this program knows. Several may run at once: one migrates and the
// others wait. A crash leaves the lock to nobody and no migration half-done. A database that a newer program has
// migrated is refused.
func (db *DB) Migrate(ctx context.Context, log *slog.Logger) error {
	files, err := fs.Sub(Migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db.bun.DB, files,
		goose.WithTableName("akin_migrations"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return asModelError(fmt.Errorf("read the database's version: %w", err))
	}
	if current > target {
		return fmt.Errorf("the database has version %d, but this akin knows only %d: run the newer akin", current, target)
	}
	if current == target {
		return nil
	}
	if db.pool.Config().MaxConns < 2 { // the lock's and the migrations'
		return errors.New("migrate the database: pool_max_conns of the database's URL must be at least 2")
	}
	var results []*goose.MigrationResult
	// The lock is a transaction's: one of a session's is held by anybody behind PgBouncer in transaction mode.
	err = db.bun.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(?)", migrationLock); err != nil {
			return err
		}
		results, err = provider.Up(ctx)
		return err
	})
	if err != nil {
		return asModelError(fmt.Errorf("migrate the database: %w", err))
	}
	for _, result := range results {
		log.InfoContext(ctx, "migrated the database", "version", result.Source.Version, "duration_ms", result.Duration.Milliseconds())
	}
	return nil
}
