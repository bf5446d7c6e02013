package peer

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

var mosquitto = Kind{
	Name: "mosquitto", Path: "/usr/sbin/mosquitto",
	configure: func(dir string, port int) ([]string, error) {
		config := filepath.Join(dir, "mosquitto.conf")
		text := fmt.Sprintf(`listener %d 127.0.0.1
allow_anonymous true
user root
persistence true
persistence_location %s/
max_queued_messages 0
log_dest stderr
log_type error
log_type warning
`, port, dir)
		return []string{"/usr/sbin/mosquitto", "-c", config}, os.WriteFile(config, []byte(text), 0o600)
	},
	Ways: []Way{
		{Name: "QoS 0", How: "MQTT topics, at most once, in memory", dial: func(c *conn, i int, receives bool) (Client, error) { return dialMQTT(c, i, receives, 0) }},
		{Name: "QoS 1", How: "MQTT topics, at least once, sessions that outlive a connection, PUBACK before anything is on disk (written every 30 minutes)", Kept: true,
			dial: func(c *conn, i int, receives bool) (Client, error) { return dialMQTT(c, i, receives, 1) }},
	},
}

// mqtt is a client of MQTT 3.1.1.
type mqtt struct {
	*conn
	qos  byte
	next uint16 // packet identifier, the sender's
	body []byte // of the last packet, the receiver's
}

// Packet types, with the flags that the standard wants.
const (
	mqttConnect    = 0x10
	mqttConnectAck = 0x20
	mqttPublish    = 0x30
	mqttPublishAck = 0x40
	mqttSubscribe  = 0x82
	mqttSubscribed = 0x90
)

func dialMQTT(c *conn, i int, receives bool, qos byte) (Client, error) {
	m := &mqtt{conn: c, qos: qos}
	role, flags := "s", byte(0x02) // a clean session
	if receives {
		role = "r"
		if qos > 0 {
			flags = 0 // what comes while it is away is kept
		}
	}
	hello := append(mqttText(nil, "MQTT"), 4, flags, 0, 0) // version 3.1.1, no keep-alive
	// A session of its own each time: of one that is taken up again the last packets would come once more.
	hello = mqttText(hello, fmt.Sprintf("%s%d-%s", role, i, rand.Text()))
	if err := m.packet(mqttConnect, hello); err != nil {
		return nil, err
	}
	if err := m.expect(mqttConnectAck, 1, 0); err != nil || !receives {
		return m, err
	}
	if err := m.packet(mqttSubscribe, append(mqttText([]byte{0, 1}, fmt.Sprintf("to/%d", i)), qos)); err != nil {
		return nil, err
	}
	return m, m.expect(mqttSubscribed, 2, qos)
}

func (m *mqtt) Send(i int, body []byte) error {
	return m.write(func(out []byte) []byte {
		topic := fmt.Sprintf("to/%d", i)
		size := 2 + len(topic) + len(body)
		if m.qos > 0 {
			size += 2
		}
		out = mqttText(mqttHead(out, mqttPublish|m.qos<<1, size), topic)
		if m.qos > 0 {
			if m.next++; m.next == 0 {
				m.next = 1
			}
			out = binary.BigEndian.AppendUint16(out, m.next)
		}
		return append(out, body...)
	})
}

func (m *mqtt) Receive() ([]byte, error) {
	for {
		head, err := m.read()
		if err != nil {
			return nil, err
		}
		if head&0xf0 != mqttPublish {
			continue // PUBACK
		}
		if len(m.body) < 2 || len(m.body) < 4+int(binary.BigEndian.Uint16(m.body)) {
			return nil, fmt.Errorf("a short packet")
		}
		rest := m.body[2+binary.BigEndian.Uint16(m.body):]
		if head>>1&3 == 0 {
			return rest, nil
		}
		if err := m.packet(mqttPublishAck, rest[:2]); err != nil {
			return nil, err
		}
		return rest[2:], nil
	}
}

func (m *mqtt) packet(head byte, body []byte) error {
	return m.write(func(out []byte) []byte { return append(mqttHead(out, head, len(body)), body...) })
}

// expect reads an answer with a byte at a place of its body.
func (m *mqtt) expect(head byte, at int, want byte) error {
	got, err := m.read()
	if err == nil && (got != head || len(m.body) <= at || m.body[at] != want) {
		err = fmt.Errorf("packet %x % x, not the answer %x", got, m.body, head)
	}
	return err
}

// read takes a packet; its body is good until the next.
func (m *mqtt) read() (head byte, err error) {
	if head, err = m.in.ReadByte(); err != nil {
		return 0, err
	}
	size, err := mqttSize(m.in)
	if err != nil {
		return 0, err
	}
	if cap(m.body) < size {
		m.body = make([]byte, size)
	}
	m.body = m.body[:size]
	_, err = io.ReadFull(m.in, m.body)
	return head, err
}

// mqttSize reads a length: seven bits a byte, the lowest first.
func mqttSize(in *bufio.Reader) (size int, err error) {
	for shift := 0; shift < 28; shift += 7 {
		b, err := in.ReadByte()
		if err != nil {
			return 0, err
		}
		size |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			if size > maxPacket {
				break
			}
			return size, nil
		}
	}
	return 0, fmt.Errorf("a packet that is too large")
}

const maxPacket = 64 << 10

func mqttHead(out []byte, head byte, size int) []byte {
	for out = append(out, head); size >= 0x80; size >>= 7 {
		out = append(out, byte(size)|0x80)
	}
	return append(out, byte(size))
}

func mqttText(out []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint16(out, uint16(len(text))), text...)
}
