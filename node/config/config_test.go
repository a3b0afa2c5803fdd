package config

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var gossipKey = base64.StdEncoding.EncodeToString(make([]byte, gossipKeyLen))

var full = `name: paris-1
region: paris
advertise: 192.0.2.10
bind: "::"
public_url: wss://meet.example.org
ports:
  signal: 80 # behind the load balancer
  ice_tcp: 443
keys: {APIa: 0123456789abcdef0123456789abcdef}
seeds: [192.0.2.20:7946, "lyon-1:7946"]
gossip_keys: ["` + gossipKey + `"]
bootstrap_expect: 3
without_quorum: refuse
region_cidrs:
  paris: [10.1.2.3/16, "2001:db8:1::/48"]
  lyon: 10.1.7.0/24
room:
  max_participants: 150
data_dir:
`

func valid() Config {
	c := Default()
	c.Name, c.Region, c.Advertise, c.Bind = "paris-1", "paris", "192.0.2.10", "::"
	c.PublicURL = "wss://meet.example.org"
	c.Ports.Signal, c.Ports.MediaTCP = 80, 443
	c.Keys = map[string]string{"APIa": "0123456789abcdef0123456789abcdef"}
	c.Seeds = []string{"192.0.2.20:7946", "lyon-1:7946"}
	c.GossipKeys = Keyring{make([]byte, gossipKeyLen)}
	c.BootstrapExpect, c.WithoutQuorum = 3, Refuse
	c.RegionCIDRs = Networks{
		"paris": {netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8:1::/48")},
		"lyon":  {netip.MustParsePrefix("10.1.7.0/24")},
	}
	c.Room.MaxParticipants = 150
	return c
}

func same(t *testing.T, want, got Config) {
	t.Helper()
	if diff := cmp.Diff(want, got, ignoreOrigin, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
}

func TestParse(t *testing.T) {
	c, err := Parse("maille.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	same(t, valid(), c)
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestEmptyFiles(t *testing.T) {
	for _, s := range []string{"", "\n", "# nothing\n", "---\n", "{}", "ports: {}\nkeys: {}\nseeds: []\n"} {
		c, err := Parse("maille.yaml", []byte(s))
		if err != nil {
			t.Errorf("%q: %v", s, err)
		}
		same(t, Default(), c)
	}
}

func TestParseErrors(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"unknown key": {
			"name: a\nadvertize: 192.0.2.1\n",
			"maille.yaml:2: unknown key \"advertize\"; did you mean \"advertise\"?\n    advertize:",
		},
		"unknown key that may hold a secret": {
			"kyes: {a: hunter2}\n",
			"maille.yaml:1: unknown key \"kyes\"; did you mean \"keys\"?\n    kyes:",
		},
		"unknown key in a section": {
			"ports:\n  signal: 80\n  ice_udp: 7882\n",
			"maille.yaml:3: unknown key \"ports.ice_udp\"; did you mean \"ports.ice_tcp\"?\n    ice_udp:",
		},
		"unknown key like no other": {
			"room:\n  xxxxxxxxxxxxxxxx: 1\n",
			"maille.yaml:2: unknown key \"room.xxxxxxxxxxxxxxxx\"; known are room.empty_timeout_s, room.departure_timeout_s, room.max_participants, room.loudest, room.min_playout_delay_ms, room.max_playout_delay_ms\n    xxxxxxxxxxxxxxxx:",
		},
		"number": {
			"ports:\n  link: quic\n",
			"maille.yaml:2: ports.link: \"quic\" is not a number; write for example 7883\n    link: quic",
		},
		"unsigned": {
			"room:\n  empty_timeout_s: -1\n",
			"maille.yaml:2: room.empty_timeout_s: \"-1\" is not a number from 0 to 4294967295; write for example 300\n    empty_timeout_s: -1",
		},
		"bool": {
			"dev: yes\n",
			"maille.yaml:1: dev: \"yes\" is neither true nor false; write for example true\n    dev: yes",
		},
		"map for a text": {
			"region: {a: b}\n",
			"maille.yaml:1: region must be a single value; write for example paris\n    region: {a: b}",
		},
		"text for a map": {
			"keys: APIa=hunter2\n",
			"maille.yaml:1: keys must be a map; write for example\n        keys:\n          APIq8mD2: a-secret-of-at-least-32-characters\n    keys:",
		},
		"text for a section": {
			"ports: 7880\n",
			"maille.yaml:1: expected settings, each as a line \"key: value\"\n    ports:",
		},
		"list of lists": {
			"seeds: [[a:1]]\n",
			"maille.yaml:1: seeds must be a list of single values; write for example\n        seeds:\n          - 192.0.2.20:7946\n          - lyon-1.example.org:7946\n    seeds: [[a:1]]",
		},
		"gossip key": {
			"gossip_keys: [hunter2]\n",
			"maille.yaml:1: gossip_keys holds at place 1 no base64 of 32 bytes; write for example\n        gossip_keys:\n          - the output of: head -c 32 /dev/urandom | base64\n    gossip_keys:",
		},
		"network": {
			"region_cidrs:\n  paris: [10.0.0.300/8]\n",
			"maille.yaml:1: region_cidrs holds \"10.0.0.300/8\", which is no network; write for example\n        region_cidrs:\n          paris: [10.1.0.0/16, 2001:db8:1::/48]\n          lyon: [10.2.0.0/16]\n    region_cidrs:",
		},
		"list at the top": {
			"- name\n",
			"maille.yaml:1: expected settings, each as a line \"key: value\"",
		},
		"two documents": {
			"name: a\n---\nname: b\n",
			"maille.yaml:3: a second document begins; keep everything in one\n    name:",
		},
		"key twice": {
			"name: a\nname: b\n",
			"maille.yaml:2: is not YAML: mapping key \"name\" already defined at [1:1]\n    name:",
		},
		"anchor": {
			"name: &a b\n",
			"maille.yaml:1: name uses a part of YAML that is not supported here; write for example paris-1\n    name: &a b",
		},
		"two mistakes": {
			"nam: a\ndev: 1\n",
			"maille.yaml:1: unknown key \"nam\"; did you mean \"name\"?\n    nam:\n" +
				"maille.yaml:2: dev: \"1\" is neither true nor false; write for example true\n    dev: 1",
		},
	} {
		_, err := Parse("/etc/maille/maille.yaml", []byte(c.in))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if diff := cmp.Diff(c.want, err.Error()); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: a secret is shown", name)
		}
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("%s: %T", name, err)
		}
	}
}

func TestEnv(t *testing.T) {
	c := Default()
	err := c.SetEnv([]string{
		"PATH=/bin", "MAILLE_CONFIG=/x", "MAILLE_NAME=paris-1", "MAILLE_REGION=paris", "MAILLE_ADVERTISE=192.0.2.10",
		"MAILLE_BIND=::", "MAILLE_PUBLIC_URL=wss://meet.example.org", "MAILLE_PORTS_SIGNAL=80", "MAILLE_PORTS_ICE_TCP=443",
		"MAILLE_KEYS={APIa: 0123456789abcdef0123456789abcdef}", "MAILLE_SEEDS=192.0.2.20:7946, lyon-1:7946",
		"MAILLE_GOSSIP_KEYS=" + gossipKey, "MAILLE_BOOTSTRAP_EXPECT=3", "MAILLE_WITHOUT_QUORUM=refuse",
		"MAILLE_REGION_CIDRS={paris: [10.1.0.0/16, '2001:db8:1::/48'], lyon: [10.1.7.0/24]}", "MAILLE_ROOM_MAX_PARTICIPANTS=150",
		"MAILLE_DATA_DIR=",
		// Kubernetes adds these for services named maille and maille-headless.
		"MAILLE_SERVICE_HOST=10.0.0.1", "MAILLE_SERVICE_PORT_HTTP=7880", "MAILLE_PORT=tcp://10.0.0.1:7880",
		"MAILLE_PORT_7880_TCP_ADDR=10.0.0.1", "MAILLE_HEADLESS_PORT=tcp://10.0.0.1:1", "MAILLE_HEADLESS_PORT_7882_UDP=udp://10.0.0.1:1",
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, valid(), c)

	err = c.SetEnv([]string{"MAILLE_REGOIN=x", "MAILLE_PORTS_SIGNAL=a", "MAILLE_KEYS=hunter2"})
	const want = `MAILLE_KEYS: keys must be a map; write for example
        keys:
          APIq8mD2: a-secret-of-at-least-32-characters
MAILLE_PORTS_SIGNAL: ports.signal: "a" is not a number; write for example 7880
MAILLE_REGOIN: unknown variable; did you mean "MAILLE_REGION"?`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
}

func TestFlags(t *testing.T) {
	c := Default()
	if err := errors.Join(c.SetFlag("ports-ice-tcp", "443"), c.SetFlag("seeds", "a:1,b:2")); err != nil {
		t.Fatal(err)
	}
	if c.Ports.MediaTCP != 443 || len(c.Seeds) != 2 {
		t.Errorf("%+v", c)
	}
	for _, f := range Fields() {
		if f.Secret != (f.Flag() == "") {
			t.Errorf("%s: secrets have no flag, all others do", f.Key)
		}
	}
	for flag, want := range map[string]string{
		"":     "--: unknown flag",
		"keys": "--keys: unknown flag",
		"dev":  `--dev: dev: "no" is neither true nor false; write for example true`,
	} {
		if err := c.SetFlag(flag, "no"); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", flag, err, want)
		}
	}
}

// Flags go before variables, variables before the file, the file before defaults; and
// a mistake is told where it was made.
func TestPrecedence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "maille.yaml")
	if err := os.WriteFile(path, []byte("region: file\nname: a/b\nadvertise: file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MAILLE_REGION", "env")
	t.Setenv("MAILLE_ADVERTISE", "0.0.0.0")
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetFlag("region", "Flag"); err != nil {
		t.Fatal(err)
	}
	if c.Region != "Flag" || c.Advertise != "0.0.0.0" || c.Name != "a/b" || c.Cluster != "maille" {
		t.Errorf("%+v", c)
	}
	got := c.Validate().Error()
	for _, want := range []string{
		`maille.yaml:2: name "a/b" may have`, `--region: region "Flag" may have`, `MAILLE_ADVERTISE: advertise "0.0.0.0" is not`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nlacks %s", got, want)
		}
	}
}

