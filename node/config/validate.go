package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"maille/mesh/identity"
	"maille/node/auth"
	"maille/relay/audio"
)

// maxBootstrap is the most voters a cluster has.
const maxBootstrap = 5

// maxPlayoutMS is what the playout-delay header extension can say: 12 bits of 10 ms.
const maxPlayoutMS = 40_950

// Validate checks settings against each other and for sense. All mistakes are reported
// at once, each an *Error.
func (c Config) Validate() error {
	v := &validation{c: c}
	v.names()
	v.addresses()
	v.ports()
	v.secrets()
	v.cluster()
	v.networks()
	v.logging()
	v.rooms()
	v.iceServers()
	return errors.Join(v.errs...)
}

type validation struct {
	c    Config
	errs []error
}

// wrong notes a mistake in a setting.
func (v *validation) wrong(key, format string, a ...any) {
	f, _ := field(key)
	v.errs = append(v.errs, &Error{
		Origin: v.c.origin[key],
		Text:   key + " " + fmt.Sprintf(format, a...) + instead(f),
	})
}

// missing notes a setting without which there is no node.
func (v *validation) missing(key string) {
	f, _ := field(key)
	v.wrong(key, "is not set, in the file or as %s", f.Env())
}

func (v *validation) names() {
	for _, n := range []struct{ key, value string }{{"name", v.c.Name}, {"cluster", v.c.Cluster}} {
		if n.value == "" {
			v.missing(n.key)
		} else if err := identity.ValidName(n.value); err != nil {
			v.wrong(n.key, "%q may have 1 to 63 of a-z, 0-9, \"-\", \"_\" and \".\", and begins and ends with a letter or digit", n.value)
		}
	}
	if v.c.Region == "" {
		v.missing("region")
	} else if !validRegion(v.c.Region) {
		v.wrong("region", "%q %s", v.c.Region, regionRule)
	}
	for _, d := range []struct{ key, value string }{{"data_dir", v.c.DataDir}, {"certs_dir", v.c.CertsDir}} {
		if d.value == "" {
			v.missing(d.key)
		}
	}
}

const regionRule = `may have 1 to 63 of a-z, 0-9 and "-"`

func (v *validation) rooms() {
	if n := v.c.Room.Loudest; n > audio.MaxLoudest {
		v.wrong("room.loudest", "%d is not from 0 to %d", n, audio.MaxLoudest)
	}
	least, most := v.c.Room.MinPlayoutDelayMS, v.c.Room.MaxPlayoutDelayMS
	if least > maxPlayoutMS {
		v.wrong("room.min_playout_delay_ms", "%d is not from 0 to %d", least, maxPlayoutMS)
	}
	if most > maxPlayoutMS {
		v.wrong("room.max_playout_delay_ms", "%d is not from 0 to %d", most, maxPlayoutMS)
	} else if most > 0 && most < least {
		v.wrong("room.max_playout_delay_ms", "%d is below room.min_playout_delay_ms, %d", most, least)
	}
}

// validRegion is what clients may put into their URL as a hint.
func validRegion(s string) bool {
	return s != "" && len(s) <= 63 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-')
	})
}

func (v *validation) addresses() {
	if v.c.Bind != "" {
		if _, err := netip.ParseAddr(v.c.Bind); err != nil {
			v.wrong("bind", "%q is no IP address", v.c.Bind)
		}
	}
	switch a := v.c.Advertise; {
	case a == "":
		v.missing("advertise")
	case unspecified(a) || strings.ContainsAny(a, "/ ") || strings.Contains(a, ":") && !isIP(a):
		v.wrong("advertise", "%q is not an address others can dial, an IP address or a host name without port", a)
	}
	if v.c.PublicURL != "" {
		u, err := url.Parse(v.c.PublicURL)
		if err != nil || u.Host == "" || u.Scheme != "ws" && u.Scheme != "wss" {
			v.wrong("public_url", "%q is not a ws:// or wss:// URL", v.c.PublicURL)
		}
	}
	if host, err := hostPort(v.c.Admin); err != nil {
		v.wrong("admin", "%q %v", v.c.Admin, err)
	} else if !loopback(host) {
		v.wrong("admin", "%q is not on loopback; whoever reaches this port runs the node", v.c.Admin)
	}
	for _, s := range v.c.Seeds {
		if host, err := hostPort(s); err != nil {
			v.wrong("seeds", "%q %v", s, err)
		} else if unspecified(host) {
			v.wrong("seeds", "%q names no host", s)
		}
	}
}

