package sdp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"maille/relay"
)

// Bounds of a client's SDP, checked before pion parses it: 1,000 m-lines cost pion
// 11 s of a core.
const (
	MaxOfferSections = 32
	// MaxSections bounds a subscriber: what it watches at once, and the answer to it.
	MaxSections = 512
	// maxSectionBytes is four times what Chromium writes for a video section with every
	// codec it has.
	maxSectionBytes = 24 << 10
	maxOfferBytes   = 256 << 10
	MaxAnswerBytes  = 2 << 20
	maxLineBytes    = 4 << 10
	MaxRids         = relay.MaxSpatial
	maxRidBytes     = 16
	// maxSources bounds a=ssrc lines of a section: three encodings with their
	// retransmissions and up to four lines each, twice.
	maxSources = 48
	// maxFormats of a section would cost pion 10 ms of a core, and four times as much for
	// twice as many; it sees fewer (prune). Browsers list up to 45.
	maxFormats     = 64
	maxCredentials = 256 // bytes of an ICE ufrag or password (RFC 8839 section 5.4)
)

// Bounds of one description.
type Bounds struct {
	Bytes, Sections int
	Sending         int // sections that the client sends in
}

// What an answer and a first offer may be.
var (
	AnswerBounds = Bounds{Bytes: MaxAnswerBytes, Sections: MaxSections, Sending: MaxSections}
	OfferBounds  = Bounds{Bytes: maxOfferBytes, Sections: MaxOfferSections, Sending: MaxOfferSections}
)

// Section is one m-line of a client's SDP.
type Section struct {
	Kind    string // "audio", "video", "application"
	Mid     string
	TrackID string // from msid; empty when the section has none
	Rids    []string
	Sends   bool // the client sends media in it
	Takes   bool // the client receives media in it
}

// Checked is a client's SDP that may be given to pion.
type Checked struct {
	Text     string
	Sections []Section
	Ufrag    string // the session's ICE user
}

// Errors that callers tell apart; package rtc has them for its own.
var (
	// ErrLimit: the client sent more than a documented bound.
	ErrLimit = errors.New("rtc: over limit")
	// ErrRefused: what came is well-formed but not acceptable.
	ErrRefused = errors.New("rtc: refused")
)

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrRefused}, args...)...)
}

func limit(what string, got, most int) error {
	return fmt.Errorf("%w: %s: %d of at most %d", ErrLimit, what, got, most)
}

// Check bounds a client's SDP and takes out what this node does not act on:
// candidates (as ICE-lite it answers whoever proves the password, and calls nobody)
// and the paused marks of simulcast rids. The errors are ErrLimit and ErrRefused.
func Check(text string, most Bounds) (*Checked, error) {
	if len(text) > most.Bytes {
		return nil, limit("SDP bytes", len(text), most.Bytes)
	}
	c := &checker{most: most}
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			continue
		}
		if err := c.line(line); err != nil {
			return nil, err
		}
	}
	if err := c.end(); err != nil {
		return nil, err
	}
	return &Checked{Text: c.out.String(), Sections: c.got, Ufrag: c.ufrag}, nil
}

type checker struct {
	out          strings.Builder
	most         Bounds
	got          []Section
	sectionBytes int
	sources      int
	rejected     bool   // the section's port is 0, and not because it is bundled (RFC 8843)
	direction    string // the section's, or the session's default
	session      string
	ufrag        string
	print        string // the fingerprint; one for all
}

func (c *checker) line(line string) error {
	if len(line) > maxLineBytes {
		return limit("SDP line bytes", len(line), maxLineBytes)
	}
	if len(line) < 2 || line[1] != '=' {
		return refuse("not an SDP line")
	}
	for i := range len(line) {
		if line[i] < ' ' && line[i] != '\t' || line[i] == 0x7f {
			return refuse("control character in SDP")
		}
	}
	if c.sectionBytes += len(line); c.sectionBytes > maxSectionBytes {
		return limit("SDP section bytes", c.sectionBytes, maxSectionBytes)
	}
	keep := line
	switch {
	case line[0] == 'm':
		if err := c.open(line); err != nil {
			return err
		}
	case line[0] == 'a':
		var err error
		if keep, err = c.attribute(line); err != nil {
			return err
		}
	}
	if keep != "" {
		c.out.WriteString(keep)
		c.out.WriteString("\r\n")
	}
	return nil
}

