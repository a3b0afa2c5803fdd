package guard

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCounts(t *testing.T) {
	var c Counts
	c.Add(Packet)
	c.Add(Packet)
	if c.Of(Packet) != 2 || c.Of(Address) != 0 {
		t.Errorf("counted %d and %d", c.Of(Packet), c.Of(Address))
	}
	got := c.Snapshot()
	if got["packet"] != 2 || len(got) != int(numReasons) {
		t.Errorf("snapshot %v", got)
	}
	var none *Counts
	none.Add(Token)
	if none.Of(Token) != 0 {
		t.Error("a nil ledger counted")
	}
}

// Every reason has a name of its own: they become label values.
func TestNames(t *testing.T) {
	seen := make(map[string]bool)
	for r := range numReasons {
		if r.String() == "" || seen[r.String()] {
			t.Errorf("reason %d is named %q", r, r)
		}
		seen[r.String()] = true
	}
	if Reason(200).String() != "invalid" {
		t.Error("a reason out of range has a name")
	}
}
