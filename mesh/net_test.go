package mesh

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
)

func TestPortInUseIsTyped(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			open := func(addr string) (interface{ Close() error }, string, error) {
				if network == "udp" {
					c, err := OS.ListenPacket(network, addr)
					if err != nil {
						return nil, "", err
					}
					return c, c.LocalAddr().String(), nil
				}
				l, err := OS.Listen(network, addr)
				if err != nil {
					return nil, "", err
				}
				return l, l.Addr().String(), nil
			}
			first, addr, err := open("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer first.Close()
			_, _, err = open(addr)
			var taken *PortInUseError
			if !errors.As(err, &taken) {
				t.Fatalf("second listener: %v, want *PortInUseError", err)
			}
			_, port, _ := net.SplitHostPort(addr)
			if taken.Port() != port || taken.Network != network || !strings.Contains(taken.Error(), port) {
				t.Errorf("error says %s port %s: %q", taken.Network, taken.Port(), taken)
			}
			if !errors.Is(err, syscall.EADDRINUSE) {
				t.Error("the system's error is not in the chain")
			}
		})
	}
}

func TestListenErrorKinds(t *testing.T) {
	var denied *PortDeniedError
	if err := listenError("tcp", ":443", &net.OpError{Err: syscall.EACCES}); !errors.As(err, &denied) || denied.Port() != "443" {
		t.Errorf("EACCES gave %v", err)
	}
	var taken *PortInUseError
	if err := listenError("tcp", ":1", syscall.EADDRNOTAVAIL); errors.As(err, &denied) || errors.As(err, &taken) {
		t.Errorf("EADDRNOTAVAIL gave %T", err)
	}
}

func TestDialReachesListener(t *testing.T) {
	l, err := OS.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := OS.DialContext(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if in.RemoteAddr().String() != c.LocalAddr().String() {
		t.Errorf("accepted %s, dialled from %s", in.RemoteAddr(), c.LocalAddr())
	}
}
