package relay_test

import (
	"context"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// TestCoturnsClients: those of another implementation get on with this server.
func TestCoturnsClients(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"turnutils_uclient", "turnutils_stunclient"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program, " is not installed (Debian: coturn)")
		}
	}
	c := relaytest.Start(t, calling("127.0.0.0/8"))
	mei := c.Owner("mei")
	phone := c.Connect(mei, mei.Phone)
	offer := phone.Turn()
	echo := friend(t)
	go func() {
		p := make([]byte, 1600)
		for {
			n, from, err := echo.ReadFrom(p)
			if err != nil {
				return
			}
			if _, err := echo.WriteTo(p[:n], from); err != nil {
				return
			}
		}
	}()
	_, echoPort, err := net.SplitHostPort(echo.LocalAddr().String())
	must(t, err)
	run := func(t *testing.T, program string, args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", program, args, err, out)
		}
		return string(out)
	}
	for _, u := range offer.STUN {
		host, port, err := net.SplitHostPort(strings.TrimPrefix(u, "stun:"))
		must(t, err)
		if out := run(t, "turnutils_stunclient", "-p", port, host); !strings.Contains(out, "UDP reflexive addr: 127.0.0.1:") {
			t.Error(out)
		}
	}
	host, port, err := net.SplitHostPort(leads(t, offer, "turn udp"))
	must(t, err)
	number := 0
	for what, flags := range map[string][]string{
		"a peer over UDP":                 {"-e", "127.0.0.1", "-r", echoPort},
		"a peer over TCP":                 {"-t", "-e", "127.0.0.1", "-r", echoPort},
		"a peer with indications":         {"-s", "-e", "127.0.0.1", "-r", echoPort},
		"a peer, asking for things again": {"-G", "-e", "127.0.0.1", "-r", echoPort},
		"each other over UDP":             {"-y", "-m", "2"},
		"each other over TCP":             {"-y", "-t", "-m", "2"},
	} {
		// Each as a person of its own: a client that ends leaves its allocation to time out, and a person has few.
		guest := c.Guest(phone, "guest"+strconv.Itoa(number))
		number++
		offer := c.Connect(guest, guest.Phone).Turn()
		t.Run(what, func(t *testing.T) {
			out := run(t, "turnutils_uclient", append(flags, "-c", "-n", "20", "-l", "1000", "-u", offer.Username, "-w", offer.Credential, "-p", port, host)...)
			if !strings.Contains(out, "Total lost packets 0 ") || !strings.Contains(out, "tot_recv_msgs=20\n") && !strings.Contains(out, "tot_recv_msgs=40\n") {
				t.Error(out)
			}
		})
	}
}
