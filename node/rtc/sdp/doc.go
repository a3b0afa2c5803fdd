// Package sdp is what the node does to session descriptions as text, before and after
// pion reads them.
//
// What comes from a client is bounded and checked line by line (Check), since what anyone
// can write costs pion seconds, and loses what this node has no use for (Prune). What goes to a client is corrected where pion says less than clients need or
// more than is true (Extensions, Quiet, AddOpus). What another node said or was told, for
// a client that comes from it, is read again (Carried, AsOffer). Text in, text out:
// nothing here knows a peer connection.
package sdp
