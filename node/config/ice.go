package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

const (
	// maxICEServers bounds what each client is told to ask; browsers slow down with more
	// than a few.
	maxICEServers = 16
	// maxICEURLs bounds the addresses of one server.
	maxICEURLs = 8
)

// ICEServer is a STUN or TURN server that clients are told to use (RTCIceServer).
type ICEServer struct {
	// URLs are stun:, stuns:, turn: or turns: URLs (RFC 7064, RFC 7065).
	URLs []string `yaml:"urls"`
	// Username and Credential are for TURN; every client is told them.
	Username   string `yaml:"username"`
	Credential string `yaml:"credential"`
}

// String leaves the credential out, so that no log has it.
func (s ICEServer) String() string { return strings.Join(s.URLs, " ") }

// ICEServers is a list of servers.
type ICEServers []ICEServer

// set reads a sequence of mappings; the error holds no value, since each may be secret.
func (l *ICEServers) set(n ast.Node) error {
	*l = nil
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		return errors.New("must be a list of servers")
	}
	for i, v := range seq.Values {
		var s ICEServer
		err := pairs(v, func(key string, value ast.Node) (err error) {
			switch key {
			case "urls":
				return list(value, &s.URLs)
			case "username":
				s.Username, err = scalar(value)
			case "credential":
				s.Credential, err = scalar(value)
			default:
				err = errors.New("a key is unknown; known are urls, username, credential")
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("at place %d: %w", i+1, err)
		}
		*l = append(*l, s)
	}
	return nil
}

// iceServers are what browsers take: they refuse a whole connection for one server that
// they do not like.
func (v *validation) iceServers() {
	const key = "ice_servers"
	if n := len(v.c.ICEServers); n > maxICEServers {
		v.wrong(key, "has %d servers, more than %d", n, maxICEServers)
	}
	for i, s := range v.c.ICEServers {
		if n := len(s.URLs); n == 0 || n > maxICEURLs {
			v.wrong(key, "has %d urls at place %d, not 1 to %d", n, i+1, maxICEURLs)
		}
		turn := false
		for _, u := range s.URLs {
			// The URL is not repeated: some write the password into it.
			if err := checkICEURL(u); err != nil {
				v.wrong(key, "has at place %d a URL that %v", i+1, err)
			}
			turn = turn || strings.HasPrefix(u, "turn")
		}
		if turn && (s.Username == "" || s.Credential == "") {
			v.wrong(key, "has a TURN server without username or credential at place %d", i+1)
		}
	}
}

// checkICEURL tells what is wrong with scheme:host[:port][?transport=udp|tcp], the query
// for TURN only.
func checkICEURL(s string) error {
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || !slices.Contains([]string{"stun", "stuns", "turn", "turns"}, scheme) {
		return errors.New("is not of scheme stun, stuns, turn or turns")
	}
	addr, query, asks := strings.Cut(rest, "?")
	if asks && (strings.HasPrefix(scheme, "stun") || query != "transport=udp" && query != "transport=tcp") {
		return errors.New("ends with something else than ?transport=udp or ?transport=tcp, which only turn: and turns: take")
	}
	host := addr
	if h, port, ok := cutPort(addr); ok {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return errors.New("has no port from 1 to 65535")
		}
		host = h
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if !ok || !isIP(inner) {
			return errors.New("names no host")
		}
		return nil
	}
	if unspecified(host) || strings.ContainsFunc(host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.')
	}) {
		return errors.New("names no host")
	}
	return nil
}

// cutPort splits host:port, where an IPv6 address stands in brackets.
func cutPort(addr string) (host, port string, ok bool) {
	i := strings.LastIndexByte(addr, ':')
	if i < 0 || strings.HasSuffix(addr, "]") {
		return "", "", false
	}
	return addr[:i], addr[i+1:], true
}
