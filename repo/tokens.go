package repo

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"hash/crc32"
	"math"
	"math/big"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"golang.org/x/sync/singleflight"

	"akin/model"
)

// The cache of verified tokens. A token that is in use is looked up again while it is still believed, so that no request
// waits for that.
const (
	tokenCacheSize = 10_000
	tokenFresh     = 500 * time.Millisecond
	tokenBelieved  = 900 * time.Millisecond // how long a revocation can stay unseen
)

// lookUpTimeout bounds a look-up that has a connection, for which nobody may be waiting any more.
const lookUpTimeout = 5 * time.Second

// lastUseStep is how exactly the last use of a token is known, and how often a server writes it down at most.
const lastUseStep = time.Minute

// lastUseTimeout bounds the writing down.
const lastUseTimeout = time.Second

// unknownPause is how long whoever sends a well-formed token that is not known waits for the answer. Guessing one of
// 2^160 is hopeless at any speed; each one is looked up all the same, and this slows down whoever tries.
const unknownPause = 500 * time.Millisecond

// Scope says what a token may do.
type Scope string

// The scopes; write includes read.
const (
	ScopeRead  Scope = "read"
	ScopeWrite Scope = "write"
)

// Token is what the database knows of a token: never the token itself.
type Token struct {
	bun.BaseModel `bun:"table:api_tokens,alias:t"`

	StoreID   uuid.UUID  `bun:"store_id,pk"`
	ID        uuid.UUID  `bun:"id,pk"`
	Name      string     `bun:"name"`
	Hash      []byte     `bun:"hash"`
	Scope     Scope      `bun:"scope"`
	CreatedAt time.Time  `bun:"created_at"`
	ExpiresAt *time.Time `bun:"expires_at"`
	RevokedAt *time.Time `bun:"revoked_at"`
	// LastUsedAt is when a server last accepted the token, to the minute.
	LastUsedAt *time.Time `bun:"last_used_at"`
}

type tokenHash = [sha256.Size]byte

// cachedToken is a token as the database had it when it was asked. (The expiring cache of the library would keep a
// goroutine for good, which wakes over 100 times a second at this tokenBelieved.)
type cachedToken struct {
	*Token

	asked time.Time
}

// A token is its prefix, 160 random bits and a checksum of what stands before it, both in base 62 and of fixed length.
const (
	tokenPrefix  = "akin_"
	secretBits   = 160
	secretLength = 27 // 62^27 > 2^160
	sumLength    = 6  // 62^6 > 2^32
)

// newToken returns a token.
func newToken() string {
	secret, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), secretBits))
	if err != nil {
		panic(err) // crypto/rand never fails on a supported system
	}
	body := tokenPrefix + base62(secret, secretLength)
	return body + tokenSum(body)
}

// wellFormed reports whether text can be a token: a typo or a cut is recognised without asking the database.
func wellFormed(token string) bool {
	body := len(token) - sumLength
	return strings.HasPrefix(token, tokenPrefix) && body == len(tokenPrefix)+secretLength &&
		tokenSum(token[:body]) == token[body:]
}

func tokenSum(body string) string {
	return base62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))), sumLength)
}

func base62(n *big.Int, length int) string {
	text := n.Text(62)
	return strings.Repeat("0", length-len(text)) + text
}

// Authenticate returns what the database knows of a token that is valid now. It returns UNAUTHENTICATED for one that
// is not, after unknownPause where it is unknown, and UNAVAILABLE where the database cannot be asked. A revocation is
// seen within tokenBelieved. That the token was used is written down later, and not for every use.
func (db *DB) Authenticate(ctx context.Context, token string) (*Token, error) {
	hash := sha256.Sum256([]byte(token))
	now := time.Now()
	known, ok := db.tokens.Get(hash)
	if !ok && !wellFormed(token) {
		return nil, db.refuseToken("malformed", "the token is malformed: it is cut short or mistyped")
	}
	if age := now.Sub(known.asked); age >= tokenFresh {
		answer := db.lookUp(ctx, hash)
		if age >= tokenBelieved {
			var err error
			if known, err = db.awaitToken(ctx, answer); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case known.RevokedAt != nil:
		return nil, db.refuseToken("revoked", "the token has been revoked")
	case known.ExpiresAt != nil && !now.Before(*known.ExpiresAt):
		return nil, db.refuseToken("expired", "the token has expired")
	}
	db.noteUse(known.Token, now)
	return known.Token, nil
}

// noteUse has the use of a token written down unless another within lastUseStep was, by this server or, as far as it
// knows, another. It does not keep the request waiting; where it fails, the next use after lastUseStep tries again.
func (db *DB) noteUse(token *Token, now time.Time) {
	due := now.Add(-lastUseStep)
	if token.LastUsedAt != nil && token.LastUsedAt.After(due) {
		return
	}
	if noted, ok, _ := db.uses.PeekOrAdd(token.ID, now); ok {
		if noted.After(due) {
			return
		}
		db.uses.Add(token.ID, now)
	}
	db.background.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), lastUseTimeout)
		defer cancel()
		const update = `UPDATE api_tokens SET last_used_at = $3
			WHERE store_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at <= $4)`
		_, _ = db.bun.DB.ExecContext(ctx, update, token.StoreID, token.ID, now.UTC(), due.UTC())
	})
}

