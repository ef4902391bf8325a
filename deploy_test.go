package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/jackc/pgx/v5"

	"akin/repo/repotest"
)

// expressions are those of the dashboard and of the alerts, with what each is for: a panel's title or an alert's name.
func expressions(t *testing.T) (panels, alerts map[string]string) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	for file, decode := range map[string]func([]byte) error{
		"deploy/dashboard.json": func(b []byte) error { return json.Unmarshal(b, &dashboard) },
		"deploy/alerts.yaml":    func(b []byte) error { return yaml.Unmarshal(b, &rules) },
	} {
		text, err := os.ReadFile(file)
		if err == nil {
			err = decode(text)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	panels, alerts = map[string]string{}, map[string]string{}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			panels[target.Expr] = panel.Title
		}
	}
	for _, rule := range rules.Groups[0].Rules {
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("alert %s does not say what it means", rule.Alert)
		}
		alerts[rule.Expr] = rule.Alert
	}
	if len(panels) < 20 || len(alerts) < 8 {
		t.Fatalf("only %d and %d expressions", len(panels), len(alerts))
	}
	return panels, alerts
}

// watchBesideReplica is watch with a replica, so that its metrics are there too. As it is none, nothing is read from it.
func watchBesideReplica(t *testing.T, args ...string) *watched {
	t.Helper()
	return watch(t, append(args, "--database-replica-url", repotest.URL(t))...)
}

// TestDashboardAndAlertsNameMetricsThatExist runs a server, has it answer, and looks in its metrics for every name and
// label that an expression of the dashboard and of the alerts uses.
func TestDashboardAndAlertsNameMetricsThatExist(t *testing.T) {
	t.Parallel()
	expressions, alerts := expressions(t)
	maps.Copy(expressions, alerts)
	w := watchBesideReplica(t)
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

// TestPrometheusShowsWhatHappens has a real Prometheus, with the configuration and the alert rules of deploy, look at a
// server to which some of everything happens. It must know a number for each expression of the dashboard, no fault in one
// of the alerts, and raise those that the requests are reason for.
func TestPrometheusShowsWhatHappens(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("prometheus is not installed: scripts/install.sh prometheus")
	}
	panels, alerts := expressions(t)
	w := watchBesideReplica(t, "--timeout", "1s")
	prometheus := startPrometheus(t, program, strings.TrimSuffix(strings.TrimPrefix(w.metrics, "http://"), "/metrics"))

	conn, err := pgx.Connect(t.Context(), w.database)
	if err == nil {
		_, err = conn.Exec(t.Context(), `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NEW.platform = 'slow' THEN PERFORM pg_sleep(60); ELSIF NEW.platform = 'broken' THEN RAISE EXCEPTION 'broken'; END IF;
			RETURN NEW; END $$;
			CREATE TRIGGER fail BEFORE INSERT ON customer_identities FOR EACH ROW EXECUTE FUNCTION fail()`)
		err = errors.Join(err, conn.Close(t.Context()))
	}
	if err != nil {
		t.Fatal(err)
	}
	const upsert = `mutation { upsertCustomerIdentity(input: {platform: %q, platformCustomerId: %q, email: "a@example.com"}) { outcome } }`
	missing := map[string]string{ // expressions without what must be there
		`ALERTS{alertname="AkinInternalErrors",alertstate="firing"}`: "an alert",
		`ALERTS{alertname="AkinUnavailable",alertstate="pending"}`:   "an alert",
		`ALERTS{alertname="AkinSlow",alertstate="pending"}`:          "an alert",
		`ALERTS{alertname="AkinReplicaUnused",alertstate="pending"}`: "an alert",
	}
	for _, outcome := range []string{"OK", "BAD_USER_INPUT", "UNAUTHENTICATED", "TIMED_OUT", "INTERNAL"} {
		missing[`rate(akin_requests_total{outcome="`+outcome+`"}[1m]) > 0`] = "the rate of " + outcome
	}
	for expression, panel := range panels {
		missing[strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*").Replace(expression)] = panel
	}
	defer func() {
		for expression, what := range missing {
			t.Errorf("Prometheus never showed %s: %s", what, expression)
		}
	}()
	within(t, 2*time.Minute, "showing everything", func() bool {
		for _, document := range []string{
			fmt.Sprintf(upsert, "shopify", rand.Text()), fmt.Sprintf(upsert, "shopify", ""),
			fmt.Sprintf(upsert, "slow", "1"), fmt.Sprintf(upsert, "broken", "1"),
			`{ customers(first: 10) { nodes { id } } }`, `{ customers(first: 1000) { nodes { id } } }`,
		} {
			w.post(t, w.token, document)
		}
		w.post(t, "akin_typo", `{ store { name } }`)
		maps.DeleteFunc(missing, func(expression, _ string) bool {
			return slices.ContainsFunc(prometheus.ask(t, expression), func(value string) bool { return value != "NaN" })
		})
		return len(missing) == 0
	})
	for expression, alert := range alerts {
		t.Logf("%s: %s", alert, prometheus.ask(t, expression))
	}
}

// prometheusServer is the URL of one.
type prometheusServer string

// startPrometheus starts one as deploy configures it, but for the address that it looks at, and more often.
func startPrometheus(t *testing.T, program, target string) prometheusServer {
	t.Helper()
	config, err := os.ReadFile("deploy/prometheus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs("deploy/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yaml")
	text := strings.NewReplacer("15s", "1s\n  evaluation_interval: 1s", "alerts.yaml", rules, "akin:9464", target).Replace(string(config))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &written{}
	server := exec.CommandContext(t.Context(), program, "--config.file", file, "--storage.tsdb.path", filepath.Join(dir, "data"),
		"--web.listen-address", "127.0.0.1:0")
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Wait() // the end of the test's context has killed it
		if t.Failed() {
			t.Log(log)
		}
	})
	var address []string
	within(t, time.Minute, "starting Prometheus", func() bool {
		address = regexp.MustCompile(`msg="Listening on" address=(\S+)`).FindStringSubmatch(log.String())
		return address != nil && strings.Contains(log.String(), "Server is ready")
	})
	return prometheusServer("http://" + address[1])
}

// ask returns the values that an expression has now.
func (p prometheusServer) ask(t *testing.T, expression string) (values []string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, string(p)+"/api/v1/query?query="+url.QueryEscape(expression), nil)
	if err != nil {
		t.Fatal(err)
	}
	status, body := send(t, request)
	var answer struct {
		Data struct {
			Result []struct{ Value []any } // when, and what
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK {
		t.Fatalf("Prometheus answers %d to %s: %s", status, expression, body)
	}
	for _, result := range answer.Data.Result {
		values = append(values, fmt.Sprint(result.Value[1]))
	}
	return values
}
