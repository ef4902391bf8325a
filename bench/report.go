package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// result is all that a run found.
type result struct {
	Date         string              `json:"date"`
	Machine      string              `json:"machine"`
	PostgreSQL   string              `json:"postgresql"`
	Command      string              `json:"command"`
	Customers    int64               `json:"customers"`
	Rounds       int                 `json:"rounds"`
	Seconds      float64             `json:"seconds"` // of a measurement
	Memory       map[string]float64  `json:"peak_memory_mib"`
	Measurements []measurement       `json:"measurements"`
	ImportRows   int                 `json:"import_rows"`
	Imports      []importMeasurement `json:"imports,omitempty"`
}

func newResult(b *bench) *result {
	return &result{
		Date: time.Now().UTC().Format(time.DateOnly), Machine: machine(), PostgreSQL: b.db.version,
		Command: strings.Join(append([]string{"go run ./bench"}, os.Args[1:]...), " "), Customers: b.size,
		Rounds: b.rounds, Seconds: b.duration.Seconds(), Memory: map[string]float64{}, ImportRows: b.importRows,
	}
}

// machine describes what the run is on.
func machine() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // elsewhere the processor stays nameless
	_, rest, _ := strings.Cut(string(text), "model name")
	_, name, _ := strings.Cut(rest, ":")
	name, _, _ = strings.Cut(name, "\n")
	return strings.TrimSpace(fmt.Sprintf("%s/%s, %d cores, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), strings.TrimSpace(name)))
}

// row is what the rounds say of one server at one operation.
type row struct {
	operation, server        string
	perSecond, p50, p99, cpu float64 // medians
	ofLimit, ofBare, ofPeer  float64 // medians of the ratios of each round, to pgbench, to a bareServer and to the best peer
	peer                     string  // the one with the greatest median rate
	failures                 int
}

// rows returns a row for each server at each operation, in the order of measurement.
func (r *result) rows(connections int) []row {
	type place struct{ operation, server string }
	found := map[place][]measurement{}
	var order []place
	for _, m := range r.Measurements {
		if m.Connections != connections {
			continue
		}
		at := place{m.Operation, m.Server}
		if found[at] == nil {
			order = append(order, at)
		}
		found[at] = append(found[at], m)
	}
	rate := func(m measurement) float64 { return m.PerSecond }
	var rows []row
	for _, at := range order {
		best := ""
		for _, other := range order {
			if other.operation == at.operation && other.server != pgbench && other.server != akin && other.server != bare &&
				(best == "" || median(found[other], rate) > median(found[place{at.operation, best}], rate)) {
				best = other.server
			}
		}
		all := found[at]
		over := func(base []measurement) float64 {
			if len(base) < len(all) {
				return 0
			}
			return median(all, func(m measurement) float64 {
				if base[m.Round-1].PerSecond == 0 {
					return 0
				}
				return m.PerSecond / base[m.Round-1].PerSecond
			})
		}
		one := row{
			operation: at.operation, server: at.server, peer: best, perSecond: median(all, rate),
			p50: median(all, func(m measurement) float64 { return m.P50 }), p99: median(all, func(m measurement) float64 { return m.P99 }),
			cpu: median(all, func(m measurement) float64 { return m.CPU }), ofLimit: over(found[place{at.operation, pgbench}]),
			ofBare: over(found[place{at.operation, bare}]), ofPeer: over(found[place{at.operation, best}]),
		}
		for _, m := range all {
			one.failures += m.Failures
		}
		rows = append(rows, one)
	}
	return rows
}

func median[T any](all []T, of func(T) float64) float64 {
	values := make([]float64, len(all))
	for i, m := range all {
		values[i] = of(m)
	}
	slices.Sort(values)
	if len(values) == 0 {
		return 0
	}
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// imported says what the imports came to, as a line; nothing where there were none.
func (r *result) imported() string {
	if len(r.Imports) == 0 {
		return ""
	}
	return fmt.Sprintf("\nImport of %d rows: akin %.0f rows/s, staging COPY + set SQL %.0f rows/s, ratio %.2f; CPU %.1f µs a row.\n", r.ImportRows,
		median(r.Imports, func(m importMeasurement) float64 { return m.Akin }),
		median(r.Imports, func(m importMeasurement) float64 { return m.Staging }),
		median(r.Imports, func(m importMeasurement) float64 { return m.Akin / m.Staging }),
		median(r.Imports, func(m importMeasurement) float64 { return m.CPU }))
}

// connections returns the numbers of connections that were measured.
func (r *result) connections() []int {
	var all []int
	for _, m := range r.Measurements {
		if !slices.Contains(all, m.Connections) {
			all = append(all, m.Connections)
		}
	}
	return all
}

// table returns everything as text.
func (r *result) table() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, n := range r.connections() {
		operation := ""
		for _, row := range r.rows(n) {
			if row.operation != operation {
				operation = row.operation
				fmt.Fprintf(w, "\n%s, %d connections\n", operation, n)
				fmt.Fprintln(w, "server\tper second\t÷ pgbench\t÷ bare\t÷ best peer\tp50 ms\tp99 ms\tCPU µs\tfailures\t")
			}
			fmt.Fprintf(w, "%s\t%.0f\t%.3f\t%s\t%s\t%.2f\t%.2f\t%.0f\t%d\t\n",
				row.server, row.perSecond, row.ofLimit, ratio(row.ofBare), ratio(row.ofPeer), row.p50, row.p99, row.cpu, row.failures)
		}
	}
	w.Flush()
	b.WriteString("\npeak memory, MiB:")
	for _, s := range servers() {
		if memory, ok := r.Memory[s.name]; ok {
			fmt.Fprintf(&b, "  %s %.0f", s.name, memory)
		}
	}
	return b.String() + "\n" + r.imported()
}

// summary returns Akin's rows as a table of Markdown, for README.md.
func (r *result) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, PostgreSQL %s, %s; %d customers, %d × %g s: `%s`\n",
		r.Date, r.PostgreSQL, r.Machine, r.Customers, r.Rounds, r.Seconds, r.Command)
	for _, n := range r.connections() {
		fmt.Fprintf(&b, "\n| %d connections | pgbench/s | Akin/s | ÷ pgbench | ÷ bare | best peer | ÷ best peer ", n)
		b.WriteString("| p50 ms | p99 ms | its p99 | CPU µs | its CPU |\n")
		b.WriteString("| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
		rows := r.rows(n)
		at := func(operation, server string) row {
			i := slices.IndexFunc(rows, func(r row) bool { return r.operation == operation && r.server == server })
			if i < 0 {
				return row{}
			}
			return rows[i]
		}
		for _, one := range rows {
			if one.server != akin {
				continue
			}
			peer := at(one.operation, one.peer)
			fmt.Fprintf(&b, "| %s | %.0f | %.0f | %.2f | %s | %s | %.2f | %.1f | %.1f | %.1f | %.0f | %.0f |\n", one.operation,
				at(one.operation, pgbench).perSecond, one.perSecond, one.ofLimit, ratio(one.ofBare), one.peer, one.ofPeer,
				one.p50, one.p99, peer.p99, one.cpu, peer.cpu)
		}
	}
	b.WriteString("\nPeak memory, MiB:")
	for i, s := range servers() {
		if memory, ok := r.Memory[s.name]; ok {
			fmt.Fprintf(&b, "%s %s %.0f", map[bool]string{false: ","}[i == 0], s.name, memory)
		}
	}
	return b.String() + ".\n" + r.imported()
}

// ratio is a ratio in a table, empty where there is none.
func ratio(value float64) string {
	if value == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", value)
}

// write prints the table and writes it and all measurements into a directory, with a plot. It returns an error where an
// answer was a failure, once all is written.
func (r *result) write(dir string) error {
	fmt.Print(r.table())
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // nothing in it is secret
		return err
	}
	files := map[string]string{"result.json": string(text) + "\n", "result.txt": r.table(), "result.md": r.summary()}
	if len(r.Measurements) > 0 {
		files["result.svg"] = r.plot()
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil { //nolint:gosec // as above
			return err
		}
	}
	failures, last := 0, ""
	for _, m := range r.Measurements {
		if failures += m.Failures; m.Failure != "" {
			last = m.Server + ", " + m.Operation + ": " + m.Failure
		}
	}
	if failures > 0 {
		return fmt.Errorf("%d answers were failures, one of %s", failures, last)
	}
	return nil
}
