package signal

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/coder/websocket"
)

const (
	// A connection keeps its buffers while it is idle. net/http's are 4 KiB each;
	// these still take a usual letter's frame out with one write, and any frame in
	// with one read more.
	readBuffer  = 512
	writeBuffer = 2 << 10
	// roomy is what a frame is read into at first, and pooledMost the largest that
	// is kept for the next one.
	roomy      = 4 << 10
	pooledMost = 64 << 10
)

// upgrade hands the websocket library a connection with small buffers.
type upgrade struct{ http.ResponseWriter }

// Hijack implements http.Hijacker.
func (u upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil || buffers.Reader.Buffered() > 0 { // who sends before the answer has its first bytes in there
		return conn, buffers, err
	}
	return conn, bufio.NewReadWriter(bufio.NewReaderSize(conn, readBuffer), bufio.NewWriterSize(conn, writeBuffer)), nil
}

// rooms are what frames are read into: as many as are being read at once.
var rooms = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, roomy)) }}

// receive reads one message; its bytes are the caller's.
func receive(ctx context.Context, conn *websocket.Conn) (websocket.MessageType, []byte, error) {
	kind, message, err := conn.Reader(ctx)
	if err != nil {
		return kind, nil, err
	}
	room := rooms.Get().(*bytes.Buffer)
	defer func() {
		if room.Cap() <= pooledMost {
			room.Reset()
			rooms.Put(room)
		}
	}()
	if _, err := room.ReadFrom(message); err != nil {
		return kind, nil, err
	}
	return kind, bytes.Clone(room.Bytes()), nil
}
