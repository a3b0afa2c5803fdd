package scenario

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/sdp/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"maille/bench/client"
	"maille/proto/livekit"
)

// settle is how long the room has after each step. Its five-second rounds fall into
// every step, and onto no border of two.
const settle = 7 * time.Second

// transcript writes down what clients are told, a line a field, with names in place of
// what is different in every run.
type transcript struct {
	t     *testing.T
	names map[string]string
	count map[string]int
	out   strings.Builder

	mu     sync.Mutex // guards all below
	people []*listener
}

// listener is one client's part since the last step.
type listener struct {
	who    string
	client *client.Client
	read   int // data packets taken so far
	heard  []*livekit.SignalResponse
}

func newTranscript(t *testing.T) *transcript {
	return &transcript{t: t, names: make(map[string]string), count: make(map[string]int)}
}

func (g *transcript) person(who string) *listener {
	for _, l := range g.people {
		if l.who == who {
			return l
		}
	}
	l := &listener{who: who}
	g.people = append(g.people, l)
	return l
}

// hears returns a client's OnSignal.
func (g *transcript) hears(who string) func(*livekit.SignalResponse) {
	return func(m *livekit.SignalResponse) {
		g.mu.Lock()
		defer g.mu.Unlock()
		l := g.person(who)
		l.heard = append(l.heard, proto.Clone(m).(*livekit.SignalResponse))
	}
}

// data has a client's data packets taken too.
func (g *transcript) data(who string, c *client.Client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.person(who).client = c
}

// step lets the room settle and writes what came meanwhile.
func (g *transcript) step(what string) {
	pass(settle)
	g.mu.Lock()
	defer g.mu.Unlock()
	fmt.Fprintf(&g.out, "== %s\n", what)
	for _, l := range g.people {
		// What has goroutines of its own may come before or after what the room says.
		slices.SortStableFunc(l.heard, func(a, b *livekit.SignalResponse) int { return lane(a) - lane(b) })
		for _, m := range l.heard {
			g.message(l.who, m.ProtoReflect())
		}
		l.heard = nil
		if l.client == nil {
			continue
		}
		data := l.client.Data()[l.read:]
		l.read += len(data)
		slices.SortStableFunc(data, func(a, b *livekit.DataPacket) int { return int(a.Kind - b.Kind) })
		for _, p := range data {
			g.message(l.who+" data", p.ProtoReflect())
		}
	}
}

// lane tells what comes in order among itself.
func lane(m *livekit.SignalResponse) int {
	switch m.Message.(type) {
	case *livekit.SignalResponse_Offer, *livekit.SignalResponse_Answer, *livekit.SignalResponse_MediaSectionsRequirement:
		return 1
	case *livekit.SignalResponse_SubscribedQualityUpdate:
		return 2
	}
	return 0
}

func (g *transcript) String() string { return g.out.String() }

func (g *transcript) message(who string, m protoreflect.Message) {
	fmt.Fprintf(&g.out, "%s <-\n", who)
	g.fields(" ", m)
}

// fields writes the fields that are set, by number, each with its path.
func (g *transcript) fields(path string, m protoreflect.Message) {
	list := m.Descriptor().Fields()
	numbers := make([]protoreflect.FieldDescriptor, 0, list.Len())
	for i := range list.Len() {
		if f := list.Get(i); m.Has(f) {
			numbers = append(numbers, f)
		}
	}
	slices.SortFunc(numbers, func(a, b protoreflect.FieldDescriptor) int { return int(a.Number() - b.Number()) })
	if len(numbers) == 0 {
		fmt.Fprintf(&g.out, "%s {}\n", path)
	}
	for _, f := range numbers {
		at := path + "." + string(f.Name())
		if path == " " {
			at = " " + string(f.Name())
		}
		switch value := m.Get(f); {
		case f.IsMap():
			g.mapped(at, f, value.Map())
		case f.IsList():
			for i := range value.List().Len() {
				g.value(fmt.Sprintf("%s[%d]", at, i), f, value.List().Get(i))
			}
		default:
			g.value(at, f, value)
		}
	}
}

