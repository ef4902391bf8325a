package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"akin/repo"
	"akin/transfer"
)

type migrateCommand struct{}

// Run migrates the database.
func (migrateCommand) Run(ctx context.Context, c *cli) error {
	return c.with(ctx, func(*database) error { return nil })
}

type storeCreateCommand struct {
	Name string `arg:"" help:"A name that no other store has, of at most 64 characters."`
}

// Run creates the store and prints its ID.
func (s *storeCreateCommand) Run(ctx context.Context, c *cli) error {
	return c.with(ctx, func(db *database) error {
		store, err := db.CreateStore(ctx, s.Name)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.out, store.ID)
		return err
	})
}

type storeListCommand struct{}

// Run prints a line for each store.
func (storeListCommand) Run(ctx context.Context, c *cli) error {
	return c.with(ctx, func(db *database) error {
		stores, err := db.Stores(ctx)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "NAME\tID\tCREATED")
		for _, s := range stores {
			fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, s.ID, s.CreatedAt.Format(time.RFC3339))
		}
		return table.Flush()
	})
}

type tokenCreateCommand struct {
	Store   string     `required:"" placeholder:"NAME" help:"The store that the token belongs to."`
	Name    string     `placeholder:"NAME" help:"What the logs call the token, unique in its store. Default: the time of its creation."`
	Scope   repo.Scope `enum:"read,write" default:"write" help:"read, or write, which includes it (${default})."`
	Expires lifetime   `placeholder:"90d" help:"How long the token is valid, in days or as 36h. Default: until it is revoked."`
}

// Run creates the token and prints it, alone.
func (t *tokenCreateCommand) Run(ctx context.Context, c *cli) error {
	return c.with(ctx, func(db *database) error {
		token, _, err := db.CreateToken(ctx, t.Store, orNow(t.Name), t.Scope, t.Expires.fromNow())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.out, token)
		return err
	})
}

// orNow returns the name, or the time where there is none.
func orNow(name string) string { return cmp.Or(name, time.Now().UTC().Format(time.RFC3339Nano)) }

type tokenRotateCommand struct {
	Old     string   `arg:"" help:"The name of the token to replace."`
	Store   string   `required:"" placeholder:"NAME" help:"The store that the token belongs to."`
	Name    string   `placeholder:"NAME" help:"What the logs call the new token, unique in its store. Default: the time of its creation."`
	Grace   lifetime `default:"24h" placeholder:"24h" help:"How long the old token goes on being valid, in days or as 36h (${default})."`
	Expires lifetime `placeholder:"90d" help:"How long the new token is valid, in days or as 36h. Default: until it is revoked."`
}

// Run creates the new token and prints it, alone.
func (t *tokenRotateCommand) Run(ctx context.Context, c *cli) error {
	return c.with(ctx, func(db *database) error {
		token, _, err := db.RotateToken(ctx, t.Store, t.Old, orNow(t.Name), time.Duration(t.Grace), t.Expires.fromNow())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.out, token)
		return err
	})
}

// lifetime is a duration that can be told in days.
type lifetime time.Duration

// UnmarshalText reads 90d or what time.ParseDuration reads; only what is more than nothing is a lifetime.
func (l *lifetime) UnmarshalText(text []byte) error {
	days, isDays := strings.CutSuffix(string(text), "d")
	n, err := strconv.ParseUint(days, 10, 16) // 65,535 days are 179 years
	d := time.Duration(n) * 24 * time.Hour
	if !isDays {
		d, err = time.ParseDuration(string(text))
	}
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is not a lifetime, such as 90d or 36h", text)
	}
	*l = lifetime(d)
	return nil
}

// fromNow returns the end of a lifetime that begins now, nil where it has none.
func (l lifetime) fromNow() *time.Time {
	if l == 0 {
		return nil
	}
	return new(time.Now().UTC().Add(time.Duration(l)))
}

type tokenListCommand struct {
	Store string `required:"" placeholder:"NAME" help:"The store whose tokens to list."`
}

