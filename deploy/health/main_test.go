package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestAsk(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /well", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /ill", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.Handle("GET /elsewhere", http.RedirectHandler("/well", http.StatusFound))
	server := httptest.NewServer(mux)
	for path, well := range map[string]bool{"/well": true, "/ill": false, "/elsewhere": false} {
		if err := ask(server.URL + path); (err == nil) != well {
			t.Errorf("%s: %v", path, err)
		}
	}
	server.Close()
	if err := ask(server.URL + "/well"); err == nil {
		t.Error("a server that is gone must not be well")
	}
}
