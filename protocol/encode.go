package protocol

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Marshal writes v as JSON: struct fields in their order, omitempty fields left
// out when zero (those tagged courtyard:"optional" are always written, but may be missing
// when read), the keys of a Rest after them, nothing escaped that need not be.
// It refuses secrets, text that is not UTF-8, integers from 2^53 and types that
// DecodeOpen would not read.
func Marshal(v any) ([]byte, error) { return appendJSON(nil, reflect.ValueOf(v), false) }

// MarshalSealed is Marshal for JSON that is sealed before it goes anywhere: it
// writes Secret values.
func MarshalSealed(v any) ([]byte, error) { return appendJSON(nil, reflect.ValueOf(v), true) }

var textWriter = reflect.TypeFor[encoding.TextMarshaler]()

func appendJSON(out []byte, v reflect.Value, secrets bool) ([]byte, error) {
	t := v.Type()
	if t == rawType {
		return appendRaw(out, v.Bytes())
	}
	if secret, ok := v.Interface().(Secret); ok && secrets {
		return appendText(out, EncodeBytes(secret.Expose()))
	}
	if t.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil, errors.New("protocol: nil in JSON")
		}
		return appendJSON(out, v.Elem(), secrets)
	}
	if t.Implements(textWriter) {
		text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
		if err != nil {
			return nil, err
		}
		return appendText(out, string(text))
	}
	switch t.Kind() {
	case reflect.Struct:
		return appendObject(out, v, secrets)
	case reflect.Map:
		return appendTable(out, v, secrets)
	case reflect.Slice:
		out = append(out, '[')
		var err error
		for i := range v.Len() {
			if i > 0 {
				out = append(out, ',')
			}
			if out, err = appendJSON(out, v.Index(i), secrets); err != nil {
				return nil, err
			}
		}
		return append(out, ']'), nil
	case reflect.String:
		return appendText(out, v.String())
	case reflect.Bool:
		return strconv.AppendBool(out, v.Bool()), nil
	case reflect.Int, reflect.Int64:
		if n := v.Int(); n > maxInteger || n < -maxInteger {
			return nil, errors.New("protocol: integer from 2^53")
		}
		return strconv.AppendInt(out, v.Int(), 10), nil
	default:
		return nil, fmt.Errorf("protocol: no JSON for %v", t)
	}
}

func appendObject(out []byte, v reflect.Value, secrets bool) ([]byte, error) {
	shape := shapeOf(v.Type())
	var err error
	out = append(out, '{')
	comma := false
	key := func(name string) error {
		if comma {
			out = append(out, ',')
		}
		comma = true
		if out, err = appendText(out, name); err != nil {
			return err
		}
		out = append(out, ':')
		return nil
	}
	for _, f := range shape.fields {
		field := v.Field(f.index)
		if f.omit && field.IsZero() {
			continue
		}
		if err := key(f.name); err != nil {
			return nil, err
		}
		if out, err = appendJSON(out, field, secrets); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if shape.rest >= 0 {
		rest := v.Field(shape.rest).Interface().(Rest)
		for _, name := range sortedKeys(rest) {
			if _, named := shape.index[name]; named {
				return nil, fmt.Errorf("protocol: %q is named twice", name)
			}
			if err := key(name); err != nil {
				return nil, err
			}
			if out, err = appendRaw(out, rest[name]); err != nil {
				return nil, err
			}
		}
	}
	return append(out, '}'), nil
}

func appendTable(out []byte, v reflect.Value, secrets bool) ([]byte, error) {
	type member struct {
		name  string
		value reflect.Value
	}
	members := make([]member, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		name := it.Key().String()
		if w, ok := it.Key().Interface().(encoding.TextMarshaler); ok {
			text, err := w.MarshalText()
			if err != nil {
				return nil, err
			}
			name = string(text)
		}
		members = append(members, member{name, it.Value()})
	}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	var err error
	out = append(out, '{')
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = appendText(out, m.name); err != nil {
			return nil, err
		}
		out = append(out, ':')
		if out, err = appendJSON(out, m.value, secrets); err != nil {
			return nil, err
		}
	}
	return append(out, '}'), nil
}

// appendRaw copies JSON that somebody else wrote, after checking it.
func appendRaw(out, raw []byte) ([]byte, error) {
	s := scanner{in: raw, max: 64}
	if err := s.skip(); err != nil {
		return nil, err
	}
	if s.space(); s.pos != len(raw) {
		return nil, errTrailing
	}
	return append(out, raw...), nil
}

const hexDigits = "0123456789abcdef"

func appendText(out []byte, text string) ([]byte, error) {
	if !utf8.ValidString(text) {
		return nil, errText
	}
	out = append(out, '"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, '\\', 'n')
		case c < 0x20:
			out = append(out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			out = append(out, c)
		}
	}
	return append(out, '"'), nil
}

func sortedKeys(rest map[string]json.RawMessage) []string {
	names := make([]string, 0, len(rest))
	for name := range rest {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// shape is what a struct type looks like as a JSON object.
type shape struct {
	fields []shapeField
	index  map[string]int
	rest   int // the field of type Rest, -1 for none
}

type shapeField struct {
	name     string
	index    int
	optional bool // may be missing when read
	omit     bool // is left out when zero
}

var shapes sync.Map // reflect.Type -> *shape; as many entries as there are types in the program

func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := &shape{index: map[string]int{}, rest: -1}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Type == restType {
			s.rest = i
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		if name == "" {
			panic(fmt.Sprintf("protocol: %v.%s has no JSON name", t, f.Name))
		}
		s.index[name] = len(s.fields)
		omit := options == "omitempty"
		s.fields = append(s.fields, shapeField{name, i, omit || f.Tag.Get("courtyard") == "optional", omit})
	}
	known, _ := shapes.LoadOrStore(t, s)
	return known.(*shape)
}
