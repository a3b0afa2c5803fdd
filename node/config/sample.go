package config

import (
	"fmt"
	"strings"
)

// Sample is a commented YAML file that says what Default says. deploy/maille.yaml is
// kept equal to it by a test.
func Sample() []byte {
	var b strings.Builder
	b.WriteString(`# maille: configuration of one node. Every setting is here, at its default. A setting
# may also be given as a variable (ports.signal is MAILLE_PORTS_SIGNAL) or, unless it
# is a secret, as a flag (--ports-signal): flags go before variables, variables before
# this file. Unknown keys are refused.
`)
	d := Default()
	in := ""
	for _, f := range fields {
		section, name, nested := strings.Cut(f.Key, ".")
		indent := ""
		if nested {
			indent = "  "
			if section != in {
				in = section
				fmt.Fprintf(&b, "\n# %s\n%s:\n", sections[section], section)
			}
		} else {
			name = f.Key
			b.WriteByte('\n')
		}
		for line := range strings.SplitSeq(f.Doc, "\n") {
			fmt.Fprintf(&b, "%s# %s\n", indent, line)
		}
		if value := text(f.ptr(&d)); value != "" {
			fmt.Fprintf(&b, "%s%s: %s\n", indent, name, value)
			continue
		}
		example := f.Example
		if !strings.Contains(example, "\n") {
			example = name + ": " + example
		}
		for line := range strings.SplitSeq(example, "\n") {
			fmt.Fprintf(&b, "%s# %s\n", indent, line)
		}
	}
	return []byte(b.String())
}

// text is a default as YAML; empty if there is none.
func text(p any) string {
	switch p := p.(type) {
	case *string:
		return *p
	case *int:
		return fmt.Sprint(*p)
	case *uint32:
		return fmt.Sprint(*p)
	case *bool:
		return fmt.Sprint(*p)
	}
	return ""
}
