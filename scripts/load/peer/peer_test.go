package peer

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestMQTTSizesAreReadAsWritten(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 300, 16_383, 16_384, maxPacket} {
		raw := mqttHead(nil, mqttPublish, size)
		if got, err := mqttSize(bufio.NewReader(bytes.NewReader(raw[1:]))); err != nil || got != size {
			t.Errorf("%d is read as %d, %v", size, got, err)
		}
	}
	for name, raw := range map[string][]byte{"too large": {0xff, 0xff, 0x7f}, "without an end": {0x80, 0x80, 0x80, 0x80, 0}, "cut off": {0x80}} {
		if got, err := mqttSize(bufio.NewReader(bytes.NewReader(raw))); err == nil {
			t.Errorf("%s is read as %d", name, got)
		}
	}
}

// Each server that is installed passes what two people say, each to one, in order.
func TestMessagesArrive(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(kind.Name, func(t *testing.T) {
			if !kind.There() {
				t.Skipf("%s is not installed", kind.Name)
			}
			server, err := kind.Start(t.Context(), t.TempDir(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := server.Stop(); err != nil {
					t.Error(err)
				}
			}()
			for _, way := range kind.Ways {
				t.Run(way.Name, func(t *testing.T) {
					converse(t, server, way, 0)
					converse(t, server, way, 2) // others: ejabberd ends every session of an anonymous user with his first
				})
			}
		})
	}
}

func converse(t *testing.T, server *Server, way Way, first int) {
	t.Helper()
	const people, each = 2, 50
	var readers, writers []Client
	for i := range people {
		reader, err := server.Dial(t.Context(), way, first+i, true)
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		writer, err := server.Dial(t.Context(), way, first+i, false)
		if err != nil {
			t.Fatal(err)
		}
		defer writer.Close()
		go func() { // acknowledgements, until it is closed
			for {
				if _, err := writer.Receive(); err != nil {
					return
				}
			}
		}()
		readers, writers = append(readers, reader), append(writers, writer)
	}
	said := func(i, k int) string { return fmt.Sprintf("%d-%d %s", i, k, strings.Repeat("x", 300)) }
	for k := range each {
		for i, w := range writers {
			if err := w.Send(first+i, []byte(said(i, k))); err != nil {
				t.Fatal(err)
			}
		}
	}
	for k := range each {
		for i, r := range readers {
			got, err := r.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != said(i, k) {
				t.Fatalf("%d hears %.20s, not %.20s", i, got, said(i, k))
			}
		}
	}
}
