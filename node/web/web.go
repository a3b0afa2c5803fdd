// Package web is the built-in meeting page: a form, a meeting and nothing to install.
//
// It serves its own files, the regions that the page measures, the links of its node, and,
// where a minter is given, tokens for development. The page speaks the LiveKit protocol to /rtc
// like any other client and loads nothing from elsewhere.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

//go:embed page
var files embed.FS

// Region is one node that clients may join through.
type Region struct {
	Region string `json:"region"`
	Node   string `json:"node"`
	// URL is http(s)://host[:port], where the node's /rtc is.
	URL string `json:"url"`
}

// Link is the way from this node to another one.
type Link struct {
	Node string `json:"node"`
	// RTT is the round trip in ms.
	RTT float64 `json:"rtt"`
}

// TokenRequest is what the page knows of a person who has no token.
type TokenRequest struct {
	Room   string `json:"room"`
	Name   string `json:"name"`
	Region string `json:"region"`
}

// Options configure a Handler.
type Options struct {
	// Regions lists the nodes to choose from; the page then measures its way to each.
	// Nil or an empty list leave the choice to the node that serves the page.
	Regions func() []Region
	// Links measures the ways to the other nodes, for the network panel of those who are
	// on this one. Nil leaves the round trips between nodes out.
	Links func() []Link
	// Stuck tells that this node should get no more clients; nil is never. Who probes / is
	// then answered 406, as LiveKit's servers do.
	Stuck func() bool
	// DevToken makes a token for anybody who asks; the identity is its to choose. Give
	// it for development only. Without it the page asks for a token.
	DevToken func(TokenRequest) (string, error)
	// Log may be nil.
	Log *slog.Logger
}

// maxToken bounds the body of POST /dev/token; names are at most 256 bytes each.
const maxToken = 4 << 10

// maxName bounds room and name in bytes, as node/signal does.
const maxName = 256

type page struct {
	opts   Options
	assets map[string]asset
}

type asset struct {
	body []byte
	tag  string
}

// Handler serves GET and HEAD of / and /r/{room} (the page), /assets/, /regions.json,
// /links.json, and POST /dev/token. A client that does not ask for HTML gets "OK" from /: health checks and
// LiveKit clients probe it.
func Handler(opts Options) http.Handler {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	p := &page{opts: opts, assets: load(opts.DevToken != nil)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.home)
	mux.HandleFunc("GET /r/{room}", p.serveIndex)
	mux.HandleFunc("GET /assets/{name}", p.serveAsset)
	mux.HandleFunc("GET /regions.json", p.serveRegions)
	mux.HandleFunc("GET /links.json", p.serveLinks)
	if opts.DevToken != nil {
		// Another site must not be able to make tokens in a visitor's name.
		mux.Handle("POST /dev/token", http.NewCrossOriginProtection().Handler(http.HandlerFunc(p.serveToken)))
	}
	return mux
}

func load(dev bool) map[string]asset {
	out := make(map[string]asset)
	entries, err := fs.ReadDir(files, "page")
	if err != nil {
		panic(err) // the files are in the binary
	}
	for _, e := range entries {
		body, err := files.ReadFile("page/" + e.Name())
		if err != nil {
			panic(err)
		}
		if e.Name() == "index.html" && dev {
			body = bytes.Replace(body, []byte("<html "), []byte("<html data-dev "), 1)
		}
		sum := sha256.Sum256(body)
		out[e.Name()] = asset{body, fmt.Sprintf(`"%x"`, sum[:12])}
	}
	return out
}

func (p *page) home(w http.ResponseWriter, r *http.Request) {
	// Probes come from other origins: the page measures its way to every region, and
	// livekit-client asks whether its node is back.
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Add("Vary", "Accept")
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if p.opts.Stuck != nil && p.opts.Stuck() {
			w.WriteHeader(http.StatusNotAcceptable)
			_, _ = w.Write([]byte("Not Ready"))
			return
		}
		_, _ = w.Write([]byte("OK"))
		return
	}
	p.serveIndex(w, r)
}

func (p *page) serveIndex(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", p.policy(r))
	h.Set("Referrer-Policy", "no-referrer") // the room's name is in the address
	h.Set("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self), autoplay=(self)")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	p.send(w, r, "index.html")
}

func (p *page) serveAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if _, ok := p.assets[name]; !ok || name == "index.html" {
		http.NotFound(w, r)
		return
	}
	p.send(w, r, name)
}

func (p *page) send(w http.ResponseWriter, r *http.Request, name string) {
	a := p.assets[name]
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache") // ask again, the tag makes it cheap
	h.Set("ETag", a.tag)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(a.body))
}

func (p *page) regions() []Region {
	if p.opts.Regions == nil {
		return nil
	}
	return p.opts.Regions()
}

func (p *page) serveRegions(w http.ResponseWriter, _ *http.Request) {
	list := p.regions()
	if list == nil {
		list = []Region{}
	}
	answer(w, list)
}

func (p *page) serveLinks(w http.ResponseWriter, _ *http.Request) {
	// The page may have come from another node than the one its person is on.
	w.Header().Set("Access-Control-Allow-Origin", "*")
	list := []Link{}
	if p.opts.Links != nil {
		list = append(list, p.opts.Links()...)
	}
	answer(w, list)
}

func (p *page) serveToken(w http.ResponseWriter, r *http.Request) {
	var req TokenRequest
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxToken))
	if err := d.Decode(&req); err != nil || req.Room == "" || req.Name == "" ||
		max(len(req.Room), len(req.Name), len(req.Region)) > maxName {
		http.Error(w, "room and name are required, 256 bytes each at most", http.StatusBadRequest)
		return
	}
	token, err := p.opts.DevToken(req)
	if err != nil {
		p.opts.Log.Error("no development token", "err", err)
		http.Error(w, "the token could not be made", http.StatusInternalServerError)
		return
	}
	answer(w, map[string]string{"token": token})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = json.NewEncoder(w).Encode(v)
}
