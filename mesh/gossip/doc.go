// Package gossip knows who is in the cluster. Every node tells a few others what it
// is (facts), what it carries (load) and where it stands (a network coordinate),
// and hears who stopped answering.
//
// What it says is a hint: a node that gossip calls alive may be unreachable from
// here, and a name counts only once an mTLS dial proved it. Facts ride on
// memberlist's member records; loads are versioned by their owner and spread as
// broadcasts and in full syncs; coordinates come with probe answers. Nothing secret,
// and no name of a room or a person, is ever put into it.
package gossip
