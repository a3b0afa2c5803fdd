package rtc

import "encoding/binary"

// backlog holds the lossy messages of one channel while it is congested: bytes in a
// ring, so that waiting costs no allocation. What is newer pushes out what is older. The
// zero backlog is empty and takes its memory with its first message.
type backlog struct {
	ring  []byte
	head  int // of the oldest message
	used  int // bytes
	count int
}

// backlogHead is the length before each message.
const backlogHead = 4

// push adds a message and returns how many older ones made room, and whether it fit.
func (b *backlog) push(msg []byte, size int) (pushedOut int, ok bool) {
	if b.ring == nil {
		b.ring = make([]byte, size)
	}
	need := backlogHead + len(msg)
	if need > len(b.ring) {
		return 0, false
	}
	for b.used+need > len(b.ring) {
		b.drop()
		pushedOut++
	}
	var head [backlogHead]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(msg)))
	b.write(head[:])
	b.write(msg)
	b.count++
	return pushedOut, true
}

// pop copies the oldest message behind buf and removes it.
func (b *backlog) pop(buf []byte) []byte {
	n := b.length()
	at := (b.head + backlogHead) % len(b.ring)
	if first := len(b.ring) - at; n > first {
		buf = append(append(buf, b.ring[at:]...), b.ring[:n-first]...)
	} else {
		buf = append(buf, b.ring[at:at+n]...)
	}
	b.drop()
	return buf
}

// drop removes the oldest message.
func (b *backlog) drop() {
	n := backlogHead + b.length()
	b.head = (b.head + n) % len(b.ring)
	b.used -= n
	b.count--
}

func (b *backlog) length() int {
	var head [backlogHead]byte
	for i := range head {
		head[i] = b.ring[(b.head+i)%len(b.ring)]
	}
	return int(binary.BigEndian.Uint32(head[:]))
}

func (b *backlog) write(p []byte) {
	at := (b.head + b.used) % len(b.ring)
	n := copy(b.ring[at:], p)
	copy(b.ring, p[n:])
	b.used += len(p)
}
