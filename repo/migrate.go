package repo

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
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
	locker, err := lock.NewPostgresSessionLocker(
		lock.WithLockID(migrationLock), lock.WithLockTimeout(1, 300)) // try every second, for 5 minutes
	if err != nil {
		return fmt.Errorf("prepare the migration lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db.bun.DB, files,
		goose.WithSessionLocker(locker), goose.WithTableName("akin_migrations"), goose.WithDisableGlobalRegistry(true))
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
	results, err := provider.Up(ctx)
	if err != nil {
		return asModelError(fmt.Errorf("migrate the database: %w", err))
	}
	for _, result := range results {
		log.InfoContext(ctx, "migrated the database", "version", result.Source.Version, "duration_ms", result.Duration.Milliseconds())
	}
	return nil
}
