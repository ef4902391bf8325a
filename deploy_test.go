package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"akin/repo/repotest"
)

// TestDashboardAndAlertsNameMetricsThatExist runs a server, has it answer, and looks in its metrics for every name and
// label that an expression of the dashboard and of the alerts uses.
func TestDashboardAndAlertsNameMetricsThatExist(t *testing.T) {
	t.Parallel()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	var alerts struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	for file, decode := range map[string]func([]byte) error{
		"deploy/dashboard.json": func(b []byte) error { return json.Unmarshal(b, &dashboard) },
		"deploy/alerts.yaml":    func(b []byte) error { return yaml.Unmarshal(b, &alerts) },
	} {
		text, err := os.ReadFile(file)
		if err == nil {
			err = decode(text)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	expressions := map[string]string{}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			expressions[target.Expr] = panel.Title
		}
	}
	for _, rule := range alerts.Groups[0].Rules {
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("alert %s does not say what it means", rule.Alert)
		}
		expressions[rule.Expr] = rule.Alert
	}
	if len(expressions) < 20 {
		t.Fatalf("only %d expressions", len(expressions))
	}

	w := watch(t, "--database-replica-url", repotest.URL(t)) // which is none, but its metrics are there
	w.post(t, w.token, `mutation { upsertCustomerIdentity(input: {platform: "a", platformCustomerId: "1", email: "a@example.com"}) { outcome } }`)
	if status, body := w.post(t, w.token, `{ store { name } }`); status != http.StatusOK {
		t.Fatal(body)
	}
	metrics := w.scrape(t)
	labels := []string{"instance", "job"} // Prometheus's own
	for _, match := range regexp.MustCompile(`[{,](\w+)="`).FindAllStringSubmatch(metrics, -1) {
		labels = append(labels, match[1])
	}
	for expression, owner := range expressions {
		names := regexp.MustCompile(`\b(?:akin|go|process)_\w+`).FindAllString(expression, -1)
		if len(names) == 0 && !strings.HasPrefix(expression, "up{") {
			t.Errorf("%s has no metric: %s", owner, expression)
		}
		for _, name := range names {
			if !regexp.MustCompile(`(?m)^` + name + `[ {]`).MatchString(metrics) {
				t.Errorf("%s names %s, which /metrics does not have", owner, name)
			}
		}
		for _, match := range regexp.MustCompile(`(?:[{,] ?(\w+)=)|(?:\b(?:by|on) \(([\w, ]+)\))`).FindAllStringSubmatch(expression, -1) {
			for label := range strings.SplitSeq(match[1]+match[2], ",") {
				if label = strings.TrimSpace(label); !slices.Contains(labels, label) {
					t.Errorf("%s goes by the label %q, which no metric has", owner, label)
				}
			}
		}
	}
}

func TestAlertsAreWhatPrometheusTakes(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed")
	}
	for _, args := range [][]string{{"check", "config", "deploy/prometheus.yaml"}, {"test", "rules", "deploy/alerts_test.yaml"}} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
}
