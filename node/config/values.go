package config

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Keyring is a list of keys, base64 in the file.
type Keyring [][]byte

// gossipKeyLen makes AES-256.
const gossipKeyLen = 32

// Networks maps region names to networks.
type Networks map[string][]netip.Prefix

// setText fills p from a scalar, or from a variable or flag; lists are separated by
// commas there. The error says what was expected.
func setText(p any, s string) error {
	switch p := p.(type) {
	case *string:
		*p = s
	case *int:
		n, err := strconv.Atoi(s)
		if err != nil {
			return fmt.Errorf("is not a number")
		}
		*p = n
	case *uint32:
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return fmt.Errorf("is not a number from 0 to 4294967295")
		}
		*p = uint32(n)
	case *bool:
		if s != "true" && s != "false" {
			return fmt.Errorf("is neither true nor false")
		}
		*p = s == "true"
	case *[]string:
		*p = split(s)
	case *Keyring:
		return p.set(split(s))
	default:
		return fmt.Errorf("is not a map")
	}
	return nil
}

func split(s string) []string {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	list := strings.Split(s, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// setNode fills p from a value in the file.
func setNode(p any, n ast.Node) error {
	switch p := p.(type) {
	case *[]string:
		return list(n, p)
	case *Keyring:
		var l []string
		if err := list(n, &l); err != nil {
			return err
		}
		return p.set(l)
	case *ICEServers:
		return p.set(n)
	case *map[string]string:
		*p = nil
		return pairs(n, func(key string, value ast.Node) error {
			s, err := scalar(value)
			if err != nil {
				return err
			}
			if *p == nil {
				*p = make(map[string]string)
			}
			(*p)[key] = s
			return nil
		})
	case *Networks:
		*p = nil
		return pairs(n, func(region string, value ast.Node) error {
			var l []string
			if err := list(value, &l); err != nil {
				return err
			}
			if *p == nil {
				*p = make(Networks)
			}
			return p.add(region, l)
		})
	}
	s, err := scalar(n)
	if err != nil {
		return err
	}
	return setText(p, s)
}

func (k *Keyring) set(list []string) error {
	*k = nil
	for i, s := range list {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil || len(b) != gossipKeyLen {
			return fmt.Errorf("holds at place %d no base64 of %d bytes", i+1, gossipKeyLen)
		}
		*k = append(*k, b)
	}
	return nil
}

func (n Networks) add(region string, list []string) error {
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return fmt.Errorf("holds %q, which is no network", s)
		}
		n[region] = append(n[region], p.Masked())
	}
	return nil
}

// scalar is the text of a single value; numbers and true are texts too where a text is
// wanted.
func scalar(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode:
		return "", fmt.Errorf("must be a single value")
	default:
		return "", fmt.Errorf("uses a part of YAML that is not supported here")
	}
}

// list reads a sequence of scalars; a single scalar is a list of one.
func list(n ast.Node, out *[]string) error {
	*out = nil
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		s, err := scalar(n)
		if err != nil {
			return fmt.Errorf("must be a list")
		}
		*out = split(s)
		return nil
	}
	for _, v := range seq.Values {
		s, err := scalar(v)
		if err != nil {
			return fmt.Errorf("must be a list of single values")
		}
		*out = append(*out, s)
	}
	return nil
}

// pairs visits the entries of a mapping.
func pairs(n ast.Node, visit func(key string, value ast.Node) error) error {
	for _, kv := range entries(n) {
		if err := visit(kv.Key.GetToken().Value, kv.Value); err != nil {
			return err
		}
	}
	if entries(n) == nil {
		if m, ok := n.(*ast.MappingNode); !ok || len(m.Values) > 0 {
			return fmt.Errorf("must be a map")
		}
	}
	return nil
}

// entries are the pairs of a mapping node of either kind, nil for others.
func entries(n ast.Node) []*ast.MappingValueNode {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}
