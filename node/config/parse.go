package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Parse reads a YAML file over Default; path is for messages. All mistakes are
// reported at once, each an *Error.
func Parse(path string, b []byte) (Config, error) {
	p := &parsing{file: filepath.Base(path), lines: strings.Split(string(b), "\n"), c: Default()}
	p.c.origin = make(map[string]string)
	f, err := parser.ParseBytes(b, 0)
	if err != nil {
		e := &Error{Origin: p.file, Text: "is not YAML: " + err.Error()}
		if y, ok := errors.AsType[yaml.Error](err); ok {
			e.Text = "is not YAML: " + y.GetMessage()
			if t := y.GetToken(); t != nil && t.Position != nil {
				e.Origin, e.Line = p.at(t.Position.Line), p.line(t.Position.Line, true)
			}
		}
		return p.c, e
	}
	bodies := 0
	for _, doc := range f.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType || doc.Body.Type() == ast.CommentType {
			continue
		}
		if bodies++; bodies > 1 {
			p.fail(doc.Body, true, "a second document begins; keep everything in one")
			break
		}
		p.mapping("", doc.Body)
	}
	return p.c, errors.Join(p.errs...)
}

type parsing struct {
	file  string
	lines []string
	c     Config
	errs  []error
}

func (p *parsing) at(line int) string { return fmt.Sprintf("%s:%d", p.file, line) }

// line quotes a line of the file, up to the value if that may be a secret.
func (p *parsing) line(n int, keyOnly bool) string {
	if n < 1 || n > len(p.lines) {
		return ""
	}
	s := strings.TrimSpace(p.lines[n-1])
	if keyOnly {
		key, _, ok := strings.Cut(s, ":")
		if !ok {
			return ""
		}
		return key + ":"
	}
	return s
}

// fail notes a mistake at n. The quoted line ends before the value if keyOnly.
func (p *parsing) fail(n ast.Node, keyOnly bool, text string) {
	line := n.GetToken().Position.Line
	p.errs = append(p.errs, &Error{Origin: p.at(line), Text: text, Line: p.line(line, keyOnly)})
}

// mapping reads a group of settings below prefix.
func (p *parsing) mapping(prefix string, n ast.Node) {
	kvs := entries(n)
	if kvs == nil {
		if m, ok := n.(*ast.MappingNode); !ok || len(m.Values) > 0 {
			p.fail(n, true, `expected settings, each as a line "key: value"`)
		}
		return
	}
	for _, kv := range kvs {
		name := kv.Key.GetToken().Value
		key := prefix + name
		f, known := field(key)
		_, section := sections[key]
		switch {
		case !known && !section:
			p.fail(kv.Key, true, fmt.Sprintf("unknown key %q%s", key, didYouMean(key, below(prefix))))
		case kv.Value == nil || kv.Value.Type() == ast.NullType:
			// A key without a value is left at its default, as if it were a comment.
		case section:
			p.mapping(key+".", kv.Value)
		default:
			if err := setNode(f.ptr(&p.c), kv.Value); err != nil {
				p.fail(kv.Key, f.Secret, mistake(f, kv.Value, err))
				continue
			}
			p.c.origin[key] = p.at(kv.Key.GetToken().Position.Line)
		}
	}
}

// mistake words a wrong value.
func mistake(f Field, value ast.Node, err error) string {
	what := f.Key
	if s, e := scalar(value); e == nil && !f.Secret {
		what += fmt.Sprintf(": %q", s)
	}
	return what + " " + err.Error() + instead(f)
}

// instead shows the operator what to write.
func instead(f Field) string {
	if strings.Contains(f.Example, "\n") {
		return "; write for example\n        " + strings.ReplaceAll(f.Example, "\n", "\n        ")
	}
	return "; write for example " + f.Example
}

// below lists the keys one may write directly under prefix, in full.
func below(prefix string) []string {
	var out []string
	for _, f := range fields {
		rest, ok := strings.CutPrefix(f.Key, prefix)
		if !ok {
			continue
		}
		head, _, _ := strings.Cut(rest, ".")
		if key := prefix + head; len(out) == 0 || out[len(out)-1] != key {
			out = append(out, key)
		}
	}
	return out
}
