package rtc

import (
	"crypto/rand"
	"testing"

	"github.com/pion/dtls/v3/pkg/protocol/handshake"
)

// sealed is a record of application data as a DTLS peer with these keys makes it.
func sealed(t *testing.T, r *records, seq byte, p []byte) []byte {
	t.Helper()
	rec := []byte{applicationData, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, seq, 0, 0}
	var nonce [saltBytes + nonceBytes]byte
	copy(nonce[:], r.salt[:])
	_, _ = rand.Read(nonce[saltBytes:])
	ad := append([]byte{0, 1, 0, 0, 0, 0, 0, seq}, applicationData, 0xfe, 0xfd, 0, byte(len(p)))
	rec = append(rec, nonce[saltBytes:]...)
	rec = r.aead.Seal(rec, nonce[:], p, ad)
	rec[12] = byte(len(rec) - recordHeader)
	return rec
}

func TestRecords(t *testing.T) {
	r, err := newRecords(make([]byte, 16), []byte{1, 2, 3, 4})
	if err != nil {
		t.Fatal(err)
	}
	rec := sealed(t, r, 5, []byte("hello"))
	forged := append([]byte(nil), rec...)
	forged[len(forged)-1]++
	if _, ok := r.open(forged, nil); ok {
		t.Error("a forged record was opened")
	}
	if p, ok := r.open(rec, nil); !ok || string(p) != "hello" {
		t.Errorf("opened %q, %t", p, ok)
	}
	if _, ok := r.open(rec, nil); ok {
		t.Error("a record was opened twice")
	}
	if _, ok := r.open(rec[:recordHeader+nonceBytes], nil); ok {
		t.Error("half a record was opened")
	}
}

// What a client sends before there are keys, in the clear, or as nothing known, is no
// data.
func TestTapWithoutKeys(t *testing.T) {
	tap := newTap(&Peer{engine: &Engine{now: func() int64 { return 0 }}})
	for name, b := range map[string][]byte{
		"encrypted data":        {applicationData, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0},
		"data in the clear":     {applicationData, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0},
		"a record past the end": {handshakes, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 9, 0},
		"records of DTLS 1.3":   {47, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"data behind a handshake": {
			handshakes, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0,
			applicationData, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0,
		},
	} {
		if tap.passes(b) {
			t.Errorf("%s passed", name)
		}
	}
	if !tap.passes([]byte{handshakes, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0}) {
		t.Error("a handshake did not pass")
	}
}

// The first ServerHello counts, and none of a client's once the node has said its own.
func TestOverhear(t *testing.T) {
	hello := func(random byte) []byte {
		b := make([]byte, recordHeader+12+2+handshake.RandomLength+1+2)
		b[0], b[12], b[recordHeader] = handshakes, byte(len(b)-recordHeader), byte(handshake.TypeServerHello)
		b[recordHeader+14] = random
		b[len(b)-2], b[len(b)-1] = 0xc0, 0x2c
		return b
	}
	tap := newTap(&Peer{engine: &Engine{now: func() int64 { return 0 }}})
	for i := range byte(3) {
		tap.passes(hello(7 + i))
	}
	if tap.hello.random[0] != 7 || tap.hello.suite != 0xc02c || tap.hello.own {
		t.Errorf("%+v", tap.hello)
	}
	for n := range hello(1) {
		short := newTap(tap.peer)
		b := hello(1)[:n]
		if n >= recordHeader {
			b[12] = byte(n - recordHeader)
		}
		if short.passes(b); n > 0 && short.hello.came {
			t.Errorf("%d bytes of a hello were enough", n)
		}
	}
	own := newTap(tap.peer)
	own.serverHello(handshake.MessageServerHello{})
	own.passes(hello(9))
	if own.hello.random[0] == 9 {
		t.Error("a client's hello took the place of the node's")
	}
}

// FuzzTap judges datagrams of which none is authentic: no data goes on.
func FuzzTap(f *testing.F) {
	f.Add([]byte{handshakes, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 2})
	f.Add([]byte{applicationData, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 30, 29: 0, 42: 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		tap := newTap(&Peer{engine: &Engine{now: func() int64 { return 0 }}})
		tap.in, _ = newRecords(make([]byte, 16), make([]byte, 4))
		tap.out, _ = newRecords(make([]byte, 16), make([]byte, 4))
		passed := tap.passes(b)
		for rest := b; passed && len(rest) > 0; {
			rec, more, ok := split(rest)
			if !ok || rec[0] == applicationData {
				t.Fatalf("passed %x", b)
			}
			rest = more
		}
		if len(b) > 0 {
			tap.sent(b)
		}
	})
}
