package room

import (
	"strings"

	"maille/node/room/trackinfo"
	"maille/node/rtc"
	"maille/proto/livekit"
)

// allCodecs lists what this node forwards, in the order that clients are told: they take
// the first of video as the fallback.
var allCodecs = func() (out []*livekit.Codec) {
	for _, mime := range rtc.Codecs() {
		out = append(out, &livekit.Codec{Mime: mime})
	}
	return out
}()

// publishable lists what a client may publish.
func publishable(c *livekit.ClientInfo) []*livekit.Codec { return trackinfo.Publishable(allCodecs, c) }

// hearsByPacket reports whether a client may hear of a track by its first packet only, as
// LiveKit's Go SDK does: its engine is pion's. Those that say nothing of themselves are
// taken for such, as long as they name no browser.
func hearsByPacket(c *livekit.ClientInfo) bool {
	sdk := c.GetSdk()
	return sdk == livekit.ClientInfo_GO || sdk == livekit.ClientInfo_UNKNOWN && c.GetBrowser() == ""
}

// isGecko reports whether a client is Firefox with its own engine: that of iOS is Safari's.
func isGecko(c *livekit.ClientInfo) bool {
	return strings.EqualFold(c.GetBrowser(), "firefox") && !strings.EqualFold(c.GetOs(), "ios")
}
