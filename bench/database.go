package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"akin/repo/embedded"
)

var (
	//go:embed seed.sql
	seedSQL string
	//go:embed peers/functions.sql
	functionsSQL string
)

// database is a fresh copy of the seeded one, on a PostgreSQL of the benchmark's own.
type database struct {
	url       string
	conn      *pgx.Conn
	version   string
	customers int64 // of the first store
}

// settings differ from PostgreSQL's defaults, of which 128 MB of buffers would measure the disk, and a checkpoint in the
// midst of a round that round's luck; and Akin turns the compiler of plans off for itself. What is written is as durable as ever.
var settings = map[string]string{
	"shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "1h", "max_connections": "300", "jit": "off",
}

// startPostgres starts the benchmark's PostgreSQL, in a directory that is kept for the next run.
func startPostgres(ctx context.Context, log *slog.Logger) (*embedded.Server, error) {
	dir := filepath.Join(os.TempDir(), "akin-bench-"+strconv.Itoa(os.Getuid()))
	return embedded.Start(ctx, embedded.Config{Dir: dir, Settings: settings, Log: log})
}

// settle merges what was written into the indexes of the search and of tags, which else a server might do in another's turn.
func (db *database) settle(ctx context.Context) error {
	_, err := db.conn.Exec(ctx, `SELECT gin_clean_pending_list('customers_search_idx'), gin_clean_pending_list('customer_identities_search_idx'),
		gin_clean_pending_list('customers_tags_idx')`)
	return err
}

// openDatabase copies the seeded database with so many customers in all, which it makes where there is none yet, and
// connects to the copy.
func openDatabase(ctx context.Context, base, akin string, size int64, log *slog.Logger) (*database, error) {
	admin, err := pgx.Connect(ctx, base)
	if err != nil {
		return nil, err
	}
	defer admin.Close(ctx)
	seeded, err := seededName(size)
	if err != nil {
		return nil, err
	}
	var exists bool
	if err := admin.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", seeded).Scan(&exists); err != nil {
		return nil, err
	}
	if !exists {
		log.InfoContext(ctx, "seeding", "customers", size)
		if err := seed(ctx, admin, base, akin, size, seeded); err != nil {
			return nil, fmt.Errorf("seed: %w", err)
		}
	}
	const copied = "bench"
	for _, statement := range []string{
		"DROP DATABASE IF EXISTS " + copied + " WITH (FORCE)", "CREATE DATABASE " + copied + " TEMPLATE " + seeded, "CHECKPOINT",
	} {
		if _, err := admin.Exec(ctx, statement); err != nil {
			return nil, err
		}
	}
	db := &database{url: named(base, copied), customers: size / 2}
	if db.conn, err = pgx.Connect(ctx, db.url); err != nil {
		return nil, err
	}
	err = db.conn.QueryRow(ctx, "SELECT split_part(version(), ' ', 2)").Scan(&db.version)
	return db, err
}

// seededName is different for every size, seed and state of the migrations.
func seededName(size int64) (string, error) {
	sum := sha256.New()
	sum.Write([]byte(seedSQL))
	migrations, err := filepath.Glob("repo/migrations/*.sql")
	if err != nil || len(migrations) == 0 {
		return "", fmt.Errorf("no repo/migrations: the benchmark runs in Akin's own directory")
	}
	for _, path := range migrations {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		sum.Write(text)
	}
	return fmt.Sprintf("seed_%d_%x", size, sum.Sum(nil)[:6]), nil
}

