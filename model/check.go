package model

import (
	"errors"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
)

// checker collects the columns and the faults of an input.
type checker struct {
	path    []string
	columns map[string]any
	faults  []*UserError
}

func (c *checker) fault(f *fault, field ...string) {
	if f != nil {
		c.faults = append(c.faults, &UserError{
			Code: f.code, Message: strings.Join(field, ".") + " " + f.rule, Field: slices.Concat(c.path, field),
		})
	}
}

// key returns the normalised key; its faults are the sender's to mend like those of any field.
func (c *checker) key(field string, key CustomerKey) CustomerKey {
	checked, err := key.Check(field)
	if known, ok := errors.AsType[*Error](err); ok {
		c.faults = append(c.faults, &UserError{
			Code: known.kind, Message: known.Error(), Field: slices.Concat(c.path, strings.Split(known.Field, ".")),
		})
	}
	return checked
}

// set takes a value that has no rule but its type.
func set[T any](c *checker, column string, value graphql.Omittable[*T]) {
	if v, ok := value.ValueOK(); ok {
		c.columns[column] = v
	}
}

// normalized takes a value in its normalised form.
func normalized[T any](c *checker, field, column string, value graphql.Omittable[*T], normalize func(T) (T, *fault)) {
	v, ok := value.ValueOK()
	if !ok {
		return
	}
	if v == nil {
		c.columns[column] = nil
		return
	}
	form, f := normalize(*v)
	c.fault(f, field)
	c.columns[column] = form
}
