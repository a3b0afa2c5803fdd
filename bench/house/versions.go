package house

import (
	"fmt"
	"strings"
)

// pinned are the versions that build only together.
var pinned = map[string]string{
	"github.com/hashicorp/go-metrics": "v0.6.1",
	"github.com/hashicorp/memberlist": "v0.6.0",
	"github.com/hashicorp/raft":       "v1.7.3",
	"github.com/hashicorp/serf":       "v0.10.4",
}

// Versions complains about a module of the pinned set that moved alone. Its input
// is module path to the version the build selected.
func Versions(selected map[string]string) []string {
	var out []string
	for path, want := range pinned {
		if got := selected[path]; got != want {
			out = append(out, fmt.Sprintf("%s is %q, not %s: raft-boltdb 2.3.1 needs go-metrics/compat, which 0.7.0 removed, "+
				"and newer raft, memberlist or serf pull 0.7.0 in; raise all of them in one change or none", path, got, want))
		}
	}
	return out
}

// Selected asks the go command which versions of the pinned modules the build uses.
func Selected(root string) (map[string]string, error) {
	args := []string{"list", "-m", "-f", "{{.Path}} {{.Version}}"}
	for path := range pinned {
		args = append(args, path)
	}
	out, err := goCommand(root, args...)
	if err != nil {
		return nil, err
	}
	selected := make(map[string]string)
	for line := range strings.Lines(out) {
		if path, version, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			selected[path] = version
		}
	}
	return selected, nil
}
