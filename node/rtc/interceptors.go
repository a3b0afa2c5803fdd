package rtc

import (
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
)

const (
	// nackEvery is below one video frame, so that a lost packet is asked for before the
	// next picture is due.
	nackEvery = 20 * time.Millisecond
	// nackTries is how often one packet is asked for: later it is useless.
	nackTries = 10
	// nackWindow in packets, a power of two: half a second of a fast video encoding.
	nackWindow = 512
	twccEvery  = 100 * time.Millisecond
	// receiverReportEvery is how often the publisher hears of its loss (RFC 3550).
	receiverReportEvery = time.Second
)

// receiving registers what a publisher is answered with: requests for lost packets,
// transport-wide feedback for its bandwidth estimate, receiver reports. They sit on
// the receiving connection only; nothing of the kind is in the way of sending.
func receiving(reg *interceptor.Registry) {
	n, err := nack.NewGeneratorInterceptor(nack.GeneratorInterval(nackEvery), nack.GeneratorSize(nackWindow),
		nack.GeneratorMaxNacksPerPacket(nackTries))
	must(err)
	r, err := report.NewReceiverInterceptor(report.ReceiverInterval(receiverReportEvery))
	must(err)
	t, err := twcc.NewSenderInterceptor(twcc.SendInterval(twccEvery))
	must(err)
	reg.Add(n)
	reg.Add(r)
	reg.Add(t)
}

// must holds for options that are constants of this file.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
