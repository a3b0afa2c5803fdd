// Command idle joins a room with many participants that publish nothing, so that what
// each costs a node can be read from the node's own metrics. It prints "joined", waits
// until its standard input ends, leaves with everyone, and prints "left".
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"maille/bench/client"
	"maille/node/auth"
)

// joinTimeout bounds one join on a machine that is busy with all the others.
const joinTimeout = 30 * time.Second

// together is how many join at once: a door is not the thing measured.
const together = 4

func main() {
	url := flag.String("url", "ws://127.0.0.1:7880", "signalling address of a node with dev keys")
	room := flag.String("room", "idle", "room to join")
	count := flag.Int("count", 50, "how many participants")
	flag.Parse()
	if err := run(*url, *room, *count, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "idle:", err)
		os.Exit(1)
	}
}

func run(url, room string, count int, in io.Reader, out io.Writer) error {
	clients := make([]*client.Client, count)
	errs := make([]error, count)
	each := func(do func(i int)) {
		var wg sync.WaitGroup
		slots := make(chan struct{}, together)
		for i := range clients {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				do(i)
			})
		}
		wg.Wait()
	}
	each(func(i int) { clients[i], errs[i] = join(url, room, i) })
	defer each(func(i int) {
		if clients[i] != nil {
			_ = clients[i].Close()
		}
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	fmt.Fprintln(out, "joined")
	_, _ = io.Copy(io.Discard, in)
	each(func(i int) { errs[i], clients[i] = clients[i].Close(), nil })
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	fmt.Fprintln(out, "left")
	return nil
}

func join(url, room string, i int) (*client.Client, error) {
	token, err := auth.Mint(auth.DevKey, auth.DevSecret, &auth.Claims{
		Identity: fmt.Sprintf("idle-%d", i), Video: &auth.Grants{RoomJoin: true, Room: room},
	}, auth.DefaultTTL)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), joinTimeout)
	defer cancel()
	return client.Connect(ctx, client.Options{URL: url, Token: token})
}
