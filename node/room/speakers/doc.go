// Package speakers merges what each node of a room says of its own participants' voices
// into who speaks, so that every node gives its clients the same answer.
//
// A node says who of its own speaks, and how loud, several times a second while anyone
// does, and once when nobody does any more. What it said counts until it says otherwise or
// falls silent itself. Clients are told of changes only, the loudest first; whoever stopped
// is listed once more, without a level.
package speakers
