package model

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The longest texts from outside, in Unicode code points. An address has 254 by RFC 5321 (with its erratum 1690); the
// others are what the platforms keep.
const (
	MaxPlatform           = 64
	MaxPlatformCustomerID = 255
	MaxEmail              = 254
	MaxName               = 255
)

// fault is the rule that a value breaks.
type fault struct {
	code UserErrorCode
	rule string
}

// badInput returns the BAD_USER_INPUT error of an argument with the fault.
func (f *fault) badInput(field string) *Error {
	return &Error{Code: CodeBadUserInput, Message: f.rule, Field: field, kind: f.code}
}

// checkText holds what every text from outside must be: UTF-8, without U+FFFD, without control characters and of at
// most limit code points. JSON decoding turns each broken input into U+FFFD, so that two keys would become one.
func checkText(text string, limit int) *fault {
	if !utf8.ValidString(text) {
		return &fault{UserErrorInvalid, "must be valid UTF-8"}
	}
	if strings.ContainsRune(text, utf8.RuneError) {
		return &fault{UserErrorInvalid, "must not contain U+FFFD, which stands for text that was broken on its way"}
	}
	if i := strings.IndexFunc(text, unicode.IsControl); i >= 0 {
		r, _ := utf8.DecodeRuneInString(text[i:])
		return &fault{UserErrorInvalid, fmt.Sprintf("must not contain control characters; it has %U", r)}
	}
	if n := utf8.RuneCountInString(text); n > limit {
		return &fault{UserErrorTooLong, fmt.Sprintf("must have at most %d characters; it has %d", limit, n)}
	}
	return nil
}

// checkRequired is checkText for what must not be blank.
func checkRequired(text string, limit int) *fault {
	if strings.TrimSpace(text) == "" {
		return &fault{UserErrorBlank, "must not be blank"}
	}
	return checkText(text, limit)
}

// checkName is checkText for a name, where nil keeps what is known and "" clears it.
func checkName(name *string) *fault {
	if name == nil || *name == "" {
		return nil
	}
	if f := checkRequired(*name, MaxName); f != nil {
		if f.code == UserErrorBlank {
			f.rule += "; an empty string clears it"
		}
		return f
	}
	return nil
}

// normalizeName returns the name as it is, or the rule that it breaks.
func normalizeName(name string) (string, *fault) { return name, checkName(&name) }

// normalizePlatform returns the platform's lower-case name, or the rule that it breaks.
func normalizePlatform(platform string) (string, *fault) {
	if f := checkRequired(platform, MaxPlatform); f != nil {
		return "", f
	}
	for i, r := range platform { // before it is lowered, which turns İ and KELVIN SIGN into letters of ASCII
		letterOrDigit := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		if !letterOrDigit && (i == 0 || r != '_' && r != '-') {
			return "", &fault{UserErrorInvalid, "must be made of a-z, 0-9, _ and -, beginning with a letter or digit"}
		}
	}
	return strings.ToLower(platform), nil
}

// MaxSnakeCase is the longest source or type of an event, and the longest key of properties.
const MaxSnakeCase = 64

var snakeCase = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// checkSnakeCase holds sources and types of events and keys of properties to what they are made of.
func checkSnakeCase(text string) *fault {
	if f := checkRequired(text, MaxSnakeCase); f != nil {
		return f
	}
	if !snakeCase.MatchString(text) {
		return &fault{UserErrorInvalid, "must be 1 to 64 of a-z, 0-9 and _, beginning with a letter"}
	}
	return nil
}

// normalizeTime returns an instant as precise as Akin tells it, so that what was told and is sent back is nothing new. It must be
// in the years that RFC 3339 can write and PostgreSQL can read, both in UTC.
func normalizeTime(t time.Time) (time.Time, *fault) {
	t = t.UTC().Truncate(precision)
	if year := t.Year(); year < 1 || year > 9999 {
		return t, &fault{UserErrorInvalid, "must be in the years 1 to 9999, in UTC"}
	}
	return t, nil
}

// MaxLabel is the longest name of a store or a token, in code points.
const MaxLabel = 64

// CheckLabel checks the name of a store or a token: BAD_USER_INPUT where it is blank, too long or unfit to print.
func CheckLabel(field, label string) error {
	if f := checkRequired(label, MaxLabel); f != nil {
		return f.badInput(field)
	}
	return nil
}
