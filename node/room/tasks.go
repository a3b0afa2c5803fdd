package room

import "sync"

// tasks runs one participant's slow calls (peer connection work) in order, in its
// own goroutine, so that the room's loop never waits for them.
type tasks struct {
	wake chan struct{}
	done chan struct{}

	mu sync.Mutex
	// +guarded by mu. At most a few entries per track of the room wait here.
	queue  []func()
	last   func()
	closed bool
}

func newTasks() *tasks {
	t := &tasks{wake: make(chan struct{}, 1), done: make(chan struct{})}
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

// finish drops what waits, runs last and ends the goroutine.
func (t *tasks) finish(last func()) {
	t.mu.Lock()
	if !t.closed {
		t.closed, t.last, t.queue = true, last, nil
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
