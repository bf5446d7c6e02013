package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/courtyard-social/courtyard/scripts/crowd"
)

var natsServer = Kind{
	Name: "nats-server", Path: "/usr/sbin/nats-server",
	configure: func(dir string, port int) ([]string, error) {
		config := filepath.Join(dir, "nats.conf")
		text := fmt.Sprintf("listen: 127.0.0.1:%d\njetstream { store_dir: %q }\n", port, dir)
		return []string{"/usr/sbin/nats-server", "-c", config}, os.WriteFile(config, []byte(text), 0o600)
	},
	once: openStream,
	Ways: []Way{
		{Name: "core", How: "subjects, at most once, in memory", dial: func(c *conn, i int, receives bool) (Client, error) { return dialNATS(c, i, receives, false) }},
		{Name: "JetStream", How: "a work queue on disk with a consumer each, acknowledged both ways; synced every two minutes", Kept: true,
			dial: func(c *conn, i int, receives bool) (Client, error) { return dialNATS(c, i, receives, true) }},
	},
}

// nats is a client of the text protocol; with JetStream it reads only what
// receivers need, and takes the server's answers to what it publishes unread.
type nats struct {
	*conn
	subject string // by number of the receiver
	inbox   string // where answers to publishing come, or nothing
	body    []byte
}

const (
	natsCore   = "core.%d"
	natsStream = "kept.%d"
)

func dialNATS(c *conn, i int, receives, stream bool) (Client, error) {
	n := &nats{conn: c, subject: natsCore}
	if stream {
		n.subject = natsStream
	}
	if err := n.greet(); err != nil {
		return nil, err
	}
	switch {
	case receives && stream:
		into := fmt.Sprintf("into.%d", i)
		if err := n.say("SUB %s 1\r\n", into); err != nil {
			return nil, err
		}
		name := fmt.Sprintf("reader%d", i)
		return n, n.ask("CONSUMER.DURABLE.CREATE.kept."+name, map[string]any{"stream_name": "kept", "config": map[string]any{
			"durable_name": name, "deliver_subject": into, "filter_subject": fmt.Sprintf(natsStream, i), "ack_policy": "explicit", "deliver_policy": "all",
			"ack_wait": time.Minute.Nanoseconds(), "max_ack_pending": 1000}})
	case receives:
		return n, n.settle("SUB "+natsCore+" 1\r\n", i)
	case stream:
		n.inbox = fmt.Sprintf("answer.%d", i)
		return n, n.settle("SUB %s 1\r\n", n.inbox)
	}
	return n, nil
}

// openStream makes the stream that all letters of JetStream pass through.
func openStream(address string) error {
	ctx, stop := context.WithTimeout(context.Background(), crowd.Patience)
	defer stop()
	c, err := dial(ctx, address)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(crowd.Patience)); err != nil {
		return err
	}
	n := &nats{conn: c}
	if err := n.greet(); err != nil {
		return err
	}
	return n.ask("STREAM.CREATE.kept", map[string]any{"name": "kept", "subjects": []string{"kept.*"}, "storage": "file", "retention": "workqueue", "num_replicas": 1})
}

// greet waits until the server has taken us.
func (n *nats) greet() error {
	if line, err := n.line(); err != nil || !bytes.HasPrefix(line, []byte("INFO ")) {
		return fmt.Errorf("instead of INFO: %s, %w", line, err)
	}
	return n.settle("CONNECT {\"verbose\":false,\"pedantic\":false,\"name\":\"%s\"}\r\n", "bench")
}

// settle says something and waits until all that was said has been read.
func (n *nats) settle(format string, args ...any) error {
	if err := n.say(format+"PING\r\n", args...); err != nil {
		return err
	}
	line, err := n.line()
	if err == nil && string(line) != "PONG" {
		err = fmt.Errorf("instead of PONG: %s", line)
	}
	return err
}

// ask makes a request of JetStream and waits for its answer. What a consumer has to
// deliver already may not come before: the streams here are empty then.
func (n *nats) ask(what string, request any) error {
	raw, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if err := n.say("SUB asked.%s 2\r\nPUB $JS.API.%s asked.%s %d\r\n%s\r\n", what, what, what, len(raw), raw); err != nil {
		return err
	}
	body, err := n.Receive()
	if err != nil {
		return err
	}
	var said struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return fmt.Errorf("%w: %s", err, body)
	}
	if said.Error != nil {
		return fmt.Errorf("%s: %s", what, said.Error.Description)
	}
	return n.settle("UNSUB %d\r\n", 2)
}

func (n *nats) Send(i int, body []byte) error {
	return n.write(func(out []byte) []byte {
		out = fmt.Appendf(append(out, "PUB "...), n.subject, i)
		if n.inbox != "" {
			out = append(append(out, ' '), n.inbox...)
		}
		out = strconv.AppendInt(append(out, ' '), int64(len(body)), 10)
		return append(append(append(out, "\r\n"...), body...), "\r\n"...)
	})
}

func (n *nats) Receive() ([]byte, error) {
	for {
		line, err := n.line()
		if err != nil {
			return nil, err
		}
		words := bytes.Fields(line)
		switch {
		case len(words) == 0:
		case string(words[0]) == "PING":
			if err := n.say("PONG\r\n"); err != nil {
				return nil, err
			}
		case string(words[0]) == "MSG" && len(words) >= 4: // subject, number, [reply,] size
			size, err := strconv.Atoi(string(words[len(words)-1]))
			if err != nil || size < 0 || size > maxPacket {
				return nil, fmt.Errorf("not a message: %s", line)
			}
			reply := ""
			if len(words) == 5 {
				reply = string(words[3])
			}
			n.body = append(n.body[:0], make([]byte, size+2)...)
			if _, err := io.ReadFull(n.in, n.body); err != nil {
				return nil, err
			}
			if n.inbox != "" {
				continue // it is stored
			}
			if reply != "" {
				if err := n.say("PUB %s 4\r\n+ACK\r\n", reply); err != nil {
					return nil, err
				}
			}
			return n.body[:size], nil
		case string(words[0]) == "-ERR":
			return nil, fmt.Errorf("%s", line)
		}
	}
}

func (n *nats) line() ([]byte, error) {
	line, err := n.in.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}
