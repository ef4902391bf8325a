package graph

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"akin/model"
	"akin/repo"
)

// The media types of an answer. They differ in the status of a request that GraphQL refuses: 200 in the first, which
// is how it was before the second was; 400 in the second.
const (
	mediaJSON    = "application/json"
	mediaGraphQL = "application/graphql-response+json"
)

// endpoint serves GraphQL over HTTP, as https://graphql.github.io/graphql-over-http/draft/ specifies it.
type endpoint struct {
	db      *repo.DB
	exec    *executor.Executor
	timeout time.Duration
	// timedOut is the cause of the end of whatever takes longer.
	timedOut *model.Error

	limits  Limits
	buckets *buckets
	crowd   crowd
}

// refusal is an error with a status of its own in HTTP and, where header is not empty, a header that tells more.
type refusal struct {
	status        int
	header, value string
	reason        *model.Error
}

func (r *refusal) Error() string { return r.reason.Error() }
func (r *refusal) Unwrap() error { return r.reason }

func refuse(status int, format string, args ...any) *refusal {
	return refuseAs(model.CodeBadUserInput, status, format, args...)
}

func refuseAs(code model.ErrorCode, status int, format string, args ...any) *refusal {
	return &refusal{status: status, reason: &model.Error{Code: code, Message: fmt.Sprintf(format, args...)}}
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeoutCause(graphql.StartOperationTrace(r.Context()), e.timeout, e.timedOut)
	defer cancel()
	ctx, end := e.db.Watch(ctx, mostRead(e.limits.Result))
	defer end()
	mediaType := negotiate(r.Header.Values("Accept"))
	response, err := e.respond(ctx, w, r, mediaType)
	if err != nil {
		response = e.exec.DispatchError(ctx, gqlerror.List{gqlerror.Wrap(err)})
	}
	record := recordFrom(ctx)
	response.Extensions = record.paid.tell(w.Header(), response.Extensions)
	if len(response.Errors) > 0 {
		record.code, _ = response.Errors[0].Extensions["code"].(string)
	}
	status := statusOf(response, record.code, mediaType)
	if refused, ok := errors.AsType[*refusal](err); ok {
		status = refused.status
		if refused.header != "" {
			w.Header().Set(refused.header, refused.value)
		}
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set(retryAfterHeader, "1")
	}
	writeResponse(w, status, cmp.Or(mediaType, mediaJSON), response)
}

// respond takes a request through its stages in the order of their cost: nothing of the body is read before the token
// is known, nothing is made of it before the request's turn, and nothing runs that the token does not cover.
func (e *endpoint) respond(
	ctx context.Context, w http.ResponseWriter, r *http.Request, mediaType string,
) (response *graphql.Response, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = recovered(ctx, value)
		}
	}()
	if err := checkProtocol(r.Method, mediaType); err != nil {
		return nil, err
	}
	token, err := authenticate(ctx, e.db, r.Header)
	if err != nil {
		return nil, err
	}
	record := recordFrom(ctx)
	record.token, record.storeID = token.Name, token.StoreID.String()
	if err := e.crowd.enter(token.ID); err != nil {
		return nil, err
	}
	defer e.crowd.leave(token.ID)
	record.paid = e.buckets.begin(token.ID)
	if err := record.paid.raise(1); err != nil { // what a request costs at least, whatever is in it
		return nil, err
	}
	body, err := e.receive(ctx, w, r)
	if err != nil {
		return nil, err
	}
	leave, err := e.db.Admit(ctx, len(body))
	if err != nil {
		return nil, err
	}
	defer leave()
	return e.execute(ctx, r, token, body)
}

