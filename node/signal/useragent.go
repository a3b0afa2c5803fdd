package signal

import (
	"strings"

	"maille/proto/livekit"
)

// browsers in the order they are looked for: those built on another name that one too.
var browsers = []struct{ token, name string }{
	{"Edg/", "edge"},
	{"OPR/", "opera"},
	{"SamsungBrowser/", "samsung internet"},
	{"Firefox/", "firefox"},
	{"FxiOS/", "firefox"},
	{"CriOS/", "chrome"},
	{"Chrome/", "chrome"},
	{"Version/", "safari"},
}

var systems = []struct{ token, name string }{
	{"iPhone", "ios"},
	{"iPad", "ios"},
	{"Android", "android"},
	{"Windows", "windows"},
	{"CrOS", "chrome os"},
	{"Mac OS X", "mac os x"},
	{"Linux", "linux"},
}

// fillFromUserAgent sets what a browser's client leaves to its User-Agent header. The
// room needs it to keep codecs from browsers that claim more than they can.
func fillFromUserAgent(c *livekit.ClientInfo, ua string) {
	ua = ua[:min(len(ua), 2*maxClientField)]
	if c.Browser == "" {
		for _, b := range browsers {
			_, rest, found := strings.Cut(ua, b.token)
			if !found || b.name == "safari" && !strings.Contains(rest, "Safari/") {
				continue
			}
			c.Browser = b.name
			if c.BrowserVersion == "" {
				c.BrowserVersion = leadingVersion(rest)
			}
			break
		}
	}
	if c.Os == "" {
		for _, s := range systems {
			if strings.Contains(ua, s.token) {
				c.Os = s.name
				break
			}
		}
	}
	c.Browser, c.Os = strings.ToLower(c.Browser), strings.ToLower(c.Os)
}

func leadingVersion(s string) string {
	end := strings.IndexFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		end = len(s)
	}
	return s[:min(end, 32)]
}
