package model

import "github.com/google/uuid"

// ErrorCode says what kind of error a caller meets that userErrors cannot tell: it stands in extensions.code.
type ErrorCode string

// The codes of top-level errors. GRAPHQL_PARSE_FAILED and GRAPHQL_VALIDATION_FAILED are gqlgen's own.
const (
	CodeUnauthenticated ErrorCode = "UNAUTHENTICATED" // no token, or one that is unknown, expired or revoked
	CodeForbidden       ErrorCode = "FORBIDDEN"       // the token's scope does not cover the operation
	CodeBadUserInput    ErrorCode = "BAD_USER_INPUT"  // an argument breaks its rule
	CodeUnavailable     ErrorCode = "UNAVAILABLE"     // the database cannot be reached, or is too busy; worth another try
	CodeInternal        ErrorCode = "INTERNAL"        // anything else; the cause is in the log
)

// The codes of the limits, one each.
const (
	CodeBodyTooLarge      ErrorCode = "BODY_TOO_LARGE"
	CodeBodyTimedOut      ErrorCode = "BODY_TIMED_OUT" // it did not arrive in time
	CodeTooManyTokens     ErrorCode = "TOO_MANY_TOKENS"
	CodeTooManyDirectives ErrorCode = "TOO_MANY_DIRECTIVES"
	CodeTooManyRootFields ErrorCode = "TOO_MANY_ROOT_FIELDS"
	CodeTooManyAliases    ErrorCode = "TOO_MANY_ALIASES"
	CodeTooDeep           ErrorCode = "QUERY_TOO_DEEP"
	CodeTooComplex        ErrorCode = "QUERY_TOO_COMPLEX"
	CodeBatchTooLong      ErrorCode = "BATCH_TOO_LONG"
	CodeResultTooLarge    ErrorCode = "RESULT_TOO_LARGE"
	CodeTimedOut          ErrorCode = "TIMED_OUT"        // the request was broken off; worth another try
	CodeTooManyAtOnce     ErrorCode = "TOO_MANY_AT_ONCE" // requests of one token
	CodeRateLimited       ErrorCode = "RATE_LIMITED"
)

// Error is an error whose message a caller may read. Any other error is internal: it is logged and never shown.
type Error struct {
	Code    ErrorCode
	Message string
	Field   string // the argument at fault, dotted; empty where there is none
	Cause   error  // what lies behind it, for the log; never shown

	kind UserErrorCode // what userErrors tell of it, where the argument is an input's
}

// Error returns the message, after the field where there is one.
func (e *Error) Error() string {
	if e.Field == "" {
		return e.Message
	}
	return e.Field + " " + e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// BadInput returns a BAD_USER_INPUT error: the argument breaks the rule.
func BadInput(field, rule string) *Error {
	return (&fault{UserErrorInvalid, rule}).badInput(field)
}

// UserErrorCode says what kind of problem a UserError is.
type UserErrorCode string

// The kinds of problem that a sender can mend.
const (
	UserErrorInvalid          UserErrorCode = "INVALID"
	UserErrorBlank            UserErrorCode = "BLANK"
	UserErrorTooLong          UserErrorCode = "TOO_LONG"
	UserErrorTaken            UserErrorCode = "TAKEN"
	UserErrorNotFound         UserErrorCode = "NOT_FOUND"
	UserErrorVersionConflict  UserErrorCode = "VERSION_CONFLICT"
	UserErrorDuplicateInBatch UserErrorCode = "DUPLICATE_IN_BATCH"
	UserErrorBatchRejected    UserErrorCode = "BATCH_REJECTED"
)

// UserError is a problem with an input that its sender can mend; nothing was written for that input.
type UserError struct {
	Code    UserErrorCode
	Message string
	// Field is the path in the arguments, such as ["inputs", "3", "email"].
	Field []string
	// ConflictingID is the object in the way, for TAKEN.
	ConflictingID *uuid.UUID
}
