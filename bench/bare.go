package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

// bareServer answers some of the operations with net/http, encoding/json and pgx alone, each by one statement. It knows no GraphQL,
// checks no token and no input, bounds nothing and logs nothing: a plain server in Go, before it does anything that Akin is for.
type bareServer struct {
	pool   *pgxpool.Pool
	store  string
	upsert string // Akin's own statement
}

// bareOperations are the documents that it knows, by their beginnings.
var bareOperations = regexp.MustCompile(`^(?:query Identity|query Email|mutation Upsert)\b`)

// bareCommand is the argument with which this program is a bareServer.
const bareCommand = "bare"

// serveBare serves until the process is stopped. It is told what to do as the peers are.
func serveBare(ctx context.Context) error {
	debug.SetGCPercent(500) // what Akin has, as long as its heap is small
	config, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	config.MaxConns = poolSize
	s := &bareServer{store: os.Getenv("STORE")}
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	defer s.pool.Close()
	text, err := os.ReadFile(os.Getenv("STATEMENTS"))
	if err != nil {
		return err
	}
	var upserts map[string]string
	if err := json.Unmarshal(text, &upserts); err != nil {
		return err
	}
	s.upsert = upserts["one"]
	server := &http.Server{Addr: net.JoinHostPort("127.0.0.1", os.Getenv("PORT")), Handler: s, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type bareCustomer struct {
	ID        string    `json:"id"`
	Email     string    `json:"email"`
	FirstName *string   `json:"firstName"`
	LastName  *string   `json:"lastName"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

func (c *bareCustomer) fields() []any {
	return []any{&c.ID, &c.Email, &c.FirstName, &c.LastName, &c.CreatedAt, &c.UpdatedAt}
}

type bareIdentity struct {
	bareCustomer

	Platform           string        `json:"platform"`
	PlatformCustomerID string        `json:"platformCustomerId"`
	Customer           *bareCustomer `json:"customer,omitempty"`
}

// ServeHTTP is part of http.Handler.
func (s *bareServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Query     string
		Variables struct {
			Email, Platform, ID string
			Input               struct {
				Platform, PlatformCustomerID, Email string
				FirstName, LastName                 *string
			}
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	v := &asked.Variables
	var data any
	var err error
	switch bareOperations.FindString(asked.Query) {
	case "query Email":
		data, err = s.customer(r.Context(), v.Email)
	case "query Identity":
		data, err = s.identity(r.Context(), v.Platform, v.ID)
	case "mutation Upsert":
		in := &v.Input
		data, err = s.upserted(r.Context(), in.Platform, in.PlatformCustomerID, in.Email, in.FirstName, in.LastName)
	default:
		err = errors.New("unknown operation")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"data": data}) // whoever asked is gone
}

func (s *bareServer) customer(ctx context.Context, email string) (any, error) {
	c := &bareCustomer{}
	err := s.pool.QueryRow(ctx, `SELECT id, email, first_name, last_name, created_at, updated_at
		FROM customers WHERE store_id = $1 AND email_normalized = $2`, s.store, email).Scan(c.fields()...)
	return map[string]any{"customer": c}, err
}

func (s *bareServer) identity(ctx context.Context, platform, id string) (any, error) {
	i := &bareIdentity{Customer: &bareCustomer{}}
	err := s.pool.QueryRow(ctx, `SELECT i.id, i.email, i.first_name, i.last_name, i.created_at, i.updated_at, platform, platform_customer_id,
			c.id, c.email, c.first_name, c.last_name, c.created_at, c.updated_at
		FROM customer_identities i JOIN customers c ON c.store_id = i.store_id AND c.id = customer_id
		WHERE i.store_id = $1 AND platform = $2 AND platform_customer_id = $3`, s.store, platform, id).
		Scan(append(append(i.fields(), &i.Platform, &i.PlatformCustomerID), i.Customer.fields()...)...)
	return map[string]any{"customerIdentity": i}, err
}

func (s *bareServer) upserted(ctx context.Context, platform, id, email string, firstName, lastName *string) (any, error) {
	now, proposed := time.Now(), uuid.Must(uuid.NewV7())
	i := &bareIdentity{}
	var customerID, outcome string
	err := s.pool.QueryRow(ctx, s.upsert, s.store, platform, id, email, strings.ToLower(email), firstName, lastName,
		[16]byte(uuid.Must(uuid.NewV7())), now, [16]byte(proposed), now). // pgx would turn a uuid.UUID into a text and back
		Scan(nil, &i.ID, &customerID, &i.Platform, &i.PlatformCustomerID, &i.Email, nil, &i.FirstName, &i.LastName,
			&i.CreatedAt, &i.UpdatedAt, &outcome)
	link := "KEPT"
	switch {
	case outcome == "CREATED" && customerID == proposed.String():
		link = "CREATED"
	case outcome == "CREATED":
		link = "MATCHED_BY_EMAIL"
	}
	return map[string]any{"upsertCustomerIdentity": map[string]any{
		"outcome": outcome, "customerLink": link, "customerIdentity": i, "userErrors": []string{},
	}}, err
}
