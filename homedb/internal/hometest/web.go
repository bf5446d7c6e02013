package hometest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/courtyard-social/courtyard/protocol"
)

type buffer []byte

func (b *buffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

func bytesReader(b []byte) io.Reader { return bytes.NewReader(b) }

// Try sends JSON to the relay. The error has the relay's code.
func (a *App) Try(method, path string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.request(method, path, "application/json", raw, nil)
}

// Get asks the relay and decodes the answer. The error has the relay's code.
func (a *App) Get(path string, into any) error {
	return a.request(http.MethodGet, path, "", nil, into)
}

func (a *App) request(method, path, kind string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(context.Background(), method, a.Place.URL("http", path), bytes.NewReader(body))
	if err != nil {
		return err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if a.line != nil {
		req.Header.Set("Authorization", "Bearer "+a.Token())
	}
	answer, err := a.Gate.Client().Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode/100 == 2 {
		if into == nil {
			return nil
		}
		return json.Unmarshal(raw, into)
	}
	var p struct {
		Code string `json:"code"`
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	return &protocol.Error{Op: method + " " + path, Code: p.Code, Cause: fmt.Errorf("status %d", answer.StatusCode)}
}

func (a *App) putFile(id protocol.ID, sealed []byte, to *App) error {
	const piece = 1 << 20
	for at := 0; at < len(sealed); at += piece {
		reader := to.UID.String()
		if host := a.lanes.from(a.Courtyard, to.UID); host != "" {
			reader += "@" + host
		}
		path := fmt.Sprintf("/api/1/files/%s?offset=%d&size=%d&for=%s,%s", id, at, len(sealed), reader, a.UID)
		if err := a.request(http.MethodPut, path, "application/octet-stream", sealed[at:min(at+piece, len(sealed))], nil); err != nil {
			return err
		}
	}
	return nil
}
