// Package house holds the repository to its own rules: which package may import
// which, how long a file may be, that every package says what it is for, that
// tests do not sleep, and that versions which only build together stay together.
//
// The checks are functions from plain inputs to complaints, so that the tests can
// show each of them failing before they run it on the real tree.
package house

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Module is the import path every package of this repository starts with.
const Module = "maille"

// Source is one file of the tree.
type Source struct {
	// Path is relative to the root, with slashes.
	Path string
	Text string
}

// Generated reports whether a tool wrote the file (the marker is Go's own:
// https://go.dev/s/generatedcode).
func (s Source) Generated() bool {
	for line := range strings.Lines(s.Text) {
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, "// Code generated ") && strings.HasSuffix(line, " DO NOT EDIT.") {
			return true
		}
		if strings.HasPrefix(line, "package ") {
			return false
		}
	}
	return false
}

// Lines counts lines as an editor numbers them.
func (s Source) Lines() int {
	n := strings.Count(s.Text, "\n")
	if s.Text != "" && !strings.HasSuffix(s.Text, "\n") {
		n++
	}
	return n
}

// written are the files people write and review here, by extension.
var written = map[string]bool{
	".go": true, ".proto": true, ".js": true, ".mjs": true, ".html": true, ".css": true, ".sh": true,
}

// Root finds the directory of go.mod at or above the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.mod above the working directory")
		}
		dir = up
	}
}

// Tree reads every file people write under root, skipping what git ignores.
func Tree(root string) ([]Source, error) {
	var out []Source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if d.Name() == "node_modules" || d.Name() == "testdata" || untracked[rel] ||
				(rel != "." && strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if !written[filepath.Ext(rel)] {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		out = append(out, Source{Path: rel, Text: string(text)})
		return nil
	})
	return out, err
}

// untracked are the folders that builds leave behind and .gitignore names.
var untracked = map[string]bool{"bin": true, "data": true, "bench/out": true, ".git": true}

// topLevel is everything that may lie at the root, with what it is.
var topLevel = map[string]string{
	"cmd": "the maille command", "node": "one process", "mesh": "who is there", "relay": "the media plane",
	"placement": "who hosts which room", "proto": "messages", "bench": "tests of the whole and load", "deploy": "running it",
	"go.mod": "", "go.sum": "", "README.md": "", "LICENSE": "", "CONTRIBUTING.md": "", "Makefile": "",
	".gitignore": "", ".gitattributes": "", ".ci": "",
}

// TopLevel complains about entries of the root that have no place there.
func TopLevel(names []string) []string {
	var out []string
	for _, name := range names {
		if _, ok := topLevel[name]; ok || untracked[name] ||
			strings.HasSuffix(name, ".test") || strings.HasSuffix(name, ".prof") {
			continue
		}
		out = append(out, name+": not a top-level entry of this repository; put it in the folder it belongs to, "+
			"so that the eight folders stay the map of the system")
	}
	return out
}
