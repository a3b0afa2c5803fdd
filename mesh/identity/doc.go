// Package identity says which node is speaking: a certificate authority for one
// cluster, the certificates it issues, and the TLS 1.3 settings that every
// connection between nodes uses.
//
// A certificate binds a name, a role and a region to one cluster in a URI,
// maille://CLUSTER/node/NAME, and the authority is constrained to that cluster.
// Addresses prove nothing: both ends of every handshake show a certificate, and a
// client also demands the very name it meant to reach. Certificates are replaced on
// disk and picked up by the next handshake.
package identity
