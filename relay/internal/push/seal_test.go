package push

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := protocol.DecodeBytes(text)
	must(t, err)
	return raw
}

// RFC 8291, appendix A.
func TestTheExampleOfTheStandard(t *testing.T) {
	t.Parallel()
	receiver, err := readKey(read(t, "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"))
	must(t, err)
	ephemeral, err := ecdh.P256().NewPrivateKey(read(t, "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
	must(t, err)
	body, err := sealWith(receiver, read(t, "BTBZMqHH6r4Tts7J_aSIgg"), ephemeral, read(t, "DGv6ra1nlYgDCS1FRnbzlw"),
		[]byte("When I grow up, I want to be a watermelon"), 0)
	must(t, err)
	const want = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
	if got := protocol.EncodeBytes(body); got != want {
		t.Fatal("sealed as", got)
	}
}

func TestAllPushesAreAsLong(t *testing.T) {
	t.Parallel()
	browser, err := ecdh.P256().GenerateKey(rand.Reader)
	must(t, err)
	s := &Subscription{Key: browser.PublicKey().Bytes(), Auth: make([]byte, authSize)}
	uid := protocol.UID{1}
	const length = saltSize + 4 + 1 + 65 + room + 1 + 16 // as section 16 has it
	for _, what := range []payload{{V: 1, Kind: "test", To: &uid}, {V: 1, Kind: "friend", To: &uid, UID: &uid, N: 1 << 40}} {
		plain, err := protocol.Marshal(what)
		must(t, err)
		body, err := seal(s, plain)
		must(t, err)
		if len(body) != length || length != 359 {
			t.Fatalf("%d bytes, not %d", len(body), length)
		}
	}
	if _, err := seal(s, bytes.Repeat([]byte("x"), room+1)); err == nil {
		t.Fatal("more than there is room for was sealed")
	}
}

func TestTheTokenIsOursForADayAtMost(t *testing.T) {
	t.Parallel()
	seed, err := protocol.NewSecret(rand.Reader, 32)
	must(t, err)
	now := time.UnixMilli(1_790_000_000_000)
	v, err := newVAPID(seed, "yard.example:8443", func() time.Time { return now })
	must(t, err)
	u, err := url.Parse("https://fcm.googleapis.com/fcm/send/abc")
	must(t, err)
	header, err := v.header(u)
	must(t, err)
	text, key, ok := strings.Cut(strings.TrimPrefix(header, "vapid t="), ", k=")
	if !ok || key != protocol.EncodeBytes(v.public) {
		t.Fatal(header)
	}
	parts := strings.Split(text, ".")
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), v.public)
	must(t, err)
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	sig := read(t, parts[2])
	if !ecdsa.Verify(public, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		t.Fatal("the signature does not verify")
	}
	var claims struct {
		Aud, Sub string
		Exp      int64
	}
	must(t, json.Unmarshal(read(t, parts[1]), &claims))
	if claims.Aud != "https://fcm.googleapis.com" || claims.Sub != "https://yard.example:8443" || claims.Exp <= now.Unix() || claims.Exp > now.Add(24*time.Hour).Unix() {
		t.Fatalf("%+v", claims)
	}
	// The same for a while, another before it ends, another for another vendor.
	now = now.Add(10 * time.Hour)
	again, err := v.header(u)
	must(t, err)
	now = now.Add(2 * time.Hour)
	fresh, err := v.header(u)
	must(t, err)
	if again != header || fresh == header {
		t.Fatal("renewed too early or too late")
	}
	for host, contact := range map[string]string{"localhost:8787": "", "127.0.0.1:8787": "", "[::1]:8787": "", "yard.example": "https://yard.example", "203.0.113.5": "https://203.0.113.5"} {
		v.host = host
		if got := v.contact(); got != contact {
			t.Errorf("%s: contact %q", host, got)
		}
	}
}

