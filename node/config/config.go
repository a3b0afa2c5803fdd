package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"

	"maille/relay/audio"
)

// Config is everything an operator sets on one node. Start from Default.
type Config struct {
	// Name is unique in the cluster and the name in the node's certificate.
	Name string `yaml:"name"`
	// Cluster is the name that all nodes of one mesh share.
	Cluster string `yaml:"cluster"`
	// Region is where the node stands.
	Region string `yaml:"region"`
	// DataDir holds the Raft log; it is the node's memory of the cluster.
	DataDir string `yaml:"data_dir"`
	// CertsDir holds ca.crt, node.crt and node.key.
	CertsDir string `yaml:"certs_dir"`
	// Bind is the IP address to listen on; empty is every address.
	Bind string `yaml:"bind"`
	// Advertise is the IP address or host name by which nodes and clients reach this
	// node.
	Advertise string `yaml:"advertise"`
	// PublicURL is the base URL clients are told, when a load balancer with TLS stands in
	// front; empty is ws:// with Advertise and the signal port.
	PublicURL string `yaml:"public_url"`
	// ICEServers are STUN and TURN servers that clients are told; none is needed where
	// clients reach the media ports.
	ICEServers ICEServers `yaml:"ice_servers"`
	Ports      Ports      `yaml:"ports"`
	// Admin is the loopback host:port for operators.
	Admin string `yaml:"admin"`
	// Keys maps API keys to their secrets. Every node needs the same.
	Keys map[string]string `yaml:"keys"`
	// Dev allows LiveKit's public development key pair, on loopback only.
	Dev bool `yaml:"dev"`
	// Seeds are host:port of other nodes' gossip ports.
	Seeds []string `yaml:"seeds"`
	// GossipKeys are AES keys of 32 bytes: the first encrypts, all decrypt.
	GossipKeys Keyring `yaml:"gossip_keys"`
	// BootstrapExpect is how many nodes a new cluster begins with; 0 never begins one.
	BootstrapExpect int `yaml:"bootstrap_expect"`
	// WithoutQuorum is what happens to new rooms while there is no leader: Serve or
	// Refuse.
	WithoutQuorum string `yaml:"without_quorum"`
	// RegionCIDRs maps regions to networks whose clients belong there.
	RegionCIDRs Networks `yaml:"region_cidrs"`
	Room        Room     `yaml:"room"`
	// LogLevel is the least that is logged: debug, info, warn or error.
	LogLevel string `yaml:"log_level"`

	// origin says where a setting came from, by key, for messages: file and line, or the
	// name of a variable or flag. Absent means default.
	origin map[string]string
}

// Ports are the node's ports, each at Bind.
type Ports struct {
	Signal   int `yaml:"signal"`    // TCP: WebSocket, server API, pages
	MediaTCP int `yaml:"ice_tcp"`   // TCP: media for networks that block UDP
	MediaUDP int `yaml:"media_udp"` // UDP: all clients' media
	Link     int `yaml:"link"`      // UDP: QUIC between nodes
	Cluster  int `yaml:"cluster"`   // TCP: gRPC and Raft between nodes
	Gossip   int `yaml:"gossip"`    // TCP and UDP
}

// Room is what rooms are made with when their creator says nothing.
type Room struct {
	// EmptyTimeoutS is how long a room nobody ever joined lives, in seconds.
	EmptyTimeoutS uint32 `yaml:"empty_timeout_s"`
	// DepartureTimeoutS is how long a room lives after the last one left, in seconds.
	DepartureTimeoutS uint32 `yaml:"departure_timeout_s"`
	// MaxParticipants bounds a room; 0 is no bound.
	MaxParticipants uint32 `yaml:"max_participants"`
	// Loudest is how many of the loudest speakers are heard at once; 0 is all.
	Loudest uint32 `yaml:"loudest"`
	// MinPlayoutDelayMS and MaxPlayoutDelayMS bound how long clients hold video back before
	// they show it, in milliseconds. Both 0 leave it to them; the latter alone is no bound.
	MinPlayoutDelayMS uint32 `yaml:"min_playout_delay_ms"`
	MaxPlayoutDelayMS uint32 `yaml:"max_playout_delay_ms"`
}

// Values of WithoutQuorum.
const (
	Serve  = "serve"
	Refuse = "refuse"
)

// Default is a node as long as the operator says nothing. It lacks what only the
// operator knows, so it does not pass Validate.
func Default() Config {
	return Config{
		Cluster:  "maille",
		DataDir:  "/var/lib/maille",
		CertsDir: "/etc/maille/certs",
		Ports:    Ports{Signal: 7880, MediaTCP: 7881, MediaUDP: 7882, Link: 7883, Cluster: 7884, Gossip: 7946},
		Admin:    "127.0.0.1:6789",
		// LiveKit's timeouts.
		Room:          Room{EmptyTimeoutS: 300, DepartureTimeoutS: 20, Loudest: audio.Default},
		WithoutQuorum: Serve,
		LogLevel:      "info",
	}
}

// maxFile bounds a configuration file in bytes.
const maxFile = 1 << 20

// Load reads path over Default and the process's MAILLE_* variables over that. An
// empty path means no file. Flags and Validate come after.
func Load(path string) (Config, error) {
	c := Default()
	if path != "" {
		b, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return c, fmt.Errorf("%s: no such file; name an existing one, or none to use MAILLE_* variables alone", path)
		case err != nil:
			return c, err
		case len(b) > maxFile:
			return c, fmt.Errorf("%s: longer than %d bytes", path, maxFile)
		}
		if c, err = Parse(path, b); err != nil {
			return c, err
		}
	}
	return c, c.SetEnv(os.Environ())
}

// BindAddr is where to listen on a port.
func (c Config) BindAddr(port int) string { return net.JoinHostPort(c.Bind, strconv.Itoa(port)) }

// AdvertiseAddr is what others dial to reach a port.
func (c Config) AdvertiseAddr(port int) string {
	return net.JoinHostPort(c.Advertise, strconv.Itoa(port))
}

// Level is LogLevel for a logger.
func (c Config) Level() slog.Level { return logLevels[c.LogLevel] }

var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// SignalURL is the base URL of this node for clients.
func (c Config) SignalURL() string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	return "ws://" + c.AdvertiseAddr(c.Ports.Signal)
}

// RegionOf is the region whose network holds addr, an IP address with or without a
// port; the longest prefix wins. Empty if none does.
func (c Config) RegionOf(addr string) string {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		ap, err := netip.ParseAddrPort(addr)
		if err != nil {
			return ""
		}
		ip = ap.Addr()
	}
	ip = ip.Unmap().WithZone("")
	best, bits := "", -1
	for region, networks := range c.RegionCIDRs {
		for _, n := range networks {
			// Ties cannot be: Validate refuses one network in two regions.
			if n.Contains(ip) && n.Bits() > bits {
				best, bits = region, n.Bits()
			}
		}
	}
	return best
}
