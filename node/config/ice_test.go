package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// insteadOf is how a message on key ends.
func insteadOf(key string) string {
	f, _ := field(key)
	return instead(f)
}

var servers = ICEServers{
	{URLs: []string{"stun:stun.example.org"}},
	{URLs: []string{"turn:a:3478?transport=udp", "turns:a:443"}, Username: "u", Credential: "hunter2"},
}

func TestICEServersInTheFile(t *testing.T) {
	c, err := Parse("x", []byte("ice_servers:\n  - urls: stun:stun.example.org\n  - urls:\n      - turn:a:3478?transport=udp\n      - turns:a:443\n    username: u\n    credential: hunter2\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(servers, c.ICEServers); diff != "" {
		t.Error(diff)
	}
}

func TestICEServersInTheEnvironment(t *testing.T) {
	c := Default()
	err := c.SetEnv([]string{`MAILLE_ICE_SERVERS=[{urls: "stun:stun.example.org"}, {urls: ["turn:a:3478?transport=udp", "turns:a:443"], username: u, credential: hunter2}]`})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(servers, c.ICEServers); diff != "" {
		t.Error(diff)
	}
}

func TestICEServersThatCannotBeRead(t *testing.T) {
	for in, want := range map[string]string{
		"hunter2":                          "must be a list of servers",
		"{urls: hunter2}":                  "must be a list of servers",
		"[hunter2]":                        "at place 1: must be a map",
		"[{urls: a}, {password: hunter2}]": "at place 2: a key is unknown; known are urls, username, credential",
		"[{credential: [hunter2]}]":        "at place 1: must be a single value",
		"[{urls: {a: hunter2}}]":           "at place 1: must be a list",
	} {
		_, fromFile := Parse("x", []byte("ice_servers: "+in+"\n"))
		c := Default()
		for where, err := range map[string]error{"file": fromFile, "variable": c.SetEnv([]string{"MAILLE_ICE_SERVERS=" + in})} {
			if err == nil || !strings.Contains(err.Error(), "ice_servers "+want) {
				t.Errorf("%s in the %s: %v", in, where, err)
			} else if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s in the %s: a secret is shown", in, where)
			}
		}
	}
}

func TestCheckICEURL(t *testing.T) {
	for _, u := range []string{
		"", "turn", "turn:", "TURN:a", "http://a", "https:a", "turn:a:0", "turn:a:65536", "turn:a:", "turn:u:hunter2@a", "turn://a",
		"turn:a?transport=sctp", "turn:a?", "stun:a?transport=udp", "turn:[::1", "turn:[a]", "turn:0.0.0.0", "turn:::1", "turn:a b", "turn:a:-1",
	} {
		if err := checkICEURL(u); err == nil {
			t.Errorf("%q passes", u)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: a secret is shown", u)
		}
	}
}

func TestICEServersArePrintedWithoutCredential(t *testing.T) {
	c := Default()
	c.ICEServers = servers
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%v", &c)} {
		if strings.Contains(s, "hunter2") {
			t.Error(s)
		}
	}
}
