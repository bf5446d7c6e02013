package protocol_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
)

type sample struct {
	Name string            `json:"name"`
	N    int64             `json:"n"`
	On   bool              `json:"on,omitempty"`
	ID   *protocol.ID      `json:"id,omitempty"`
	In   *sample           `json:"in,omitempty"`
	List []string          `json:"list,omitempty"`
	Map  map[string]int    `json:"map,omitempty"`
	Raw  json.RawMessage   `json:"raw,omitempty"`
	Keys []protocol.Signed `json:"keys,omitempty"`
}

func TestDecodeClosed(t *testing.T) {
	good := []string{
		`{"name":"a","n":1}`,
		" {\n\"name\" : \"a\" ,\t\"n\" : -7 } \r\n",
		`{"n":9007199254740991,"name":"\u00e9\ud83d\ude00\/\b\f\n\r\t\"\\"}`,
		`{"name":"熊","n":0,"on":true,"list":["a","b"],"map":{"x":1},"raw":{"f":1.5e3,"z":null}}`,
		`{"name":"","n":1,"in":{"name":"b","n":2}}`,
		`{"name":"","n":1,"id":"AAAAAAAAAAAAAAAAAAAAAA"}`,
	}
	for _, raw := range good {
		var v sample
		if err := protocol.DecodeClosed([]byte(raw), &v, 4); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
	}
	bad := map[string]string{
		"empty":                `  `,
		"duplicate key":        `{"name":"a","n":1,"n":1}`,
		"duplicate escaped":    `{"name":"a","n":1,"\u006e":2}`,
		"unknown key":          `{"name":"a","n":1,"m":1}`,
		"key of another case":  `{"name":"a","N":1}`,
		"case beside the key":  `{"name":"a","n":1,"N":2}`,
		"missing key":          `{"name":"a"}`,
		"null":                 `{"name":"a","n":null}`,
		"null optional":        `{"name":"a","n":1,"in":null}`,
		"fraction":             `{"name":"a","n":1.0}`,
		"exponent":             `{"name":"a","n":1e3}`,
		"minus zero":           `{"name":"a","n":-0}`,
		"2^53":                 `{"name":"a","n":9007199254740992}`,
		"-2^53":                `{"name":"a","n":-9007199254740992}`,
		"huge integer":         `{"name":"a","n":99999999999999999999}`,
		"leading zero":         `{"name":"a","n":01}`,
		"plus":                 `{"name":"a","n":+1}`,
		"integer as text":      `{"name":"a","n":"1"}`,
		"text as integer":      `{"name":1,"n":1}`,
		"trailing value":       `{"name":"a","n":1}{}`,
		"trailing comma":       `{"name":"a","n":1,}`,
		"trailing text":        `{"name":"a","n":1} x`,
		"byte order mark":      "\ufeff" + `{"name":"a","n":1}`,
		"not UTF-8":            "{\"name\":\"\xff\",\"n\":1}",
		"not UTF-8 escaped":    "{\"name\":\"\\n\xff\",\"n\":1}",
		"lone high surrogate":  `{"name":"\ud83d","n":1}`,
		"lone low surrogate":   `{"name":"\ude00","n":1}`,
		"high and no low":      `{"name":"\ud83d\u0041","n":1}`,
		"control character":    "{\"name\":\"\n\",\"n\":1}",
		"control after escape": "{\"name\":\"\\n\x01\",\"n\":1}",
		"bad escape":           `{"name":"\x41","n":1}`,
		"bad hex":              `{"name":"\u00zz","n":1}`,
		"comment":              `{"name":"a",/**/"n":1}`,
		"single quotes":        `{'name':'a','n':1}`,
		"bool as word":         `{"name":"a","n":1,"on":"true"}`,
		"array for object":     `["a",1]`,
		"object for list":      `{"name":"a","n":1,"list":{}}`,
		"cut":                  `{"name":"a","n":1`,
		"cut in text":          `{"name":"a`,
		"cut in escape":        `{"name":"\`,
		"id with padding":      `{"name":"","n":1,"id":"AAAAAAAAAAAAAAAAAAAAAA=="}`,
		"id too short":         `{"name":"","n":1,"id":"AAAA"}`,
		"id trailing bits":     `{"name":"","n":1,"id":"AAAAAAAAAAAAAAAAAAAAAB"}`,
		"id standard alphabet": `{"name":"","n":1,"id":"+/AAAAAAAAAAAAAAAAAAAA"}`,
		"id line break":        `{"name":"","n":1,"id":"AAAAAAAAAA\nAAAAAAAAAA"}`,
		"duplicate in map":     `{"name":"","n":1,"map":{"a":1,"a":2}}`,
		"duplicate in raw":     `{"name":"","n":1,"raw":{"a":1,"a":2}}`,
		"too deep":             `{"name":"","n":1,"raw":[[[[1]]]]}`,
		"too deep by objects":  `{"name":"","n":1,"in":{"name":"","n":1,"in":{"name":"","n":1,"in":{"name":"","n":1,"in":{"name":"","n":1}}}}}`,
	}
	for what, raw := range bad {
		var v sample
		err := protocol.DecodeClosed([]byte(raw), &v, 4)
		if protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("%s: %s: %v", what, raw, err)
		}
	}
}

func TestDecodeOpen(t *testing.T) {
	var v struct {
		N    int `json:"n"`
		Rest protocol.Rest
	}
	raw := `{"x":{"a":[1.5,null,true]},"n":3,"N":4}`
	if err := protocol.DecodeOpen([]byte(raw), &v, 4); err != nil {
		t.Fatal(err)
	}
	out, err := protocol.Marshal(v)
	if err != nil || string(out) != `{"n":3,"N":4,"x":{"a":[1.5,null,true]}}` {
		t.Fatalf("%s %v", out, err)
	}
	for _, raw := range []string{`{"n":1,"x":1,"x":2}`, `{"n":1,"x":{"a":1,"a":1}}`, `{"n":1,"x":[[[[]]]]}`, `{"n":1,"x":01}`} {
		if err := protocol.DecodeOpen([]byte(raw), &v, 3); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("%s: %v", raw, err)
		}
	}
	v.Rest["n"] = json.RawMessage("1")
	if _, err := protocol.Marshal(v); err == nil {
		t.Error("a key was written twice")
	}
	v.Rest = protocol.Rest{"x": json.RawMessage(`{"a":1,"a":2}`)}
	if _, err := protocol.Marshal(v); err == nil {
		t.Error("bad JSON was passed on")
	}
}

// A bomb of brackets must be refused at the depth limit, not after memory or
// stack have grown with it.
func TestDepthBombIsFlat(t *testing.T) {
	for _, bomb := range []string{
		strings.Repeat("[", 1<<20), strings.Repeat(`{"a":`, 1<<18), `{"n":1,"x":` + strings.Repeat("[", 1<<20),
	} {
		raw := []byte(bomb)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var v struct {
			N int `json:"n"`
		}
		err := protocol.DecodeOpen(raw, &v, 8)
		runtime.ReadMemStats(&after)
		if protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Fatal(err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<10 {
			t.Errorf("%d bytes allocated for %.12s…", grown, bomb)
		}
	}
	var v json.RawMessage
	if err := protocol.DecodeOpen(make([]byte, protocol.MaxJSON+1), &v, 8); protocol.CodeOf(err) != protocol.CodeTooLarge {
		t.Error("oversize", err)
	}
}

func TestMarshalRefuses(t *testing.T) {
	secret := protocol.SecretOf([]byte("0123456789abcdef"))
	for what, v := range map[string]any{
		"secret": struct {
			A protocol.Secret `json:"a"`
		}{secret},
		"2^53": struct {
			A int64 `json:"a"`
		}{1 << 53},
		"UTF-8": struct {
			A string `json:"a"`
		}{"\xff"},
		"pointer": struct {
			A *int `json:"a"`
		}{nil},
		"float": struct {
			A float64 `json:"a"`
		}{1},
		"raw": struct {
			A json.RawMessage `json:"a"`
		}{json.RawMessage("{")},
	} {
		if out, err := protocol.Marshal(v); err == nil {
			t.Errorf("%s: %s", what, out)
		}
	}
	out, err := protocol.MarshalSealed(struct {
		A protocol.Secret `json:"a"`
	}{secret})
	if err != nil || string(out) != `{"a":"MDEyMzQ1Njc4OWFiY2RlZg"}` {
		t.Errorf("%s %v", out, err)
	}
}

// Secrets must not reach a log, however they are printed.
func TestSecretsDoNotPrint(t *testing.T) {
	const word = "0123456789abcdef0123456789abcdef"
	secret := protocol.SecretOf([]byte(word))
	sign, box := protocol.SignSecretOf([32]byte([]byte(word))), protocol.BoxSecretOf([32]byte([]byte(word)))
	type hidden struct {
		a protocol.Secret
		b protocol.SignSecret
		c protocol.BoxSecret
	}
	var log strings.Builder
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	textLogger := slog.New(slog.NewTextHandler(&log, nil))
	for _, v := range []any{secret, sign, box, &secret, hidden{secret, sign, box}, []protocol.Secret{secret}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&log, verb+"\n", v)
		}
		logger.Info("x", "v", v)
		textLogger.Info("x", "v", v)
		if out, err := json.Marshal(v); err == nil {
			log.Write(out)
		}
	}
	text := log.String()
	if !strings.Contains(text, "[secret]") {
		t.Fatal("nothing was printed")
	}
	for _, leak := range []string{word[:8], "3031323334", "MDEyMzQ1", "48 49 50", "0x30, 0x31"} {
		if strings.Contains(text, leak) {
			t.Errorf("a secret was printed as %q", leak)
		}
	}
}

func TestErrors(t *testing.T) {
	inner := &protocol.Error{Op: "a.B", Code: protocol.CodeExpired, Cause: errors.New("late")}
	err := fmt.Errorf("while: %w", inner)
	if protocol.CodeOf(err) != protocol.CodeExpired || protocol.CodeOf(nil) != "" || protocol.CodeOf(errors.New("x")) != protocol.CodeInternal {
		t.Error("CodeOf")
	}
	if inner.Error() != "a.B: expired: late" {
		t.Error(inner.Error())
	}
	seen := map[string]bool{}
	for _, code := range protocol.Codes() {
		if seen[code] {
			t.Errorf("%s twice", code)
		}
		seen[code] = true
	}
}
