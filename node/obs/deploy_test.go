package obs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// registered maps every name that a query may use to its labels.
func registered(t *testing.T) map[string]map[string]bool {
	t.Helper()
	m := start(t, mesh(2))
	m.Join(Joined, time.Second)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]bool{"up": {"job": true, "instance": true}}
	for _, f := range families {
		labels := map[string]bool{"job": true, "instance": true} // set by Prometheus
		names := []string{f.GetName()}
		for _, metric := range f.Metric {
			for _, l := range metric.Label {
				labels[l.GetName()] = true
			}
			if metric.Histogram != nil {
				labels["le"] = true
				names = []string{f.GetName() + "_bucket", f.GetName() + "_sum", f.GetName() + "_count"}
			}
		}
		for _, name := range names {
			out[name] = labels
		}
	}
	return out
}

var (
	quoted    = regexp.MustCompile(`"[^"]*"`)
	ranges    = regexp.MustCompile(`\[[^\]]*\]`)
	matchers  = regexp.MustCompile(`([a-z_:]+)\{([^}]*)\}`)
	grouping  = regexp.MustCompile(`\b(by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	word      = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?`)
	operators = []string{"and", "or", "unless", "bool", "offset"}
)

// check reports what a query names that is not there: metrics, and labels.
func check(t *testing.T, where, query string, known map[string]map[string]bool) {
	t.Helper()
	if strings.Count(query, "(") != strings.Count(query, ")") || strings.Count(query, "{") != strings.Count(query, "}") {
		t.Errorf("%s: brackets do not close: %s", where, query)
	}
	q := ranges.ReplaceAllString(quoted.ReplaceAllString(query, `""`), "")
	for _, m := range matchers.FindAllStringSubmatch(q, -1) {
		for matcher := range strings.SplitSeq(m[2], ",") {
			label, _, _ := strings.Cut(strings.TrimSpace(matcher), "=")
			if label = strings.TrimRight(label, "!"); label != "" && known[m[1]] != nil && !known[m[1]][label] {
				t.Errorf("%s: %s has no label %s", where, m[1], label)
			}
		}
	}
	q = matchers.ReplaceAllString(q, "$1")
	var labels []string
	for _, g := range grouping.FindAllStringSubmatch(q, -1) {
		for label := range strings.SplitSeq(g[2], ",") {
			labels = append(labels, strings.TrimSpace(label))
		}
	}
	q = grouping.ReplaceAllString(q, "")
	var used []string
	for _, w := range word.FindAllString(q, -1) {
		name := strings.TrimSpace(w)
		if strings.HasSuffix(name, "(") || slices.Contains(operators, name) {
			continue // a function, or between two
		}
		used = append(used, name)
		if known[name] == nil {
			t.Errorf("%s: no metric named %s", where, name)
		}
	}
	if len(used) == 0 {
		t.Errorf("%s: no metric in %s", where, query)
	}
	for _, label := range labels {
		if !slices.ContainsFunc(used, func(name string) bool { return known[name][label] }) {
			t.Errorf("%s: no metric of it has label %s", where, label)
		}
	}
}

type dashboard struct {
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
	Panels []struct {
		ID      int
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr string }
	}
}

var labelValues = regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`)

func TestDashboards(t *testing.T) {
	known := registered(t)
	files, err := filepath.Glob("../../deploy/grafana/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, v := range d.Templating.List {
			if v.Type != "query" {
				continue
			}
			m := labelValues.FindStringSubmatch(v.Query)
			if m == nil || !known[m[1]][m[2]] {
				t.Errorf("variable %s: %s", v.Name, v.Query)
			}
		}
		ids := make(map[int]bool)
		cells := make(map[[2]int]string)
		for _, p := range d.Panels {
			if ids[p.ID] || len(p.Targets) == 0 {
				t.Errorf("panel %q: id %d taken, or no query", p.Title, p.ID)
			}
			ids[p.ID] = true
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
						t.Fatalf("panel %q lies over %q or the edge", p.Title, other)
					}
					cells[[2]int{x, y}] = p.Title
				}
			}
			for _, target := range p.Targets {
				check(t, p.Title, target.Expr, known)
			}
		}
	}
}

func TestAlerts(t *testing.T) {
	known := registered(t)
	b, err := os.ReadFile("../../deploy/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.UnmarshalWithOptions(b, &rules, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			n++
			check(t, r.Alert, r.Expr, known)
			if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s lacks severity, summary or description", r.Alert)
			}
		}
	}
	if n < 4 {
		t.Errorf("%d alerts", n)
	}
}
