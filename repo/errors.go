package repo

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/sethvargo/go-retry"

	"akin/model"
)

// asModelError turns an error of the database into what a caller may be told, by SQLSTATE and constraint name alone:
// UNAVAILABLE where the database cannot be reached or has no room, BAD_USER_INPUT where a name is taken. Others, which
// are internal, and nil stay as they are.
func asModelError(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*model.Error](err); ok {
		return err
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return unavailable(err)
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case unavailableState(pgErr.Code), stalePlan(pgErr):
			return unavailable(err)
		case pgErr.ConstraintName == "stores_name_key", pgErr.ConstraintName == "api_tokens_name_key":
			return &model.Error{Code: model.CodeBadUserInput, Field: "name", Message: "is taken", Cause: err}
		}
		return err
	}
	if _, broken := errors.AsType[net.Error](err); broken || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return unavailable(err)
	}
	return err
}

func unavailable(cause error) error {
	return &model.Error{
		Code: model.CodeUnavailable, Message: "the database cannot be reached at present; try again", Cause: cause,
	}
}

// unavailableState reports whether the server refuses for its own sake: it is starting, stopping, full or read-only.
func unavailableState(code string) bool {
	return pgerrcode.IsConnectionException(code) || pgerrcode.IsOperatorIntervention(code) ||
		pgerrcode.IsInsufficientResources(code) || code == pgerrcode.ReadOnlySQLTransaction
}

// stalePlan reports whether the statement was planned before a migration, such as a newer server's, changed the type of what it
// returns. pgx forgets the plan with the error.
func stalePlan(err *pgconn.PgError) bool {
	return err.Code == pgerrcode.FeatureNotSupported && err.Routine == "RevalidateCachedQuery"
}

// errLostRace says that a statement met rows its snapshot does not show; run again, it will see them.
var errLostRace = errors.New("lost a race with another write")

// lostRace reports whether running a statement again can mend the error.
func lostRace(err error) bool {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pgErr.Code {
		case pgerrcode.UniqueViolation, pgerrcode.ForeignKeyViolation,
			pgerrcode.SerializationFailure, pgerrcode.DeadlockDetected:
			return true
		}
		return stalePlan(pgErr)
	}
	return errors.Is(err, errLostRace)
}

// The bounds of a retry. At most 3 tries were ever seen, under 16 clients racing for one key.
const (
	maxRetries   = 10
	firstPause   = 2 * time.Millisecond
	longestPause = 100 * time.Millisecond
)

// withRetries runs a statement, or a whole transaction, again while it loses a race; UNAVAILABLE where it never wins.
func withRetries(ctx context.Context, run func(ctx context.Context) error) error {
	backoff := retry.WithCappedDuration(longestPause, retry.NewExponential(firstPause))
	backoff = retry.WithMaxRetries(maxRetries, retry.WithJitterPercent(50, backoff))
	err := retry.Do(ctx, backoff, func(ctx context.Context) error {
		err := run(ctx)
		if lostRace(err) {
			spend(ctx, func(w *Work) { w.Retries++ })
			return retry.RetryableError(err)
		}
		return err
	})
	if lostRace(err) {
		return unavailable(err)
	}
	return asModelError(err)
}
