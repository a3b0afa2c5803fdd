package rtc

const (
	// maxTCP bounds ICE-TCP connections, the fallback of clients behind strict firewalls:
	// ten times what a node carries of them.
	maxTCP = 4096
	// maxTCPPerIP leaves room for an office behind one address.
	maxTCPPerIP = 128
)
