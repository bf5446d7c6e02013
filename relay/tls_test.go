package relay_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// certify writes a certificate for a name into two files of a folder.
func certify(t *testing.T, dir, name string) (chain, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	must(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(secret)
	must(t, err)
	chain, key = filepath.Join(dir, "chain.pem"), filepath.Join(dir, "key.pem")
	must(t, os.WriteFile(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	return chain, key
}

// TestOnePortForHTTPSAndTURN: browsers in either version of HTTP, websockets, and
// TURN, which is all that some networks let through.
func TestOnePortForHTTPSAndTURN(t *testing.T) {
	t.Parallel()
	dir, at := t.TempDir(), address(t)
	o := calling("127.0.0.0/8")
	o.Config.TLSListen = at
	o.Config.TLSCert, o.Config.TLSKey = certify(t, dir, "one.example")
	c := relaytest.Start(t, o)
	mei := c.Owner("mei")
	for _, v := range []struct {
		protocols []string
		want      string
	}{{[]string{"h2", "http/1.1"}, "HTTP/2.0"}, {[]string{"http/1.1"}, "HTTP/1.1"}, {nil, "HTTP/1.1"}} {
		a := c.Over(at, v.protocols...).Call("GET", "/api/1/relay", "", nil)
		if a.Status != 200 || a.Proto != v.want || !strings.Contains(string(a.Body), c.Key.String()) {
			t.Errorf("%v: %d %s %s", v.protocols, a.Status, a.Proto, a.Body)
		}
	}
	phone := c.Over(at, "http/1.1").Connect(mei, mei.Phone)
	phone.Sends(c.Envelope(mei, mei, protocol.TypeChat, 300))
	offer := phone.Turn()
	if leads(t, offer, "turns tcp") != at {
		t.Fatal(offer.URLs)
	}
	l, tom := allocates(t, offer, "turns tcp"), friend(t)
	l.says("hello tom", tom.LocalAddr(), hears(tom))
	_, err := tom.WriteTo([]byte("hello mei"), l.at.LocalAddr())
	must(t, err)
	if got := hears(l.at)(10 * time.Second); got != "hello mei" {
		t.Fatalf("mei heard %q", got)
	}
	t.Run("coturn's client", func(t *testing.T) {
		if _, err := exec.LookPath("turnutils_uclient"); err != nil {
			t.Skip("turnutils_uclient is not installed (Debian: coturn)")
		}
		host, port, err := net.SplitHostPort(at)
		must(t, err)
		out, err := exec.CommandContext(t.Context(), "turnutils_uclient", "-t", "-S", "-y", "-m", "2", "-c", "-n", "20", "-l", "1000",
			"-u", offer.Username, "-w", offer.Credential, "-p", port, host).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "tot_recv_msgs=40\n") {
			t.Fatalf("%v\n%s", err, out)
		}
	})
	// A renewal needs no restart, and cuts nobody off.
	certify(t, dir, "two.example")
	for _, name := range []string{"chain.pem", "key.pem"} {
		stamp := time.Now().Add(time.Minute) // as if it were not the same moment
		must(t, os.Chtimes(filepath.Join(dir, name), stamp, stamp))
	}
	c.Sweep()
	conn, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true})
	must(t, err)
	defer conn.Close()
	if name := conn.ConnectionState().PeerCertificates[0].Subject.CommonName; name != "two.example" {
		t.Error("the certificate is", name)
	}
	l.says("still here", tom.LocalAddr(), hears(tom))
}

// TestWithoutTURNThePortIsForHTTPSAlone.
func TestWithoutTURNThePortIsForHTTPSAlone(t *testing.T) {
	t.Parallel()
	at := address(t)
	o := relaytest.Options{Config: relaytest.Config{TLSListen: at}}
	o.Config.TLSCert, o.Config.TLSKey = certify(t, t.TempDir(), "one.example")
	c := relaytest.Start(t, o)
	if a := c.Over(at, "h2").Call("GET", "/api/1/relay", "", nil); a.Status != 200 {
		t.Fatal(a.Status)
	}
	conn, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true})
	must(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte{0, 1, 0, 0})
	must(t, err)
	must(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || os.IsTimeout(err) {
		t.Fatal(n, err)
	}
}

