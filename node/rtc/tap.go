package rtc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"sync"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/prf"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"
	"github.com/pion/transport/v4/replaydetector"
	"github.com/pion/webrtc/v4"

	"maille/node/guard"
)

// errChunks ends a client that does not stop.
var errChunks = errors.New("rtc: SCTP over its bounds")

// tap reads the data channels' packets of one peer between ICE and DTLS, and drops those
// that cost more than guard.SCTP allows: pion has no place for this between DTLS and
// SCTP. It learns the keys by what pion offers for key logs, keeps them as long as pion
// does, and shows them to nobody. Without keys no data passes: they are there before a
// client may send any.
type tap struct {
	peer *Peer

	mu      sync.Mutex // guards all below
	watch   guard.SCTP
	shakes  guard.Handshakes
	hello   hello    // of the DTLS server, whoever that is
	in, out *records // nil before the handshake is done
	buf     []byte   // of the record that is looked at
	over    bool     // the client said that it ends
}

// hello is what the keys need of a ServerHello.
type hello struct {
	came, own bool
	random    [handshake.RandomLength]byte
	suite     dtls.CipherSuiteID
}

func newTap(p *Peer) *tap { return &tap{peer: p, watch: guard.SCTP{Window: sctpReceive}} }

// serverHello is told what this node says when it is the server; it changes nothing.
func (t *tap) serverHello(m handshake.MessageServerHello) handshake.Message {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hello = hello{came: true, own: true, random: m.Random.MarshalFixed()}
	if m.CipherSuiteID != nil {
		t.hello.suite = dtls.CipherSuiteID(*m.CipherSuiteID)
	}
	return &m
}

// overhear finds the client's ServerHello in a handshake record, if it is the server. The
// first counts, as with pion; should pion take another, no data passes.
func (t *tap) overhear(rec []byte) {
	const head, random, session = 12, 2, 2 + handshake.RandomLength
	b := rec[recordHeader:]
	if t.hello.came || rec[0] != handshakes || epoch(rec) != 0 || len(b) < head+session+1 || handshake.Type(b[0]) != handshake.TypeServerHello {
		return
	}
	b = b[head:]
	suite := session + 1 + int(b[session])
	if len(b) < suite+2 {
		return
	}
	t.hello = hello{
		came: true, random: [handshake.RandomLength]byte(b[random:]),
		suite: dtls.CipherSuiteID(binary.BigEndian.Uint16(b[suite:])),
	}
}

