package config

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"fine": {func(c *Config) {}, ""},
		"name missing": {
			func(c *Config) { c.Name = "" },
			"name is not set, in the file or as MAILLE_NAME; write for example paris-1",
		},
		"name": {
			func(c *Config) { c.Name = "Paris 1" },
			`name "Paris 1" may have 1 to 63 of a-z, 0-9, "-", "_" and ".", and begins and ends with a letter or digit; write for example paris-1`,
		},
		"region": {
			func(c *Config) { c.Region = "île" },
			`region "île" may have 1 to 63 of a-z, 0-9 and "-"; write for example paris`,
		},
		"data dir": {
			func(c *Config) { c.DataDir = "" },
			"data_dir is not set, in the file or as MAILLE_DATA_DIR; write for example /var/lib/maille",
		},
		"certs dir": {
			func(c *Config) { c.CertsDir = "" },
			"certs_dir is not set, in the file or as MAILLE_CERTS_DIR; write for example /etc/maille/certs",
		},
		"bind": {
			func(c *Config) { c.Bind = "eth0" },
			`bind "eth0" is no IP address; write for example 192.0.2.10`,
		},
		"advertise missing": {
			func(c *Config) { c.Advertise = "" },
			"advertise is not set, in the file or as MAILLE_ADVERTISE; write for example 192.0.2.10",
		},
		"advertise with port": {
			func(c *Config) { c.Advertise = "a:7880" },
			`advertise "a:7880" is not an address others can dial, an IP address or a host name without port; write for example 192.0.2.10`,
		},
		"public URL": {
			func(c *Config) { c.PublicURL = "https://meet.example.org" },
			`public_url "https://meet.example.org" is not a ws:// or wss:// URL; write for example wss://meet.example.org`,
		},
		"admin": {
			func(c *Config) { c.Admin = "6789" },
			`admin "6789" is not host:port; write for example 127.0.0.1:6789`,
		},
		"admin public": {
			func(c *Config) { c.Admin = "0.0.0.0:6789" },
			`admin "0.0.0.0:6789" is not on loopback; whoever reaches this port runs the node; write for example 127.0.0.1:6789`,
		},
		"seed": {
			func(c *Config) { c.Seeds = []string{"lyon-1"} },
			"seeds \"lyon-1\" is not host:port; write for example\n        seeds:\n          - 192.0.2.20:7946\n          - lyon-1.example.org:7946",
		},
		"port": {
			func(c *Config) { c.Ports.Link = 70000 },
			"ports.link 70000 is no port from 1 to 65535; write for example 7883",
		},
		"port taken": {
			func(c *Config) { c.Ports.Link = c.Ports.MediaUDP },
			"ports.link takes udp port 7882, which ports.media_udp has; write for example 7883",
		},
		"same number, other protocol": {func(c *Config) { c.Ports.Link = c.Ports.MediaTCP }, ""},
		"no keys": {
			func(c *Config) { c.Keys = nil },
			"keys is not set, in the file or as MAILLE_KEYS; write for example\n        keys:\n          APIq8mD2: a-secret-of-at-least-32-characters",
		},
		"short secret": {
			func(c *Config) { c.Keys = map[string]string{"APIa": "hunter2"} },
			"keys cannot be used: the secret of API key \"APIa\" has 7 bytes, at least 32 are needed; write for example\n        keys:\n          APIq8mD2: a-secret-of-at-least-32-characters",
		},
		"dev keys": {
			func(c *Config) { c.Keys = map[string]string{"devkey": "secret"} },
			"keys cannot be used: API key \"devkey\" is the public development pair: it works in development on loopback only; write for example\n        keys:\n          APIq8mD2: a-secret-of-at-least-32-characters",
		},
		"dev keys in dev": {func(c *Config) { c.Dev, c.Bind, c.Keys = true, "127.0.0.1", map[string]string{"devkey": "secret"} }, ""},
		"dev in public": {
			func(c *Config) { c.Dev = true },
			"dev needs bind: 127.0.0.1, since anybody can sign tokens with the development keys",
		},
		"gossip key": {
			func(c *Config) { c.GossipKeys = Keyring{make([]byte, 16)} },
			"gossip_keys has 16 bytes at place 1, not 32; write for example\n        gossip_keys:\n          - the output of: head -c 32 /dev/urandom | base64",
		},
		"bootstrap": {
			func(c *Config) { c.BootstrapExpect = 7 },
			"bootstrap_expect 7 is not from 0 to 5; write for example 3",
		},
		"first node has no seeds": {func(c *Config) { c.Seeds = nil }, ""},
		"loudest": {
			func(c *Config) { c.Room.Loudest = 33 },
			"room.loudest 33 is not from 0 to 32; write for example 3",
		},
		"ICE servers": {
			func(c *Config) {
				c.ICEServers = ICEServers{
					{URLs: []string{"stun:stun.example.org", "stuns:192.0.2.1:5349", "stun:[2001:db8::1]", "stun:[2001:db8::1]:3478"}},
					{URLs: []string{"turn:a:3478", "turns:a:443?transport=tcp", "turn:a?transport=udp"}, Username: "u", Credential: "hunter2"},
				}
			}, "",
		},
		"TURN server without credential": {
			func(c *Config) { c.ICEServers = ICEServers{{URLs: []string{"turn:a"}, Username: "u"}} },
			"ice_servers has a TURN server without username or credential at place 1" + insteadOf("ice_servers"),
		},
		"ICE server without URL": {
			func(c *Config) { c.ICEServers = ICEServers{{URLs: []string{"stun:a"}}, {Credential: "hunter2"}} },
			"ice_servers has 0 urls at place 2, not 1 to 8" + insteadOf("ice_servers"),
		},
		"too many ICE servers": {
			func(c *Config) { c.ICEServers = slices.Repeat(ICEServers{{URLs: []string{"stun:a"}}}, 17) },
			"ice_servers has 17 servers, more than 16" + insteadOf("ice_servers"),
		},
		"playout delay":               {func(c *Config) { c.Room.MinPlayoutDelayMS, c.Room.MaxPlayoutDelayMS = 40950, 40950 }, ""},
		"playout delay without bound": {func(c *Config) { c.Room.MinPlayoutDelayMS = 100 }, ""},
		"playout delay of at most less than at least": {
			func(c *Config) { c.Room.MinPlayoutDelayMS, c.Room.MaxPlayoutDelayMS = 200, 100 },
			"room.max_playout_delay_ms 100 is below room.min_playout_delay_ms, 200; write for example 0",
		},
		"playout delay too long": {
			func(c *Config) { c.Room.MinPlayoutDelayMS, c.Room.MaxPlayoutDelayMS = 40951, 40951 },
			"room.min_playout_delay_ms 40951 is not from 0 to 40950; write for example 0\nroom.max_playout_delay_ms 40951 is not from 0 to 40950; write for example 0",
		},
		"without quorum": {
			func(c *Config) { c.WithoutQuorum = "wait" },
			`without_quorum "wait" is neither serve nor refuse; write for example serve`,
		},
		"log level": {
			func(c *Config) { c.LogLevel = "loud" },
			`log_level "loud" is none of debug, info, warn and error; write for example info`,
		},
		"network twice": {
			func(c *Config) { c.RegionCIDRs["rennes"] = []netip.Prefix{netip.MustParsePrefix("10.1.7.0/24")} },
			"region_cidrs gives 10.1.7.0/24 to both lyon and rennes; write for example\n        region_cidrs:\n          paris: [10.1.0.0/16, 2001:db8:1::/48]\n          lyon: [10.2.0.0/16]",
		},
		"two mistakes": {
			func(c *Config) { c.Region, c.WithoutQuorum = "", "" },
			"region is not set, in the file or as MAILLE_REGION; write for example paris\nwithout_quorum \"\" is neither serve nor refuse; write for example serve",
		},
	} {
		cfg := valid()
		c.change(&cfg)
		got := ""
		if err := cfg.Validate(); err != nil {
			got = err.Error()
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		if strings.Contains(got, "hunter2") {
			t.Errorf("%s: a secret is shown", name)
		}
	}
}

func TestDefaultLacksOnlyWhatTheOperatorKnows(t *testing.T) {
	var missing []string
	for line := range strings.SplitSeq(Default().Validate().Error(), "\n") {
		if key, _, ok := strings.Cut(line, " is not set"); ok {
			missing = append(missing, key)
		}
	}
	if diff := cmp.Diff([]string{"name", "region", "advertise", "keys", "gossip_keys"}, missing); diff != "" {
		t.Error(diff)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"port", "ports", 1}, {"prots", "ports", 1}, {"abc", "xyz", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%s %s: %d, want %d", c.a, c.b, got, c.want)
		}
		if distance(c.a, c.b) != distance(c.b, c.a) {
			t.Error("not symmetric", c)
		}
	}
}
