package link

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
)

// unsent counts what the kernel did not take, by reason. To QUIC that is lost like any
// packet, and a path that is misconfigured would look like a lossy one.
type unsent [len(unsentNames)]atomic.Uint64

const (
	unsentAddress = iota
	unsentUnreachable
	unsentRefused
	unsentTooLarge
	unsentNoRoom
	unsentForbidden
	unsentClosed
	unsentOther
	unsentTogether
)

// unsentNames are the reasons. All but the last count packets; not_together counts runs of
// packets that the kernel or the device did not take in one call, and that left one by one.
var unsentNames = [...]string{
	unsentAddress: "address", unsentUnreachable: "unreachable", unsentRefused: "refused", unsentTooLarge: "too_large",
	unsentNoRoom: "no_room", unsentForbidden: "forbidden", unsentClosed: "closed", unsentOther: "other",
	unsentTogether: "not_together",
}

// errAddress tells that an address is of no kind that the socket writes to.
var errAddress = errors.New("link: no address to write to")

// count counts one packet that was not taken.
func (u *unsent) count(err error) { u[unsentFor(err)].Add(1) }

func unsentFor(err error) int {
	var no syscall.Errno
	switch {
	case errors.Is(err, errAddress):
		return unsentAddress
	case errors.Is(err, net.ErrClosed):
		return unsentClosed
	case !errors.As(err, &no):
		return unsentOther
	}
	switch no {
	case syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN:
		return unsentUnreachable
	case syscall.ECONNREFUSED:
		return unsentRefused
	case syscall.EMSGSIZE:
		return unsentTooLarge
	case syscall.ENOBUFS, syscall.ENOMEM:
		return unsentNoRoom
	case syscall.EPERM, syscall.EACCES:
		return unsentForbidden
	}
	return unsentOther
}

func (u *unsent) snapshot() map[string]uint64 {
	out := make(map[string]uint64)
	for i := range u {
		if n := u[i].Load(); n > 0 {
			out[unsentNames[i]] = n
		}
	}
	return out
}

// Unsent counts packets that the socket did not take, by reason, and as not_together how
// often several had to leave one by one. It counts where packets leave together, which is
// Linux; elsewhere QUIC ends the connection.
func (e *Endpoint) Unsent() map[string]uint64 { return e.unsent.snapshot() }
