package guard

import (
	"fmt"
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	now := time.Unix(1787000000, 0)
	p := Pace{Rate: 1, Burst: 3, Most: 100}
	took := func(who string, tries int) (n int) {
		for range tries {
			if p.Take(who, now) {
				n++
			}
		}
		return n
	}
	if n := took("eve", 10); n != 3 {
		t.Errorf("%d at once, want 3", n)
	}
	if n := took("ann", 1); n != 1 {
		t.Error("one pays for another")
	}
	now = now.Add(2 * time.Second)
	if n := took("eve", 10); n != 2 {
		t.Errorf("%d after two seconds, want 2", n)
	}
	now = now.Add(time.Hour)
	if n := took("eve", 10); n != 3 {
		t.Errorf("%d after an hour, want 3", n)
	}
}

func TestPaceIsBounded(t *testing.T) {
	now := time.Unix(1787000000, 0)
	p := Pace{Rate: 1, Burst: 1, Most: 100}
	for i := range 1000 {
		if !p.Take(fmt.Sprint(i), now) {
			t.Fatal("a newcomer was refused")
		}
	}
	if n := len(p.held); n > 100 {
		t.Errorf("%d are told apart", n)
	}
	if p.Take("0", now) {
		t.Error("the first was forgotten")
	}
	now = now.Add(time.Minute)
	p.Take("new", now)
	if n := len(p.held); n != 1 {
		t.Errorf("%d are held after a pause, want 1", n)
	}
}
