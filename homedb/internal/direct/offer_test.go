package direct_test

import (
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/homedb/internal/direct"
	"github.com/courtyard-social/courtyard/protocol"
)

const print = "5A:0C:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE"

// chromium is what Chromium offers, addresses changed.
const chromium = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n" +
	"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n" +
	"a=candidate:2999745851 1 udp 2113937151 3f2504e0-4f89-41d3-9a0c-0305e82c3301.local 51472 typ host generation 0 network-cost 999\r\n" +
	"a=candidate:842163049 1 udp 1677729535 93.184.216.34 51472 typ srflx raddr 0.0.0.0 rport 0 generation 0 network-cost 999\r\n" +
	"a=ice-ufrag:Xq3S\r\na=ice-pwd:dM2oPhfV0nYHq0Zc1B7yX7mM\r\na=ice-options:trickle\r\na=fingerprint:sha-256 " + print + "\r\na=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n"

// firefox puts the fingerprint before the section, and pion the fields in another order.
const firefox = "v=0\r\no=mozilla...THIS_IS_SDPARTA-99.0 1 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=fingerprint:sha-256 " + print + "\r\na=group:BUNDLE 0\r\na=ice-options:trickle\r\na=msid-semantic:WMS *\r\n" +
	"m=application 40001 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 93.184.216.34\r\na=candidate:0 1 UDP 2122252543 192.168.7.4 40001 typ host\r\na=candidate:2 1 TCP 2105524479 192.168.7.4 9 typ host tcptype active\r\n" +
	"a=sendrecv\r\na=end-of-candidates\r\na=ice-pwd:0123456789abcdef0123456789abcdef\r\na=ice-ufrag:9bcd12\r\na=mid:0\r\na=setup:actpass\r\na=sctp-port:5000\r\na=max-message-size:1073741823\r\n"

func TestOffers(t *testing.T) {
	for name, sdp := range map[string]string{"chromium": chromium, "firefox": firefox} {
		o, err := direct.ParseOffer(sdp)
		if err != nil || o.Fingerprint != print || o.Mid != "0" || !o.Bundled || len(o.Candidates) != 2 || o.Dropped != 0 {
			t.Errorf("%s: %+v %v", name, o, err)
		}
	}
	for what, change := range map[string][2]string{
		"no fingerprint":           {"a=fingerprint:sha-256 " + print + "\r\n", ""},
		"another hash alone":       {"sha-256", "sha-1"},
		"two certificates":         {"a=setup", "a=fingerprint:sha-256 " + strings.Replace(print, "5A", "5B", 1) + "\r\na=setup"},
		"half a fingerprint":       {":AA:BB:CC:DD:EE\r", "\r"},
		"no ufrag":                 {"a=ice-ufrag:Xq3S\r\n", ""},
		"two ufrags":               {"a=ice-ufrag:Xq3S", "a=ice-ufrag:Xq3S\r\na=ice-ufrag:Xq3T"},
		"a short password":         {"dM2oPhfV0nYHq0Zc1B7yX7mM", "short"},
		"a password with a colon":  {"dM2oPhfV", "dM:oPhfV"},
		"a long ufrag":             {"Xq3S", strings.Repeat("x", 257)},
		"already decided":          {"actpass", "passive"},
		"video":                    {"m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "m=video 9 UDP/TLS/RTP/SAVPF 96"},
		"video besides":            {"a=max-message", "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=max-message"},
		"plain SCTP":               {"UDP/DTLS/SCTP", "UDP/SCTP"},
		"another SCTP port":        {"5000", "5001"},
		"no section":               {"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n", ""},
		"another version":          {"v=0", "v=1"},
		"a line without a kind":    {"s=-", "nonsense"},
		"a mid that is not a word": {"a=mid:0", "a=mid:0 1"},
	} {
		if !strings.Contains(chromium, change[0]) {
			t.Fatal(what)
		}
		if o, err := direct.ParseOffer(strings.ReplaceAll(chromium, change[0], change[1])); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("%s: %+v %v", what, o, err)
		}
	}
	if _, err := direct.ParseOffer(chromium + strings.Repeat("a=x\r\n", 17<<10/5)); protocol.CodeOf(err) != protocol.CodeTooLarge {
		t.Errorf("a long one: %v", err)
	}
	if _, err := direct.ParseOffer(chromium + strings.Repeat("a=\n", 500)); protocol.CodeOf(err) != protocol.CodeBadRequest {
		t.Errorf("many lines: %v", err)
	}
	many := strings.Replace(chromium, "a=setup", strings.Repeat("a=candidate:1 1 udp 5 1.2.3.4 9999 typ host\r\n", 60)+"a=setup", 1)
	if o, err := direct.ParseOffer(many); err != nil || len(o.Candidates) != 32 || o.Dropped != 30 {
		t.Errorf("many candidates: %d, %d, %v", len(o.Candidates), o.Dropped, err)
	}
}

// FuzzOffer: a description is taken or refused; what is taken can stand in an
// answer without becoming a line of its own.
func FuzzOffer(f *testing.F) {
	f.Add(chromium)
	f.Add(firefox)
	f.Add("v=0\nm=application 9 DTLS/SCTP 5000\n")
	f.Add(strings.ReplaceAll(chromium, "\r\n", "\n"))
	f.Add(strings.ReplaceAll(chromium, "a=mid:0", "a=mid:0\ra=evil:1"))
	f.Fuzz(func(t *testing.T, sdp string) {
		o, err := direct.ParseOffer(sdp)
		if err != nil {
			if code := protocol.CodeOf(err); code != protocol.CodeBadRequest && code != protocol.CodeTooLarge {
				t.Fatal(err)
			}
			return
		}
		answer := direct.Answer{Ufrag: "abcd", Pwd: "0123456789012345678901", Fingerprint: print}.SDP(o)
		for line := range strings.Lines(answer) {
			if !strings.HasSuffix(line, "\r\n") || strings.ContainsAny(line[:len(line)-2], "\r\n") || len(line) > 200 {
				t.Fatalf("%q", answer)
			}
		}
		for _, s := range []string{o.Ufrag, o.Pwd, o.Mid, o.Fingerprint} {
			if s == "" || strings.ContainsAny(s, " \r\n") {
				t.Fatalf("%+v", o)
			}
		}
		if len(o.Candidates) > 32 {
			t.Fatal("too many candidates")
		}
	})
}