// TestCallsEndWithTheRelay: it does not wait for them, whatever they go over, and
// leaves no goroutine behind (TestMain looks).
func TestCallsEndWithTheRelay(t *testing.T) {
	t.Parallel()
	at := address(t)
	o := calling("127.0.0.0/8")
	o.Config.TLSListen = at
	o.Config.TLSCert, o.Config.TLSKey = certify(t, t.TempDir(), "one.example")
	c := relaytest.Start(t, o)
	mei := c.Owner("mei")
	offer := c.Connect(mei, mei.Phone).Turn()
	tom := friend(t)
	for _, how := range []string{"turn udp", "turn tcp", "turns tcp"} {
		l := allocates(t, offer, how)
		l.says("hello", tom.LocalAddr(), hears(tom))
	}
	silent, err := net.Dial("tcp", leads(t, offer, "turn tcp"))
	must(t, err)
	defer silent.Close()
	halfway, err := net.Dial("tcp", at)
	must(t, err)
	defer halfway.Close()
	began := time.Now()
	c.Stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Fatal("it took", took)
	}
}

func TestSentencesAboutCalls(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	serve := func(args ...string) []string {
		return append([]string{"serve", "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0"}, args...)
	}
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	chain, key := certify(t, dir, "one.example")
	for _, v := range []struct {
		want string
		args []string
	}{
		{"is taken by another program: stop that one, choose another place with --turn-listen", []string{"--turn", "on", "--turn-listen", taken.LocalAddr().String()}},
		{"--turn is on, off or auto", []string{"--turn", "perhaps"}},
		{"--turn-listen \"turn.example\" is not", []string{"--turn-listen", "turn.example"}},
		{"name an address of this machine", []string{"--turn-listen", "0.0.0.0"}},
		{"the next port is needed too", []string{"--turn-listen", "127.0.0.1:65535"}},
		{"cannot listen on 192.0.2.1:3478", []string{"--turn", "on", "--turn-listen", "192.0.2.1"}},
		{"--public-ip", []string{"--public-ip", "yard.example"}},
		{"--turn-ports", []string{"--turn-ports", "80-90"}},
		{"--turn-ports", []string{"--turn-ports", "50000"}},
		{"--turn-ports", []string{"--turn-ports", "60000-50000"}},
		{"--turn-reach", []string{"--turn-reach", "everything"}},
		{"belong together", []string{"--turn-server", "turn:turn.example"}},
		{"belong together", []string{"--turn-secret", "north"}},
		{"choose one", []string{"--turn", "on", "--turn-server", "turn:turn.example", "--turn-secret", "north"}},
		{"--turn-server", []string{"--turn-server", "https://turn.example", "--turn-secret", "north"}},
		{"--turn-server", []string{"--turn-server", "turn:turn.example?transport=carrier-pigeon", "--turn-secret", "north"}},
		{"--turn-server", []string{"--turn-server", "turn://turn.example", "--turn-secret", "north"}},
		{"--turn-bandwidth", []string{"--turn-bandwidth=-1"}},
		{"belong together", []string{"--tls-listen", "127.0.0.1:0"}},
		{"cannot be read", []string{"--tls-listen", "127.0.0.1:0", "--tls-certificate", chain + "x", "--tls-key", key}},
		{"cannot be used", []string{"--tls-listen", "127.0.0.1:0", "--tls-certificate", key, "--tls-key", key}},
	} {
		sentence(t, v.want, nil, serve(v.args...)...)
	}
}

// TestTheUsualPortsAreTakenIfTheyAreFree: by the way, so a relay that finds them taken
// says so and goes on without.
func TestTheUsualPortsAreTakenIfTheyAreFree(t *testing.T) {
	t.Parallel()
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	at := taken.LocalAddr().String()
	o := calling()
	o.Config.Turn, o.Config.TurnListen = "auto", []string{at}
	c := relaytest.Start(t, o)
	mei := c.Owner("mei")
	if offer := c.Connect(mei, mei.Phone).Turn(); len(offer.URLs)+len(offer.STUN) > 0 {
		t.Fatalf("offered %+v", offer)
	}
	if log := c.Log.String(); strings.Count(log, "is taken by another program") != 1 || !strings.Contains(log, fmt.Sprint("no STUN and TURN, so calls will not always get through: ", at)) {
		t.Fatal("the log says\n" + log)
	}
}
