package attack

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// declared returns the top-level names of every package of the repository, by package
// and name.
func declared(t *testing.T) map[string]bool {
	t.Helper()
	out := make(map[string]bool)
	for _, dir := range []string{"../../node", "../../node/*", "../../node/*/*", "../../relay", "../../relay/*", "."} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					if d.Recv == nil {
						out[f.Name.Name+"."+d.Name.Name] = true
					}
				case *ast.GenDecl:
					for _, s := range d.Specs {
						switch s := s.(type) {
						case *ast.TypeSpec:
							out[f.Name.Name+"."+s.Name.Name] = true
						case *ast.ValueSpec:
							for _, n := range s.Names {
								out[f.Name.Name+"."+n.Name] = true
							}
						}
					}
				}
			}
		}
	}
	return out
}

var quoted = regexp.MustCompile("`([a-z]+)\\.([A-Za-z]+)`")

// The page names what there is: every guard and test of it exists, every row has a
// test, and every attack of this folder is on the page.
func TestTableIsTrue(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	known, named := declared(t), make(map[string]bool)
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| attack") {
			continue
		}
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !quoted.MatchString(cells[4]) {
			t.Errorf("not a row with a test: %s", line)
		}
		for _, m := range quoted.FindAllStringSubmatch(line, -1) {
			name := m[1] + "." + m[2]
			if named[name] = true; !known[name] {
				t.Errorf("%s does not exist", name)
			}
		}
	}
	for name := range known {
		test := strings.HasPrefix(name, "attack.Test")
		if test && !named[name] && name != "attack.TestTableIsTrue" && name != "attack.TestNothingDisturbsTheVictims" && name != "attack.TestMain" {
			t.Errorf("%s is not on the page", name)
		}
	}
}
