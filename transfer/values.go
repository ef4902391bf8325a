package transfer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"akin/model"
)

// propertyPrefix begins the name of a column that holds one property, a text.
const propertyPrefix = "properties."

// reader takes a row's values as a kind needs them, and collects the rules that they break.
type reader struct {
	values values
	faults []string
}

func (r *reader) fault(column, rule string) { r.faults = append(r.faults, column+" "+rule) }

// check adds the faults that the input has by the rules of the API. What stands in by, the key of a customer's row,
// stands in the row's properties too.
func (r *reader) check(faults []*model.UserError) {
	for _, f := range faults {
		if f.Field[0] != "by" {
			r.faults = append(r.faults, f.Message)
		}
	}
}

// optional returns what the row says of a column, read from its text.
func optional[T any](r *reader, column, rule string, parse func(text string) (T, bool)) graphql.Omittable[*T] {
	value, said := r.values[column]
	if !said {
		return graphql.Omittable[*T]{}
	}
	if value == nil {
		return graphql.OmittableOf[*T](nil)
	}
	text, ok := value.(string)
	var parsed T
	if ok {
		parsed, ok = parse(text)
	}
	if !ok {
		r.fault(column, rule)
	}
	return graphql.OmittableOf(&parsed)
}

func (r *reader) text(column string) graphql.Omittable[*string] {
	return optional(r, column, "must be a string", func(text string) (string, bool) { return text, true })
}

// textOrEmpty returns the text of a column, empty where there is none.
func (r *reader) textOrEmpty(column string) string {
	if text := r.text(column).Value(); text != nil {
		return *text
	}
	return ""
}

func (r *reader) boolean(column string) graphql.Omittable[*bool] {
	if raw, ok := r.values[column].(json.RawMessage); ok && (string(raw) == "true" || string(raw) == "false") {
		r.values[column] = string(raw)
	}
	return optional(r, column, "must be true or false", func(text string) (bool, bool) {
		b, err := strconv.ParseBool(strings.ToLower(text))
		return b, err == nil
	})
}

// instants are the forms of ISO 8601 that are read: RFC 3339, an offset without a colon, none, which is taken for UTC,
// and a date alone, which is its midnight in UTC. Each may have a fraction of a second.
var instants = []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05", time.DateOnly}

func (r *reader) instant(column string) graphql.Omittable[*time.Time] {
	const rule = "must be an instant in ISO 8601, such as 2026-03-09T14:02:06Z"
	return optional(r, column, rule, func(text string) (time.Time, bool) {
		return model.ParseInstant(text, instants...)
	})
}

// list returns the texts of a JSON array, or those between the commas of a text.
func (r *reader) list(column string) graphql.Omittable[[]string] {
	value, said := r.values[column]
	if !said {
		return graphql.Omittable[[]string]{}
	}
	text := strings.TrimSpace(textOf(value))
	isArray := strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]")
	var array []string
	if isArray && json.Unmarshal([]byte(text), &array) == nil {
		return graphql.OmittableOf(array)
	}
	if _, isJSON := value.(json.RawMessage); isJSON || isArray {
		r.fault(column, "must be an array of strings, or a string of them with commas between")
		return graphql.Omittable[[]string]{}
	}
	var list []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return graphql.OmittableOf(list)
}

// properties returns the object of the column and those of the columns that hold one property each.
func (r *reader) properties() graphql.Omittable[model.Properties] {
	value, said := r.values["properties"]
	text := []byte(textOf(value))
	single := map[string]any{}
	for column, value := range r.values {
		if key, ok := strings.CutPrefix(column, propertyPrefix); ok {
			single[key] = value
		}
	}
	if len(single) > 0 {
		if said && value != nil {
			members, err := object(text)
			if err != nil {
				r.fault("properties", "must be a JSON object")
			}
			for key, member := range members {
				single[key] = member
			}
		}
		said, value = true, single
		var err error
		if text, err = json.Marshal(single); err != nil {
			r.fault("properties", fmt.Sprintf("must be JSON: %v", err))
		}
	}
	switch {
	case !said:
		return graphql.Omittable[model.Properties]{}
	case value == nil:
		return graphql.OmittableOf[model.Properties](nil)
	}
	return graphql.OmittableOf(model.Properties(bytes.Clone(text)))
}
