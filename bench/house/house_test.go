package house

import (
	"os"
	"strings"
	"testing"
)

// root is the module's directory.
func root(t *testing.T) string {
	t.Helper()
	dir, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func tree(t *testing.T) []Source {
	t.Helper()
	files, err := Tree(root(t))
	if err != nil {
		t.Fatal(err)
	}
	// A walk that finds nothing would let every check pass.
	if len(files) < 10 {
		t.Fatalf("found only %d files under %s", len(files), root(t))
	}
	return files
}

func report(t *testing.T, complaints []string, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range complaints {
		t.Error(c)
	}
}

// expect checks that the complaints are one for each wanted fragment, in any order.
func expect(t *testing.T, complaints []string, want ...string) {
	t.Helper()
	if len(complaints) != len(want) {
		t.Errorf("%d complaints, want %d:\n%s", len(complaints), len(want), strings.Join(complaints, "\n"))
	}
	for _, w := range want {
		if !strings.Contains(strings.Join(complaints, "\n"), w) {
			t.Errorf("no complaint with %q in:\n%s", w, strings.Join(complaints, "\n"))
		}
	}
}

func TestImportsOfThisHouse(t *testing.T) {
	pkgs, err := List(root(t))
	report(t, Imports(pkgs), err)
	seen := false
	for _, p := range pkgs {
		seen = seen || p.ImportPath == Module+"/relay"
	}
	if !seen {
		t.Error("go list does not see maille/relay, so the rules ran on nothing")
	}
}

func TestImportsComplain(t *testing.T) {
	for name, tc := range map[string]struct {
		pkgs []Package
		want []string
	}{
		"allowed": {pkgs: []Package{
			{"maille/cmd/maille", []string{"maille/node"}},
			{"maille/node", []string{"maille/relay/link", "maille/placement", "maille/mesh/gossip", "maille/proto/livekit", "maille/node/rtc"}},
			{"maille/node/rtc", []string{"github.com/pion/webrtc/v4", "maille/relay/track"}},
			{"maille/relay/link", []string{"maille/proto/link", "maille/relay", "github.com/pion/rtp"}},
			{"maille/placement", []string{"maille/placement/policy", "maille/mesh/view", "github.com/hashicorp/raft"}},
			{"maille/placement/policy", []string{"maille/placement/state", "maille/mesh/view", "maille/proto/mesh"}},
			{"maille/bench/client", []string{"github.com/pion/webrtc/v4", "maille/node"}},
		}},
		"relay reaches node through another": {
			pkgs: []Package{{"maille/relay/link", []string{"maille/relay/x"}}, {"maille/relay/x", []string{"maille/node/config"}}},
			want: []string{
				"maille/relay/link -> maille/relay/x -> maille/node/config: the media plane knows no room",
				"maille/relay/x -> maille/node/config: the media plane knows no room",
			},
		},
		"relay reaches raft in a foreign module": {
			pkgs: []Package{{"maille/relay", []string{"example.com/a"}}, {"example.com/a", []string{"github.com/hashicorp/raft"}}},
			want: []string{"maille/relay -> example.com/a -> github.com/hashicorp/raft: no packet may depend on Raft"},
		},
		"relay uses grpc":            {pkgs: []Package{{"maille/relay/link", []string{"google.golang.org/grpc/codes"}}}, want: []string{"no packet may depend on"}},
		"relay uses client messages": {pkgs: []Package{{"maille/relay/link", []string{"maille/proto/livekit"}}}, want: []string{"proto/link"}},
		"relay uses webrtc": {
			pkgs: []Package{{"maille/relay/track", []string{"github.com/pion/webrtc/v4"}}},
			want: []string{"a track is the same", "node/rtc is the one place"},
		},
		"policy uses gossip":             {pkgs: []Package{{"maille/placement/policy", []string{"maille/mesh/gossip"}}}, want: []string{"million seeded views"}},
		"state opens files":              {pkgs: []Package{{"maille/placement/state", []string{"os"}}}, want: []string{"no socket, no file"}},
		"placement touches media":        {pkgs: []Package{{"maille/placement", []string{"maille/relay"}}}, want: []string{"never sees media"}},
		"mesh knows placement":           {pkgs: []Package{{"maille/mesh/rpc", []string{"maille/placement/state"}}}, want: []string{"must not know what they do"}},
		"view depends on something":      {pkgs: []Package{{"maille/mesh/view", []string{"maille/proto/mesh"}}}, want: []string{"view is the vocabulary"}},
		"messages depend on code":        {pkgs: []Package{{"maille/proto/mesh", []string{"maille/mesh/view"}}}, want: []string{"messages depend on messages only"}},
		"node takes test tools":          {pkgs: []Package{{"maille/node", []string{"maille/bench/sim"}}}, want: []string{"no test tools"}},
		"a room's arithmetic has a wire": {pkgs: []Package{{"maille/node/room/roster", []string{"maille/node/rtc"}}}, want: []string{"needs no loop"}},
		"a description needs pion":       {pkgs: []Package{{"maille/node/rtc/sdp", []string{"github.com/pion/sdp/v3"}}}, want: []string{"must not need pion"}},
		"bench imports the command":      {pkgs: []Package{{"maille/bench/x", []string{"maille/cmd/maille"}}}, want: []string{"nothing imports them"}},
		"webrtc outside node/rtc":        {pkgs: []Package{{"maille/node/room", []string{"github.com/pion/webrtc/v4"}}}, want: []string{"the one place that knows pion/webrtc"}},
		"a name that only looks alike":   {pkgs: []Package{{"maille/relay", []string{"maille/nodes", "github.com/hashicorp/rafting"}}}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, Imports(tc.pkgs), tc.want...) })
	}
}

