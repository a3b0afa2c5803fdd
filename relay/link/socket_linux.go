//go:build amd64 || arm64

package link

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// socket is a UDP socket that moves several packets in one system call. What QUIC writes
// one after the other, of one size and to one peer, leaves together (UDP_SEGMENT); what
// came together is read together (UDP_GRO). A system call and the way through the kernel
// cost more than all the rest of a packet's way. QUIC's own use of UDP_SEGMENT is bound
// to packets that are full to the last byte, and to one connection at a time.
//
// Errors of writing are counted and not reported, because they may be another peer's; what
// does not leave is lost like any packet.
type socket struct {
	*net.UDPConn
	raw syscall.RawConn
	six bool // an IPv6 socket: IPv4 addresses are written as IPv6
	in  inbound
	out outbound

	unsent *unsent
}

// newSocket returns conn with what it is to be read and written through; stop ends that.
// What is not taken is counted in lost.
func newSocket(conn net.PacketConn, lost *unsent) (c net.PacketConn, stop func()) {
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		return conn, func() {}
	}
	s := &socket{UDPConn: udp, unsent: lost}
	s.in.buf = make([]byte, maxRead)
	s.out.kick, s.out.done = make(chan struct{}, 1), make(chan struct{})
	raw, err := udp.SyscallConn()
	if err != nil {
		return conn, func() {}
	}
	s.raw = raw
	_ = raw.Control(func(fd uintptr) {
		// A kernel without it gives one packet at a time.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1)
		if name, err := unix.Getsockname(int(fd)); err == nil {
			_, s.six = name.(*unix.SockaddrInet6)
		}
	})
	s.in.receive = s.receive
	s.out.wg.Go(s.flushes)
	return s, func() {
		close(s.out.done)
		s.out.wg.Wait()
	}
}

const (
	// maxRead is the most that the kernel puts together.
	maxRead = 1 << 16
	// maxTogether is the bytes that leave together, what an IP packet may hold and some headers
	// less; maxSegments the packets, as many as any kernel takes.
	maxTogether = 65000
	maxSegments = 64
	// maxOOB is more than the control messages of one packet: ECN and the local address.
	maxOOB = 128
)

// inbound is touched by QUIC's reading goroutine only.
type inbound struct {
	buf  []byte
	rest []byte // of buf, not yet handed on
	size int    // of each packet in it
	oob  [maxOOB]byte
	noob int
	from net.Addr

	receive func(uintptr) bool // made once
	name    [unix.SizeofSockaddrInet6]byte
	got     int
	err     syscall.Errno

	senders [8]*net.UDPAddr // seen lately, so that there is no new one for each packet
	next    int
}

// ReadBatch hands on packets, one a message. It is what quic-go reads with.
func (s *socket) ReadBatch(ms []ipv4.Message, _ int) (n int, err error) {
	in := &s.in
	for len(in.rest) == 0 {
		if err := s.raw.Read(in.receive); err != nil {
			return 0, err
		}
		if in.err != 0 {
			return 0, os.NewSyscallError("recvmsg", in.err)
		}
		in.rest, in.from = in.buf[:in.got], in.addr()
		if in.size = segmentSize(in.oob[:in.noob], unix.UDP_GRO); in.size <= 0 {
			in.size = in.got
		}
	}
	for ; n < len(ms) && len(in.rest) > 0; n++ {
		m, packet := &ms[n], in.rest[:min(in.size, len(in.rest))]
		m.N, m.NN, m.Addr = copy(m.Buffers[0], packet), copy(m.OOB, in.oob[:in.noob]), in.from
		in.rest = in.rest[len(packet):]
	}
	return n, nil
}

// receive reads what came together; false if nothing is there. The call does not block, so
// that the scheduler need not know of it: telling it wakes its monitor, which costs more.
func (s *socket) receive(fd uintptr) bool {
	in := &s.in
	part := unix.Iovec{Base: &in.buf[0]}
	part.SetLen(len(in.buf))
	msg := unix.Msghdr{Name: &in.name[0], Namelen: uint32(len(in.name)), Iov: &part, Control: &in.oob[0]}
	msg.SetIovlen(1)
	msg.SetControllen(len(in.oob))
	for {
		n, _, err := syscall.RawSyscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&msg)), unix.MSG_DONTWAIT)
		in.got, in.noob, in.err = int(n), int(msg.Controllen), err
		switch err {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		return true
	}
}

func (in *inbound) addr() *net.UDPAddr {
	var from netip.AddrPort
	port := binary.BigEndian.Uint16(in.name[2:])
	if binary.NativeEndian.Uint16(in.name[:]) == unix.AF_INET {
		from = netip.AddrPortFrom(netip.AddrFrom4([4]byte(in.name[4:8])), port)
	} else {
		from = netip.AddrPortFrom(netip.AddrFrom16([16]byte(in.name[8:24])).Unmap(), port)
	}
	for _, a := range in.senders {
		if a != nil && a.AddrPort() == from {
			return a
		}
	}
	a := net.UDPAddrFromAddrPort(from)
	in.senders[in.next] = a
	in.next = (in.next + 1) % len(in.senders)
	return a
}

// segmentSize is the size of packets that a control message of UDP tells, 0 if none does.
func segmentSize(oob []byte, kind int32) int {
	for len(oob) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return 0
		}
		if h.Level == unix.IPPROTO_UDP && h.Type == kind {
			switch { // what is read is an int, what is written two bytes
			case len(data) >= 4:
				return int(int32(binary.NativeEndian.Uint32(data)))
			case len(data) >= 2:
				return int(binary.NativeEndian.Uint16(data))
			}
		}
		oob = rest
	}
	return 0
}