func TestOnlyPushServicesAreSentTo(t *testing.T) {
	t.Parallel()
	r := &Room{config: Config{Hosts: []string{"127.0.0.1:18400", "push.example", "ntfy.example:8443"}}}
	for endpoint, code := range map[string]string{
		"https://fcm.googleapis.com/fcm/send/abc:def":                        "",
		"https://fcm.googleapis.com:443/fcm/send/abc":                        "",
		"https://updates.push.services.mozilla.com/wpush/v2/x":               "",
		"https://web.push.apple.com/QabC":                                    "",
		"https://wns2-db5p.notify.windows.com/w/?token=abc":                  "",
		"https://push.example/abc":                                           "",
		"https://ntfy.example:8443/abc":                                      "",
		"http://127.0.0.1:18400/abc":                                         "",
		"https://fcm.googleapis.com:8443/fcm/send/abc":                       protocol.CodeAddressRefused,
		"https://fcm.googleapis.com:22/fcm/send/abc":                         protocol.CodeAddressRefused,
		"https://fcm.googleapis.com./fcm/send/abc":                           protocol.CodeAddressRefused,
		"https://FCM.googleapis.com/fcm/send/abc":                            protocol.CodeAddressRefused,
		"https://fcm.googleapis.com.evil.example/x":                          protocol.CodeAddressRefused,
		"https://evilpush.apple.com.example/x":                               protocol.CodeAddressRefused,
		"https://notpush.apple.com/x":                                        protocol.CodeAddressRefused,
		"https://push.apple.com/x":                                           protocol.CodeAddressRefused,
		"https://.push.apple.com/x":                                          protocol.CodeAddressRefused,
		"https://].push.apple.com/x":                                         protocol.CodeAddressRefused,
		"http://fcm.googleapis.com/fcm/send/abc":                             protocol.CodeAddressRefused,
		"http://push.example/abc":                                            protocol.CodeAddressRefused,
		"https://push.example:8443/abc":                                      protocol.CodeAddressRefused,
		"https://169.254.169.254/latest/meta-data":                           protocol.CodeAddressRefused,
		"https://127.0.0.1/x":                                                protocol.CodeAddressRefused,
		"http://127.0.0.1:18401/abc":                                         protocol.CodeAddressRefused,
		"https://[::1]/x":                                                    protocol.CodeAddressRefused,
		"https://2130706433/x":                                               protocol.CodeAddressRefused,
		"https://fcm.googleapis.com@127.0.0.1/x":                             protocol.CodeBadRequest,
		"https://user:pass@fcm.googleapis.com/x":                             protocol.CodeBadRequest,
		"https://fcm.googleapis.com":                                         protocol.CodeBadRequest,
		"https://fcm.googleapis.com/x#y":                                     protocol.CodeBadRequest,
		"https://fcm.googleapis.com/x y":                                     protocol.CodeBadRequest,
		"https://fcm.googleapis.com/\r\nHost: evil":                          protocol.CodeBadRequest,
		"https:fcm.googleapis.com/x":                                         protocol.CodeBadRequest,
		"file:///etc/passwd":                                                 protocol.CodeBadRequest,
		"":                                                                   protocol.CodeBadRequest,
		"https://fcm.googleapis.com/" + strings.Repeat("x", longestEndpoint): protocol.CodeBadRequest,
	} {
		_, err := r.checkEndpoint(endpoint)
		if err == nil && code != "" || err != nil && protocol.CodeOf(err) != code {
			t.Errorf("%q: %v, want %q", endpoint, err, code)
		}
	}
}

func FuzzEndpoint(f *testing.F) {
	r := &Room{}
	for _, seed := range []string{"https://fcm.googleapis.com/a", "https://x.push.apple.com:443/a", "https://a@b/c", "http://127.0.0.1/", "https://fcm.googleapis.com\\@evil/x", "https://[::1%25eth0].push.apple.com/x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, endpoint string) {
		u, err := r.checkEndpoint(endpoint)
		if err != nil {
			return
		}
		// Whatever passes is dialled at a name of a vendor, at 443.
		req, err := http.NewRequest(http.MethodPost, u.String(), nil)
		must(t, err)
		name, port := req.URL.Hostname(), req.URL.Port()
		known := false
		for _, vendor := range vendors {
			known = known || name == vendor || strings.HasSuffix(name, vendor)
		}
		if req.URL.Scheme != "https" || port != "" && port != "443" || !known || strings.ContainsAny(name, "@\\/%[]") || req.Host != req.URL.Host {
			t.Fatalf("%q passes and is dialled at %q", endpoint, req.URL.Host)
		}
	})
}

// FuzzSubscription: what is kept as a subscription can be sealed to.
func FuzzSubscription(f *testing.F) {
	browser := read(f, "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4")
	f.Add(browser, make([]byte, authSize))
	f.Add(append([]byte{2}, browser[1:33]...), make([]byte, authSize)) // compressed
	f.Add([]byte{0}, []byte{})                                         // infinity
	f.Add(append([]byte{4}, make([]byte, 64)...), []byte("short"))
	f.Fuzz(func(t *testing.T, key, auth []byte) {
		s := &Subscription{Endpoint: "https://fcm.googleapis.com/a", Key: key, Auth: auth}
		if err := (&Room{}).check(s); err != nil {
			if protocol.CodeOf(err) != protocol.CodeBadRequest {
				t.Fatal(err)
			}
			return
		}
		if body, err := seal(s, []byte("hello")); err != nil || len(body) != 359 || len(auth) != authSize {
			t.Fatal(len(body), err)
		}
	})
}

func TestWhatAVendorsAnswerMeans(t *testing.T) {
	t.Parallel()
	for status, what := range map[int]string{
		200: whatSent, 201: whatSent, 202: whatSent, 404: whatGone, 410: whatGone, 429: whatLater, 500: whatLater, 503: whatLater,
		301: whatRefused, 307: whatRefused, 400: whatRefused, 401: whatRefused, 403: whatRefused, 413: whatRefused,
	} {
		if got := judge(&http.Response{StatusCode: status}); got.what != what {
			t.Errorf("%d is %s", status, got.what)
		}
	}
	for header, wait := range map[string]time.Duration{"": 0, "30": 30 * time.Second, "-5": 0, "soon": 0, "99999999999": longestWait, "999999": longestWait} {
		if got := judge(&http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {header}}}).wait; got != wait {
			t.Errorf("Retry-After %q: %v", header, got)
		}
	}
}
