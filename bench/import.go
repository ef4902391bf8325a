package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"akin/transfer"
)

//go:embed staging.sql
var stagingSQL string

// importName is the operation that is not a request: `akin import` of what bench/identities makes, beside what PostgreSQL
// takes for the same rows (see staging.sql).
const importName = "import"

// importMeasurement is what one import on each side found, in rows per second of the whole program's time.
type importMeasurement struct {
	Round   int     `json:"round"`
	Akin    float64 `json:"akin_per_second"`
	Staging float64 `json:"staging_per_second"`
	CPU     float64 `json:"cpu_us"` // of `akin import`, for each row
}

// imports are the files that imports need.
type imports struct {
	rows   string // as bench/identities makes them
	report string // what an import of them must come to, as `akin import` says it
	staged string // those that are not refused, as Akin writes them
	script string // staging.sql
}

// measureImports imports into a new store each time, Akin and psql in turn.
func (b *bench) measureImports(ctx context.Context, r *result) error {
	files, err := b.prepareImports(ctx)
	if err != nil {
		return err
	}
	for round := range b.rounds {
		m := importMeasurement{Round: round + 1}
		stores := [2]string{}
		for side := range 2 { // who is second finds larger tables
			akins := (side + round) % 2
			name := fmt.Sprintf("import %d %d", round, side)
			if err := b.db.conn.QueryRow(ctx, "INSERT INTO stores VALUES (gen_random_uuid(), $1, now()) RETURNING id::text", name).
				Scan(&stores[side]); err != nil {
				return err
			}
			if akins == 0 {
				err = b.importByAkin(ctx, files, name, &m)
			} else {
				err = b.importBySQL(ctx, files, stores[side], &m)
			}
			if err != nil {
				return err
			}
		}
		if err := b.sameStores(ctx, stores); err != nil {
			return err
		}
		r.Imports = append(r.Imports, m)
		b.log.InfoContext(ctx, "imported", "round", m.Round)
	}
	return nil
}

// prepareImports makes the files. What is to be staged are the parameters of the statements with which Akin writes them.
func (b *bench) prepareImports(ctx context.Context) (*imports, error) {
	files := &imports{}
	at := func(name string) string { return filepath.Join(b.dir, name) }
	files.rows, files.staged, files.script = at("identities.csv"), at("staged.csv"), at("staging.sql")
	command := exec.CommandContext(ctx, "go", "run", "./bench/identities", "-rows", strconv.Itoa(b.importRows))
	var says bytes.Buffer
	command.Stderr = &says
	rows, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("bench/identities: %w: %s", err, &says)
	}
	var n, created, updated, unchanged, failed int
	if _, err := fmt.Sscanf(says.String(), "rows=%d created=%d updated=%d unchanged=%d failed=%d",
		&n, &created, &updated, &unchanged, &failed); err != nil {
		return nil, fmt.Errorf("bench/identities says %q: %w", &says, err)
	}
	files.report = fmt.Sprintf("%d created, %d updated, %d unchanged, %d failed", created, updated, unchanged, failed)
	for path, content := range map[string][]byte{files.rows: rows, files.script: []byte(stagingSQL)} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return nil, err
		}
	}
	statements, err := b.traceImport(ctx, files.rows)
	if err != nil {
		return nil, err
	}
	return files, b.stage(ctx, statements, files.staged)
}

// traceImport imports the file in this process, which no measurement is of, and returns the statements that it took.
func (b *bench) traceImport(ctx context.Context, file string) ([]statement, error) {
	t, err := newTracer(ctx, b.db.url, "")
	if err != nil {
		return nil, err
	}
	defer t.db.Close()
	store, err := t.db.CreateStore(ctx, "import traced")
	if err != nil {
		return nil, err
	}
	_, err = transfer.Import(ctx, t.db.Store(store.ID), transfer.ImportConfig{
		Kind: transfer.Identities, File: file, Failed: file + ".failed", Concurrency: 1,
	})
	return t.noted, err
}

// stage writes the rows that the statements of an import have as their parameters to a file, for staging.sql.
func (b *bench) stage(ctx context.Context, statements []statement, path string) error {
	const create = `CREATE TEMPORARY TABLE staged (position bigint GENERATED ALWAYS AS IDENTITY, platform text, their_id text, email text,
		normalized text, first_name text, last_name text, identity_id uuid, identity_time timestamptz, customer_id uuid, customer_time timestamptz)`
	if _, err := b.db.conn.Exec(ctx, create); err != nil {
		return err
	}
	const (
		insert = `INSERT INTO staged (platform, their_id, email, normalized, first_name, last_name, identity_id, identity_time,
			customer_id, customer_time) `
		one = insert + `VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
		set = insert + `SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::uuid[],
			$8::timestamptz[], $9::uuid[], $10::timestamptz[])`
	)
	for _, s := range statements {
		if len(s.args) != 12 { // not an upsert of a batch, whose first is the store and whose last a customer that nobody gives
			continue
		}
		statement := set
		if _, several := s.args[1].([]string); !several {
			statement = one
		}
		if _, err := b.db.conn.Exec(ctx, statement, s.args[1:11]...); err != nil {
			return err
		}
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = b.db.conn.PgConn().CopyTo(ctx, file, "COPY staged TO STDOUT (FORMAT csv)")
	return errors.Join(err, file.Close())
}

func (b *bench) importByAkin(ctx context.Context, files *imports, store string, m *importMeasurement) error {
	command := exec.CommandContext(ctx, b.programs.akin, "import", "--store", store, "--failed", files.rows+".failed",
		"--database-url", b.db.url, files.rows)
	start := time.Now()
	output, err := command.CombinedOutput() // fails, for there are bad rows
	if !bytes.Contains(output, []byte(files.report)) {
		return fmt.Errorf("akin import: %w: want %s: %s", err, files.report, shorten(output))
	}
	m.Akin = float64(b.importRows) / time.Since(start).Seconds()
	used := command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	m.CPU = float64(used.Microseconds()) / float64(b.importRows)
	return nil
}

func (b *bench) importBySQL(ctx context.Context, files *imports, store string, m *importMeasurement) error {
	rows, err := os.Open(files.staged)
	if err != nil {
		return err
	}
	defer rows.Close()
	command := exec.CommandContext(ctx, b.programs.psql, "--no-psqlrc", "--quiet", "--file="+files.script, "--set=store="+store, b.db.url)
	command.Stdin = rows
	start := time.Now()
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("psql: %w: %s", err, shorten(output))
	}
	m.Staging = float64(b.importRows) / time.Since(start).Seconds()
	return nil
}

// sameStores returns an error unless both stores have the same customers with the same identities.
func (b *bench) sameStores(ctx context.Context, stores [2]string) error {
	const query = `SELECT count(*), count(DISTINCT c.id), md5(string_agg(
			md5(ROW(i.platform, i.platform_customer_id, i.email, i.email_normalized, i.first_name, i.last_name,
				c.email, c.email_normalized, c.first_name, c.last_name)::text), '' ORDER BY i.platform, i.platform_customer_id))
		FROM customer_identities AS i JOIN customers AS c ON c.store_id = i.store_id AND c.id = i.customer_id WHERE i.store_id = $1`
	type content struct {
		Identities, Customers int
		Sum                   string
	}
	var found [2]content
	for side, store := range stores {
		c := &found[side]
		if err := b.db.conn.QueryRow(ctx, query, store).Scan(&c.Identities, &c.Customers, &c.Sum); err != nil {
			return err
		}
	}
	if found[0] != found[1] {
		return fmt.Errorf("import: akin and psql do not come to the same: %+v", found)
	}
	return nil
}
