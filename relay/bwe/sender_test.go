package bwe

import (
	"fmt"
	"testing"
	"time"
)

func TestPlanX(t *testing.T) {
	for _, rtt := range []int{10, 50, 150, 300} {
		c := newClient(5 * mbit)
		c.rtt = time.Duration(rtt) * time.Millisecond
		say := func(what string) {
			fmt.Printf("rtt %3d %-28s budget %.2f..%.2f now %.2f sent %.2f arrived %.2f q95 %.0f q50 %.0f switches %d rate %.2f\n", rtt, what, c.floor/mbit, c.peak/mbit, c.s.Budget(c.now)/mbit, c.offered/mbit, c.arrived/mbit, c.queued(.95), c.queued(.5), c.switches, c.ladder[c.layer]/mbit)
		}
		for i := range 3 {
			c.run(time.Second)
			say(fmt.Sprint("start ", i))
		}
		c.run(10 * time.Second)
		say("5M 10s")
		c.rate = .5 * mbit
		for i := range 5 {
			c.run(time.Second)
			say(fmt.Sprint(".5M s", i))
		}
		c.run(20 * time.Second)
		say(".5M 20s")
		c.rate = 5 * mbit
		for i := range 10 {
			c.run(2 * time.Second)
			say(fmt.Sprint("5M again s", 2*i))
		}
	}
}