// seed makes the seeded database under another name first, so that half of one is never taken for it.
func seed(ctx context.Context, admin *pgx.Conn, base, akin string, size int64, name string) error {
	const half = "seeding"
	for _, statement := range []string{"DROP DATABASE IF EXISTS " + half + " WITH (FORCE)", "CREATE DATABASE " + half} {
		if _, err := admin.Exec(ctx, statement); err != nil {
			return err
		}
	}
	migrate := exec.CommandContext(ctx, akin, "migrate", "--database-url", named(base, half))
	if output, err := migrate.CombinedOutput(); err != nil {
		return fmt.Errorf("akin migrate: %w: %s", err, output)
	}
	conn, err := pgx.Connect(ctx, named(base, half))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, strings.ReplaceAll(seedSQL, "@size@", strconv.FormatInt(size, 10))); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "VACUUM (ANALYZE)"); err != nil {
		return err
	}
	conn.Close(ctx)
	_, err = admin.Exec(ctx, "ALTER DATABASE "+half+" RENAME TO "+name)
	return err
}

// named returns the URL of another database of the same server.
func named(base, name string) string {
	u, err := url.Parse(base)
	if err != nil {
		panic(err) // package embedded made it
	}
	u.Path = "/" + name
	return u.String()
}

// samples returns so many customers of the first store, evenly spread over its part that no measurement makes lists of
// identities longer in (see operations).
func (db *database) samples(ctx context.Context, n int) ([]*sample, error) {
	first, last := db.customers/10, db.customers/10*8
	samples := make([]*sample, n)
	emails := make([]string, n)
	for i := range samples {
		samples[i] = &sample{key: firstKey + first + int64(i)*(last-first)/int64(n), ids: map[string]int{}}
		emails[i] = fmt.Sprintf("user%d@example.com", samples[i].key)
	}
	rows, err := db.conn.Query(ctx, "SELECT id::text FROM customers WHERE store_id = $1 AND email_normalized = ANY ($2) ORDER BY id", storeID, emails)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	if len(ids) != n {
		return nil, fmt.Errorf("%d of %d sampled customers are in the database", len(ids), n)
	}
	for i, id := range ids {
		samples[i].id = id
	}
	return samples, nil
}

// findCursors finds the server's cursors of the samples in the default order of customers. Akin is asked for them; those of
// the peers are known to be the ID, and with PostGraphile what one of its cursors has in front of it.
func (s *server) findCursors(ctx context.Context, samples []*sample) error {
	s.cursors = map[string]string{}
	switch s.flavour {
	case akin:
		const most = 100 // IDs, and length of a page
		for some := range slices.Chunk(samples, most) {
			ids := make([]string, len(some))
			for i, one := range some {
				ids[i] = one.id
			}
			var answer struct {
				Customers struct {
					Edges []struct {
						Cursor string
						Node   struct{ ID string }
					}
				}
			}
			const document = `query ($ids: [ID!]!) { customers(filter: { ids: $ids }, first: 100) { edges { cursor node { id } } } }`
			if err := s.ask(ctx, document, map[string]any{"ids": ids}, &answer); err != nil {
				return err
			}
			for _, edge := range answer.Customers.Edges {
				s.cursors[edge.Node.ID] = edge.Cursor
			}
		}
	case postgraphile:
		var answer struct {
			AllCustomers struct{ PageInfo struct{ EndCursor string } }
		}
		const document = `{ allCustomers(condition: { storeId: "` + storeID + `" }, orderBy: [PRIMARY_KEY_DESC], first: 1) ` +
			`{ pageInfo { endCursor } } }`
		if err := s.ask(ctx, document, nil, &answer); err != nil {
			return err
		}
		text, err := base64.StdEncoding.DecodeString(answer.AllCustomers.PageInfo.EndCursor)
		var place []string // the order, the store, the ID
		if err == nil {
			err = json.Unmarshal(text, &place)
		}
		if err != nil || len(place) != 3 {
			return fmt.Errorf("a cursor of PostGraphile's is not as expected: %q: %w", text, err)
		}
		for _, one := range samples {
			place[2] = one.id
			text, _ := json.Marshal(place) // strings have no way to fail
			s.cursors[one.id] = base64.StdEncoding.EncodeToString(text)
		}
	default:
		for _, one := range samples {
			s.cursors[one.id] = base64.RawURLEncoding.EncodeToString([]byte(one.id))
		}
	}
	return nil
}