func (c *checker) open(line string) error {
	c.shut()
	if len(c.got) == c.most.Sections {
		return limit("SDP sections", len(c.got)+1, c.most.Sections)
	}
	f := strings.Fields(line[2:])
	if len(f) < 4 {
		return refuse("m-line %q", line)
	}
	if len(f)-3 > maxFormats {
		return limit("SDP formats", len(f)-3, maxFormats)
	}
	switch f[0] {
	case "audio", "video", "application":
	default:
		return refuse("media kind %q", f[0])
	}
	c.got = append(c.got, Section{Kind: f[0]})
	c.sectionBytes, c.sources, c.rejected, c.direction = len(line), 0, f[1] == "0", c.session
	return nil
}

// shut settles the open section's direction.
func (c *checker) shut() {
	if len(c.got) == 0 {
		return
	}
	s := &c.got[len(c.got)-1]
	if c.rejected || s.Kind == "application" {
		return
	}
	both := c.direction == "" || c.direction == "sendrecv"
	s.Sends = both || c.direction == "sendonly"
	s.Takes = both || c.direction == "recvonly"
}

// attribute returns the line to keep, empty to drop it.
func (c *checker) attribute(line string) (string, error) {
	key, value, _ := strings.Cut(line[2:], ":")
	var s *Section
	if len(c.got) > 0 {
		s = &c.got[len(c.got)-1]
	}
	switch key {
	case "candidate", "end-of-candidates", "remote-candidates":
		return "", nil
	case "ice-lite":
		return "", refuse("ICE-lite client")
	case "ice-ufrag", "ice-pwd":
		if len(value) > maxCredentials {
			return "", limit(key+" bytes", len(value), maxCredentials)
		}
		if key == "ice-ufrag" && c.ufrag == "" {
			c.ufrag = value
		}
	case "fingerprint":
		return line, c.fingerprint(value)
	case "sendrecv", "sendonly", "recvonly", "inactive":
		if s == nil {
			c.session = key
		}
		c.direction = key
	case "bundle-only":
		c.rejected = false
	case "mid":
		if s != nil {
			s.Mid = value
		}
	case "msid":
		if _, id, ok := strings.Cut(value, " "); ok && s != nil && s.TrackID == "" {
			s.TrackID, _, _ = strings.Cut(strings.TrimSpace(id), " ")
		}
	case "rid":
		return line, c.rid(s, value)
	case "simulcast":
		return strings.ReplaceAll(line, "~", ""), nil
	case "ssrc":
		if c.sources++; c.sources > maxSources {
			return "", limit("SDP ssrc lines", c.sources, maxSources)
		}
	case "extmap":
		id, _, _ := strings.Cut(value, " ")
		id, _, _ = strings.Cut(id, "/")
		if n, err := strconv.ParseUint(id, 10, 8); err != nil || n == 0 {
			return "", refuse("extension id %q", id)
		}
	}
	return line, nil
}

// fingerprint takes only hashes that RFC 8122 section 5 has not retired, and one
// certificate for the whole session.
func (c *checker) fingerprint(value string) error {
	hash, _, _ := strings.Cut(value, " ")
	switch strings.ToLower(hash) {
	case "sha-256", "sha-384", "sha-512":
	default:
		return refuse("fingerprint hash %q", hash)
	}
	if c.print != "" && !strings.EqualFold(c.print, value) {
		return refuse("different fingerprints")
	}
	c.print = value
	return nil
}

func (c *checker) rid(s *Section, value string) error {
	if s == nil {
		return refuse("rid outside of a section")
	}
	id, rest, _ := strings.Cut(value, " ")
	if !strings.HasPrefix(rest, "send") {
		return nil
	}
	if len(id) == 0 || len(id) > maxRidBytes {
		return limit("rid bytes", len(id), maxRidBytes)
	}
	for _, known := range s.Rids {
		if known == id {
			return refuse("rid %q twice", id)
		}
	}
	if len(s.Rids) == MaxRids {
		return limit("rids", len(s.Rids)+1, MaxRids)
	}
	s.Rids = append(s.Rids, id)
	return nil
}

func (c *checker) end() error {
	c.shut()
	if len(c.got) == 0 {
		return refuse("SDP without sections")
	}
	if c.print == "" {
		return refuse("SDP without fingerprint")
	}
	mids := make(map[string]bool, len(c.got))
	sending := 0
	for _, s := range c.got {
		if s.Sends {
			sending++
		}
		if s.Mid == "" || mids[s.Mid] {
			return refuse("mid %q missing or twice", s.Mid)
		}
		mids[s.Mid] = true
	}
	if sending > c.most.Sending {
		return limit("SDP sending sections", sending, c.most.Sending)
	}
	return nil
}