func TestLoadWithoutFile(t *testing.T) {
	c, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	same(t, Default(), c)
	_, err = Load("/nowhere/maille.yaml")
	if err == nil || err.Error() != "/nowhere/maille.yaml: no such file; name an existing one, or none to use MAILLE_* variables alone" {
		t.Error(err)
	}
}

func TestAddresses(t *testing.T) {
	c := Default()
	c.Advertise = "2001:db8::1"
	for got, want := range map[string]string{
		c.BindAddr(7880):      ":7880",
		c.AdvertiseAddr(7883): "[2001:db8::1]:7883",
		c.SignalURL():         "ws://[2001:db8::1]:7880",
		valid().SignalURL():   "wss://meet.example.org",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestRegionOf(t *testing.T) {
	c := valid()
	for addr, want := range map[string]string{
		"10.1.0.1": "paris", "10.1.7.1": "lyon", "::ffff:10.1.7.1": "lyon", "10.1.7.1:1234": "lyon",
		"2001:db8:1::5": "paris", "[2001:db8:1::5]:1": "paris", "192.0.2.1": "", "": "", "nobody": "",
	} {
		if got := c.RegionOf(addr); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add(Sample())
	f.Add([]byte("? a\n: b\n<<: *x\nkeys: !!str\nseeds: |\n  a\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse("maille.yaml", b)
		if err == nil {
			_ = c.Validate()
			_ = c.RegionOf("10.1.2.3")
		} else if _, ok := errors.AsType[*Error](err); !ok {
			t.Fatalf("untyped error %v", err)
		}
	})
}
