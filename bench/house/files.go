package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
)

const (
	// maxLines is where a file stops being readable in one sitting, whatever it holds.
	maxLines = 800
	// usualLines is what nine files in ten stay under: the size of the codebases we admire.
	usualLines = 350
)

// Lengths complains about files nobody will read to the end.
func Lengths(files []Source) []string {
	var out, long []string
	counted := 0
	for _, f := range files {
		if f.Generated() {
			continue
		}
		counted++
		n := f.Lines()
		if n > maxLines {
			out = append(out, fmt.Sprintf("%s: %d lines, over %d: find the two ideas in it and part them", f.Path, n, maxLines))
		}
		if n >= usualLines {
			long = append(long, fmt.Sprintf("%s (%d)", f.Path, n))
		}
	}
	if len(long)*10 > counted {
		out = append(out, fmt.Sprintf("%d of %d files have %d lines or more; nine in ten must have less: %s",
			len(long), counted, usualLines, strings.Join(long, ", ")))
	}
	return out
}

// Docs complains about packages that do not say what they are for. A package
// sentence starts with "Package name" ("Command name" in a main package). Where
// every file is generated, a .proto beside them must open with a comment.
func Docs(files []Source) ([]string, error) {
	type pkg struct {
		name      string
		said      bool
		generated bool
	}
	pkgs := make(map[string]*pkg)
	protos := make(map[string]bool)
	for _, f := range files {
		dir := path.Dir(f.Path)
		if path.Ext(f.Path) == ".proto" && strings.HasPrefix(f.Text, "//") {
			protos[dir] = true
		}
		if path.Ext(f.Path) != ".go" || strings.HasSuffix(f.Path, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.Path, f.Text, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			return nil, err
		}
		p := pkgs[dir]
		if p == nil {
			p = &pkg{name: parsed.Name.Name, generated: true}
			pkgs[dir] = p
		}
		p.generated = p.generated && f.Generated()
		doc := parsed.Doc.Text()
		if p.name == "main" {
			p.said = p.said || strings.HasPrefix(doc, "Command "+path.Base(dir)+" ")
		} else {
			p.said = p.said || strings.HasPrefix(doc, "Package "+p.name+" ")
		}
	}
	var out []string
	for dir, p := range pkgs {
		if !p.said && !(p.generated && protos[dir]) {
			out = append(out, dir+`: no package sentence: say above one package clause, "Package name ...", what the room is for`)
		}
	}
	slices.Sort(out)
	return out, nil
}

// clockCalls are the functions of package time that read or wait for the real clock.
var clockCalls = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// pure are the folders below the loops: time reaches them as an argument.
var pure = []string{
	"relay/packet", "relay/codec", "relay/ring", "relay/rewrite", "relay/layer", "relay/audio", "relay/bwe", "relay/twcc", "relay/allocate",
	"relay/wire", "placement/policy", "placement/state", "mesh/view",
}

// isPure reports whether a folder is one of those, or below a room or a peer connection.
func isPure(dir string) bool {
	return slices.Contains(pure, dir) || strings.HasPrefix(dir, "node/room/") || strings.HasPrefix(dir, "node/rtc/")
}

// Clocks complains about tests that sleep and about pure packages that look at a clock.
func Clocks(files []Source) ([]string, error) {
	var out []string
	for _, f := range files {
		if path.Ext(f.Path) != ".go" || f.Generated() {
			continue
		}
		test := strings.HasSuffix(f.Path, "_test.go")
		calls, why := clockCalls, "time is an argument here, so that tests and simulations own the clock"
		switch {
		case test:
			calls, why = []string{"Sleep"}, "a sleeping test is slow and fails by chance: wait for the event, or run in a synctest bubble"
		case !isPure(path.Dir(f.Path)):
			continue
		}
		found, err := timeCalls(f, calls)
		if err != nil {
			return nil, err
		}
		for _, at := range found {
			out = append(out, at+": "+why)
		}
	}
	return out, nil
}

// timeCalls returns where a file uses the named functions of package time.
func timeCalls(f Source, names []string) ([]string, error) {
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, f.Path, f.Text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	local := ""
	for _, imp := range parsed.Imports {
		if imp.Path.Value != `"time"` {
			continue
		}
		if local = "time"; imp.Name != nil {
			local = imp.Name.Name
		}
	}
	if local == "" {
		return nil, nil
	}
	var out []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || !slices.Contains(names, sel.Sel.Name) {
			return true
		}
		if id, ok := sel.X.(*ast.Ident); ok && id.Name == local {
			out = append(out, fmt.Sprintf("%s: time.%s", fset.Position(sel.Pos()), sel.Sel.Name))
		}
		return true
	})
	return out, nil
}
