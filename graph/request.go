package graph

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"

	"akin/model"
)

// readParams returns the parameters of a request: of its URL for GET, of its body for POST.
func readParams(r *http.Request, body []byte) (*graphql.RawParams, error) {
	start := graphql.Now()
	var values map[string]any
	var err error
	if r.Method == http.MethodPost {
		values, err = readObject(body)
	} else {
		values, err = readQuery(r.URL.RawQuery)
	}
	if err != nil {
		return nil, err
	}
	params := &graphql.RawParams{Headers: r.Header}
	err = cmp.Or(
		take(values, "query", "a string", &params.Query),
		take(values, "operationName", "a string", &params.OperationName),
		take(values, "variables", "an object", &params.Variables),
		take(values, "extensions", "an object", &params.Extensions),
	)
	if err == nil && params.Query == "" {
		err = refuse(http.StatusBadRequest, "the parameter query is missing")
	}
	params.ReadTime = graphql.TraceTiming{Start: start, End: graphql.Now()}
	return params, err
}

// take moves a parameter to its place. Null is as good as none, and parameters of other names are for others.
func take[T any](values map[string]any, name, kind string, to *T) error {
	value, ok := values[name].(T)
	if !ok && values[name] != nil {
		return refuse(http.StatusBadRequest, "the parameter %s must be %s", name, kind)
	}
	*to = value
	return nil
}

// readQuery reads the parameters of a GET, of which variables and extensions are JSON.
func readQuery(rawQuery string) (map[string]any, error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the query string of the URL is malformed")
	}
	values := map[string]any{}
	for name, texts := range query {
		if len(texts) > 1 {
			return nil, refuse(http.StatusBadRequest, "a parameter of the URL is given more than once")
		}
		values[name] = texts[0]
		if name == "variables" || name == "extensions" {
			if values[name], err = decodeJSON([]byte(texts[0])); err != nil {
				return nil, refuse(http.StatusBadRequest, "the parameter %s %v", name, err)
			}
		}
	}
	return values, nil
}

// readBody reads the body of a POST, of maxBody bytes at most. The one content type it takes is one that no form of a web
// page can send, so that a page elsewhere cannot post in a user's name.
func readBody(w http.ResponseWriter, r *http.Request, maxBody int64) ([]byte, error) {
	contentType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, given := params["charset"]
	if err != nil || contentType != mediaJSON || given && !strings.EqualFold(charset, "utf-8") {
		return nil, refuse(http.StatusUnsupportedMediaType, "the Content-Type must be %s, in UTF-8", mediaJSON)
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		refused := refuse(http.StatusUnsupportedMediaType, "the body must not be compressed")
		refused.header, refused.value = "Accept-Encoding", "identity" // RFC 9110, section 12.5.3
		return nil, refused
	}
	refuseLarge := func() error {
		return refuseAs(model.CodeBodyTooLarge, http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", maxBody)
	}
	if r.ContentLength > maxBody {
		return nil, refuseLarge()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_, isLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case isLarge:
		return nil, refuseLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, refuseAs(model.CodeBodyTimedOut, http.StatusRequestTimeout, "the body took too long to arrive")
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "the body broke off")
	case len(body) == 0:
		return nil, refuse(http.StatusBadRequest, "the body is empty; it must be a JSON object with a query")
	}
	return body, nil
}

// readObject reads the parameters of a body.
func readObject(body []byte) (map[string]any, error) {
	if jsonValues(body) > maxValues {
		return nil, refuseAs(model.CodeBodyTooLarge, http.StatusRequestEntityTooLarge, "the body has more than %d values", maxValues)
	}
	value, err := decodeJSON(body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the body %v", err)
	}
	switch value := value.(type) {
	case map[string]any:
		return value, nil
	case []any:
		return nil, refuse(http.StatusBadRequest, "the body must be one request; a list of several is not supported")
	}
	return nil, refuse(http.StatusBadRequest, "the body must be a JSON object")
}

// decodeJSON reads one JSON value and nothing else, and refuses broken UTF-8, which encoding/json would repair. Its errors
// name a place and never show what stands there.
func decodeJSON(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("must be UTF-8")
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	err := decoder.Decode(&value)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return nil, fmt.Errorf("is not JSON: error at byte %d", syntax.Offset)
	}
	if err != nil {
		return nil, fmt.Errorf("is not JSON: it breaks off after byte %d", len(text))
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("must be one JSON value; something follows it after byte %d", decoder.InputOffset())
	}
	return withNumbers(value)
}

// withNumbers puts numbers in the place of their texts: an int64 where it can be, else a float64. gqlgen would take a
// json.Number for a String.
func withNumbers(value any) (_ any, err error) {
	switch value := value.(type) {
	case json.Number:
		if len(value) > model.MaxNumber {
			return nil, fmt.Errorf("must not have a number of %d digits; at most %d are allowed", len(value), model.MaxNumber)
		}
		if i, err := value.Int64(); err == nil {
			return i, nil
		}
		f, err := value.Float64()
		if err != nil {
			return nil, errors.New("must not have a number out of range")
		}
		return f, nil
	case map[string]any:
		for key, inner := range value {
			if value[key], err = withNumbers(inner); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, inner := range value {
			if value[i], err = withNumbers(inner); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}
