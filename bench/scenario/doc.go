// Package scenario runs whole meshes in a synctest bubble: real nodes on a simulated
// network, with pion clients that publish and watch. Its tests read as plans: what is
// there, what happens, what must be true.
package scenario