func (g *transcript) mapped(path string, f protoreflect.FieldDescriptor, m protoreflect.Map) {
	var keys []string
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool { keys = append(keys, k.String()); return true })
	slices.Sort(keys)
	for _, k := range keys {
		g.value(fmt.Sprintf("%s[%s]", path, k), f.MapValue(), m.Get(protoreflect.ValueOfString(k).MapKey()))
	}
}

// volatile fields are times, or made of random bytes.
var volatile = map[protoreflect.Name]bool{
	"joined_at": true, "joined_at_ms": true, "creation_time": true, "creation_time_ms": true, "refresh_token": true,
	"unix_micro": true, "timestamp": true, "server_version": true, "score": true, "sif_trailer": true, "nonce": true,
}

func (g *transcript) value(path string, f protoreflect.FieldDescriptor, v protoreflect.Value) {
	if f.Message() != nil {
		g.fields(path, v.Message())
		return
	}
	var text string
	switch {
	case volatile[f.Name()] || f.FullName() == "livekit.ServerInfo.version":
		text = "..."
	case f.Name() == "sdp":
		for _, line := range g.summary(v.String()) {
			fmt.Fprintf(&g.out, "%s: %s\n", path, line)
		}
		return
	case f.Enum() != nil:
		text = string(f.Enum().Values().ByNumber(v.Enum()).Name())
	case f.Kind() == protoreflect.StringKind:
		text = strconv.Quote(g.name(v.String()))
	case f.Kind() == protoreflect.BytesKind:
		text = strconv.Quote(string(v.Bytes()))
	default:
		text = v.String()
	}
	fmt.Fprintf(&g.out, "%s: %s\n", path, text)
}

var random = regexp.MustCompile(`\b(PA|TR|RM)_\w+|\b(audio|video)-0x[0-9a-f]+`)

// name replaces ids by names in order of appearance; a track's says its kind and source.
func (g *transcript) name(s string) string {
	return random.ReplaceAllStringFunc(s, func(id string) string {
		if g.names[id] == "" {
			kind, _, _ := strings.Cut(id, "-0x")
			if strings.Contains(id, "_") {
				kind = id[:3]
				if kind == "TR_" {
					kind = id[:5]
				}
			}
			g.count[kind]++
			g.names[id] = kind + strconv.Itoa(g.count[kind])
		}
		return g.names[id]
	})
}

// summary is a description, a line for each of its sections: kind, mid, direction,
// track, the codec in use and the others on offer, header extensions, encodings.
func (g *transcript) summary(text string) (out []string) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		g.t.Error(err)
		return nil
	}
	_, lite := d.Attribute("ice-lite")
	group, _ := d.Attribute("group")
	out = append(out, fmt.Sprintf("ice-lite %v, group %s", lite, group))
	for _, m := range d.MediaDescriptions {
		out = append(out, g.section(m))
	}
	return out
}

func (g *transcript) section(m *sdp.MediaDescription) string {
	var line, extensions, rids []string
	codecs, params := make(map[string]string), make(map[string]string)
	mid, _ := m.Attribute("mid")
	line = append(line, m.MediaName.Media, mid)
	for _, a := range m.Attributes {
		id, rest, _ := strings.Cut(a.Value, " ")
		switch a.Key {
		case "sendonly", "recvonly", "sendrecv", "inactive":
			line = append(line, a.Key)
		case "msid":
			line = append(line, g.name(a.Value))
		case "rtpmap":
			codecs[id], _, _ = strings.Cut(rest, "/")
		case "fmtp":
			params[id] = rest
		case "extmap":
			extensions = append(extensions, rest[strings.LastIndexAny(rest, ":/")+1:])
		case "rid":
			rids = append(rids, a.Value)
		}
	}
	if m.MediaName.Media == "application" {
		return strings.Join(line, " ")
	}
	used := m.MediaName.Formats[0]
	line = append(line, "uses", codecs[used], params[used], "of", set(slices.Collect(maps.Values(codecs))), "extensions", set(extensions))
	if len(rids) > 0 {
		line = append(line, "encodings", set(rids))
	}
	return strings.Join(line, " ")
}

func set(list []string) string {
	slices.Sort(list)
	return "[" + strings.Join(slices.Compact(list), " ") + "]"
}
