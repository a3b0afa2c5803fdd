package identity

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// The same settings carry QUIC links: names from certificates, strangers refused.
func TestQUIC(t *testing.T) {
	ca := mustCA(t, "prod")
	paris, lyon := mustGrant(t, ca, Grant{Name: "paris-1"}), mustGrant(t, ca, Grant{Name: "lyon-1"})
	open := func() *quic.Transport {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		tr := &quic.Transport{Conn: c}
		t.Cleanup(func() {
			tr.Close()
			c.Close()
		})
		return tr
	}
	// A handshake may take long on a machine that does much else.
	patient := &quic.Config{HandshakeIdleTimeout: time.Minute}
	client := open()
	ln, err := open().Listen(lyon.ServerTLS(alpn), patient)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	dial := func(cfg *tls.Config) (*quic.Conn, error) {
		c, err := client.Dial(ctx, ln.Addr(), cfg, patient)
		if err != nil {
			return nil, err
		}
		// The client learns of its own refusal after its side of the handshake.
		if _, err := c.AcceptUniStream(ctx); err != nil {
			return nil, err
		}
		return c, nil
	}
	seen := make(chan string, 1)
	go func() {
		for {
			in, err := ln.Accept(ctx)
			if err != nil {
				return
			}
			name, err := lyon.PeerName(in.ConnectionState().TLS)
			if err != nil {
				name = err.Error()
			}
			seen <- name
			if s, err := in.OpenUniStream(); err == nil {
				s.Write([]byte{1})
				s.Close()
			}
		}
	}()
	c, err := dial(paris.ClientTLS("lyon-1", alpn))
	if err != nil {
		t.Fatal(err)
	}
	if name := <-seen; name != "paris-1" {
		t.Errorf("called by %q", name)
	}
	if name, err := paris.PeerName(c.ConnectionState().TLS); err != nil || name != "lyon-1" {
		t.Errorf("answered by %q, %v", name, err)
	}
	c.CloseWithError(0, "")
	if _, err := dial(paris.ClientTLS("nice-1", alpn)); err == nil {
		t.Error("lyon-1 answered as nice-1")
	}
	stranger := mustGrant(t, mustCA(t, "prod"), Grant{Name: "paris-1"})
	if _, err := dial(trust(stranger.ClientTLS("lyon-1", alpn), ca)); err == nil {
		t.Error("a stranger was let in")
	}
	operator := mustGrant(t, ca, Grant{Name: "alice", Role: Operator})
	if _, err := dial(operator.ClientTLS("lyon-1", alpn)); err == nil {
		t.Error("an operator was let in")
	}
}