// lookUp asks the database for a token. Whoever needs the same one meanwhile shares the answer.
func (db *DB) lookUp(ctx context.Context, hash tokenHash) <-chan singleflight.Result {
	return db.lookUps.DoChan(string(hash[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), db.pool.wait+lookUpTimeout)
		defer cancel()
		ctx, end := db.Watch(ctx, math.MaxInt)
		defer end()
		known := cachedToken{asked: time.Now()}
		var found []*Token
		// Not *: a column that a newer server's migration adds must not stop this one.
		const query = `SELECT store_id, id, name, hash, scope, created_at, expires_at, revoked_at, last_used_at
			FROM api_tokens WHERE hash = $1`
		err := scanRows(ctx, db.bun, db.pool, query, []any{hash[:]}, &found)
		if err != nil && ctx.Err() != nil {
			err = asModelError(context.Cause(ctx))
		}
		if err == nil && len(found) > 0 && subtle.ConstantTimeCompare(found[0].Hash, hash[:]) == 1 {
			known.Token = found[0]
			db.tokens.Add(hash, known)
		}
		return known, err
	})
}

// awaitToken waits for the answer to a look-up as for a connection. It returns UNAUTHENTICATED where the token is unknown.
func (db *DB) awaitToken(ctx context.Context, answer <-chan singleflight.Result) (cachedToken, error) {
	if w := watchedBy(ctx); w != nil {
		w.queue.enter()
		defer w.queue.leave()
	}
	var said singleflight.Result
	select {
	case said = <-answer:
	case <-ctx.Done():
		return cachedToken{}, context.Cause(ctx)
	}
	if said.Err != nil {
		return cachedToken{}, said.Err
	}
	known := said.Val.(cachedToken)
	if known.Token == nil {
		select {
		case <-time.After(unknownPause):
		case <-ctx.Done():
		}
		return known, db.refuseToken("unknown", "the token is unknown")
	}
	return known, nil
}

// refuseToken returns UNAUTHENTICATED, and counts it.
func (db *DB) refuseToken(reason, message string) error {
	db.refusals.WithLabelValues(reason).Inc()
	return &model.Error{Code: model.CodeUnauthenticated, Message: message}
}

// CreateToken creates a token of the store with this name and returns it: the only time that it can be seen. expires
// may be nil, for a token that is valid until revoked. It returns BAD_USER_INPUT for an unknown store or
// scope, and for a name that is blank, too long or taken by another of the store's tokens.
func (db *DB) CreateToken(ctx context.Context, storeName, name string, scope Scope, expires *time.Time) (string, *Token, error) {
	if scope != ScopeRead && scope != ScopeWrite {
		return "", nil, model.BadInput("scope", "must be read or write")
	}
	store, err := db.FindStore(ctx, storeName)
	if err != nil {
		return "", nil, err
	}
	return insertToken(ctx, db.bun, &Token{StoreID: store.ID, Name: name, Scope: scope, ExpiresAt: expires})
}

// insertToken completes the row with an ID, a time and the hash of a new token, which it returns.
func insertToken(ctx context.Context, db bun.IDB, row *Token) (string, *Token, error) {
	if err := model.CheckLabel("name", row.Name); err != nil {
		return "", nil, err
	}
	token := newToken()
	hash := sha256.Sum256([]byte(token))
	row.Hash = hash[:]
	row.ID, row.CreatedAt = model.NewID()
	if _, err := db.NewInsert().Model(row).Exec(ctx); err != nil {
		return "", nil, asModelError(err)
	}
	return token, row, nil
}

// RotateToken creates a token with the scope of another of the store's, as CreateToken does, and returns it. Both are
// valid until the old one expires: after grace, or when it would have anyway. It returns BAD_USER_INPUT where CreateToken
// does, and where the store has no token of the old name that is valid now.
func (db *DB) RotateToken(
	ctx context.Context, storeName, oldName, newName string, grace time.Duration, expires *time.Time,
) (token string, row *Token, err error) {
	store, err := db.FindStore(ctx, storeName)
	if err != nil {
		return "", nil, err
	}
	now := time.Now().UTC()
	err = db.bun.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var old []*Token
		err := tx.NewUpdate().Model(&old).
			Set("expires_at = least(expires_at, ?)", now.Add(grace)).
			Where("store_id = ?", store.ID).Where("name = ?", oldName).
			Where("revoked_at IS NULL").Where("expires_at IS NULL OR expires_at > ?", now).Returning("scope").Scan(ctx)
		if err != nil {
			return err
		}
		if len(old) == 0 {
			return model.BadInput("token", fmt.Sprintf("%q is not a valid token of store %q", model.Redact(oldName), storeName))
		}
		token, row, err = insertToken(ctx, tx, &Token{
			StoreID: store.ID, Name: newName, Scope: old[0].Scope, ExpiresAt: expires,
		})
		return err
	})
	return token, row, asModelError(err)
}

// Tokens returns the tokens of the store with this name, oldest first, the expired and the revoked among them.
func (db *DB) Tokens(ctx context.Context, storeName string) ([]*Token, error) {
	store, err := db.FindStore(ctx, storeName)
	if err != nil {
		return nil, err
	}
	var tokens []*Token
	err = db.bun.NewSelect().Model(&tokens).Where("store_id = ?", store.ID).Order("id").Scan(ctx)
	return tokens, asModelError(err)
}

// RevokeToken makes a token of a store invalid for good; to revoke it again changes nothing. It returns BAD_USER_INPUT
// where the store has no token of this name.
func (db *DB) RevokeToken(ctx context.Context, storeName, name string) error {
	store, err := db.FindStore(ctx, storeName)
	if err != nil {
		return err
	}
	result, err := db.bun.NewUpdate().Model((*Token)(nil)).
		Set("revoked_at = coalesce(revoked_at, ?)", time.Now().UTC()).
		Where("store_id = ?", store.ID).Where("name = ?", name).Exec(ctx)
	if err != nil {
		return asModelError(err)
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return model.BadInput("token", fmt.Sprintf("%q does not exist in store %q", model.Redact(name), storeName))
}