// execute reads what is asked and does it, if the token covers it.
func (e *endpoint) execute(ctx context.Context, r *http.Request, token *repo.Token, body []byte) (*graphql.Response, error) {
	record := recordFrom(ctx)
	params, err := readParams(r, body)
	if err != nil {
		return nil, err
	}
	operation, errs := e.exec.CreateOperationContext(ctx, params)
	if operation.Operation != nil {
		record.kind, record.operation = string(operation.Operation.Operation), shorten(model.Redact(operation.Operation.Name))
	}
	if operation.Doc != nil && operation.Operation == nil && params.OperationName == "" { // gqlgen: "operation  not found"
		return nil, &model.Error{
			Code: errcode.ValidationFailed, Message: "the document has several operations: operationName must name one",
		}
	}
	if len(errs) > 0 {
		return e.exec.DispatchError(graphql.WithOperationContext(ctx, operation), firstOf(errs)), nil
	}
	record.rootField = rootField(operation.Operation)
	operation.DisableIntrospection = false // limits sees to it; gqlgen's word for it has no code
	if operation.Operation.Operation != ast.Query && r.Method != http.MethodPost {
		return nil, notAllowed("POST", "a mutation must be sent with POST, not "+r.Method)
	}
	if err := authorize(token, operation.Operation.Operation); err != nil {
		return nil, err
	}
	if err := record.paid.raise(record.cost); err != nil {
		return nil, err
	}
	ctx = withMostOf(withStore(ctx, e.db.Store(token.StoreID).Showing(record.shown)), e.limits.Result)
	next, ctx := e.exec.DispatchOperation(ctx, operation)
	response := next(ctx)
	if response == nil { // gqlgen's word for a context that has ended
		return nil, context.Cause(ctx)
	}
	if len(response.Data) > e.limits.Result || slices.ContainsFunc(response.Errors, isTooLarge) {
		return nil, tooLarge(e.limits.Result, operation.Operation.Operation)
	}
	response.Errors = firstOf(response.Errors)
	return response, nil
}

// checkProtocol checks what needs neither the token nor the body; mediaType is empty where no answer is accepted.
func checkProtocol(method, mediaType string) error {
	if method != http.MethodPost && method != http.MethodGet && method != http.MethodHead {
		return notAllowed("GET, POST", "the method must be GET or POST, not "+method)
	}
	if mediaType == "" {
		return refuse(http.StatusNotAcceptable, "the answer can be %s or %s; the Accept header takes neither",
			mediaGraphQL, mediaJSON)
	}
	return nil
}

// receive reads the body of a request that has one, which has as long to arrive as the request has.
func (e *endpoint) receive(ctx context.Context, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Method != http.MethodPost {
		return nil, nil
	}
	control := http.NewResponseController(w)
	deadline, _ := ctx.Deadline()
	_ = control.SetReadDeadline(deadline) // which net/http always can
	body, err := readBody(w, r, int64(e.limits.Body))
	if err == nil {
		_ = control.SetReadDeadline(time.Time{}) // what comes now is the client's hanging up
	}
	return body, err
}

// mostRead is how many bytes of rows may be read for an answer whose data may have most bytes. A row has the
// columns that any field of the operation shows of its kind, so that rows can be longer than what the answer shows of them.
func mostRead(most int) int { return max(2*most, 1<<20) }

// isTooLarge reports whether a field was given up for the sake of the answer's size.
func isTooLarge(err *gqlerror.Error) bool {
	return err.Extensions["code"] == string(model.CodeResultTooLarge)
}

// tooLarge is the error of an answer whose data has too many bytes, or is made of too many.
func tooLarge(most int, operation ast.Operation) error {
	message := fmt.Sprintf("the answer's data has more than %d bytes, with %d for each error, or the rows that it is made of more than %d: "+
		"ask for less", most, errorSize, mostRead(most))
	if operation == ast.Mutation {
		message += "; what the mutation wrote is written"
	}
	return &model.Error{Code: model.CodeResultTooLarge, Message: message}
}

func notAllowed(allow, message string) error {
	refused := refuse(http.StatusMethodNotAllowed, "%s", message)
	refused.header, refused.value = "Allow", allow
	return refused
}

