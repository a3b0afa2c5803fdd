package house

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
)

// Package is what the import rules need to know of one package.
type Package struct {
	ImportPath string
	// Imports are the direct imports of its non-test files.
	Imports []string
}

// rule forbids imports to the packages it is about. Patterns are import paths;
// one that ends in "/..." also means everything below.
type rule struct {
	from   []string // packages the rule is about
	except []string // packages among them that it is not about
	// forbid lists what they must not import; with only, everything of this module
	// except what only lists is forbidden.
	forbid []string
	only   []string
	// deep follows imports of imports.
	deep bool
	why  string
}

// rules is the one-way street of the design: cmd -> node -> {relay, placement, mesh, proto}.
var rules = []rule{
	{
		from:   []string{"maille/relay/..."},
		forbid: []string{"maille/node/...", "maille/placement/...", "maille/mesh/...", "maille/cmd/...", "maille/bench/..."},
		deep:   true,
		why:    "the media plane knows no room, user or cluster, so that it builds, benchmarks and survives alone",
	},
	{
		from:   []string{"maille/relay/..."},
		forbid: []string{"maille/proto/livekit/...", "maille/proto/mesh/...", "maille/proto/admin/..."},
		deep:   true,
		why:    "the only messages of the media plane are those between two ends of a link, proto/link",
	},
	{
		from: []string{"maille/relay/..."},
		forbid: []string{
			"google.golang.org/grpc/...", "github.com/hashicorp/raft/...", "github.com/hashicorp/memberlist/...",
			"go.etcd.io/bbolt/...", "go.opentelemetry.io/...",
		},
		deep: true,
		why:  "no packet may depend on Raft, gossip, RPC, disk or a metrics library: the data plane never waits for the control plane",
	},
	{
		from:   []string{"maille/relay/..."},
		forbid: []string{"github.com/pion/webrtc/..."},
		deep:   true,
		why:    "a track is the same whether a browser or a link feeds it; peer connections belong to node/rtc (pion/rtp and rtcp are fine)",
	},
	{
		from: []string{"maille/placement/policy/...", "maille/placement/state/..."},
		only: []string{"maille/mesh/view", "maille/proto/...", "maille/placement/policy/...", "maille/placement/state/..."},
		why:  "decisions and the replicated state are pure: they run on a million seeded views, without a cluster",
	},
	{
		from:   []string{"maille/placement/policy/...", "maille/placement/state/..."},
		forbid: []string{"net", "net/http", "os", "github.com/hashicorp/raft/...", "github.com/hashicorp/memberlist/..."},
		why:    "decisions and the replicated state are pure: no socket, no file, no consensus library",
	},
	{
		from:   []string{"maille/placement/..."},
		forbid: []string{"maille/node/...", "maille/relay/...", "maille/cmd/...", "maille/bench/..."},
		deep:   true,
		why:    "placement says where rooms live and never sees media; node connects the two",
	},
	{
		from:   []string{"maille/mesh/..."},
		forbid: []string{"maille/node/...", "maille/relay/...", "maille/placement/...", "maille/cmd/...", "maille/bench/..."},
		deep:   true,
		why:    "mesh says who is there and serves placement and node; it must not know what they do",
	},
	{
		from: []string{"maille/mesh/view"},
		only: []string{},
		why:  "view is the vocabulary that others share, so it depends on nothing here",
	},
	{
		from: []string{"maille/proto/..."},
		only: []string{"maille/proto/..."},
		why:  "messages depend on messages only",
	},
	{
		from:   []string{"maille/node/..."},
		forbid: []string{"maille/cmd/...", "maille/bench/..."},
		deep:   true,
		why:    "a node is embeddable and carries no command line and no test tools into production",
	},
	{
		from:   []string{"maille/node/room/..."},
		except: []string{"maille/node/room"},
		only:   []string{"maille/proto/...", "maille/relay"},
		why:    "below the room is what needs no loop, no connection and no link to be right, or to be tested",
	},
	{
		from:   []string{"maille/node/rtc/..."},
		except: []string{"maille/node/rtc"},
		only:   []string{"maille/relay"},
		why:    "below rtc is what needs no peer connection: text, numbers and times",
	},
	{
		from:   []string{"maille/node/rtc/..."},
		except: []string{"maille/node/rtc"},
		forbid: []string{"github.com/pion/..."},
		why:    "what is done before and after pion does its part must not need pion",
	},
	{
		from:   []string{"maille/..."},
		except: []string{"maille/cmd/..."},
		forbid: []string{"maille/cmd/..."},
		why:    "commands are the top of the house: nothing imports them",
	},
	{
		from:   []string{"maille/..."},
		except: []string{"maille/node/rtc/...", "maille/bench/..."},
		forbid: []string{"github.com/pion/webrtc/..."},
		why:    "node/rtc is the one place that knows pion/webrtc, so that it can be replaced piece by piece",
	},
}

// match reports whether path is pattern, or below it when pattern ends in "/...".
func match(pattern, path string) bool {
	base, tree := strings.CutSuffix(pattern, "/...")
	if !tree {
		return path == pattern
	}
	rest, ok := strings.CutPrefix(path, base)
	return ok && (rest == "" || rest[0] == '/')
}

func matchAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, path) })
}

func (r rule) forbidden(path string) bool {
	if r.forbid != nil {
		return matchAny(r.forbid, path)
	}
	return match(Module+"/...", path) && !matchAny(r.only, path)
}

// Imports complains about every import that goes against the direction of the
// house, with the chain that leads to it and the reason of the rule.
func Imports(pkgs []Package) []string {
	graph := make(map[string][]string, len(pkgs))
	for _, p := range pkgs {
		graph[p.ImportPath] = p.Imports
	}
	var out []string
	for _, p := range pkgs {
		for _, r := range rules {
			if !matchAny(r.from, p.ImportPath) || matchAny(r.except, p.ImportPath) {
				continue
			}
			if chain := r.breach(graph, p.ImportPath); chain != nil {
				out = append(out, fmt.Sprintf("%s: %s", strings.Join(chain, " -> "), r.why))
			}
		}
	}
	return out
}

// breach returns the shortest import chain from pkg to something forbidden, or nil.
func (r rule) breach(graph map[string][]string, pkg string) []string {
	from := map[string]string{pkg: ""}
	queue := []string{pkg}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, next := range graph[at] {
			if _, seen := from[next]; seen {
				continue
			}
			from[next] = at
			if r.forbidden(next) {
				var chain []string
				for step := next; step != ""; step = from[step] {
					chain = append(chain, step)
				}
				slices.Reverse(chain)
				return chain
			}
			if r.deep {
				queue = append(queue, next)
			}
		}
	}
	return nil
}

// List asks the go command for the module's packages and all they depend on.
func List(root string) ([]Package, error) {
	// -e: a package that does not compile is the compiler's to report.
	out, err := goCommand(root, "list", "-e", "-deps", "-json=ImportPath,Imports", "./...")
	if err != nil {
		return nil, err
	}
	var pkgs []Package
	for dec := json.NewDecoder(strings.NewReader(out)); ; {
		var p Package
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		pkgs = append(pkgs, p)
	}
}

func goCommand(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, exit.Stderr)
	}
	return string(out), err
}