func TestVersionsThatBuildTogether(t *testing.T) {
	selected, err := Selected(root(t))
	report(t, Versions(selected), err)

	expect(t, Versions(map[string]string{
		"github.com/hashicorp/go-metrics": "v0.7.0",
		"github.com/hashicorp/memberlist": "v0.6.0",
		"github.com/hashicorp/raft":       "v1.7.3",
	}), `go-metrics is "v0.7.0"`, `serf is ""`)
}

func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	report(t, TopLevel(names), nil)

	expect(t, TopLevel([]string{"cmd", "pkg", "go.mod", "maille", "bin"}), "pkg: not a top-level", "maille: not a top-level")
}

func TestLengths(t *testing.T) {
	report(t, Lengths(tree(t)), nil)

	of := func(path string, lines int) Source { return Source{path, strings.Repeat("x\n", lines)} }
	generated := of("proto/x.pb.go", 5000)
	generated.Text = "// Code generated by protoc-gen-go. DO NOT EDIT.\n" + generated.Text
	few := []Source{of("a.go", 801), of("b.go", 349), of("c.go", 10), generated}
	expect(t, Lengths(few), "a.go: 801 lines", "1 of 3 files have 350 lines or more")
	for range 7 {
		few = append(few, of("small.go", 20))
	}
	few[0] = of("a.go", 800)
	expect(t, Lengths(few))
}

func TestPackageSentences(t *testing.T) {
	complaints, err := Docs(tree(t))
	report(t, complaints, err)

	complaints, err = Docs([]Source{
		{"a/a.go", "// Package a is said.\npackage a\n"},
		{"a/more.go", "package a\n"},
		{"b/b.go", "// Not a sentence about the package.\npackage b\n"},
		{"b/b_test.go", "// Package b is said in a test only.\npackage b\n"},
		{"c/main.go", "// Command c runs.\npackage main\n"},
		{"d/main.go", "// Package main says nothing.\npackage main\n"},
		{"e/e.pb.go", "// Code generated by protoc-gen-go. DO NOT EDIT.\n\npackage e\n"},
		{"e/e.proto", "// Messages of e.\nsyntax = \"proto3\";\n"},
		{"f/f.pb.go", "// Code generated by protoc-gen-go. DO NOT EDIT.\n\npackage f\n"},
		{"f/f.proto", "syntax = \"proto3\";\n"},
	})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, complaints, "b: no package sentence", "d: no package sentence", "f: no package sentence")
}

func TestClocks(t *testing.T) {
	complaints, err := Clocks(tree(t))
	report(t, complaints, err)

	complaints, err = Clocks([]Source{
		{"node/a_test.go", "package a\nimport \"time\"\nfunc f() { time.Sleep(1); _ = time.Now() }\n"},
		{"node/a.go", "package a\nimport \"time\"\nfunc f() { time.Sleep(1) }\n"},
		{"node/b_test.go", "package a\nfunc f() { time.Sleep(1) }\nvar time sleeper\n"},
		{"relay/ring/a.go", "package ring\nimport clock \"time\"\nvar _ = clock.Now\n"},
		{"node/room/a.go", "package room\nimport \"time\"\nvar _ = time.Now\n"},
		{"node/room/roster/a.go", "package roster\nimport \"time\"\nvar _ = time.Now\n"},
		{"relay/ring/b.go", "package ring\nimport \"time\"\nconst d = time.Second\n"},
	})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, complaints, "node/a_test.go:3:12: time.Sleep: a sleeping test", "relay/ring/a.go:3:9: time.Now: time is an argument",
		"node/room/roster/a.go:3:9: time.Now: time is an argument")
}
