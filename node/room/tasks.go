package room

import "sync"

// tasks runs one participant's slow calls (peer connection work) in order, in its
// own goroutine, so that the room's loop never waits for them.
type tasks struct {
	wake chan struct{}
	done chan struct{}

	mu sync.Mutex
	// +guarded by mu. At most maxTasks and what one request adds wait here: see settled.
	queue  []func()
	last   func()
	closed bool
	less   sync.Cond // the queue became shorter
}

// maxTasks is how many may wait before the client's next request does. An honest one
// has a few for each track that it joins.
const maxTasks = 64

func newTasks() *tasks {
	t := &tasks{wake: make(chan struct{}, 1), done: make(chan struct{})}
	t.less.L = &t.mu
	go t.run()
	return t
}

// do queues f; after finish it does nothing.
func (t *tasks) do(f func()) {
	t.mu.Lock()
	if !t.closed {
		t.queue = append(t.queue, f)
	}
	t.mu.Unlock()
	t.signal()
}

// settled waits until less than maxTasks wait, and reports whether it had to.
func (t *tasks) settled() (waited bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.queue) >= maxTasks && !t.closed {
		waited = true
		t.less.Wait()
	}
	return waited
}

// finish drops what waits, runs last and ends the goroutine.
func (t *tasks) finish(last func()) {
	t.mu.Lock()
	if !t.closed {
		t.closed, t.last, t.queue = true, last, nil
		t.less.Broadcast()
	}
	t.mu.Unlock()
	t.signal()
}

func (t *tasks) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *tasks) run() {
	defer close(t.done)
	for range t.wake {
		for {
			t.mu.Lock()
			var f func()
			if len(t.queue) > 0 {
				f, t.queue = t.queue[0], t.queue[1:]
				t.less.Signal()
			}
			closed, last := t.closed, t.last
			t.mu.Unlock()
			if f != nil {
				f()
				continue
			}
			if closed {
				last()
				return
			}
			break
		}
	}
}
