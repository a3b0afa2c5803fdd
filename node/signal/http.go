package signal

import (
	"net/http"
	"strings"
)

// allowOrigin sets the CORS headers: browsers call /rtc/validate from any page and
// must be able to read why a join failed. It reports whether r was a preflight and is
// answered.
func allowOrigin(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "*")
	if r.Method != http.MethodOptions {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "OPTIONS, HEAD, GET, POST, PATCH, DELETE")
	// "*" would leave out Authorization (Fetch, 3.3.4), so the wish is echoed.
	if want := r.Header.Get("Access-Control-Request-Headers"); want != "" {
		h.Set("Access-Control-Allow-Headers", want)
	}
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// CORS lets pages of any origin call next, as LiveKit does for its whole HTTP surface.
func CORS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !allowOrigin(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// CollapseSlashes makes one slash of several in a row: clients join base URL and path
// without looking, and http.ServeMux would answer with a redirect, which no browser
// follows for a WebSocket.
func CollapseSlashes(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path := collapse(r.URL.Path); path != r.URL.Path {
			u := *r.URL
			u.Path, u.RawPath = path, ""
			clean := *r
			clean.URL = &u
			r = &clean
		}
		next.ServeHTTP(w, r)
	})
}

func collapse(path string) string {
	if !strings.Contains(path, "//") {
		return path
	}
	var b strings.Builder
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			b.WriteByte(path[i])
		}
	}
	return b.String()
}

// isUpgrade reports whether r is a WebSocket handshake that Accept will take
// (RFC 6455, 4.2.1), so that no session is made for a request that cannot hold it.
func isUpgrade(r *http.Request) bool {
	return r.ProtoAtLeast(1, 1) &&
		hasToken(r.Header, "Connection", "upgrade") && hasToken(r.Header, "Upgrade", "websocket") &&
		r.Header.Get("Sec-WebSocket-Version") == "13" && r.Header.Get("Sec-WebSocket-Key") != ""
}

func hasToken(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for v := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(v), token) {
				return true
			}
		}
	}
	return false
}
