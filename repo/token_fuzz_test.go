package repo_test

import (
	"regexp"
	"strings"
	"testing"

	"akin/model"
)

// FuzzToken sends texts for a token to a database that is not there: what cannot be a token is refused without asking it.
func FuzzToken(f *testing.F) {
	for _, seed := range []string{
		"", "akin_", "akin_" + strings.Repeat("0", 33), "akin_" + strings.Repeat("0", 27) + "1C4SbZ", "AKIN_" + strings.Repeat("z", 33), "akin_\xff", strings.Repeat("a", 1000),
	} {
		f.Add(seed)
	}
	db := open(f, "postgres://127.0.0.1:1/none", nil)
	f.Fuzz(func(t *testing.T, token string) {
		_, err := db.Authenticate(t.Context(), token)
		switch code(err) {
		case model.CodeUnauthenticated:
			if token != "" && strings.Contains(err.Error(), token) && len(token) > 8 {
				t.Errorf("the refusal shows the token: %v", err)
			}
		case model.CodeUnavailable:
			if !regexp.MustCompile(`^akin_[0-9a-zA-Z]{33}$`).MatchString(token) {
				t.Errorf("the database is asked for %q", token)
			}
		default:
			t.Errorf("%q: %v", token, err)
		}
	})
}
