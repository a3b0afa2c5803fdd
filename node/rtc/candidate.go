package rtc

import (
	"errors"
	"net"
	"strings"

	"maille/node/guard"
	"maille/node/rtc/sdp"
)

const (
	// maxCandidates is per transport and description; a browser with ten addresses sends
	// thirty.
	maxCandidates     = 64
	maxCandidateBytes = 2 << 10
)

// AddCandidate takes a candidate that the client trickled, the JSON of an
// RTCIceCandidateInit. As an ICE-lite agent the peer calls no address: it answers those
// that prove the session's password, so a candidate is checked, counted and not kept.
// Names (mDNS, DNS) and addresses where no client can be are passed over in silence;
// an empty candidate ends them. ErrLimit tells of a flood, ErrRefused of nonsense.
func (p *Peer) AddCandidate(initJSON string) (err error) {
	defer func() {
		if errors.Is(err, ErrLimit) || errors.Is(err, ErrRefused) {
			p.refuse(guard.Candidate)
		}
	}()
	if len(initJSON) > maxCandidateBytes {
		return limit("candidate bytes", len(initJSON), maxCandidateBytes)
	}
	if p.closing() {
		return ErrClosed
	}
	p.mu.Lock()
	p.candidates++
	n := p.candidates
	p.mu.Unlock()
	if n > maxCandidates {
		return limit("candidates", n, maxCandidates)
	}
	return sdp.CheckCandidate(initJSON)
}

// candidateLines completes the candidates of the node's own SDP.
func (p *Peer) candidateLines(text string) string {
	if !p.tcpOnly {
		return p.engine.addHosts(text)
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		// a=candidate:<foundation> <component> udp ...
		if f := strings.Fields(line); len(f) < 3 || !strings.HasPrefix(f[0], "a=candidate:") || !strings.EqualFold(f[2], "udp") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// addHosts writes the addresses into the node's own SDP that its single ICE candidate
// per family does not name, with falling priority.
func (e *Engine) addHosts(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(line)
		f := strings.Fields(line)
		// a=candidate:<foundation> 1 udp <priority> <address> <port> typ host
		if len(f) < 8 || !strings.HasPrefix(f[0], "a=candidate:") || f[1] != "1" || !strings.EqualFold(f[2], "udp") {
			continue
		}
		for i, ip := range e.hosts {
			if ip.String() == f[4] || (ip.To4() == nil) != strings.Contains(f[4], ":") || e.isLocal(ip) {
				continue
			}
			out.WriteString("a=candidate:host" + itoa(i) + " 1 udp " + itoa(hostPriority(i)) + " " +
				ip.String() + " " + f[5] + " typ host\r\n")
		}
	}
	return out.String()
}

// isLocal tells the addresses that ICE has a candidate of its own for.
func (e *Engine) isLocal(ip net.IP) bool {
	for _, a := range e.udp.locals {
		if u, ok := a.(*net.UDPAddr); ok && u.IP.Equal(ip) {
			return true
		}
	}
	return false
}

// hostPriority is RFC 8445 section 5.1.2.1 for the i-th host candidate of component 1.
func hostPriority(i int) uint32 { return 126<<24 | uint32(65535-i)<<8 | 255 }
