package linkbench

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"maille/bench/house"
)

var (
	full = flag.Bool("bench-link", false, "run the bench (environment: ROWS, OUT)")
	warm = flag.Duration("bench-warm", DefaultWarm, "virtual time before packets count")
	prof = flag.String("bench-profile", "", "folder for processor profiles of the loopback runs")
	seed = flag.Uint64("bench-seed", 1, "seed of load and paths")
)

func TestMain(m *testing.M) {
	if IsChild() {
		os.Exit(Child(os.Stdin, os.Stdout))
	}
	if os.Getenv(recordEnv) != "" {
		os.Exit(recordChild())
	}
	goleak.VerifyTestMain(m)
}

// inBubble runs f in a bubble of a subtest of its own, from any goroutine.
func inBubble(t *testing.T) func(string, func()) {
	return func(name string, f func()) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(*testing.T) { f() }) })
	}
}

// output is where the JSON goes: $OUT, a file or an existing folder.
func output() (string, error) {
	out := os.Getenv("OUT")
	if out == "" {
		root, err := house.Root()
		return filepath.Join(root, "bench", "out", "link.json"), err
	}
	if st, err := os.Stat(out); err == nil && st.IsDir() {
		return filepath.Join(out, "link.json"), nil
	}
	return out, nil
}

// The bench itself: `make bench-link`. It reports and does not fail on a figure.
func TestGrid(t *testing.T) {
	if !*full {
		t.Skip("only with -bench-link: it takes minutes")
	}
	choice, err := Choose(os.Getenv("ROWS"))
	if err != nil {
		t.Fatal(err)
	}
	path, err := output()
	if err != nil {
		t.Fatal(err)
	}
	b := &Bench{Choice: choice, Seed: *seed, Warm: *warm, Profile: *prof, Bubble: inBubble(t), Progress: os.Stderr}
	res := b.Run(t.Context())
	if err := res.Write(os.Stdout); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := WriteRows(f, res.Rows()); err != nil {
		t.Fatal(err)
	}
	t.Log("rows in", path)
}
