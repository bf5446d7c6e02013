package protocol

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
)

// MaxJSON bounds every JSON text of the protocol; the largest carries a vault of
// 1 MiB in base64url.
const MaxJSON = 2 << 20

// maxInteger is the largest integer that JSON carries here (section 1).
const maxInteger = 1<<53 - 1

// Rest, as a struct field without a json tag, receives the keys that the
// struct does not name, as they came; Marshal writes them back after the named
// ones. It is how a home rewrites a vault without losing what an app keeps there.
type Rest map[string]json.RawMessage

// DecodeClosed reads raw into the struct that v points to and refuses duplicate
// keys, keys that v does not name (exactly: case matters), missing keys that are
// neither omitempty nor optional, null and any other wrong type, integers with a fraction or an
// exponent or beyond 2^53-1, text that is not UTF-8, more than maxDepth nested
// objects and arrays, more than MaxJSON bytes, and anything after the value.
// The code is always bad-request or too-large. Memory is bounded by len(raw).
func DecodeClosed(raw []byte, v any, maxDepth int) error { return decodeJSON(raw, v, maxDepth, false) }

// DecodeOpen is DecodeClosed, but keys that v does not name are allowed. They
// are checked like the others and dropped, or kept in a field of type Rest.
func DecodeOpen(raw []byte, v any, maxDepth int) error { return decodeJSON(raw, v, maxDepth, true) }

func decodeJSON(raw []byte, v any, maxDepth int, open bool) error {
	if len(raw) > MaxJSON {
		return &Error{Op: "protocol.json", Code: CodeTooLarge, Params: map[string]any{"limit": MaxJSON}}
	}
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		panic("protocol: decode into a non-pointer")
	}
	d := decoder{scanner{in: raw, max: maxDepth}, open}
	err := d.value(target.Elem())
	if err == nil {
		d.space()
		if d.pos != len(d.in) {
			err = errTrailing
		}
	}
	if err != nil {
		return &Error{Op: "protocol.json", Code: CodeBadRequest, Params: map[string]any{"at": d.pos}, Cause: err}
	}
	return nil
}

type decoder struct {
	scanner
	open bool
}

var (
	rawType     = reflect.TypeFor[json.RawMessage]()
	restType    = reflect.TypeFor[Rest]()
	textReader  = reflect.TypeFor[encoding.TextUnmarshaler]()
	errType     = errors.New("value of another type")
	errTrailing = errors.New("something after the value")
	errTwice    = errors.New("key twice")
	errUnknown  = errors.New("unknown key")
)

func (d *decoder) value(v reflect.Value) error {
	d.space()
	t := v.Type()
	if t == rawType {
		start := d.pos
		if err := d.skip(); err != nil {
			return err
		}
		v.SetBytes(append([]byte(nil), d.in[start:d.pos]...))
		return nil
	}
	if t.Kind() == reflect.Pointer {
		v.Set(reflect.New(t.Elem()))
		return d.value(v.Elem())
	}
	if reflect.PointerTo(t).Implements(textReader) {
		text, err := d.text()
		if err != nil {
			return err
		}
		return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	}
	switch t.Kind() {
	case reflect.Struct:
		return d.object(v)
	case reflect.Map:
		return d.table(v)
	case reflect.Slice:
		return d.array(v)
	case reflect.String:
		text, err := d.text()
		v.SetString(text)
		return err
	case reflect.Bool:
		switch {
		case d.word("true"):
			v.SetBool(true)
		case d.word("false"):
			v.SetBool(false)
		default:
			return errType
		}
		return nil
	case reflect.Int, reflect.Int64:
		n, err := d.integer()
		v.SetInt(n)
		return err
	default:
		panic(fmt.Sprintf("protocol: no JSON for %v", t))
	}
}

func (d *decoder) object(v reflect.Value) error {
	shape := shapeOf(v.Type())
	seen := make([]bool, len(shape.fields))
	var others map[string]bool
	err := d.members(func(key string) error {
		if i, ok := shape.index[key]; ok {
			if seen[i] {
				return errTwice
			}
			seen[i] = true
			return d.value(v.Field(shape.fields[i].index))
		}
		if !d.open {
			return errUnknown
		}
		if others[key] {
			return errTwice
		}
		if others == nil {
			others = map[string]bool{}
		}
		others[key] = true
		d.space()
		start := d.pos
		if err := d.skip(); err != nil {
			return err
		}
		if shape.rest >= 0 {
			rest := v.Field(shape.rest)
			if rest.IsNil() {
				rest.Set(reflect.ValueOf(Rest{}))
			}
			raw := append(json.RawMessage(nil), d.in[start:d.pos]...)
			rest.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(raw))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, f := range shape.fields {
		if !seen[i] && !f.optional {
			return fmt.Errorf("key %q missing", f.name)
		}
	}
	return nil
}

func (d *decoder) table(v reflect.Value) error {
	t := v.Type()
	v.Set(reflect.MakeMap(t))
	return d.members(func(key string) error {
		k := reflect.New(t.Key()).Elem()
		if reader, ok := k.Addr().Interface().(encoding.TextUnmarshaler); ok {
			if err := reader.UnmarshalText([]byte(key)); err != nil {
				return err
			}
		} else {
			k.SetString(key)
		}
		if v.MapIndex(k).IsValid() {
			return errTwice
		}
		item := reflect.New(t.Elem()).Elem()
		if err := d.value(item); err != nil {
			return err
		}
		v.SetMapIndex(k, item)
		return nil
	})
}

func (d *decoder) array(v reflect.Value) error {
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	return d.items(func() error {
		item := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(item); err != nil {
			return err
		}
		v.Set(reflect.Append(v, item))
		return nil
	})
}

// integer reads a JSON number that is written without fraction and exponent.
func (d *decoder) integer() (int64, error) {
	start := d.pos
	if err := d.number(); err != nil {
		return 0, err
	}
	text := string(d.in[start:d.pos])
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > maxInteger || n < -maxInteger || text == "-0" {
		return 0, errors.New("not an integer below 2^53")
	}
	return n, nil
}
