package web

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var regions = []Region{
	{"paris", "paris-1", "https://paris.example"},
	{"lyon", "lyon-1", "http://127.0.0.1:7890"},
	{"evil", "evil-1", "https://x; script-src *"},
	{"odd", "odd-1", "ftp://files.example"},
}

func get(t *testing.T, o Options, method, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler(o).ServeHTTP(w, r)
	return w
}

func TestRootIsHealthAndPage(t *testing.T) {
	for _, test := range []struct {
		method, accept, kind, holds string
	}{
		{"GET", "*/*", "text/plain", "OK"},
		{"HEAD", "", "text/plain", ""},
		{"GET", "text/html,application/xhtml+xml,*/*;q=0.8", "text/html", "<!doctype html>"},
		{"HEAD", "text/html", "text/html", ""},
	} {
		w := get(t, Options{}, test.method, "/", "Accept", test.accept)
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), test.kind) || !strings.Contains(w.Body.String(), test.holds) {
			t.Errorf("%s %q: %d %s", test.method, test.accept, w.Code, w.Header().Get("Content-Type"))
		}
		if got := w.Header().Get("Access-Control-Allow-Origin"); got != "*" {
			t.Errorf("%s %q: probes from other origins get %q", test.method, test.accept, got)
		}
	}
	if w := get(t, Options{}, "GET", "/r/standup"); w.Code != 200 {
		t.Errorf("/r/standup: %d", w.Code)
	}
}

// A node that is stuck says so to who probes it, and not to people.
func TestStuckNode(t *testing.T) {
	o := Options{Stuck: func() bool { return true }}
	if w := get(t, o, "GET", "/", "Accept", "*/*"); w.Code != http.StatusNotAcceptable || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("a probe gets %d", w.Code)
	}
	if w := get(t, o, "GET", "/", "Accept", "text/html"); w.Code != 200 {
		t.Errorf("a person gets %d", w.Code)
	}
}

func TestPolicyNamesNodesAndNothingElse(t *testing.T) {
	w := get(t, Options{Regions: func() []Region { return regions }}, "GET", "/", "Accept", "text/html")
	want := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
		"connect-src 'self' ws://example.com wss://example.com " +
		"https://paris.example ws://paris.example wss://paris.example " +
		"http://127.0.0.1:7890 ws://127.0.0.1:7890 wss://127.0.0.1:7890; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	if diff := cmp.Diff(want, w.Header().Get("Content-Security-Policy")); diff != "" {
		t.Error(diff)
	}
}

// TestPageKeepsItsPolicy holds the files to what the policy allows: nothing inline, nothing
// from elsewhere, nothing missing.
func TestPageKeepsItsPolicy(t *testing.T) {
	refs := regexp.MustCompile(`(?:src|href)="([^#"]+)"|from "([^"]+)"`)
	inline := regexp.MustCompile(`<script>|<style|\sstyle="|\son[a-z]+="|javascript:|https?://`)
	entries, err := fs.ReadDir(files, "page")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		body, err := files.ReadFile("page/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(e.Name(), ".html") {
			if found := inline.FindString(string(body)); found != "" {
				t.Errorf("%s holds %q", e.Name(), found)
			}
		}
		for _, m := range refs.FindAllStringSubmatch(string(body), -1) {
			name := strings.TrimPrefix(strings.TrimPrefix(m[1]+m[2], "/assets/"), "./")
			if w := get(t, Options{}, "GET", "/assets/"+name); w.Code != 200 {
				t.Errorf("%s needs %s, which is not served", e.Name(), name)
			}
		}
	}
}

func TestAssets(t *testing.T) {
	w := get(t, Options{}, "GET", "/assets/app.js")
	if got := w.Header().Get("Content-Type"); w.Code != 200 || !strings.HasPrefix(got, "text/javascript") {
		t.Errorf("app.js: %d %s", w.Code, got)
	}
	if w := get(t, Options{}, "GET", "/assets/app.js", "If-None-Match", w.Header().Get("ETag")); w.Code != http.StatusNotModified {
		t.Errorf("known app.js: %d", w.Code)
	}
	for _, path := range []string{"/assets/index.html", "/assets/..%2fweb.go", "/assets/", "/nothing"} {
		if w := get(t, Options{}, "GET", path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestRegions(t *testing.T) {
	var got []Region
	w := get(t, Options{Regions: func() []Region { return regions }}, "GET", "/regions.json")
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || !cmp.Equal(got, regions) {
		t.Errorf("%v %v", got, err)
	}
	if w := get(t, Options{}, "GET", "/regions.json"); strings.TrimSpace(w.Body.String()) != "[]" {
		t.Errorf("no regions: %s", w.Body)
	}
}

func TestLinks(t *testing.T) {
	w := get(t, Options{Links: func() []Link { return []Link{{"lyon-1", 12.5}} }}, "GET", "/links.json")
	if got := strings.TrimSpace(w.Body.String()); got != `[{"node":"lyon-1","rtt":12.5}]` {
		t.Error(got)
	}
	if got := w.Header().Get("Access-Control-Allow-Origin"); got != "*" {
		t.Errorf("a page from another node gets %q", got)
	}
	if w := get(t, Options{}, "GET", "/links.json"); w.Code != 200 || strings.TrimSpace(w.Body.String()) != "[]" {
		t.Errorf("not measured: %d %s", w.Code, w.Body)
	}
}

func TestDevToken(t *testing.T) {
	var asked TokenRequest
	opts := Options{DevToken: func(r TokenRequest) (string, error) {
		asked = r
		if r.Name == "bad" {
			return "", errors.New("no key")
		}
		return "signed", nil
	}}
	post := func(o Options, body string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/dev/token", strings.NewReader(body))
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		Handler(o).ServeHTTP(w, r)
		return w
	}
	w := post(opts, `{"room":"r","name":"Ada","region":"lyon"}`)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"token":"signed"`) || asked != (TokenRequest{"r", "Ada", "lyon"}) {
		t.Errorf("%d %s for %v", w.Code, w.Body, asked)
	}
	for body, want := range map[string]int{
		`{"room":"r"}`: 400, `{`: 400, `{"room":"r","name":"bad"}`: 500,
		`{"room":"r","name":"` + strings.Repeat("x", 257) + `"}`:   400,
		`{"room":"r","name":"` + strings.Repeat("x", 1<<14) + `"}`: 400,
	} {
		if w := post(opts, body); w.Code != want {
			t.Errorf("%.30s: %d, want %d", body, w.Code, want)
		}
	}
	if w := post(opts, `{"room":"r","name":"n"}`, "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
		t.Errorf("from another site: %d", w.Code)
	}
	if w := post(Options{}, `{"room":"r","name":"n"}`); w.Code != http.StatusNotFound {
		t.Errorf("without a minter: %d", w.Code)
	}
	index := func(o Options) string { return get(t, o, "GET", "/", "Accept", "text/html").Body.String() }
	if strings.Contains(index(Options{}), "data-dev") || !strings.Contains(index(opts), "<html data-dev ") {
		t.Error("the page does not know whether there are tokens to be had")
	}
}