func isIP(s string) bool { _, err := netip.ParseAddr(s); return err == nil }
func unspecified(s string) bool {
	a, err := netip.ParseAddr(s)
	return s == "" || err == nil && a.IsUnspecified()
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

func hostPort(s string) (host string, err error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", errors.New("is not host:port")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", errors.New("has no port from 1 to 65535")
	}
	return host, nil
}

// ports are in range, and no two share a port and a protocol.
func (v *validation) ports() {
	p := v.c.Ports
	used := make(map[string]string)
	for _, s := range []struct {
		key       string
		port      int
		protocols string
	}{
		{"ports.signal", p.Signal, "tcp"},
		{"ports.ice_tcp", p.MediaTCP, "tcp"},
		{"ports.media_udp", p.MediaUDP, "udp"},
		{"ports.link", p.Link, "udp"},
		{"ports.cluster", p.Cluster, "tcp"},
		{"ports.gossip", p.Gossip, "tcp udp"},
	} {
		if s.port < 1 || s.port > 65535 {
			v.wrong(s.key, "%d is no port from 1 to 65535", s.port)
			continue
		}
		for proto := range strings.SplitSeq(s.protocols, " ") {
			at := fmt.Sprintf("%s port %d", proto, s.port)
			if other, taken := used[at]; taken {
				v.wrong(s.key, "takes %s, which %s has", at, other)
			}
			used[at] = s.key
		}
	}
}

func (v *validation) secrets() {
	if v.c.Dev && !loopback(v.c.Bind) {
		v.errs = append(v.errs, &Error{
			Origin: v.c.origin["dev"],
			Text:   "dev needs bind: 127.0.0.1, since anybody can sign tokens with the development keys",
		})
	}
	if len(v.c.Keys) == 0 {
		v.missing("keys")
	} else {
		for _, key := range slices.Sorted(maps.Keys(v.c.Keys)) {
			one := map[string]string{key: v.c.Keys[key]}
			if err := auth.CheckKeys(one, v.c.Dev); err != nil {
				v.wrong("keys", "cannot be used: %v", err)
			}
		}
	}
	if len(v.c.GossipKeys) == 0 {
		v.missing("gossip_keys")
	}
	for i, k := range v.c.GossipKeys {
		if len(k) != gossipKeyLen {
			v.wrong("gossip_keys", "has %d bytes at place %d, not %d", len(k), i+1, gossipKeyLen)
		}
	}
}

func (v *validation) cluster() {
	if n := v.c.BootstrapExpect; n < 0 || n > maxBootstrap {
		v.wrong("bootstrap_expect", "%d is not from 0 to %d", n, maxBootstrap)
	}
	if w := v.c.WithoutQuorum; w != Serve && w != Refuse {
		v.wrong("without_quorum", "%q is neither serve nor refuse", w)
	}
}

func (v *validation) logging() {
	if _, ok := logLevels[v.c.LogLevel]; !ok {
		v.wrong("log_level", "%q is none of debug, info, warn and error", v.c.LogLevel)
	}
}

func (v *validation) networks() {
	owner := make(map[netip.Prefix]string)
	for _, region := range slices.Sorted(maps.Keys(v.c.RegionCIDRs)) {
		if !validRegion(region) {
			v.wrong("region_cidrs", "names region %q, which %s", region, regionRule)
		}
		for _, n := range v.c.RegionCIDRs[region] {
			if other, taken := owner[n]; taken && other != region {
				v.wrong("region_cidrs", "gives %s to both %s and %s", n, other, region)
			}
			owner[n] = region
		}
	}
}
