package web

import (
	"net/http"
	"net/url"
	"strings"
)

// policy is the Content-Security-Policy: own files only, and connections to this node and
// the nodes of the regions. Icons are part of the page, so not even images are needed.
func (p *page) policy(r *http.Request) string {
	connect := append([]string{"'self'"}, sockets(r.Host)...)
	for _, region := range p.regions() {
		u, err := url.Parse(region.URL)
		if err != nil || u.Host == "" || !plainHost(u.Host) {
			continue
		}
		if u.Scheme == "http" || u.Scheme == "https" {
			connect = append(connect, u.Scheme+"://"+u.Host)
			connect = append(connect, sockets(u.Host)...)
		}
	}
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self'",
		"style-src 'self'",
		"img-src 'self'",
		"connect-src " + strings.Join(connect, " "),
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
	}, "; ")
}

// sockets names both WebSocket origins of a host: older browsers do not count them as
// 'self'.
func sockets(host string) []string {
	if !plainHost(host) {
		return nil
	}
	return []string{"ws://" + host, "wss://" + host}
}

// plainHost keeps anything out of the header that could end the directive.
func plainHost(host string) bool {
	return host != "" && !strings.ContainsFunc(host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-:[]_", r))
	})
}
