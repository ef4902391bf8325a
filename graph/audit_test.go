package graph_test

import (
	"os"
	"os/exec"
	"testing"
)

// TestGraphQLOverHTTP runs the audits of npm's graphql-http, all of them: MUST, SHOULD and MAY.
func TestGraphQLOverHTTP(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("audit/node_modules"); err != nil {
		t.Skip("the audits are not installed: `make audit` does that")
	}
	a := newAPI(t)
	command := exec.CommandContext(t.Context(), "node", "audit/audit.mjs")
	command.Env = append(os.Environ(), "AKIN_URL="+a.url+"/graphql", "AKIN_TOKEN="+a.token)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	t.Logf("%s", output)
}
