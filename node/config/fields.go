package config

import "strings"

// Field is one setting: its key in the file, and what to tell people about it.
type Field struct {
	// Key is the path in the YAML file, such as ports.signal.
	Key string
	// Doc says what it is for, in lines for a comment.
	Doc string
	// Example is YAML, for messages and for the sample file.
	Example string
	// Secret settings have no flag, since arguments are public on a host, and are never
	// repeated in messages.
	Secret bool

	ptr func(*Config) any
}

// Env is the variable that sets the field.
func (f Field) Env() string {
	return "MAILLE_" + strings.ToUpper(strings.ReplaceAll(f.Key, ".", "_"))
}

// Flag is the flag that sets the field, without dashes in front; empty for secrets.
func (f Field) Flag() string {
	if f.Secret {
		return ""
	}
	return strings.NewReplacer(".", "-", "_", "-").Replace(f.Key)
}

// Fields lists every setting in the order of the sample file.
func Fields() []Field { return fields }

var fields = []Field{
	{
		Key: "name", Example: "paris-1", ptr: func(c *Config) any { return &c.Name },
		Doc: "Unique in the cluster, and the name in this node's certificate.",
	},
	{
		Key: "cluster", Example: "maille", ptr: func(c *Config) any { return &c.Cluster },
		Doc: "Shared by all nodes of one mesh. Nodes of another cluster are refused.",
	},
	{
		Key: "region", Example: "paris", ptr: func(c *Config) any { return &c.Region },
		Doc: "Where this node stands. Clients are served from the nearest region.",
	},
	{
		Key: "data_dir", Example: "/var/lib/maille", ptr: func(c *Config) any { return &c.DataDir },
		Doc: "Holds the replicated log. Keep it on a local disk, across restarts.",
	},
	{
		Key: "certs_dir", Example: "/etc/maille/certs", ptr: func(c *Config) any { return &c.CertsDir },
		Doc: "Holds ca.crt, node.crt and node.key; see maille cert.",
	},
	{
		Key: "bind", Example: "192.0.2.10", ptr: func(c *Config) any { return &c.Bind },
		Doc: "IP address to listen on. Empty is every address.",
	},
	{
		Key: "advertise", Example: "192.0.2.10", ptr: func(c *Config) any { return &c.Advertise },
		Doc: "IP address or host name by which nodes and clients reach this node.",
	},
	{
		Key: "public_url", Example: "wss://meet.example.org", ptr: func(c *Config) any { return &c.PublicURL },
		Doc: "Base URL clients are told when a load balancer with TLS stands in front.\nEmpty is ws:// with the advertised address.",
	},
	{
		Key: "ice_servers", Secret: true, ptr: func(c *Config) any { return &c.ICEServers },
		Example: "ice_servers:\n  - urls: [\"turn:turn.example.org:3478?transport=udp\", \"turns:turn.example.org:443?transport=tcp\"]\n    username: maille\n    credential: every-client-is-told-this",
		Doc:     "STUN and TURN servers that clients are told. None is needed where clients reach the\nmedia ports.",
	},
	{
		Key: "ports.signal", Example: "7880", ptr: func(c *Config) any { return &c.Ports.Signal },
		Doc: "TCP, clients: WebSocket, server API, meeting page.",
	},
	{
		Key: "ports.ice_tcp", Example: "7881", ptr: func(c *Config) any { return &c.Ports.MediaTCP },
		Doc: "TCP, clients: media where UDP is blocked.",
	},
	{
		Key: "ports.media_udp", Example: "7882", ptr: func(c *Config) any { return &c.Ports.MediaUDP },
		Doc: "UDP, clients: all media on one port.",
	},
	{
		Key: "ports.link", Example: "7883", ptr: func(c *Config) any { return &c.Ports.Link },
		Doc: "UDP, nodes: media over QUIC.",
	},
	{
		Key: "ports.cluster", Example: "7884", ptr: func(c *Config) any { return &c.Ports.Cluster },
		Doc: "TCP, nodes: gRPC and Raft.",
	},
	{
		Key: "ports.gossip", Example: "7946", ptr: func(c *Config) any { return &c.Ports.Gossip },
		Doc: "TCP and UDP, nodes: who is there.",
	},
	{
		Key: "admin", Example: "127.0.0.1:6789", ptr: func(c *Config) any { return &c.Admin },
		Doc: "For operators: health, metrics, maille status. Loopback only.",
	},
	{
		Key: "keys", Secret: true, Example: "keys:\n  APIq8mD2: a-secret-of-at-least-32-characters", ptr: func(c *Config) any { return &c.Keys },
		Doc: "API keys and their secrets, which sign and check access tokens. Every node needs\nthe same. Secrets have 32 bytes or more.",
	},
	{
		Key: "dev", Example: "true", ptr: func(c *Config) any { return &c.Dev },
		Doc: "Accept the key pair devkey: secret. Only with bind on loopback.",
	},
	{
		Key: "seeds", Example: "seeds:\n  - 192.0.2.20:7946\n  - lyon-1.example.org:7946", ptr: func(c *Config) any { return &c.Seeds },
		Doc: "Gossip addresses of some other nodes, to find the cluster by. Several regions are\nbetter than one.",
	},
	{
		Key: "gossip_keys", Secret: true, Example: "gossip_keys:\n  - the output of: head -c 32 /dev/urandom | base64", ptr: func(c *Config) any { return &c.GossipKeys },
		Doc: "Encrypt gossip: base64 of 32 random bytes. The first encrypts, all decrypt, so that\nkeys can be changed without a stop.",
	},
	{
		Key: "bootstrap_expect", Example: "3", ptr: func(c *Config) any { return &c.BootstrapExpect },
		Doc: "How many nodes a new cluster begins with, the same on each of them. 0 joins an\nexisting cluster and never begins one.",
	},
	{
		Key: "without_quorum", Example: "serve", ptr: func(c *Config) any { return &c.WithoutQuorum },
		Doc: "What happens to new rooms while the cluster has no leader: serve opens them\nprovisionally, refuse tells clients to try again. Rooms in use go on either way.",
	},
	{
		Key: "region_cidrs", Example: "region_cidrs:\n  paris: [10.1.0.0/16, 2001:db8:1::/48]\n  lyon: [10.2.0.0/16]", ptr: func(c *Config) any { return &c.RegionCIDRs },
		Doc: "Networks whose clients belong to a region, wherever they arrive. The longest\nprefix wins. Clients of no network belong to the region they arrive in.",
	},
	{
		Key: "room.empty_timeout_s", Example: "300", ptr: func(c *Config) any { return &c.Room.EmptyTimeoutS },
		Doc: "How long a room nobody ever joined lives, in seconds.",
	},
	{
		Key: "room.departure_timeout_s", Example: "20", ptr: func(c *Config) any { return &c.Room.DepartureTimeoutS },
		Doc: "How long a room lives after the last one left, in seconds.",
	},
	{
		Key: "room.max_participants", Example: "0", ptr: func(c *Config) any { return &c.Room.MaxParticipants },
		Doc: "How many people a room may hold. 0 is no bound.",
	},
	{
		Key: "room.loudest", Example: "3", ptr: func(c *Config) any { return &c.Room.Loudest },
		Doc: "How many people are heard at once: the loudest, chosen anew all the time, are\nrelayed and sent to everyone. At most 32. 0 is all, which costs every listener the\ntraffic of every microphone.",
	},
	{
		Key: "room.min_playout_delay_ms", Example: "0", ptr: func(c *Config) any { return &c.Room.MinPlayoutDelayMS },
		Doc: "The least that clients hold video back before they show it, in milliseconds, at most\n40950: a smoother picture, later. With 0 here and below they choose.",
	},
	{
		Key: "room.max_playout_delay_ms", Example: "0", ptr: func(c *Config) any { return &c.Room.MaxPlayoutDelayMS },
		Doc: "The most that clients hold video back, in milliseconds, at most 40950. 0 is no bound.",
	},
	{
		Key: "log_level", Example: "info", ptr: func(c *Config) any { return &c.LogLevel },
		Doc: "The least that is logged: debug, info, warn or error.",
	},
}

// sections documents keys that only group others.
var sections = map[string]string{
	"ports": "Ports, each on the bind address.",
	"room":  "What rooms are made with when their creator says nothing.",
}

func field(key string) (Field, bool) {
	for _, f := range fields {
		if f.Key == key {
			return f, true
		}
	}
	return Field{}, false
}
