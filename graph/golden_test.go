package graph_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the golden answers anew")

// TestGolden runs the operations of each archive in order on an empty store, and compares the answers with those beside
// them. What differs from run to run is numbered as it appears: <id 1>, <cursor 1>.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			a, masks := newAPI(t), newMask()
			for i, operation := range archive.Files {
				if !strings.HasSuffix(operation.Name, ".graphql") {
					continue
				}
				got := masks.hide(a.query(t, masks.show(string(operation.Data)), nil).body)
				if *update {
					archive.Files[i+1].Data = got
				} else if diff := cmp.Diff(string(archive.Files[i+1].Data), string(got)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", operation.Name, diff)
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// instant is one that the run makes; those before 2024 are the operations' own.
var instant = regexp.MustCompile(`20(?:2[4-9]|[3-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`)

// mask numbers what differs from run to run.
type mask struct {
	names  map[string]string // by value
	values map[string]string // by name
	counts map[string]int    // by kind
}

func newMask() *mask {
	return &mask{map[string]string{}, map[string]string{}, map[string]int{}}
}

var changing = []struct {
	kind    string
	pattern *regexp.Regexp
}{
	{"id", regexp.MustCompile(`[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}`)},
	{"cursor", regexp.MustCompile(`(?:[cC]ursor": ")([^"]+)`)},
}

// hide formats an answer and puts names for what differs. Times have one name for all, since any two can be equal.
func (m *mask) hide(body string) []byte {
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(strings.TrimSpace(body)), "", "  "); err != nil {
		return []byte(body)
	}
	text := instant.ReplaceAllString(pretty.String(), "<time>") + "\n"
	for _, c := range changing {
		for _, match := range c.pattern.FindAllStringSubmatch(text, -1) {
			value := match[len(match)-1]
			if m.names[value] == "" {
				m.counts[c.kind]++
				name := fmt.Sprintf("<%s %d>", c.kind, m.counts[c.kind])
				m.names[value], m.values[name] = name, value
			}
			text = strings.ReplaceAll(text, `"`+value+`"`, `"`+m.names[value]+`"`)
		}
	}
	return []byte(text)
}

// show puts the values back for the names in an operation.
func (m *mask) show(operation string) string {
	for name, value := range m.values {
		operation = strings.ReplaceAll(operation, name, value)
	}
	return operation
}