// Write takes a line of the key log: "CLIENT_RANDOM <hex> <hex>\n".
func (t *tap) Write(line []byte) (int, error) {
	f := strings.Fields(string(line))
	if len(f) != 3 || f[0] != "CLIENT_RANDOM" {
		return len(line), nil
	}
	client, err := hex.DecodeString(f[1])
	secret, err2 := hex.DecodeString(f[2])
	if errors.Join(err, err2) != nil {
		return len(line), nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	size, sum := 16, sha256.New
	if t.hello.suite == dtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 {
		size, sum = 32, sha512.New384
	}
	k, err := prf.GenerateEncryptionKeys(secret, client, t.hello.random[:], 0, size, saltBytes, sum)
	if err != nil {
		return len(line), nil
	}
	if !t.hello.own {
		k.ClientWriteKey, k.ServerWriteKey = k.ServerWriteKey, k.ClientWriteKey
		k.ClientWriteIV, k.ServerWriteIV = k.ServerWriteIV, k.ClientWriteIV
	}
	if t.in, err = newRecords(k.ClientWriteKey, k.ClientWriteIV); err == nil {
		t.out, err = newRecords(k.ServerWriteKey, k.ServerWriteIV)
	}
	if err != nil {
		t.in, t.out = nil, nil
	}
	return len(line), nil
}

// DTLS 1.2 records (RFC 6347 section 4.1) under AES-GCM (RFC 5288 section 3).
const (
	recordHeader    = 13
	changeCipher    = 20 // the first type there is
	alerts          = 21
	handshakes      = 22
	applicationData = 23 // also the last type there is without extensions
	saltBytes       = 4
	nonceBytes      = 8 // explicit, before what is encrypted
	tagBytes        = 16
	// maxSackRecord is the longest record of the node's that is looked at: one with an
	// acknowledgement of up to 64 ranges.
	maxSackRecord = recordHeader + nonceBytes + tagBytes + 12 + 16 + 4*64
	// dtlsReplays in records is pion's own window.
	dtlsReplays = 64
)

// isDTLS tells records from the other packets of the connection (RFC 7983 section 7).
func isDTLS(b []byte) bool { return len(b) > 0 && b[0] >= changeCipher && b[0] < 64 }

// records are those of one direction.
type records struct {
	aead   cipher.AEAD
	salt   [saltBytes]byte
	replay replaydetector.ReplayDetector
}

func newRecords(key, salt []byte) (*records, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	a, err := cipher.NewGCM(b)
	if err != nil {
		return nil, err
	}
	return &records{aead: a, salt: [saltBytes]byte(salt), replay: replaydetector.New(dtlsReplays, 1<<48-1)}, nil
}

// open decrypts a record into buf; false for one that is forged, or has come before.
func (r *records) open(rec, buf []byte) ([]byte, bool) {
	if len(rec) < recordHeader+nonceBytes+tagBytes {
		return nil, false
	}
	seq := binary.BigEndian.Uint64(rec[3:])
	accept, ok := r.replay.Check(seq & (1<<48 - 1))
	if !ok {
		return nil, false
	}
	var nonce [saltBytes + nonceBytes]byte
	copy(nonce[:], r.salt[:])
	copy(nonce[saltBytes:], rec[recordHeader:])
	sealed := rec[recordHeader+nonceBytes:]
	var ad [recordHeader]byte
	copy(ad[:], rec[3:11]) // epoch and number
	copy(ad[8:], rec[:3])  // type and version
	binary.BigEndian.PutUint16(ad[11:], uint16(len(sealed)-tagBytes))
	out, err := r.aead.Open(buf[:0], nonce[:], sealed, ad[:])
	if err != nil {
		return nil, false
	}
	accept()
	return out, true
}

// split takes the first record off a datagram; false if there is none.
func split(b []byte) (rec, rest []byte, ok bool) {
	if len(b) < recordHeader {
		return nil, nil, false
	}
	n := recordHeader + int(binary.BigEndian.Uint16(b[11:]))
	if n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// epoch is 0 for what is not encrypted, and 1 ever after: nothing is negotiated twice.
func epoch(rec []byte) uint16 { return binary.BigEndian.Uint16(rec[3:]) }

// stray tells of a record in clear text that has no place once there are keys. Anyone can
// write one, and pion would end the connection for an alert, or for what it cannot parse.
// The last flight of a handshake may come again.
func stray(rec []byte) bool {
	again := rec[0] == handshakes || rec[0] == changeCipher && len(rec) == recordHeader+1 && rec[recordHeader] == 1
	return epoch(rec) == 0 && !again
}

// passes judges a datagram of the client's that isDTLS. Only what is authentic is charged
// to the client; of the rest no data goes on, and handshakes are pion's to judge.
func (t *tap) passes(b []byte) bool {
	now := t.peer.engine.now()
	t.mu.Lock()
	v, why := t.judge(b, now)
	over := t.over
	t.mu.Unlock()
	if over && t.peer.pc.SCTP().State() != webrtc.SCTPTransportStateConnected {
		t.peer.shut(ErrLost) // else the association ends with it, see NewPeer
	}
	if v == guard.Pass {
		return true
	}
	t.peer.refuse(why)
	if v == guard.End {
		t.peer.shut(errChunks)
	}
	return false
}

// ends tells of an alert of the client's after which nothing comes (RFC 5246 section 7.2).
func (t *tap) ends(rec []byte) bool {
	const fatal, closeNotify = 2, 0
	if rec[0] != alerts || t.in == nil || epoch(rec) != 1 {
		return false
	}
	p, ok := t.in.open(rec, t.buf)
	if !ok {
		return false
	}
	t.buf = p[:0]
	return len(p) == 2 && (p[0] == fatal || p[1] == closeNotify)
}

func (t *tap) judge(b []byte, now int64) (guard.Verdict, guard.Reason) {
	for len(b) > 0 {
		rec, rest, ok := split(b)
		if !ok || rec[0] > applicationData {
			return guard.Drop, guard.Packet
		}
		b = rest
		if rec[0] != applicationData {
			if t.in != nil && stray(rec) {
				return guard.Drop, guard.Packet
			}
			if !t.shakes.Take(rec[0] == alerts, now) {
				return guard.Drop, guard.Record
			}
			t.overhear(rec)
			t.over = t.over || t.ends(rec)
			continue
		}
		if t.in == nil || epoch(rec) != 1 {
			return guard.Drop, guard.Packet
		}
		p, ok := t.in.open(rec, t.buf)
		if !ok {
			return guard.Drop, guard.Packet
		}
		t.buf = p[:0]
		if t.hello.own {
			t.shakes.Done() // a client that sends data has heard all that a server says
		}
		if v := t.watch.In(p, now); v != guard.Pass {
			return v, guard.Chunk
		}
	}
	return guard.Pass, 0
}

// sent looks at a datagram of the node's that isDTLS, for acknowledgements.
func (t *tap) sent(b []byte) {
	if b[0] != applicationData || len(b) > maxSackRecord {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hello.came && !t.hello.own {
		t.shakes.Done() // and so has the node, when the client is the server
	}
	if t.out == nil || t.watch.Idle() {
		return
	}
	if rec, _, ok := split(b); ok && epoch(rec) == 1 {
		if p, ok := t.out.open(rec, t.buf); ok {
			t.buf = p[:0]
			t.watch.Out(p)
		}
	}
}

// read is told of each message that came out of a channel.
func (t *tap) read(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watch.Read(n)
}
