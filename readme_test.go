package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"akin/graph"
)

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReadme runs the README's examples as they stand against a new Akin with a PostgreSQL of its own, and compares the
// answers; only IDs, times and cursors may differ. A query is asked again for a while, since the list of what has changed
// ends a little before now.
func TestReadme(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	readme := readme(t)
	p := start(t, "--data-dir", dataDir(t))
	examples := regexp.MustCompile("(?s)```sh\n(curl .*?)```\n+```json\n(.*?)```").FindAllStringSubmatch(readme, -1)
	if len(examples) != strings.Count(readme, "\ncurl ") || len(examples) < 6 {
		t.Fatalf("the README has %d examples with answers", len(examples))
	}
	for _, example := range examples {
		script := strings.ReplaceAll(example[1], "http://127.0.0.1:8080", p.url)
		deadline := time.Now().Add(15 * time.Second)
		within(t, time.Minute, "an example", func() bool {
			curl := exec.CommandContext(t.Context(), "sh", "-c", script)
			curl.Env = append(os.Environ(), "TOKEN="+p.token)
			got, err := curl.Output()
			if err != nil {
				t.Fatalf("%s: %v", script, err)
			}
			diff := cmp.Diff(masked(t, []byte(example[2])), masked(t, got))
			if diff != "" && !strings.Contains(script, "mutation") && time.Now().Before(deadline) {
				return false
			}
			if diff != "" {
				t.Errorf("the answer to\n%s\ndiffers from the README's (-README +Akin):\n%s", script, diff)
			}
			return true
		})
	}
}

// masked decodes an answer, with one word for every ID, one for every time and one for every cursor.
func masked(t *testing.T, answer []byte) any {
	t.Helper()
	answer = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`).ReplaceAll(answer, []byte("ID"))
	answer = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`).ReplaceAll(answer, []byte("TIME"))
	answer = regexp.MustCompile(`"endCursor": ?"[\w-]+"`).ReplaceAll(answer, []byte(`"endCursor":"CURSOR"`))
	var decoded any
	if err := json.Unmarshal(answer, &decoded); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	return decoded
}

// TestReadmeHasEverySetting compares the README's tables of settings with the flags of `akin serve`.
func TestReadmeHasEverySetting(t *testing.T) {
	t.Parallel()
	documented := map[string][]string{} // environment and default, by flag
	for _, row := range regexp.MustCompile("(?m)^\\| `--([a-z-]+)` \\| `([A-Z_]+)[^|]*` \\| ([^|]*) \\|").FindAllStringSubmatch(readme(t), -1) {
		documented[strings.TrimPrefix(row[1], "no-")] = []string{row[2], strings.Trim(row[3], "`")}
	}
	defaults := map[string]string{}
	for limits, i := reflect.ValueOf(graph.DefaultLimits), 0; i < limits.NumField(); i++ {
		defaults["AKIN_MAX_"+limits.Type().Field(i).Tag.Get("env")] = strconv.FormatInt(limits.Field(i).Int(), 10)
	}
	program, err := kong.New(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	command, err := program.Parse([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range command.Flags() {
		if flag.Name == "help" {
			continue
		}
		row, ok := documented[flag.Name]
		delete(documented, flag.Name)
		switch {
		case !ok:
			t.Errorf("--%s is not in the README", flag.Name)
		case len(flag.Envs) != 1 || flag.Envs[0] != row[0]:
			t.Errorf("--%s is %v in the environment; the README says %s", flag.Name, flag.Envs, row[0])
		case flag.HasDefault && !flag.IsBool() && flag.Default != row[1], defaults[row[0]] != "" && defaults[row[0]] != row[1]:
			t.Errorf("--%s is by default %s; the README says %s", flag.Name, flag.Default+defaults[row[0]], row[1])
		}
	}
	for flag := range documented {
		t.Errorf("--%s of the README is no flag", flag)
	}
}

// TestReadmeHasEveryErrorCode compares its tables of codes with those that there are.
func TestReadmeHasEveryErrorCode(t *testing.T) {
	t.Parallel()
	source, err := parser.ParseFile(token.NewFileSet(), "model/error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]bool{"GRAPHQL_PARSE_FAILED": true, "GRAPHQL_VALIDATION_FAILED": true}
	ast.Inspect(source, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok && spec.Type.(*ast.Ident).Name == "ErrorCode" {
			code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			codes[code] = true
		}
		return true
	})
	readme := readme(t)
	for code := range codes {
		if !regexp.MustCompile("(?m)^\\|.*`" + code + "`").MatchString(readme) {
			t.Errorf("%s is not in the README", code)
		}
	}
}

// TestReadmeNamesTests looks for each test that the README names.
func TestReadmeNamesTests(t *testing.T) {
	t.Parallel()
	var tests strings.Builder
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == "node_modules" {
			return fs.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		tests.Write(source)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Za-z]+)`").FindAllStringSubmatch(readme(t), -1)
	if len(names) < 20 {
		t.Errorf("it names %d", len(names))
	}
	for _, name := range names {
		if !strings.Contains(tests.String(), "\nfunc "+name[1]+"(") {
			t.Errorf("there is no %s", name[1])
		}
	}
}
