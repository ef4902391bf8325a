package transfer

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgressIsALineNowAndThenWhereThereIsNoTerminal(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		whole string
		size  int64
		want  string
	}{
		"a file":         {wholeFile, 200, "20 rows, 50 % of the file\n"},
		"a store":        {wholeStore, 200, "20 rows, 50 % of the store\n"},
		"standard input": {wholeFile, -1, "20 rows\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var out strings.Builder
				p := newProgress(&out, c.whole, c.size)
				time.Sleep(lineInterval - time.Millisecond)
				p.show(10, "1 row")
				time.Sleep(time.Millisecond)
				p.show(100, "20 rows")
				p.show(90, "21 rows") // a batch that was read earlier and written later
				p.finish()
				if out.String() != c.want {
					t.Errorf("it shows %q, not %q", out.String(), c.want)
				}
			})
		})
	}
}
