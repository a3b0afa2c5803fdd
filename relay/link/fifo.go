package link

// fifo is a ring of entries that grows by doubling and never shrinks, so that in a
// steady state nothing is allocated.
type fifo struct {
	buf  []entry // length a power of two
	head int
	n    int
}

func (f *fifo) len() int { return f.n }

func (f *fifo) first() *entry { return &f.buf[f.head] }

func (f *fifo) push(e entry) {
	if f.n == len(f.buf) {
		grown := make([]entry, max(16, 2*len(f.buf)))
		for i := range f.n {
			grown[i] = f.buf[(f.head+i)&(len(f.buf)-1)]
		}
		f.buf, f.head = grown, 0
	}
	f.buf[(f.head+f.n)&(len(f.buf)-1)] = e
	f.n++
}

// pushFront undoes a pop; there is room where the entry was.
func (f *fifo) pushFront(e entry) {
	f.head = (f.head - 1) & (len(f.buf) - 1)
	f.buf[f.head] = e
	f.n++
}

// pushOver pushes and returns the oldest entry if there are more than limit.
func (f *fifo) pushOver(e entry, limit int) (gone entry) {
	if f.n >= limit {
		gone = f.pop()
	}
	f.push(e)
	return gone
}

func (f *fifo) pop() entry {
	e := f.buf[f.head]
	f.buf[f.head] = entry{}
	f.head = (f.head + 1) & (len(f.buf) - 1)
	f.n--
	return e
}

func (f *fifo) release() {
	for f.n > 0 {
		f.pop().p.Release()
	}
}