// outbound is what waits to leave.
type outbound struct {
	kick, done chan struct{}
	wg         sync.WaitGroup

	// sending is held while a run is written, so that runs keep their order. It guards
	// spare and alone.
	sending sync.Mutex
	spare   run
	alone   bool // the kernel, or the device, takes one packet at a time

	mu  sync.Mutex // guards run; taken after sending
	run run
}

// run is packets that leave together.
type run struct {
	b     []byte
	size  int // of each packet
	n     int
	ended bool // the last packet is shorter, and none may follow
	to    *net.UDPAddr
	oob   []byte // without the size
}

// WriteMsgUDP takes a packet, or several of one size as UDP_SEGMENT in oob tells. They leave
// when QUIC, which hands over one packet at a time, has handed over what it has.
func (s *socket) WriteMsgUDP(b, oob []byte, to *net.UDPAddr) (int, int, error) {
	size := segmentSize(oob, unix.UDP_SEGMENT)
	if size <= 0 || size > len(b) {
		size = len(b)
	}
	o := &s.out
	for {
		o.mu.Lock()
		first := o.run.n == 0
		taken := o.run.add(b, size, oob, to)
		o.mu.Unlock()
		switch {
		case !taken:
			s.flush()
			continue
		case first:
			select {
			case o.kick <- struct{}{}:
			default:
			}
		}
		return len(b), len(oob), nil
	}
}

// add appends packets of one size if they may leave with those there.
func (r *run) add(b []byte, size int, oob []byte, to *net.UDPAddr) bool {
	var kept [maxOOB]byte
	control := withoutSize(kept[:0], oob)
	n := (len(b) + size - 1) / max(size, 1)
	switch {
	case r.n == 0:
		r.size, r.to, r.oob = size, to, append(r.oob[:0], control...)
	case r.ended, size > r.size, size < r.size && n > 1, r.n+n > maxSegments, len(r.b)+len(b) > maxTogether,
		string(control) != string(r.oob), !sameAddr(to, r.to):
		return false
	}
	r.b, r.n = append(r.b, b...), r.n+max(n, 1)
	r.ended = len(r.b) != r.n*r.size
	return true
}

func sameAddr(a, b *net.UDPAddr) bool {
	return a == b || a.Port == b.Port && a.Zone == b.Zone && a.IP.Equal(b.IP)
}

// withoutSize appends the control messages of oob other than UDP's.
func withoutSize(dst, oob []byte) []byte {
	for len(oob) > 0 {
		h, _, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			break
		}
		if h.Level != unix.IPPROTO_UDP {
			dst = append(dst, oob[:len(oob)-len(rest)]...)
		}
		oob = rest
	}
	return dst
}

func appendSegmentSize(oob []byte, size int) []byte {
	const bytes = 2
	at := len(oob)
	oob = append(oob, make([]byte, unix.CmsgSpace(bytes))...)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[at]))
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(bytes))
	binary.NativeEndian.PutUint16(oob[at+unix.CmsgSpace(0):], uint16(size))
	return oob
}

// flushes writes what there is, once those that write have nothing more.
func (s *socket) flushes() {
	for {
		select {
		case <-s.out.kick:
			s.flush()
		case <-s.out.done:
			s.flush()
			return
		}
	}
}

func (s *socket) flush() {
	o := &s.out
	o.sending.Lock()
	defer o.sending.Unlock()
	o.mu.Lock()
	o.run, o.spare = o.spare, o.run
	o.mu.Unlock()
	r := &o.spare
	if r.n > 1 && !o.alone {
		err := s.write(r.b, appendSegmentSize(r.oob, r.size), r.to)
		if err != nil && s.sendEach(r) {
			s.unsent[unsentTogether].Add(1)
			o.alone = true
		}
	} else if r.n > 0 {
		s.sendEach(r)
	}
	*r = run{b: r.b[:0], oob: r.oob[:0]}
}

// sendEach writes the packets one by one and tells whether all could be.
func (s *socket) sendEach(r *run) bool {
	all := true
	for b := r.b; len(b) > 0; {
		n := min(r.size, len(b))
		if err := s.write(b[:n], r.oob, r.to); err != nil {
			s.unsent.count(err)
			all = false
		}
		b = b[n:]
	}
	return all
}

// write is receive's counterpart; it waits while the socket has no room.
func (s *socket) write(b, oob []byte, to *net.UDPAddr) error {
	var name [unix.SizeofSockaddrInet6]byte
	length := uint32(unix.SizeofSockaddrInet4)
	family := uint16(unix.AF_INET)
	binary.BigEndian.PutUint16(name[2:], uint16(to.Port))
	if ip := to.IP.To4(); ip != nil && !s.six {
		copy(name[4:], ip)
	} else if ip := to.IP.To16(); ip != nil && to.Zone == "" && s.six {
		family, length = unix.AF_INET6, unix.SizeofSockaddrInet6
		copy(name[8:], ip)
	} else {
		return errAddress
	}
	binary.NativeEndian.PutUint16(name[:], family)
	part := unix.Iovec{Base: &b[0]}
	part.SetLen(len(b))
	msg := unix.Msghdr{Name: &name[0], Namelen: length, Iov: &part}
	msg.SetIovlen(1)
	if len(oob) > 0 {
		msg.Control = &oob[0]
		msg.SetControllen(len(oob))
	}
	var errno syscall.Errno
	err := s.raw.Write(func(fd uintptr) bool {
		for {
			_, _, errno = syscall.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&msg)), unix.MSG_DONTWAIT)
			if errno != unix.EINTR {
				return errno != unix.EAGAIN
			}
		}
	})
	if err == nil && errno != 0 {
		err = errno
	}
	return err
}