// firstOf leaves out what is beyond the first errors of an answer, by their place: each row of a list may have one, and for
// the same reason.
func firstOf(errs gqlerror.List) gqlerror.List {
	if len(errs) <= maxErrors {
		return errs
	}
	slices.SortStableFunc(errs, func(a, b *gqlerror.Error) int { return slices.CompareFunc(a.Path, b.Path, compareSteps) })
	rest := gqlerror.Errorf("and %d errors more", len(errs)-maxErrors)
	code, _ := errs[0].Extensions["code"].(string)
	errcode.Set(rest, cmp.Or(code, errcode.ValidationFailed))
	return append(errs[:maxErrors:maxErrors], rest)
}

func compareSteps(a, b ast.PathElement) int {
	name, _ := a.(ast.PathName)
	other, _ := b.(ast.PathName)
	i, _ := a.(ast.PathIndex)
	j, _ := b.(ast.PathIndex)
	return cmp.Or(cmp.Compare(name, other), cmp.Compare(i, j))
}

// negotiate returns the media type of the answer by the Accept headers (RFC 9110, section 12.5.1), empty where they
// take neither. application/json answers whoever says nothing or only a wildcard, as the specification asks.
func negotiate(accept []string) string {
	ranges := strings.Split(strings.Join(accept, ","), ",")
	if strings.TrimSpace(strings.Join(ranges, "")) == "" {
		return mediaJSON
	}
	const exact = 2
	var best string
	var bestQuality float64
	var bestPrecision int
	for _, offer := range []string{mediaGraphQL, mediaJSON} {
		quality, precision := acceptance(ranges, offer)
		if quality > bestQuality || quality == bestQuality && quality > 0 &&
			(precision > bestPrecision || precision == bestPrecision && precision < exact) {
			best, bestQuality, bestPrecision = offer, quality, precision
		}
	}
	return best
}

// acceptance returns the quality that the most precise range gives a media type, and how precise that range is: 0 for
// */*, 1 for a subtype's wildcard, 2 for the type itself.
func acceptance(ranges []string, offer string) (quality float64, precision int) {
	precision = -1
	for _, text := range ranges {
		mediaRange, params, err := mime.ParseMediaType(text)
		if err != nil {
			continue
		}
		found := map[string]int{"*/*": 0, "application/*": 1, offer: 2}
		p, ok := found[mediaRange]
		if !ok || p <= precision {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		quality, precision = q, p
	}
	return quality, precision
}

// statusOf returns the status of an answer; code is that of its first error. Whatever has data is a 200, as the
// specification says it must be. An answer without any because the database or the time was lacking is a 503 in both
// media types, though the specification would rather see 200 where data is null: whoever stands between, or retries,
// goes by the status.
func statusOf(response *graphql.Response, code, mediaType string) int {
	executed := response.Data != nil
	switch {
	case executed && string(response.Data) != "null":
		return http.StatusOK
	case code == string(model.CodeUnavailable), code == string(model.CodeTimedOut):
		return http.StatusServiceUnavailable
	case executed:
		return http.StatusOK
	case code == string(model.CodeInternal):
		return http.StatusInternalServerError
	case mediaType == mediaJSON:
		return http.StatusOK
	}
	return http.StatusBadRequest
}

// writeResponse writes an answer. Its data is JSON already and is not encoded again; one that was refused has none.
func writeResponse(w http.ResponseWriter, status int, mediaType string, response *graphql.Response) {
	buffer := takeBuffer()
	body := (*buffer)[:0]
	body = append(body, '{')
	if len(response.Errors) > 0 {
		errs, err := json.Marshal(response.Errors)
		if err != nil {
			panic(err) // they hold strings and numbers only
		}
		body = append(append(body, `"errors":`...), errs...)
	}
	if response.Data != nil {
		if len(response.Errors) > 0 {
			body = append(body, ',')
		}
		body = append(append(body, `"data":`...), response.Data...)
	}
	if len(response.Extensions) > 0 {
		extensions, err := json.Marshal(response.Extensions)
		if err != nil {
			panic(err) // they are our own
		}
		body = append(append(body, `,"extensions":`...), extensions...)
	}
	body = append(body, "}\n"...)
	w.Header().Set("Content-Type", mediaType+"; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("Cache-Control", "no-store") // personal data
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // it is JSON, and nothing of a browser's takes it for more
	keepBuffer(buffer, body)
}
