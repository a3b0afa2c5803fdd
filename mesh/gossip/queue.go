package gossip

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"sync"
)

// loadRetransmits times the number of digits in the cluster's size is how often a
// load is passed on. It is low because the next load is a second away, and full
// syncs carry them too.
const loadRetransmits = 3

// loadQueue holds the loads to pass on, at most one a node: a newer one replaces the
// one still waiting.
type loadQueue struct {
	mu      sync.Mutex // guards waiting
	waiting map[string]*waiting
}

type waiting struct {
	node string
	msg  []byte
	sent int
}

func (q *loadQueue) put(node string, msg []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting == nil {
		q.waiting = map[string]*waiting{}
	}
	q.waiting[node] = &waiting{node: node, msg: msg}
}

// take returns loads for one datagram, the least sent first: at most limit bytes,
// with overhead for each.
func (q *loadQueue) take(overhead, limit, nodes int) [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return nil
	}
	order := make([]*waiting, 0, len(q.waiting))
	for _, w := range q.waiting {
		order = append(order, w)
	}
	slices.SortFunc(order, func(a, b *waiting) int {
		return cmp.Or(a.sent-b.sent, strings.Compare(a.node, b.node))
	})
	most := loadRetransmits * int(math.Ceil(math.Log10(float64(nodes+1))))
	var out [][]byte
	for _, w := range order {
		size := overhead + len(w.msg)
		if size > limit {
			continue
		}
		limit -= size
		out = append(out, w.msg)
		if w.sent++; w.sent >= most {
			delete(q.waiting, w.node)
		}
	}
	return out
}
