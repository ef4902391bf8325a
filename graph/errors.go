package graph

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"akin/model"
)

// What an answer tells of errors at most: enough to mend a query by, and no mirror for what was sent.
const (
	maxErrors        = 20
	maxMessageLength = 300 // bytes of one message
)

// quotes are the messages of gqlparser and gqlgen that quote a value of the request, each with what is left
// of it: the rule, and names of the schema's. Names that a document has for fields, arguments, types and variables are
// told, for they are what there is to mend.
var quotes = []struct {
	message *regexp.Regexp
	rule    string
}{
	{regexp.MustCompile(`(?s)^(Unexpected|Expected "\w+", found) (String|BlockString|Int|Float|Comment) .*$`), "$1 $2"},
	{regexp.MustCompile(`(?s)^(\w+(?: "[^"]*")? cannot represent [^:]*): (?:.*( Did you mean [^?]*\?)|.*)$`), "$1.$2"},
	{regexp.MustCompile(`(?s)^(Expected value of type "[^"]*"), found .*$`), "$1."},
	{regexp.MustCompile(`(?s)^Value ".*" (does not exist in "[^"]*" enum\..*)$`), "The value $1"},
	{regexp.MustCompile(`(?s)^operation .* not found$`), "the document has no operation of the name that operationName gives"},
}

// longQuote is from how many bytes on a message is looked at without its middle, which is of the value: the rule stands
// at its ends, and a regular expression takes a tenth of a microsecond for each byte.
const longQuote = 4 << 10

// withoutValue returns a message without the value of the request that it quotes.
func withoutValue(message string) string {
	if len(message) > longQuote {
		message = message[:longQuote/2] + message[len(message)-longQuote/2:]
	}
	for _, quote := range quotes {
		if quote.message.MatchString(message) {
			return quote.message.ReplaceAllString(message, quote.rule)
		}
	}
	return message
}

// presenter turns errors into what a caller may see, and logs what it may not.
type presenter struct {
	log           *slog.Logger
	noSuggestions bool
}

// present returns a new error each time: gqlgen writes paths into the ones it is given.
func (p presenter) present(ctx context.Context, err error) *gqlerror.Error {
	at, ok := errors.AsType[*gqlerror.Error](err)
	if !ok {
		at = gqlerror.Wrap(err)
	}
	shown := &gqlerror.Error{Path: at.Path, Locations: at.Locations}
	argument, _ := at.Extensions["field"].(string) // see values
	if isVariable(at) {
		shown.Path, argument = nil, variablePlace(at) // the path is none in the answer
	} else if field := graphql.GetFieldContext(ctx); field != nil && argumentsUnread(field) {
		shown.Path = field.Path()
		argument = strings.TrimPrefix(at.Path[min(len(shown.Path), len(at.Path)):].String(), ".")
	}
	known := p.classify(ctx, err, at)
	message := withoutValue(known.Error())
	if p.noSuggestions && known.Code == errcode.ValidationFailed {
		message, _, _ = strings.Cut(message, " Did you mean")
	}
	shown.Message = shorten(message)
	shown.Extensions = map[string]any{"code": string(known.Code)}
	if argument = cmp.Or(known.Field, argument); argument != "" {
		shown.Extensions["field"] = argument
	}
	return shown
}

// isVariable reports whether gqlparser found the error in the variables: its path is "variable", then the way into
// them. A field may be called so too, but its errors are not the validator's.
func isVariable(at *gqlerror.Error) bool {
	return len(at.Path) > 1 && at.Path[0] == ast.PathName("variable") && at.Extensions["code"] == errcode.ValidationFailed
}

// argumentsUnread reports whether gqlgen could not read the field's arguments, so that no resolver ran.
func argumentsUnread(field *graphql.FieldContext) bool {
	return field.Args == nil && field.Field.Field != nil && len(field.Field.Definition.Arguments) > 0
}

// classify says what kind of error it is. Whatever has no kind is INTERNAL: logged, and not shown.
func (p presenter) classify(ctx context.Context, err error, at *gqlerror.Error) *model.Error {
	if at.Err != nil {
		err = at.Err // without its place
	}
	if panicked, ok := errors.AsType[*panicError](err); ok {
		return p.internal(ctx, err, panicked.stack)
	}
	known, isKnown := errors.AsType[*model.Error](err)
	if ctx.Err() != nil && (!isKnown || known.Code == model.CodeUnavailable) {
		known, isKnown = interrupted(ctx), true
	}
	if isKnown {
		if record := recordFrom(ctx); known.Code == model.CodeUnavailable && record.meets(known.Cause) {
			p.log.WarnContext(ctx, "unavailable", "request_id", record.id, "error", known.Cause)
		}
		return known
	}
	if isVariable(at) {
		message := variableError(graphql.GetOperationContext(ctx).Operation, at, !p.noSuggestions)
		return &model.Error{Code: model.CodeBadUserInput, Message: model.Redact(message)}
	}
	if code, ok := at.Extensions["code"].(string); ok { // the parser's or the validator's
		return &model.Error{Code: model.ErrorCode(code), Message: model.Redact(withoutValue(at.Message))}
	}
	if field := graphql.GetFieldContext(ctx); field != nil && argumentsUnread(field) {
		return &model.Error{Code: model.CodeBadUserInput, Message: model.Redact(withoutValue(at.Message))}
	}
	return p.internal(ctx, err, "")
}

// interrupted is the error of whatever the end of the request's time, or its client, cut short.
func interrupted(ctx context.Context) *model.Error {
	if timeout, ok := errors.AsType[*model.Error](context.Cause(ctx)); ok {
		return timeout
	}
	return &model.Error{Code: model.CodeUnavailable, Message: "the request was broken off"}
}

func (p presenter) internal(ctx context.Context, cause error, stack string) *model.Error {
	record := recordFrom(ctx)
	if record.meets(cause) {
		p.log.ErrorContext(ctx, "internal error", "request_id", record.id, "error", cause, "stack", stack)
	}
	return &model.Error{Code: model.CodeInternal, Message: internalMessage(record.id)}
}

func internalMessage(requestID string) string {
	return "an internal error, which the log tells under request " + requestID
}

func shorten(message string) string {
	if len(message) <= maxMessageLength {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessageLength], "") + "…"
}

// panicError is a panic of a resolver.
type panicError struct {
	value any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// recovered is gqlgen's recover function; the presenter logs what it returns.
func recovered(_ context.Context, value any) error {
	return &panicError{value: value, stack: string(debug.Stack())}
}
