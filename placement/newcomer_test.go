package placement

import (
	"testing"
	"testing/synctest"
	"time"

	"maille/mesh/view"
	"maille/placement/state"
)

// A name that only gossip knows becomes no server of Raft, and keeps nobody else from
// becoming one.
func TestStrangersAreNoServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, "", "l1", "m1", "p1")
		defer m.close()
		m.leader(3, 3)
		m.mu.Lock()
		for name, ip := range map[string]string{"a1": "10.0.1.1", "b1": "10.0.1.2"} {
			m.strangers = append(m.strangers, view.Node{Name: name, Region: "l", Incarnation: "forged", Voter: true})
			m.nodes[name], m.gone[name] = &node{name: name, host: m.net.Host(name, "l", ip)}, time.Time{}
		}
		m.mu.Unlock()
		m.start("z1", m.net.Host("z1", "z", "10.0.0.9"), 0)
		l := m.leader(4, 3)
		<-time.After(2 * doubtFor)
		for _, s := range l.raft.Servers() {
			if s.Incarnation == "forged" {
				t.Errorf("%s is a server", s.Name)
			}
		}
		if !(members{servers: l.raft.Servers()}).has("z1") {
			t.Errorf("z1 is none: %v", l.raft.Servers())
		}
	})
}

// Nobody is sent to a name that only gossip knows, were it the nearest by what it says.
func TestStrangersServeNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, "", "l1", "m1", "p1")
		defer m.close()
		l := m.leader(3, 3)
		m.mu.Lock()
		m.strangers = append(m.strangers, view.Node{Name: "x1", Region: "x", Incarnation: "forged", Voter: true})
		m.nodes["x1"], m.gone["x1"] = &node{name: "x1", host: m.net.Host("x1", "x", "10.0.1.1")}, time.Time{}
		m.mu.Unlock()
		for _, n := range m.up() {
			for _, room := range []string{"first", "first", n.name} {
				a, err := n.svc.Join(t.Context(), Request{Room: room, Region: "x"})
				if err != nil || a.Node == "x1" {
					t.Errorf("%s sends to %q: %v", n.name, a.Node, err)
				}
			}
		}
		for room := range l.raft.State().Rooms() {
			for _, name := range state.ServingNodes(room) {
				if name == "x1" {
					t.Errorf("x1 serves %s", room.Name)
				}
			}
		}
	})
}