// Run prints a line for each token; never the token itself, which nobody knows.
func (t *tokenListCommand) Run(ctx context.Context, c *cli) error {
	return c.with(ctx, func(db *database) error {
		tokens, err := db.Tokens(ctx, t.Store)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "NAME\tSCOPE\tCREATED\tEXPIRES\tREVOKED\tLAST USED")
		for _, token := range tokens {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", token.Name, token.Scope,
				instant(&token.CreatedAt), instant(token.ExpiresAt), instant(token.RevokedAt), instant(token.LastUsedAt))
		}
		return table.Flush()
	})
}

func instant(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Format(time.RFC3339)
}

type tokenRevokeCommand struct {
	Name  string `arg:"" help:"The token's name."`
	Store string `required:"" placeholder:"NAME" help:"The store that the token belongs to."`
}

// Run revokes the token.
func (t *tokenRevokeCommand) Run(ctx context.Context, c *cli) error {
	return c.with(ctx, func(db *database) error { return db.RevokeToken(ctx, t.Store, t.Name) })
}

type importCommand struct {
	File        string        `arg:"" help:"A CSV or NDJSON file of the API's fields or their snake_case, or - for standard input."`
	Kind        transfer.Kind `enum:"identities,customers,events" default:"identities" help:"identities, customers or events (${default})."`
	Store       string        `default:"default" placeholder:"NAME" help:"The store to import into (${default})."`
	Failed      string        `placeholder:"FILE" help:"The file for rows that fail, replaced if there is one. Default: a new one beside FILE."`
	Concurrency int           `default:"2" help:"How many batches to write at once (${default})."`
}

// Validate holds the flags to their rules.
func (i *importCommand) Validate() error {
	if i.Concurrency < 1 {
		return fmt.Errorf("--concurrency must be 1 or more; it is %d", i.Concurrency)
	}
	return nil
}

// Run imports the file and prints a report. Stopped or run again, it does no harm. It fails where a row did.
func (i *importCommand) Run(ctx context.Context, c *cli) error {
	return c.withStore(ctx, i.Store, func(store *repo.Store) error {
		report, err := transfer.Import(ctx, store, transfer.ImportConfig{
			Kind: i.Kind, File: i.File, Stdin: c.in, Failed: i.Failed, Concurrency: i.Concurrency, Progress: c.err,
		})
		if err == nil || report.Rows() > 0 {
			fmt.Fprintln(c.out, report)
		}
		if err == nil && report.Failed > 0 {
			err = fmt.Errorf("%d of %d rows failed", report.Failed, report.Rows())
		}
		return err
	})
}

type exportCommand struct {
	File   string        `arg:"" default:"-" help:"The file to write or replace, or - for standard output, the default."`
	Kind   transfer.Kind `required:"" enum:"identities,customers,events" help:"identities, customers or events."`
	Format *string       `enum:"ndjson,csv" placeholder:"FORMAT" help:"ndjson or csv. Default: as FILE ends, or else ndjson."`
	Store  string        `default:"default" placeholder:"NAME" help:"The store to export (${default})."`
}

// Help says what an export is for.
func (*exportCommand) Help() string {
	return "Imported into an empty store in the order customers, identities, events, an export makes the same of it, under the " +
		"same IDs; version and updatedAt are the new store's. To back up a database with its stores and tokens, use pg_dump."
}

// Run exports the store. The file is there whole or not at all.
func (e *exportCommand) Run(ctx context.Context, c *cli) error {
	return c.withStore(ctx, e.Store, func(store *repo.Store) error {
		start := time.Now()
		cfg := transfer.ExportConfig{Kind: e.Kind, File: e.File, Stdout: c.out, Progress: c.err}
		if e.Format != nil {
			cfg.Format = *e.Format
		}
		rows, err := transfer.Export(ctx, store, cfg)
		if err == nil {
			fmt.Fprintf(c.err, "%d rows in %s\n", rows, time.Since(start).Round(100*time.Millisecond))
		}
		return err
	})
}

// withStore opens the store with this name for the time of a command.
func (c *cli) withStore(ctx context.Context, name string, do func(*repo.Store) error) error {
	return c.with(ctx, func(db *database) error {
		if name == defaultStore && db.server != nil {
			if err := db.ensureStore(ctx, defaultStore); err != nil {
				return err
			}
		}
		store, err := db.FindStore(ctx, name)
		if err != nil {
			return err
		}
		return do(db.Store(store.ID))
	})
}
