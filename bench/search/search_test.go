// Package search_test measures what the search for customers takes, and what it costs to create them:
//
//	go test -run '^$' -bench . -count 5 -timeout 2h ./bench/search -customers 1000000
//
// Search is measured from the repository's method to its rows, one at a time, in the one of ten stores that has half of
// the customers: p50-ms is the median of a page of 50, newest first. Creates are measured in a database with the search and in one
// without its columns and indexes, in turns when -count is more than 1. There is no HTTP in between, and no disk to wait
// for, so the share of the search is larger than a client sees.
package search_test

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

var customers = flag.Int("customers", 100_000, "how many customers")

//go:embed seed.sql
var seed string

// largeStore has half of the customers.
var largeStore = uuid.MustParse("00000000-0000-7000-8000-000000000000")

func TestMain(m *testing.M) { repotest.Main(m) }

func BenchmarkSearch(b *testing.B) {
	address := repotest.URL(b)
	fill(b, address)
	store := open(b, address)
	first := 50
	for _, fragment := range []string{
		// common
		"gmail", "smith", "jane.", "Иван", "exa",
		// of some hundreds or thousands
		"taylorf", "corp123", "19055", "+1234", "7000018",
		// rare, or of nobody
		"ERP-2809", "uterj", "7e7d1", "王小明", "zzzzzz", "ж-ж",
	} {
		b.Run(fragment, func(b *testing.B) {
			filter := &model.CustomerFilter{Search: &fragment}
			var took []time.Duration
			var page *model.CustomerConnection
			for b.Loop() {
				began := time.Now()
				var err error
				if page, err = store.Customers(b.Context(), filter, nil, model.PageArgs{First: &first}); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
			b.ReportMetric(float64(len(page.Nodes)), "rows")
		})
	}
}

func BenchmarkCreate(b *testing.B) {
	with, without := repotest.URL(b), repotest.URL(b)
	exec(b, without, "ALTER TABLE customers DROP search_text; ALTER TABLE customer_identities DROP search_text")
	fill(b, with)
	fill(b, without)
	stores := []struct {
		name  string
		store *repo.Store
	}{{"with", open(b, with)}, {"without", open(b, without)}}
	var n atomic.Int64
	n.Store(time.Now().UnixMilli() * 1000) // new in each of -count runs
	input := func() *model.UpsertCustomerIdentityInput {
		i := n.Add(1)
		first, last := []string{"Jane", "John", "Ольга", "Zoë"}[i%4], []string{"Doe", "Smith", "Müller"}[i%3]
		return &model.UpsertCustomerIdentityInput{
			Platform: "shopify", PlatformCustomerID: strconv.FormatInt(i*37, 10),
			Email: fmt.Sprintf("Jane.%s%x@gmail.com", last, i*7919), FirstName: &first, LastName: &last,
		}
	}
	for _, s := range stores {
		b.Run("one/"+s.name, func(b *testing.B) {
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.store.UpsertCustomerIdentity(b.Context(), *input()); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
	for _, s := range stores {
		b.Run("batch of 250/"+s.name, func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					inputs := make([]*model.UpsertCustomerIdentityInput, 250)
					for i := range inputs {
						inputs[i] = input()
					}
					if _, err := s.store.UpsertCustomerIdentities(b.Context(), inputs, model.KeepValid); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// fill seeds the database and brings it into the state in which autovacuum leaves it.
func fill(b *testing.B, address string) {
	b.Helper()
	exec(b, address, strings.ReplaceAll(seed, "$n", strconv.Itoa(*customers)))
	exec(b, address, "VACUUM (FREEZE, ANALYZE)")
}

func exec(b *testing.B, address, statements string) {
	b.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.PgConn().Exec(ctx, statements).ReadAll(); err != nil {
		b.Fatal(err)
	}
}

func open(b *testing.B, address string) *repo.Store {
	b.Helper()
	db, err := repo.Open(b.Context(), address, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	return db.Store(largeStore)
}
