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
		size int64
		want string
	}{
		"a file":         {200, "20 rows, 1 failed, 50 % of the file\n"},
		"standard input": {-1, "20 rows, 1 failed\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var out strings.Builder
				p := newProgress(&out, c.size)
				time.Sleep(lineInterval - time.Millisecond)
				p.show(10, Report{Created: 1})
				time.Sleep(time.Millisecond)
				p.show(100, Report{Created: 19, Failed: 1})
				p.show(90, Report{Created: 20, Failed: 1}) // a batch that was read earlier and written later
				p.finish()
				if out.String() != c.want {
					t.Errorf("it shows %q, not %q", out.String(), c.want)
				}
			})
		})
	}
}
